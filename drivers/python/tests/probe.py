"""Prints jobs/s of no-op jobs with 64 in flight, and the latency of one at a time, for a plain Python context.

    python3 drivers/python/tests/probe.py [seconds] [in flight]
"""
import sys
import time

from harness import Driver, wheel

NOOP = """
from sparkjobserver.api import SparkJob

class NoOp(SparkJob):
    def validate(self, context, runtime, config):
        return None

    def run_job(self, context, runtime, data):
        return 1
"""


def throughput(driver, binaries, seconds, in_flight):
    """Jobs per second, with this many jobs given to the driver at any time."""
    run = [
        b'{"run":{"job":"', b"", b'","class":"noop.NoOp","config":{},"binaries":[{"name":"noop","type":"Wheel","sha256":"%s",'
        b'"path":"%s"}],"log":"' % (binaries[0]["sha256"].encode(), binaries[0]["path"].encode()), b"",
        b'.log","result_file":"/nowhere","inline_result_bytes":65536}}\n']
    logs = driver.path("logs").encode()
    sent = done = 0

    def more(count):
        nonlocal sent
        lines = []
        for _ in range(count):
            run[1] = b"%036d" % sent
            run[3] = logs + b"/" + run[1]
            lines.append(b"".join(run))
            sent += 1
        driver.socket.sendall(b"".join(lines))

    begun = time.perf_counter()
    more(in_flight)
    while time.perf_counter() < begun + seconds:
        chunk = driver.socket.recv(1 << 20)
        ended = chunk.count(b'{"finished"')
        done += ended
        if ended:
            more(ended)
    took = time.perf_counter() - begun
    while done < sent:
        done += driver.socket.recv(1 << 20).count(b'{"finished"')
    return done / took


def latencies(driver, binaries, count):
    """Sorted times in seconds of jobs run one at a time."""
    times = []
    for _ in range(count):
        begun = time.perf_counter()
        driver.run("noop.NoOp", binaries)
        times.append(time.perf_counter() - begun)
    return sorted(times)


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    in_flight = int(sys.argv[2]) if len(sys.argv) > 2 else 64
    with Driver(max_jobs=in_flight) as driver:
        begun = time.perf_counter()
        driver.ready()
        print("ready after     %8.1f ms" % ((time.perf_counter() - begun) * 1e3))
        binaries = [wheel(driver.path("binaries"), "noop", {"noop.py": NOOP})]
        times = latencies(driver, binaries, 2000)
        print("one at a time   p50 %.0f us, p99 %.0f us, first %.1f ms" % (
            times[1000] * 1e6, times[1980] * 1e6, times[-1] * 1e3))
        rate = throughput(driver, binaries, seconds, in_flight)
        print("%d in flight    %.0f jobs/s" % (in_flight, rate))


if __name__ == "__main__":
    main()
