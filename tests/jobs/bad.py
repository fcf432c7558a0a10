"""Jobs that do what no job should, and a few that do well beside them."""
import hashlib
import os
import random
import signal
import sys
import time

from sparkjobserver.api import SparkJob, ValidationProblem


class Base(SparkJob):
    def validate(self, context, runtime, config):
        return config


class Echo(Base):
    def run_job(self, context, runtime, data):
        return data.as_plain_ordered_dict()


class Waits(Base):
    """Says that it is there, and returns once the file is."""

    def run_job(self, context, runtime, data):
        print("waiting", flush=True)
        while not os.path.exists(data.get_string("file")):
            time.sleep(0.01)
        return "came"


class RaisesInValidate(SparkJob):
    def validate(self, context, runtime, config):
        raise ValueError("validate says no")

    def run_job(self, context, runtime, data):
        return "must not run"


class Refuses(SparkJob):
    def validate(self, context, runtime, config):
        return [ValidationProblem("first problem"), ValidationProblem("second problem")]

    def run_job(self, context, runtime, data):
        return "must not run"


class RaisesInRun(Base):
    def run_job(self, context, runtime, data):
        raise KeyError("run_job says no")


class Exits(Base):
    def run_job(self, context, runtime, data):
        os._exit(data.get_int("status"))


class ExitsInValidate(SparkJob):
    def validate(self, context, runtime, config):
        os._exit(3)

    def run_job(self, context, runtime, data):
        return "must not run"


class KillsItself(Base):
    def run_job(self, context, runtime, data):
        os.kill(os.getpid(), getattr(signal, data.get_string("signal")))
        time.sleep(600)


class Prints(Base):
    """Prints so many MiB, each line with its number."""

    def run_job(self, context, runtime, data):
        line = "%010d " + "x" * 1012 + "\n"
        for mib in range(data.get_int("mib")):
            sys.stdout.write("".join(line % (1024 * mib + i) for i in range(1024)))
        return "printed"


class ReturnsCycle(Base):
    def run_job(self, context, runtime, data):
        cycle = {"a": []}
        cycle["a"].append(cycle)
        return cycle


class ReturnsMuch(Base):
    """Returns so many MB of text, and prints the hash of it as JSON."""

    def run_job(self, context, runtime, data):
        text = random.Random(4711).randbytes(data.get_int("mb") * 500_000).hex()
        print("sha256 %s." % hashlib.sha256(('"%s"' % text).encode()).hexdigest())
        return text
