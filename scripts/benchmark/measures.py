"""What is measured. Each function gives rows; `how` stands below the table."""
import json
import os
import subprocess
import time
from dataclasses import dataclass

from . import jobs, machine
from .server import Failure, Server

# The table of the goals: at least, strive for.
GOALS = {
    "start": ("≤ 200 ms", "≤ 50 ms"),
    "server idle": ("≤ 40 MB", "≤ 20 MB"),
    "shim idle": ("≤ 8 MB", "≤ 4 MB"),
    "async": ("≥ 1,000/s", "≥ 3,000/s"),
    "queue": ("≥ 4,000/s", "≥ 10,000/s"),
    "sync": ("≤ 4 ms", "≤ 1.5 ms"),
    "pyspark overhead": ("≤ 10 ms", "≤ 3 ms"),
    "context creation": ("≤ 10 %", "0"),
    "list ratio": ("≤ 1.5", ""),
    "list": ("", "≤ 1 ms"),
    "upload growth": ("≤ 32 MB", ""),
    "callbacks": ("≥ 1,000/s", ""),
    "upload speed": ("", "disk speed"),
    "restart": ("≤ 1 s", ""),
    "re-attach": ("≤ 1 s", ""),
    "idle CPU": ("≤ 1 %", ""),
    "of the limit": ("≥ 0.7", "> 1"),
    "history start": ("≤ 3 s", ""),
    "history memory": ("≤ 300 MB", ""),
    "of hdfs-native": ("≥ 0.8", "0.95"),
}
BARE_SESSION = """
import sys
from pyspark.sql import SparkSession
builder = SparkSession.builder
for setting in sys.argv[1:]:
    name, value = setting.split("=", 1)
    builder = builder.config(name, value)
session = builder.getOrCreate()
print("up", flush=True)
sys.stdin.read()
session.stop()
"""
SESSION_FACTORY = "spark.jobserver.python.PythonSessionContextFactory"
POST = "/jobs?appName=bench&classPath=%s&context=c" % jobs.NO_OP


@dataclass
class Row:
    """One figure. `value` is the figure that counts; p50, p99 and n describe the samples, when there are any."""

    name: str
    value: float
    unit: str
    p50: float | None = None
    p99: float | None = None
    n: int = 1
    goal: str = ""

    @classmethod
    def of(cls, name, values, unit, goal=""):
        """The median of samples."""
        p50 = machine.median(values)
        return cls(name, p50, unit, p50, machine.quantile(values, 0.99), len(values), goal)


class Bench:
    """Programs, places and sizes that the measures share."""

    def __init__(self, doyen, load, fill, callbacks, python, disk, memory, quick):
        self.doyen, self.load_program, self.fill_program, self.python = doyen, load, fill, python
        self.callbacks_program = callbacks
        self.disk, self.memory, self.quick = disk, memory, quick

    def program(self, name):
        """An example, built beside the load generator."""
        return os.path.join(os.path.dirname(self.load_program), name)

    def size(self, full, quick):
        return quick if self.quick else full

    def server(self, place, settings=()):
        settings = ('drivers.pyspark.executable="%s"' % self.python, *settings) if self.python else settings
        return Server(self.doyen, place.fresh(), place.run, settings)

    def load(self, server, *arguments):
        """Runs the load generator; gives what it measured."""
        told = subprocess.run([self.load_program, *map(str, arguments[:-1]), server.address, *arguments[-1]],
                              capture_output=True, text=True)
        if told.returncode:
            raise Failure("the load generator failed: %s" % told.stderr)
        return json.loads(told.stdout)

    def warm_python(self, place, limit=64):
        """A server with the wheel and a warm `python` context of the name c."""
        server = self.server(place, ("jobs.max-per-context=%d" % limit,))
        server.push(jobs.NAME, jobs.wheel(place.fresh()))
        server.create("c", "python")
        self.load(server, "--count", 50, ("POST", POST + "&sync=true"))
        return server


def fsync(bench):
    """Appending 4 KiB to a file and fdatasync, one after the other: what the disk alone costs. A durable write of ours is
    two such flushes (redb's two-phase commit), shared by all requests that wait at that moment."""
    yield Row.of("fsync of the disk", machine.fsync_ms(bench.disk.fresh(), bench.size(500, 100)), "ms")


def start(bench):
    """From the start of the process to its line `ready`, each time on an empty directory."""
    for place, where in ((bench.disk, ""), (bench.memory, ", data on tmpfs")):
        times = []
        for _ in range(bench.size(30, 5) + 1):
            server = bench.server(place)
            times.append(server.start_ms)
            server.stop()
        yield Row.of("start to ready" + where, times[1:], "ms", "start" if not where else "")


