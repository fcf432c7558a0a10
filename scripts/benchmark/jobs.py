"""The jobs that are measured, as a wheel."""
import os
import zipfile

NAME = "bench"
SOURCE = '''
import time

from sparkjobserver.api import SparkJob


class NoOp(SparkJob):
    def validate(self, context, runtime, config):
        return None

    def run_job(self, context, runtime, data):
        return 1


class Waits(NoOp):
    """Until it is killed."""

    def run_job(self, context, runtime, data):
        time.sleep(3600)


class Count(NoOp):
    """Counts in Spark, and tells how many milliseconds the call took."""

    def run_job(self, context, runtime, data):
        began = time.perf_counter()
        context.range(1000).count()
        return (time.perf_counter() - began) * 1000
'''
NO_OP, COUNT, WAITS = "bench_jobs.NoOp", "bench_jobs.Count", "bench_jobs.Waits"


def wheel(directory):
    """Write the wheel; gives its path."""
    path = os.path.join(directory, "bench_jobs-1.0.0-py3-none-any.whl")
    info = "bench_jobs-1.0.0.dist-info/"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("bench_jobs.py", SOURCE)
        archive.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: bench_jobs\nVersion: 1.0.0\n")
        archive.writestr(info + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(info + "RECORD", "")
    return path


def large_wheel(directory, size_bytes):
    """Write a wheel that is one stored file of random bytes; gives its path."""
    path = os.path.join(directory, "large-1.0.0-py3-none-any.whl")
    block = os.urandom(1 << 20)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        with archive.open("data.bin", "w", force_zip64=True) as entry:
            for number in range(size_bytes >> 20):
                # Different blocks, so that no layer below can store one of them only.
                entry.write(number.to_bytes(8, "big") + block[8:])
    return path
