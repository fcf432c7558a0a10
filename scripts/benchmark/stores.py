"""What is measured of the stores: embedded, and ZooKeeper with HDFS, in one run, by turns."""
import json
import subprocess
from contextlib import contextmanager

from . import jobs, machine
from .measures import Row
from .server import Failure, Server
from .servers import Hdfs, ZooKeeper

CLIENTS = (1, 16, 64, 256)
EMBEDDED, SHARED = "embedded", "ZooKeeper+HDFS"
QUEUE = "/jobs?appName=bench&classPath=%s&context=c&queue=true" % jobs.NO_OP
HELD = "/jobs?appName=bench&classPath=%s&context=c" % jobs.WAITS
# Jobs in the histories, in full and with --quick. In ZooKeeper the newest 10,000 are records; the others lie in segments, in HDFS.
SIZES = {EMBEDDED: ((1000, 100_000, 1_000_000), (1000, 20_000)), SHARED: ((1000, 100_000, 1_000_000), (1000, 20_000))}


@contextmanager
def running(*servers):
    """Stops them at the end, the last first."""
    try:
        yield servers
    finally:
        for server in reversed(servers):
            server.stop()


def shared(zookeeper, hdfs, chroot):
    """Settings of a server on both shared stores."""
    return ('store.metadata="zookeeper"', 'zookeeper.servers=["%s"]' % zookeeper.address, 'zookeeper.chroot="/%s"' % chroot,
            'zookeeper.session-timeout="20s"', 'store.binaries="hdfs"', 'store.hdfs.url="%s"' % hdfs.url,
            'store.hdfs.path="/%s"' % chroot)


def run(program, *arguments):
    told = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
    if told.returncode:
        raise Failure("%s: %s" % (program, told.stderr[-2000:]))
    return told.stdout.strip()


def limit(bench, zookeeper, what, clients, count):
    return json.loads(run(bench.program("zookeeper_limit"), zookeeper.address, what, "--clients", clients, "--count", count))


def submits(bench):
    """Rounds in which these take turns: bare creates of znodes of 500 bytes through the crate zookeeper-client, in one session;
    commits of one key of 500 bytes through the ZooKeeperStore; the commit of a waiting job (four keys) through it, without REST;
    and POST /jobs?queue=true to a server on each store, into a `python` context whose only place is taken, so that each 202 is a
    job that waits, durably. ZooKeeper flushes its log to the disk. Medians of the rounds; a ratio is the median of the
    rounds' ratios."""
    with running(ZooKeeper(bench.disk), Hdfs(bench.disk)) as (zookeeper, hdfs):
        with running(waiting(bench), waiting(bench, shared(zookeeper, hdfs, "submits"))) as (embedded, remote):
            for clients in CLIENTS:
                count = {1: bench.size(1500, 300), 16: bench.size(6000, 1500)}.get(clients, bench.size(10_000, 3000))
                ways = {
                    "bare creates": lambda: limit(bench, zookeeper, "creates", clients, count),
                    "store alone, commits of one key": lambda: limit(bench, zookeeper, "commits", clients, count),
                    "store alone, waiting jobs": lambda: limit(bench, zookeeper, "jobs", clients, count),
                    "POST, " + SHARED: lambda: posts(bench, remote, clients, count),
                    "POST, " + EMBEDDED: lambda: posts(bench, embedded, clients, count),
                }
                rounds = [{name: way() for name, way in ways.items()} for _ in range(bench.size(5, 3))]
                yield from submit_rows(rounds, clients)


def submit_rows(rounds, clients):
    label = "%%s, %d client%s" % (clients, "s" if clients > 1 else "")
    for name in rounds[0]:
        rate = machine.median([per_second(r[name]) for r in rounds])
        p50, p99 = (machine.median([r[name][key] for r in rounds]) for key in ("p50_ms", "p99_ms"))
        yield Row(label % name, rate, "1/s", p50, p99, sum(r[name]["n"] for r in rounds))
    for name in [name for name in rounds[0] if name != "bare creates" and EMBEDDED not in name]:
        ratio = machine.median([per_second(r[name]) / per_second(r["bare creates"]) for r in rounds])
        yield Row(label % (name + ", of bare creates"), ratio, "", n=len(rounds), goal="of the limit")


def per_second(told):
    return told["n"] / told["seconds"]


