"""What is measured of lives: a server that is killed, and contexts that do nothing."""
import os
import signal
import subprocess
import time

from . import jobs, machine
from .measures import Row
from .server import Server


def restart(bench):
    """kill -9 of a server with a history and a warm `python` context, and its start at the same address: until `ready`, and from
    there until a synchronous job of that context is answered, for which its driver has attached again."""
    count = bench.size(1_000_000, 50_000)
    directory = bench.disk.fresh()
    subprocess.run([bench.fill_program, os.path.join(directory, "data"), str(count)], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    server = Server(bench.doyen, directory, bench.disk.run)
    server.push(jobs.NAME, jobs.wheel(bench.disk.fresh()))
    server.create("c", "python")
    ready, attached = [], []
    for _ in range(bench.size(10, 3)):
        server.run_job("c", jobs.NO_OP, server.http())
        # A shim does not forget its backoff over an attachment of less than a second.
        time.sleep(2)
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        server.process.stdout.close()
        server = Server(bench.doyen, directory, bench.disk.run, listen=server.address)
        ready.append(server.start_ms)
        began = time.perf_counter()
        server.run_job("c", jobs.NO_OP, server.http())
        attached.append((time.perf_counter() - began) * 1000)
    server.stop()
    yield Row.of("kill -9 and start to ready, {:,} jobs in history".format(count), ready, "ms", "restart")
    yield Row.of("from there until a job of the old driver is answered", attached, "ms", "re-attach")


def idle_contexts(bench):
    """`python` contexts that do nothing. Memory: PSS of all processes below the server's shims, divided by the contexts; CPU: of the
    server alone, and of all, over a time in which nothing is asked."""
    server = bench.server(bench.disk, ("contexts.max=300",))
    server.push(jobs.NAME, jobs.wheel(bench.disk.fresh()))
    made = 0
    for many in sorted({50, bench.size(200, 50)}):
        while made < many:
            server.create("c%d" % made, "python")
            made += 1
        if many == 50:
            yield from idle_cpu(server, bench.size(60, 15))
    parts = {"shims": server.shims()}
    parts["drivers and workers"] = [pid for shim in parts["shims"] for pid in machine.descendants(shim)]
    for part, pids in parts.items():
        pss = sum(machine.memory_mb(pid)[1] for pid in pids)
        yield Row("%d idle contexts, PSS of the %s of each" % (made, part), pss / made, "MB", n=made)
    yield Row("server with %d idle contexts, VmRSS" % made, machine.memory_mb(server.pid)[0], "MB")
    server.stop()


def idle_cpu(server, seconds):
    """Waits first until the drivers have settled."""
    time.sleep(5)
    shims = server.shims()
    everything = [server.pid, *shims, *(pid for shim in shims for pid in machine.descendants(shim))]
    before = {pid: machine.cpu_s(pid) for pid in everything}
    time.sleep(seconds)
    used = {pid: machine.cpu_s(pid) - before[pid] for pid in everything}
    yield Row("CPU of a server with 50 idle contexts", used[server.pid] / seconds * 100, "% of a core", goal="idle CPU")
    yield Row("the same with all their drivers", sum(used.values()) / seconds * 100, "% of a core")


ALL = {"restart": restart, "idle": idle_contexts}
