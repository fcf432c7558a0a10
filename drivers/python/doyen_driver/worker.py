"""A worker: a forked process that runs jobs of one set of binaries, one after another.

Its socket to the driver main brings lines: first `setup`, then `run`s; it answers with the frames of `wire`. At end of
file it ends; while it runs a job it does not read, and the kernel ends it when the zygote dies.
"""
import json
import os
import sys
import threading

from . import binaries, job, wire
from .failures import error_of
from .joblog import JobLog


class Worker:
    """The loop of one worker process."""

    def __init__(self, channel, accepted, slot):
        self._channel = channel
        self._accepted = accepted  # memory shared with main
        self._slot = slot
        self._log = JobLog()
        self._pid = os.getpid()
        self._directory = os.getcwd()
        self._settings = {}
        self._link = None  # to Spark
        self._unpacked = None
        self._bound = False
        self._threads = 0

    def serve(self):
        """Take jobs until main closes the socket, or until this process should not be used again."""
        for line in self._lines():
            if not self._threads:
                self._set_up(json.loads(line)["setup"])
            elif not self._run(line):
                break
        self._log.close()
        if self._link is not None:
            self._link.close()

    def _lines(self):
        parts = []
        while True:
            chunk = self._channel.recv(1 << 18)
            if not chunk:
                return
            if b"\n" not in chunk:
                parts.append(chunk)
                continue
            *lines, rest = (b"".join(parts) + chunk).split(b"\n")
            parts = [rest] if rest else []
            yield from lines

    def _set_up(self, setup):
        self._settings = setup["settings"]
        self._unpacked = setup["unpacked"]
        if setup.get("spark") is not None:
            from .spark_worker import SparkLink

            self._link = SparkLink(setup["spark"])
        self._threads = threading.active_count()
        self._send(wire.HELLO, b"%d\n" % os.getpid())

    def _run(self, line):
        """Run one job; gives False when this worker is to end."""
        try:
            run = json.loads(line)["run"]
        except RecursionError as error:
            self._send(wire.BROKEN, wire.dumps(error_of(error, "while reading the job's config")) + b"\n")
            return True
        message = self._run_logged(run)
        if self._link is not None and self._link.lost:
            self._send(wire.END_LOST, message)
            return False
        # A thread that the job left would go on in the next job's time: this worker ends, and takes it along.
        again = threading.active_count() <= self._threads
        self._send(wire.END if again else wire.END_RETIRED, message)
        if again and self._link is not None:
            self._link.reset()
        return again

    def _run_logged(self, run):
        try:
            self._log.begin(run["log"])
        except OSError as error:
            return self._encoded(job.failed(run["job"], error_of(error, "the job's log cannot be opened")))
        try:
            os.chdir(self._directory)
            self._bind(run)
            outcome = job.execute(run, self._settings, self._context_for(run), self._accept)
        except BaseException as error:
            outcome = job.failed(run["job"], error_of(error, "while preparing the job"))
        if os.getpid() != self._pid:
            os._exit(1)  # a child that the job forked came back here; it is not the one to answer
        try:
            if self._link is not None:
                self._link.end()
                if isinstance(outcome, tuple) and outcome[0] == "failed":
                    outcome[1]["error"] = self._link.explain(outcome[1]["error"])
        finally:
            self._log.end()
        return self._encoded(outcome)

    def _bind(self, run):
        """Make the job's binaries importable, when this is the first job."""
        if self._bound:
            return
        paths = []
        for binary in run["binaries"]:
            directory = binaries.unpack(binary, self._unpacked)
            below = binaries.import_paths(directory)
            paths += [os.path.join(directory, part) if part else directory for part in below]
            if self._link is not None:
                self._link.add_binary(binary, directory, below)
        sys.path[:0] = paths
        if self._link is not None:
            self._link.name_binaries(binaries.key_of(run["binaries"]))
        self._bound = True

    def _context_for(self, run):
        if self._link is None:
            return lambda instance: None
        self._link.begin(run["job"], run["class"])
        return self._link.context_for

    def _accept(self):
        """Validation has passed: main looks here when a job runs for more than a moment, and tells the shim."""
        self._accepted[self._slot] = 1

    @staticmethod
    def _encoded(outcome):
        return outcome if isinstance(outcome, bytes) else wire.encode(*outcome)

    def _send(self, mark, line):
        self._channel.sendall(b"%c%s" % (mark, line))