def memory(bench):
    """VmRSS of the processes, 2 s after `ready` and 2 s after a `python` context is there. Most of it is the program file
    in the page cache, which server and shims share: PSS divides shared pages by those who share them, and "anonymous" is
    what a process has for itself. The last rows are after many jobs."""
    server = bench.server(bench.disk, ("jobs.max-per-context=64",))
    time.sleep(2)
    yield from memory_rows("server idle", server.pid)
    server.push(jobs.NAME, jobs.wheel(bench.disk.fresh()))
    server.create("c", "python")
    time.sleep(2)
    [shim] = server.shims()
    yield from memory_rows("shim idle", shim)
    count = bench.size(10_000, 2000)
    bench.load(server, "--clients", 64, "--count", count, "--until-ended", ("POST", POST))
    time.sleep(2)
    yield Row("server after {:,} jobs, VmRSS".format(count), machine.memory_mb(server.pid)[0], "MB")
    yield Row("shim after {:,} jobs, VmRSS".format(count), machine.memory_mb(shim)[0], "MB")
    server.stop()


def memory_rows(name, pid):
    rss, pss, anonymous = machine.memory_mb(pid)
    yield Row(name + ", VmRSS", rss, "MB", goal=name)
    yield Row(name + ", PSS", pss, "MB")
    yield Row(name + ", anonymous", anonymous, "MB")


