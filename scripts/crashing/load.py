"""Clients that ask without pause, and note what was acknowledged."""
import hashlib
import http.server
import io
import json
import os
import random
import threading
import time
import zipfile

from .place import GONE, quoted

JOBS = os.path.join(os.path.dirname(__file__), "jobs.py")
CLASSES = {"Notes": 5, "Prints": 2, "Sleeps": 3, "Large": 1}
WHEEL = {"content-type": "application/python-wheel"}
COPIES = 20000
# At most so many seconds between two requests of a client.
PAUSE = 0.1


def wheel(salt):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.write(JOBS, "jobs.py")
        archive.writestr("salt", salt)
    return content.getvalue()


class Ledger:
    """What was acknowledged, and what was seen."""

    def __init__(self):
        self.lock = threading.Lock()
        # Token, class and whether we have killed it, by job id.
        self.jobs = {}
        self.binaries, self.files, self.called, self.seen = {}, {}, {}, {}
        self.unanswered = self.refused = self.repeated = 0

    def saw(self, job, status):
        """A terminal state that a client was told; another one later is a fault."""
        with self.lock:
            self.seen.setdefault(job, set()).add(status)


class Listener:
    """Takes callbacks: their bodies, by token."""

    def __init__(self, ledger):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                length = int(self.headers.get("content-length", 0))
                body = self.rfile.read(length)
                if len(body) < length:
                    # Its server died in the middle: that is no callback.
                    self.close_connection = True
                    return
                with ledger.lock:
                    ledger.called.setdefault(self.path.strip("/"), []).append(body)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d" % self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()


class Client(threading.Thread):
    def __init__(self, number, place, ledger, listener, seed, stop):
        super().__init__(daemon=True)
        self._number, self._place, self._ledger, self._stop_asked = number, place, ledger, stop
        self._url, self._random, self._count = listener.url, random.Random("%s client %d" % (seed, number)), 0
        self.context = "c%d" % (number % 3)
        self.failure = None

    def run(self):
        try:
            while not self._stop_asked.is_set():
                self._step()
                time.sleep(self._random.uniform(0.0, PAUSE))
        except Exception as error:  # so that the run fails with it
            self.failure = error

    def _step(self):
        what = self._random.choices((self._job, self._sync, self._kill, self._upload, self._data), (60, 25, 5, 5, 5))[0]
        try:
            what()
        except GONE:
            with self._ledger.lock:
                self._ledger.unanswered += 1
            time.sleep(0.05)

    def _token(self):
        self._count += 1
        return "%d-%d" % (self._number, self._count)

    def _submit(self, kind, more):
        token = self._token()
        config = {"token": token, "runs": self._place.runs, "seconds": self._random.uniform(0.05, 1.5)}
        more += self._random.choice(("", "&queue=true"))
        path = "/jobs?appName=jobs&classPath=jobs.%s&context=%s&callbackUrl=%s%s" % (
            kind, self.context, quoted("%s/%s" % (self._url, token)), more)
        keyed = self._random.random() < 0.5
        status, body = self._answer(path, json.dumps(config), token if keyed else None)
        if status in (200, 202):
            answer = json.loads(body)
            with self._ledger.lock:
                self._ledger.jobs[answer["jobId"]] = {"token": token, "kind": kind, "killed": False}
            return answer
        with self._ledger.lock:
            self._ledger.refused += 1
        if status in (404, 409):
            self.open()
        else:
            time.sleep(0.02)
        return None

    def _answer(self, path, body, key):
        """With a key it is asked until it is answered, and still is one job."""
        while True:
            try:
                status, answer = self._place.ask("POST", path, body, {"idempotency-key": key} if key else None)
                away = status == 503 and any(words in answer for words in (b"The store ", b"The server starts"))
                if not key or not away or self._stop_asked.is_set():
                    return status, answer
            except GONE:
                if not key or self._stop_asked.is_set():
                    raise
            with self._ledger.lock:
                self._ledger.repeated += 1
            time.sleep(0.05)

    def open(self):
        """The context may be there, or may be going."""
        self._place.ask("POST", "/contexts/%s?max-jobs-per-context=16" % self.context)

    def _job(self):
        kind = self._random.choices(list(CLASSES), CLASSES.values())[0]
        self._submit(kind, "")

    def _sync(self):
        answer = self._submit("Notes", "&sync=true&timeout=50")
        if answer:
            self._ledger.saw(answer["jobId"], "ERROR" if answer.get("status") == "ERROR" else "FINISHED")

    def _kill(self):
        answer = self._submit("Sleeps", "")
        if not answer:
            return
        with self._ledger.lock:
            self._ledger.jobs[answer["jobId"]]["killed"] = True
        status, _ = self._place.ask("DELETE", "/jobs/%s" % answer["jobId"])
        if status == 200:
            # An ERROR of before is answered with 200 as well.
            stored = self._place.read("/jobs/%s" % answer["jobId"])
            self._ledger.saw(answer["jobId"], stored["status"])

    def _upload(self):
        token = self._token()
        content = wheel(token)
        status, _ = self._place.ask("POST", "/binaries/b-%s" % token, content, WHEEL)
        if status == 201:
            with self._ledger.lock:
                self._ledger.binaries["b-%s" % token] = hashlib.sha256(content).hexdigest()

    def _data(self):
        token = self._token()
        status, body = self._place.ask("POST", "/data/d-%s" % token, token * 1000)
        if status == 200:
            with self._ledger.lock:
                self._ledger.files[json.loads(body)["result"]["filename"]] = token * 1000
