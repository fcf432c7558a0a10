"""After all the kills: whether what was acknowledged is there, and nothing was done twice."""
import collections
import hashlib
import json
import os
import time

from .load import COPIES

ENDED = ("FINISHED", "ERROR", "KILLED")
# Seconds that all that was begun may take to end.
PATIENCE = 180


class Checker:
    def __init__(self, place, ledger, stores=None):
        """Without stores of its own the server keeps content in its directory."""
        self._place, self._ledger, self._shared = place, ledger, stores
        self.faults, self.states, self.callbacks = [], {}, 0
        # Why jobs ended in ERROR, and how often.
        self.errors = collections.Counter()

    def _fault(self, text, *values):
        self.faults.append(text % values)

    def run(self):
        self._ends()
        for job in self._ledger.jobs:
            self._ledger.saw(job, (self._place.read("/jobs/%s" % job) or {}).get("status", "lost"))
        # What the file says must be what was said.
        self._place.kill_server()
        self._place.start()
        self._ends()
        for job, made in sorted(self._ledger.jobs.items()):
            self._job(job, made)
        self._runs()
        self._stores()
        self._stop()

    def _ends(self):
        """Waits until every job of the server has ended, acknowledged or not."""
        end = time.monotonic() + PATIENCE
        while True:
            # The newest, as the store has them, and those that the server holds.
            lists = ["/jobs?limit=10000"] + ["/jobs?status=%s" % state for state in ("STARTED", "RUNNING", "RESTARTING")]
            listed = [job for path in lists for job in self._place.read(path)]
            open_jobs = [job["jobId"] for job in listed if job["status"] not in ENDED]
            if not open_jobs:
                return
            if time.monotonic() > end:
                self._fault("%d jobs have not ended: %s", len(open_jobs), open_jobs[:5])
                return
            time.sleep(0.2)

    def _count(self, token):
        try:
            with open(os.path.join(self._place.runs, token)) as file:
                return len(file.readlines())
        except FileNotFoundError:
            return 0

    def _job(self, job, made):
        token = made["token"]
        found = self._place.read("/jobs/%s" % job)
        if not found:
            return self._fault("job %s was acknowledged and is lost", job)
        state = self.states[job] = found["status"]
        told = self._ledger.seen.get(job, set())
        if told - {state}:
            self._fault("job %s is %s, but clients were told %s", job, state, sorted(told))
        if state == "KILLED" and not made["killed"]:
            self._fault("job %s is KILLED, and nobody has killed it", job)
        if state == "FINISHED":
            expected = token * COPIES if made["kind"] == "Large" else token
            if found.get("result") != expected:
                self._fault("job %s has another result", job)
            if self._count(token) != 1:
                self._fault("job %s is FINISHED after %d runs", job, self._count(token))
            if made["kind"] == "Prints":
                _, log = self._place.ask("GET", "/v1/jobs/%s/logs" % job)
                if log.decode() != "log of %s\n" % token:
                    self._fault("job %s has the log %r", job, log)
        if state == "ERROR":
            self.errors[found["result"]["message"].split(": ")[0][:80]] += 1
        if state in ("FINISHED", "ERROR"):
            self._callback(job, token, expected if state == "FINISHED" else None)
        return None

    def _callback(self, job, token, result):
        """It is stored with the job's end, so it comes, once at least."""
        end = time.monotonic() + PATIENCE
        while not self._ledger.called.get(token) and time.monotonic() < end:
            time.sleep(0.05)
        calls = [json.loads(call) for call in self._ledger.called.get(token, [])]
        if any(call["jobId"] != job or result is not None and call["result"] != result for call in calls):
            self._fault("a callback of %s names another job or result", job)
        if calls:
            self.callbacks += 1
        else:
            self._fault("job %s has not called back", job)

    def _runs(self):
        """Of jobs that nobody acknowledged as well."""
        for token in os.listdir(self._place.runs):
            if self._count(token) > 1:
                self._fault("%s has run %d times", token, self._count(token))

    def _stores(self):
        whole, damaged = self._blobs()
        for name, sha256 in self._ledger.binaries.items():
            if not self._place.read("/binaries/%s" % name):
                self._fault("binary %s was acknowledged and is lost", name)
            elif sha256 not in whole:
                self._fault("the content of binary %s is lost", name)
        for path, content in self._ledger.files.items():
            try:
                with open(path) as file:
                    if file.read() != content:
                        self._fault("%s has another content", path)
            except FileNotFoundError:
                self._fault("%s was acknowledged and is lost", path)
        for name in damaged:
            self._fault("blob %s is not what its name says", name)

    def _blobs(self):
        """Names of blobs that are what their names say, and of those that are not."""
        whole, damaged = self._shared.blobs() if self._shared else (set(), set())
        for directory, _, names in os.walk(os.path.join(self._place.directory, "data", "blobs")):
            for name in names:
                with open(os.path.join(directory, name), "rb") as blob:
                    (whole if hashlib.sha256(blob.read()).hexdigest() == name else damaged).add(name)
        return whole, damaged

    def _stop(self):
        status = self._place.interrupt()
        if status != 0:
            self._fault("the server ended with status %s after SIGINT", status)
        end = time.monotonic() + 60
        while self._place.processes() and time.monotonic() < end:
            time.sleep(0.1)
        for pid, (_, line) in self._place.processes().items():
            self._fault("process %d is left: %s", pid, " ".join(line))
        left = os.listdir(os.path.join(self._place.directory, "data", "drivers"))
        if left:
            self._fault("directories of drivers are left: %s", left)
