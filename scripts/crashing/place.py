"""The server and all that it starts: found by a mark in their environment, killed, started again."""
import http.client
import json
import os
import signal
import socket
import subprocess
import time
import urllib.parse

MARK = "DOYEN_CRASH_RUN"
SECONDS = 60
# What a request may meet when its server dies.
GONE = (OSError, http.client.HTTPException)


class Place:
    """A directory with a server, which keeps its address when it is started again."""

    def __init__(self, program, directory, settings=()):
        self.program, self.directory, self._settings = program, directory, list(settings)
        self.runs = os.path.join(directory, "runs")
        os.makedirs(self.runs)
        # Bound but not listening: nobody else gets the port, and the server may still listen there.
        self._reserved = socket.socket()
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.bind(("127.0.0.1", 0))
        self.port = self._reserved.getsockname()[1]
        self.server = None

    def start(self):
        self.launch()
        self.until_ready()

    def launch(self):
        """Without waiting."""
        command = [self.program, "server", "--http", "127.0.0.1:%d" % self.port, "--data-dir", "data"]
        for setting in ('contexts.default-factory="python"', "callbacks.backoff=\"100ms\"", "callbacks.attempts=20", *self._settings):
            command += ["--set", setting]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DOYEN_")}
        environment[MARK] = self.directory
        with open(os.path.join(self.directory, "server.log"), "ab") as log:
            self.server = subprocess.Popen(command, cwd=self.directory, env=environment, stdin=subprocess.DEVNULL,
                                           stdout=subprocess.PIPE, stderr=log)

    def until_ready(self):
        line = self.server.stdout.readline().decode()
        if not line.startswith("ready "):
            raise SystemExit("crash: the server did not start: see %s/server.log" % self.directory)

    def kill_server(self):
        self.server.kill()
        self.server.wait()

    def interrupt(self):
        """Stops server and drivers as Ctrl-C does."""
        self.server.send_signal(signal.SIGINT)
        try:
            return self.server.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.kill_server()
            return None

    def ask(self, method, path, body=b"", headers=None, timeout=SECONDS):
        """Status and body; an error of GONE when the server has died meanwhile."""
        status, _, body = self.ask_all(method, path, body, headers, timeout)
        return status, body

    def ask_all(self, method, path, body=b"", headers=None, timeout=SECONDS):
        """The same with headers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def read(self, path, timeout=SECONDS):
        """The JSON of a GET, however often the server has to be asked."""
        end = time.monotonic() + timeout
        while True:
            try:
                status, body = self.ask("GET", path)
                if status == 200:
                    return json.loads(body)
                if status < 500:
                    return None
            except GONE:
                pass
            if time.monotonic() > end:
                raise SystemExit("crash: no answer to GET %s" % path)
            time.sleep(0.05)

    def processes(self):
        """Command lines of what runs here, by process id."""
        mark, found = ("%s=%s" % (MARK, self.directory)).encode(), {}
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/environ" % name, "rb") as environ:
                    if mark not in environ.read().split(b"\0"):
                        continue
                with open("/proc/%s/stat" % name) as stat:
                    state, parent = stat.read().rsplit(")", 1)[1].split()[:2]
                with open("/proc/%s/cmdline" % name, "rb") as line:
                    if state not in "ZX":
                        found[int(name)] = (int(parent), line.read().decode(errors="replace").split("\0"))
            except OSError:
                pass
        return found

    def by_role(self):
        """Process ids of shims, of drivers (below a shim) and of workers (further below)."""
        found = self.processes()
        shims = {pid for pid, (_, line) in found.items() if "shim" in line}
        drivers = {pid for pid, (parent, _) in found.items() if parent in shims}
        workers = set(found) - shims - drivers - {self.server.pid}
        return {"shim": sorted(shims), "driver": sorted(drivers), "worker": sorted(workers)}


def quoted(text):
    return urllib.parse.quote(text, safe="")