def asynchronous(bench):
    """POST /jobs of a job that does nothing into a warm `python` context with jobs.max-per-context = 64, answered 202 once
    it is durable. A client that gets 503 NO SLOTS waits 5 ms and tries again; its time counts. accepted/s: requests by the
    time until the last 202; run/s: by the time until the last job has ended. Median of the rounds; p50 and p99 are of the
    time from a client's first try to its 202. The CPU for one job bounds jobs/s (two cores have 2,000,000 µs a
    second), and depends less than they do on what else the machine does."""
    for place, where in ((bench.disk, ""), (bench.memory, ", data on tmpfs")):
        server = bench.warm_python(place)
        for clients in (64, 1):
            count = bench.size(10_000, 2000) if clients > 1 else bench.size(2000, 500)
            before = cpu_of_parts(server)
            rounds = [bench.load(server, "--clients", clients, "--count", count, "--warm-up", count // 4, "--until-ended",
                                 ("POST", POST)) for _ in range(bench.size(3, 1))]
            p50, p99 = (machine.median([r[key] for r in rounds]) for key in ("p50_ms", "p99_ms"))
            n = sum(r["n"] for r in rounds)
            label = "async no-op, %d client%s, %%s%s" % (clients, "s" if clients > 1 else "", where)
            goal = "async" if clients > 1 and not where else ""
            accepted = machine.median([r["n"] / r["answered_seconds"] for r in rounds])
            ended = machine.median([r["n"] / r["ended_seconds"] for r in rounds])
            yield Row(label % "accepted", accepted, "1/s", n=n)
            yield Row(label % "run to the end", ended, "1/s", n=n, goal=goal)
            yield Row(label % "time to 202", p50, "ms", p50, p99, n)
            ran = n + len(rounds) * (count // 4)
            for part, used_s in cpu_of_parts(server).items():
                yield Row(label % ("CPU of the " + part), (used_s - before[part]) / ran * 1e6, "µs/job", n=ran)
        http = server.http()
        if http.ask("GET", "/jobs?status=error&limit=1").strip() != b"[]":
            raise Failure("jobs failed")
        server.stop()


def queued(bench):
    """POST /jobs?queue=true, 64 clients, into a `python` context whose places are all taken: each 202 is a job that waits,
    durably. Then the server is killed with kill -9 and started again; then the places are freed (64 of them), and the time
    until the last queued job has ended is taken. Growth: VmRSS of the server after all were submitted, less before."""
    for place, where in ((bench.disk, ""), (bench.memory, ", data on tmpfs")):
        count, places = bench.size(10_000, 4000), 64
        settings = ("jobs.max-per-context=%d" % places, "jobs.max-queued-per-context=1000000")
        directory = place.fresh()
        server = Server(bench.doyen, directory, place.run, settings)
        server.push(jobs.NAME, jobs.wheel(place.fresh()))
        server.create("c", "python")
        http = server.http()
        path = "/jobs?appName=bench&classPath=%s&context=c" % jobs.WAITS
        held = [json.loads(http.ask("POST", path))["jobId"] for _ in range(places)]
        bench.load(server, "--clients", 64, "--count", 500, ("POST", POST + "&queue=true"))
        memory_mb, used_s = machine.memory_mb(server.pid)[0], machine.cpu_s(server.pid)
        told = bench.load(server, "--clients", 64, "--count", count, ("POST", POST + "&queue=true"))
        used_s = machine.cpu_s(server.pid) - used_s
        label = "queue=true, 64 clients, %s" + where
        yield Row(label % "accepted", told["n"] / told["answered_seconds"], "1/s", n=count, goal="queue" if not where else "")
        yield Row(label % "time to 202", told["p50_ms"], "ms", told["p50_ms"], told["p99_ms"], count)
        yield Row(label % "CPU of the server", used_s / count * 1e6, "µs/job", n=count)
        yield Row(label % "growth of the server", machine.memory_mb(server.pid)[0] - memory_mb, "MB", n=count)
        server.kill()
        # Where its driver looks for it.
        server = Server(bench.doyen, directory, place.run, settings, server.address)
        label = "%s{:,} queued jobs%s".format(count + 500)
        yield Row(label % ("start after kill -9 with ", where), server.start_ms, "ms")
        http, began = server.http(), time.perf_counter()
        for job in held:
            http.ask("DELETE", "/jobs/" + job)
        until_idle(http)
        yield Row(label % ("running ", where), (count + 500) / (time.perf_counter() - began), "1/s", n=count + 500)
        if http.ask("GET", "/jobs?status=error&limit=1").strip() != b"[]":
            raise Failure("jobs failed")
        server.stop()


def until_idle(http):
    for state in "started", "running":
        while http.ask("GET", "/jobs?limit=1&status=" + state).strip() != b"[]":
            time.sleep(0.01)


def cpu_of_parts(server):
    """CPU seconds that each part has used so far."""
    [shim] = server.shims()
    times = os.times()
    driver = sum(machine.cpu_s(pid) for pid in machine.descendants(shim))
    return {"server": machine.cpu_s(server.pid), "shim": machine.cpu_s(shim), "driver": driver,
            "load generator": times.children_user + times.children_system}


def synchronous(bench):
    """POST /jobs?sync=true of a job that does nothing into a warm `python` context, one client, one after the other."""
    for place, where in ((bench.disk, ""), (bench.memory, ", data on tmpfs")):
        server = bench.warm_python(place)
        count = bench.size(3000, 500)
        told = bench.load(server, "--count", count, "--warm-up", count // 4, ("POST", POST + "&sync=true"))
        yield Row("sync no-op, one client" + where, told["p50_ms"], "ms", told["p50_ms"], told["p99_ms"], told["n"],
                  "sync" if not where else "")
        server.stop()


def pyspark_overhead(bench):
    """A sync job in a warm `pyspark` context measures spark.range(1000).count() itself; the overhead is the time of the
    REST call less that."""
    needs_pyspark(bench)
    for place, where in ((bench.disk, ""), (bench.memory, ", data on tmpfs")):
        server = bench.server(place)
        server.push(jobs.NAME, jobs.wheel(place.fresh()))
        server.create("c", SESSION_FACTORY, 'spark.master = "local[*]"')
        http, inside, overhead = server.http(), [], []
        for number in range(bench.size(400, 60) + bench.size(100, 20)):
            began = time.perf_counter()
            bare = server.run_job("c", jobs.COUNT, http)
            whole = (time.perf_counter() - began) * 1000
            if number >= bench.size(100, 20):
                inside.append(bare)
                overhead.append(whole - bare)
        if not where:
            yield Row.of("the bare call in Spark", inside, "ms")
        yield Row.of("overhead over the bare call in pyspark" + where, overhead, "ms", "" if where else "pyspark overhead")
        server.stop()


def context_creation(bench):
    """POST /contexts with a session factory until its answer, and a Python process that makes a SparkSession with the same
    interpreter and settings until it is there, by turns. The ratio is that of the medians."""
    needs_pyspark(bench)
    server = bench.server(bench.disk)
    created, bare = [], []
    for number in range(bench.size(7, 2) + 1):
        bare.append(bare_session_s(bench))
        created.append(server.create("c%d" % number, SESSION_FACTORY, 'spark.master = "local[*]"'))
        server.delete("c%d" % number)
    yield Row.of("pyspark context creation", created[1:], "s")
    yield Row.of("bare SparkSession start", bare[1:], "s")
    ratio = machine.median(created[1:]) / machine.median(bare[1:])
    yield Row("context creation over a bare session", (ratio - 1) * 100, "%", n=len(bare) - 1, goal="context creation")
    python = []
    for number in range(bench.size(10, 3)):
        python.append(server.create("p%d" % number, "python"))
        server.delete("p%d" % number)
    yield Row.of("python context creation", python, "s")
    server.stop()


def bare_session_s(bench):
    directory = bench.disk.fresh()
    settings = ["spark.master=local[*]", "spark.app.name=bare", "spark.ui.port=0", "spark.local.dir=" + directory]
    began = time.perf_counter()
    process = subprocess.Popen([bench.python, "-c", BARE_SESSION, *settings], cwd=directory, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    line = process.stdout.readline()
    took = time.perf_counter() - began
    process.communicate()
    if line != b"up\n":
        raise Failure("no SparkSession could be made")
    return took


def listing(bench):
    """GET /jobs?limit=50, one client, from two servers by turns, whose histories were written by the server's own stores
    before. Medians of the rounds' p50 and p99; the ratio is the median of the rounds' ratios."""
    sizes = (1000, bench.size(1_000_000, 50_000))
    servers = []
    for jobs_count in sizes:
        directory = bench.disk.fresh()
        began = time.perf_counter()
        subprocess.run([bench.fill_program, os.path.join(directory, "data"), str(jobs_count)], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        filled = time.perf_counter() - began
        servers.append(Server(bench.doyen, directory, bench.disk.run))
    yield Row("start with {:,} jobs in history".format(sizes[1]), servers[1].start_ms, "ms")
    yield Row("writing a history of {:,} jobs".format(sizes[1]), filled, "s")
    rounds = [[bench.load(s, "--count", bench.size(1000, 300), "--warm-up", 200, ("GET", "/jobs?limit=50")) for s in servers]
              for _ in range(bench.size(7, 3))]
    for index, jobs_count in enumerate(sizes):
        p50, p99 = (machine.median([r[index][key] for r in rounds]) for key in ("p50_ms", "p99_ms"))
        n = sum(r[index]["n"] for r in rounds)
        yield Row("GET /jobs (50), {:,} in history".format(jobs_count), p50, "ms", p50, p99, n, "list" if index else "")
    ratio = machine.median([r[1]["p50_ms"] / r[0]["p50_ms"] for r in rounds])
    yield Row("the same, ratio", ratio, "", n=len(rounds), goal="list ratio")
    yield Row("server with {:,} jobs in history, VmRSS".format(sizes[1]), machine.memory_mb(servers[1].pid)[0], "MB")
    for server in servers:
        server.stop()


def upload(bench):
    """A wheel that is one stored file of random bytes, sent at once; durable at the answer. Growth: the peak of VmRSS since
    the upload began, less VmRSS before. The copy is a plain copy on the same disk, flushed."""
    mib = bench.size(1024, 128)
    path = jobs.large_wheel(bench.disk.fresh(), mib << 20)
    server = bench.server(bench.disk)
    server.push(jobs.NAME, jobs.wheel(bench.disk.fresh()))
    time.sleep(1)
    before = machine.memory_mb(server.pid)[0]
    machine.forget_peak(server.pid)
    began = time.perf_counter()
    server.push("large", path)
    took = time.perf_counter() - began
    growth = machine.peak_mb(server.pid) - before
    server.stop()
    yield Row("upload of %d MiB, growth of the server" % mib, growth, "MB", goal="upload growth")
    yield Row("upload of %d MiB" % mib, mib / took, "MiB/s", goal="upload speed")
    yield Row("copy of the same file, flushed", machine.copy_mib_per_s(path, bench.disk.directory), "MiB/s")


def callbacks(bench):
    """Callbacks from the store on the disk, over HTTP, to four targets that answer at once, without the jobs before them. The
    receivers share the machine. Delivered: all stood in the outbox before. Latency: jobs end at a pace of 400/s; from the
    moment that a job's end and its callback are durable until the callback has arrived. With a slow one: every tenth
    callback more goes to a fifth target that takes 5 s for each."""
    count, paced = bench.size(20_000, 4000), bench.size(8000, 1600)
    for slow, with_slow in ((0, ""), (1, ", with a slow target")):
        told = deliver(bench, count, slow * count // 10)
        yield Row("callbacks delivered" + with_slow, told["n"] / told["seconds"], "1/s", n=told["n"], goal="callbacks")
    for slow, with_slow in ((0, ""), (1, ", with a slow target")):
        told = deliver(bench, paced, slow * paced // 10, "--per-second", 400)
        yield Row("callback latency" + with_slow, told["p50_ms"], "ms", told["p50_ms"], told["p99_ms"], told["n"])


def deliver(bench, count, slow, *more):
    arguments = ["--count", count, "--slow", slow, *more]
    told = subprocess.run([bench.callbacks_program, bench.disk.fresh(), *map(str, arguments)], capture_output=True, text=True)
    if told.returncode:
        raise Failure("callbacks: %s" % told.stderr)
    return json.loads(told.stdout)


def needs_pyspark(bench):
    if not bench.python:
        raise Failure("this needs PySpark: run scripts/setup")


ALL = {
    "fsync": fsync, "start": start, "memory": memory, "async": asynchronous, "queue": queued, "sync": synchronous,
    "pyspark-overhead": pyspark_overhead, "context": context_creation, "list": listing, "upload": upload,
    "callbacks": callbacks,
}