def posts(bench, server, clients, count):
    told = bench.load(server, "--clients", clients, "--count", count, "--warm-up", count // 10, ("POST", QUEUE))
    return {**told, "seconds": told["answered_seconds"]}


def waiting(bench, settings=()):
    """A server with a context whose only place is taken for ever."""
    limits = ("jobs.max-per-context=1", "jobs.max-queued-per-context=1000000")
    server = bench.server(bench.disk, (*limits, *settings))
    server.push(jobs.NAME, jobs.wheel(bench.disk.fresh()))
    server.create("c", "python")
    http = server.http()
    http.ask("POST", HELD)
    http.close()
    return server


def history(bench):
    """Servers on histories of several sizes, written before through the server's own stores, asked by turns by one client: GET
    /jobs?limit=50, and GET /jobs/ID of a job in the middle of the history. Medians of the rounds' p50 and p99; a ratio is the
    median of the rounds' ratios to the smallest history. Memory is told after these reads."""
    with running(ZooKeeper(bench.disk), Hdfs(bench.disk)) as (zookeeper, hdfs):
        for store, (full, quick) in SIZES.items():
            yield from histories(bench, store, bench.size(full, quick), zookeeper, hdfs)


def histories(bench, store, sizes, zookeeper, hdfs):
    servers, ids = [], []
    try:
        for count in sizes:
            directory, settings, chroot = bench.disk.fresh(), (), "history-%d" % count
            place, segments = directory + "/data", ()
            if store == SHARED:
                segments = ("--hdfs", "%s/%s" % (hdfs.url, chroot))
                place, settings = "zookeeper://%s/%s" % (zookeeper.address, chroot), shared(zookeeper, hdfs, chroot)
            ids.append(run(bench.fill_program, place, count, *segments))
            servers.append(Server(bench.doyen, directory, bench.disk.run, settings))
            yield Row("%s, start with %s jobs in history" % (store, "{:,}".format(count)), servers[-1].start_ms, "ms",
                      goal="history start" if count >= 1_000_000 else "")
        for what, paths in (("GET /jobs (50)", ["/jobs?limit=50"] * len(ids)), ("GET /jobs/ID", ["/jobs/" + id for id in ids])):
            yield from asked(bench, store, what, list(zip(sizes, servers, paths)))
        for count, server in zip(sizes, servers):
            rss, pss, _ = machine.memory_mb(server.pid)
            label, goal = "%s, {:,} in history, %%s".format(count) % store, "history memory" if count >= 1_000_000 else ""
            yield Row(label % "VmRSS", rss, "MB", goal=goal)
            yield Row(label % "PSS", pss, "MB")
    finally:
        for server in servers:
            server.stop()


def asked(bench, store, what, cases):
    load = ("--count", bench.size(1000, 300), "--warm-up", 100)
    rounds = [[bench.load(server, *load, ("GET", path)) for _, server, path in cases] for _ in range(bench.size(7, 3))]
    for index, (count, _, _) in enumerate(cases):
        p50, p99 = (machine.median([r[index][key] for r in rounds]) for key in ("p50_ms", "p99_ms"))
        yield Row("%s, %s, {:,} in history".format(count) % (store, what), p50, "ms", p50, p99, sum(r[index]["n"] for r in rounds))
        if index:
            ratio = machine.median([r[index]["p50_ms"] / r[0]["p50_ms"] for r in rounds])
            yield Row("the same, of that with {:,}".format(cases[0][0]), ratio, "", n=len(rounds), goal="list ratio")


def blobs(bench):
    """Content of random bytes, another one each round, written and read through the BinaryStore (which hashes on both ways), and
    by hdfs-native alone, by turns, each first in every second round; NameNode, DataNode and client share the machine. The ratio
    is the median of the rounds' ratios."""
    mib = bench.size(1024, 256)
    with running(Hdfs(bench.disk)) as (hdfs,):
        told = json.loads(run(bench.program("hdfs_throughput"), hdfs.url, "--mib", mib, "--rounds", bench.size(7, 3)))
    for way, what in (("up", "upload"), ("down", "download")):
        bare, ours = told["bare_" + way], told["ours_" + way]
        yield Row("%s of %d MiB, hdfs-native" % (what, mib), machine.median(bare), "MiB/s", n=len(bare))
        yield Row("%s of %d MiB, BinaryStore" % (what, mib), machine.median(ours), "MiB/s", n=len(ours))
        ratio = machine.median([a / b for a, b in zip(ours, bare)])
        yield Row("the same, of hdfs-native", ratio, "", n=len(bare), goal="of hdfs-native")


ALL = {"submits": submits, "history": history, "blobs": blobs}
