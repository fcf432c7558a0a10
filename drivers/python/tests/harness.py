"""Plays the shim: starts the real driver on one end of a socket pair, sends it messages, waits for its answers."""
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
import zipfile

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, PACKAGE)
TERMINAL = ("finished", "rejected", "failed", "cancelled")


def wheel(directory, name, files, kind="Wheel"):
    """Pack {path: text or bytes} into a wheel (or egg); gives it as a binary of `run`."""
    path = os.path.join(directory, "%s-%s.%s" % (name, uuid.uuid4().hex, {"Wheel": "whl", "Egg": "egg", "Jar": "jar"}[kind]))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for inner, content in files.items():
            archive.writestr(inner, content)
    return binary(path, name, kind)


def binary(path, name, kind="Wheel"):
    with open(path, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    return {"name": name, "type": kind, "sha256": digest, "path": path}


def alive(pids):
    """Those of `pids` that are processes and no zombies."""
    found = []
    for pid in pids:
        try:
            with open("/proc/%d/stat" % pid) as file:
                if file.read().rpartition(")")[2].split()[0] not in "ZX":
                    found.append(pid)
        except OSError:
            pass
    return found


def descendants(root):
    """The pids below `root`."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/%s/stat" % name) as file:
                    parents[int(name)] = int(file.read().rpartition(")")[2].split()[1])
            except OSError:
                pass
    found = {root}
    while True:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        if not more:
            return found - {root}
        found |= more


def wait_for(condition, timeout=20.0, what="a condition"):
    """Poll until `condition()` is true; gives its value."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError("waited %.0f s in vain for %s" % (timeout, what))
        time.sleep(0.005)


class Driver:
    """A running driver. Use it as a context manager: at the end everything is gone."""

    def __init__(self, kind="python", settings=None, max_jobs=8, python=None, environment=None, start=True, arguments=()):
        self.directory = tempfile.mkdtemp(prefix="doyen-driver-test-")
        for name in ("work", "logs", "results", "binaries"):
            os.mkdir(os.path.join(self.directory, name))
        self.socket, theirs = socket.socketpair()
        self.socket.settimeout(120)
        self.output = open(os.path.join(self.directory, "driver.log"), "ab")
        self.process = subprocess.Popen(
            [python or sys.executable, "-m", "doyen_driver"] + list(arguments),
            cwd=os.path.join(self.directory, "work"), stdin=subprocess.DEVNULL,
            stdout=self.output, stderr=self.output, pass_fds=[theirs.fileno()],
            env=dict(os.environ, DOYEN_DRIVER_FD=str(theirs.fileno()), PYTHONPATH=PACKAGE,
                     DOYEN_DRIVER_DIR=os.path.join(self.directory, "work"), **(environment or {})))
        theirs.close()
        self._rest = b""
        self._messages = []
        self.inline = 256 * 1024
        tree = {"context": {"name": "test"}, "context-factory": kind}
        tree.update(settings or {})
        if start:
            self.send("start", protocol=1, context={"id": str(uuid.uuid4()), "name": "test", "attempt": 1}, kind=kind,
                      settings=tree, max_jobs=max_jobs)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        pids = descendants(self.process.pid)
        self.socket.close()
        try:
            self.process.wait(10)
        finally:
            self.process.kill()
            self.process.wait()
            for pid in alive(pids):
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
            self.output.close()
            shutil.rmtree(self.directory, ignore_errors=True)

    def path(self, *parts):
        return os.path.join(self.directory, *parts)

    def send(self, kind, /, **fields):
        self.socket.sendall(json.dumps({kind: fields}).encode() + b"\n")

    def receive(self):
        """The next message as (kind, fields); (None, None) at end of file."""
        while b"\n" not in self._rest:
            chunk = self.socket.recv(1 << 20)
            if not chunk:
                return None, None
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        message = json.loads(line.decode("utf-8"))
        assert len(message) == 1, message
        return next(iter(message.items()))

    def ready(self):
        kind, fields = self.receive()
        assert kind == "ready", (kind, fields, self.log_of_driver())
        return fields

    def submit(self, name, binaries=(), config=None, job=None, inline=None):
        """Send a `run`; gives the job's id."""
        job = job or str(uuid.uuid4())
        self.send("run", job=job, binaries=list(binaries), config=config or {}, log=self.log_path(job),
                  result_file=self.path("results", job + ".json"),
                  inline_result_bytes=self.inline if inline is None else inline, **{"class": name})
        return job

    def end_of(self, job):
        """The terminal message of a job, as (kind, fields)."""
        return self.wait(job, TERMINAL)

    def wait(self, job, kinds):
        """The next of these kinds about the job, leaving the messages about other jobs for later."""
        for position, (kind, fields) in enumerate(self._messages):
            if kind in kinds and fields["job"] == job:
                del self._messages[position]
                return kind, fields
        while True:
            kind, fields = self.receive()
            assert kind is not None, "the driver has gone: " + self.log_of_driver()
            if kind in kinds and fields["job"] == job:
                return kind, fields
            self._messages.append((kind, fields))

    def run(self, name, binaries=(), config=None, **more):
        """Run a job to its end."""
        return self.end_of(self.submit(name, binaries, config, **more))

    def log_path(self, job):
        return self.path("logs", job + ".log")

    def log(self, job):
        with open(self.log_path(job), encoding="utf-8") as file:
            return file.read()

    def log_of_driver(self):
        with open(self.path("driver.log"), encoding="utf-8", errors="replace") as file:
            return file.read()[-4000:]
