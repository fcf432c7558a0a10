"""A release server under measurement, and HTTP that costs little."""
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

MARK = "DOYEN_BENCH_RUN"
READY_SECONDS, STOP_SECONDS = 60, 60


class Failure(Exception):
    """What went wrong, in words."""


class Http:
    """One kept connection."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self._socket = socket.create_connection((host, int(port)), timeout=120)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._address = address

    def ask(self, method, path, body=b"", headers="", expect=(200, 201, 202)):
        """The answer's body as bytes; an unexpected status is a failure."""
        head = "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n%s\r\n" % (
            method, path, self._address, len(body), headers)
        self._socket.sendall(head.encode() + body)
        return self._answer(method, path, expect)

    def upload(self, path, file_path, headers):
        """POST a file."""
        size = os.path.getsize(file_path)
        head = "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n%s\r\n" % (path, self._address, size, headers)
        self._socket.sendall(head.encode())
        with open(file_path, "rb") as file:
            self._socket.sendfile(file)
        return self._answer("POST", path, (201,))

    def _answer(self, method, path, expect):
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._receive()
        head, body = data.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        status = int(lines[0].split()[1])
        length = next(int(line[15:]) for line in lines if line.lower().startswith("content-length:"))
        while len(body) < length:
            body += self._receive()
        if status not in expect:
            raise Failure("%s %s: %d %s" % (method, path, status, body[:500].decode("utf-8", "replace")))
        return body

    def _receive(self):
        chunk = self._socket.recv(1 << 16)
        if not chunk:
            raise Failure("the server closed the connection")
        return chunk

    def close(self):
        self._socket.close()


class Server:
    """Runs from its making to `stop`. `start_ms` is the time from its start to the line `ready`."""

    def __init__(self, program, directory, run, settings=(), listen="127.0.0.1:0"):
        self._log = open(os.path.join(directory, "server.log"), "ab")
        command = [program, "server", "--http", listen, "--data-dir", os.path.join(directory, "data")]
        for setting in settings:
            command += ["--set", setting]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DOYEN__")}
        environment[MARK] = run
        began = time.perf_counter()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._log, env=environment, cwd=directory)
        line = self.process.stdout.readline().decode()
        self.start_ms = (time.perf_counter() - began) * 1000
        if not line.startswith("ready http://"):
            raise Failure("the server said %r; see %s" % (line, self._log.name))
        self.address = line.split("http://", 1)[1].strip()
        self.pid = self.process.pid

    def http(self):
        return Http(self.address)

    def push(self, name, path):
        """Upload a wheel."""
        http = self.http()
        http.upload("/binaries/" + name, path, "Content-Type: application/python-wheel\r\n")
        http.close()

    def create(self, name, factory, settings=""):
        """Create a context; gives the seconds that it took."""
        http = self.http()
        began = time.perf_counter()
        http.ask("POST", "/contexts/%s?context-factory=%s" % (name, factory), settings.encode())
        took = time.perf_counter() - began
        http.close()
        return took

    def delete(self, name):
        http = self.http()
        http.ask("DELETE", "/contexts/" + name)
        http.close()

    def run_job(self, context, class_name, http):
        """A synchronous job's result."""
        path = "/jobs?appName=bench&classPath=%s&context=%s&sync=true&timeout=60" % (class_name, context)
        answer = json.loads(http.ask("POST", path))
        if answer.get("status") == "ERROR":
            raise Failure("%s failed: %s" % (class_name, answer))
        return answer["result"]

    def shims(self):
        """Process ids of the shims."""
        with open("/proc/%d/task/%d/children" % (self.pid, self.pid), encoding="ascii") as file:
            direct = [int(pid) for pid in file.read().split()]
        # A child belongs to the thread that forked it.
        for thread in os.listdir("/proc/%d/task" % self.pid):
            with open("/proc/%d/task/%s/children" % (self.pid, thread), encoding="ascii") as file:
                direct += [int(pid) for pid in file.read().split()]
        return sorted(set(direct))

    def kill(self):
        """End it as a crash would: its drivers go on."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self._log.close()

    def stop(self):
        """Stop it and its drivers."""
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Failure("the server still ran %d s after SIGINT" % STOP_SECONDS) from None
        finally:
            self.process.stdout.close()
            self._log.close()


class Place:
    """Directories for servers on one file system, and the end of all that was started there."""

    def __init__(self, base):
        os.makedirs(base, exist_ok=True)
        self.directory = tempfile.mkdtemp(prefix="doyen-bench-", dir=base)
        self.run = os.path.basename(self.directory)
        self._count = 0

    def fresh(self):
        self._count += 1
        path = os.path.join(self.directory, str(self._count))
        os.mkdir(path)
        return path

    def clean_up(self):
        """Kill what is left of this run, by its environment, and remove the files."""
        wanted = ("%s=%s" % (MARK, self.run)).encode()
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/environ" % pid, "rb") as file:
                    if wanted in file.read().split(b"\0"):
                        os.kill(int(pid), signal.SIGKILL)
            except OSError:
                pass  # gone, or not ours
        shutil.rmtree(self.directory, ignore_errors=True)
