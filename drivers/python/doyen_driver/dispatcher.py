"""The driver main: one thread with an event loop between the shim, the zygote and the workers.

It gives runs to workers and forwards what they answer, without looking into configurations or results. What could
block — Spark, killing, deleting — is done by a few helper threads, which post back into the loop.
"""
import array
import json
import mmap
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import deque

from . import binaries, wire
from .channel import Channel
from .failures import JobFailure, error_of, lost_with
from .joblog import hide_if_empty, scratch_path, show
from .loop import Loop
from .pool import Pool, Run, Worker
from .processes import end_in_words, kill_tree
from .session import open_session
from .settings import Unable, known_factory

HOUSEKEEPING_SECONDS = 5.0
ZYGOTE_FORKS_AT_ONCE = {"python": 8, "pyspark": 2}
MAX_STARTS_FAILED = 3
PAUSE_AFTER_FAILED_STARTS = 5.0
STOP_CANCEL_SECONDS = 5.0
# A job has met the end of Spark: within this time the session says the reason, when the JVM has ended.
MISSED_SECONDS = 2.0
# A job that runs for longer than this is worth an `accepted`, and a log that can be seen.
MOMENT_SECONDS = 0.01
MAX_WORKERS = 4096
LAST_LINES = 10
LAST_BYTES = 4096


def say(text):
    """A line in the context's log."""
    sys.stderr.write("%s doyen-driver: %s\n" % (time.strftime("%Y-%m-%dT%H:%M:%S"), text))
    sys.stderr.flush()


class Dispatcher:
    """The state of the driver main."""

    def __init__(self, shim, directory, kind=None):
        self._loop = Loop()
        self._directory = directory
        self._kind = kind
        self._unpacked = os.path.join(directory, "unpacked")
        self._shim = Channel(self._loop.epoll, shim, self._on_shim, self.end_now)
        self._loop.watch(self._shim.descriptor, self._shim.handle, register=False)
        self._touched = set()  # channels of workers that have something to send
        self._helpers = Loop.helpers(4)
        self._spark_helper = Loop.helpers(1)
        self._runs = {}
        self._young = deque()  # runs that `_attend` has yet to look at, in the order in which they were given out
        self._slots = deque(range(MAX_WORKERS))
        self._shared = os.memfd_create("accepted")
        os.ftruncate(self._shared, MAX_WORKERS)
        self._accepted = mmap.mmap(self._shared, MAX_WORKERS)
        self._logs = {}  # worker's number → the directory of its logs
        self._pool = None
        self._zygote = None
        self._control = None
        self._numbers = 0
        self._starts_failed = 0
        self._fork_from = 0.0  # not before this time
        self._setup = None
        self._session = None
        self._stopping = False
        self._closing = False
        self._exit_status = None
        self._last_used = {}

    # ---- the loop ---------------------------------------------------------------------------

    def loop(self):
        """Serve until the driver ends; gives its exit status."""
        self._loop.after(HOUSEKEEPING_SECONDS, self._keep_house)
        signal.signal(signal.SIGTERM, lambda *_: self._loop.post(self.end_now))
        while self._exit_status is None:
            now = self._loop.turn(self._pause())
            if self._setup is not None and not self._stopping and now >= self._fork_from:
                for _ in range(min(self._pool.forks_wanted(now), len(self._slots))):
                    self._fork(now)
            if self._young and now - self._young[0].since >= MOMENT_SECONDS:
                self._attend(now)
            for channel in self._touched:
                channel.flush()
            self._touched.clear()
            self._shim.flush()
        return self._exit_status

    def _pause(self):
        """How long the loop may wait for an event."""
        pause = None
        if self._setup is not None and not self._stopping:
            pause = self._pool.pause(time.monotonic())
        if self._young:
            pause = MOMENT_SECONDS if pause is None else min(pause, MOMENT_SECONDS)
        return pause

    def _tell(self, kind, **fields):
        self._shim.write(wire.encode(kind, fields))

    # ---- what the shim says -----------------------------------------------------------------

    def _on_shim(self, lines):
        for line in lines:
            try:
                kind, fields = wire.decode(line)
            except RecursionError as error:
                self._refuse_deep(line, error)
                continue
            except ValueError as error:
                say("a line that is no JSON was ignored: %s" % error)
                continue
            if kind == "run":
                self._on_run(fields, line)
            elif kind == "cancel":
                self._on_cancel(fields.get("job"))
            elif kind == "start" and self._zygote is None:
                self._on_start(fields)
            elif kind == "stop":
                self._on_stop(bool(fields.get("graceful")), fields.get("grace_ms") or 0)

    def _refuse_deep(self, line, error):
        job = wire.salvage_run_job(line)
        if job is not None:
            self._tell("failed", job=job, error=error_of(error, "while reading the job's config"))

    def _on_start(self, start):
        kind = self._kind or start["kind"]
        settings = start.get("settings") or {}
        try:
            if kind not in ZYGOTE_FORKS_AT_ONCE:
                raise Unable("this driver has no kind %r; it has %s" % (kind, ", ".join(ZYGOTE_FORKS_AT_ONCE)))
            factory = known_factory(kind, start.get("kind"), settings.get("context-factory"))
            if start.get("protocol") != 1:
                raise Unable("this driver speaks version 1 of the protocol, not %r" % start.get("protocol"))
        except Unable as error:
            self._unable(error)
            return
        self._kind = kind
        at_once = ZYGOTE_FORKS_AT_ONCE[kind]
        self._pool = Pool(max(1, int(start.get("max_jobs") or 1)), at_once)
        self._start_zygote(kind)
        setup = {"settings": settings, "unpacked": self._unpacked, "spark": None}
        if kind == "python":
            self._on_session(setup)
            return
        self._loop.help(
            self._spark_helper,
            lambda: open_session(start, factory, self._directory, self._when_spark_is_lost),
            lambda session, error: self._on_spark(setup, session, error))

    def _on_spark(self, setup, session, error):
        if self._stopping:
            return
        if error is not None:
            self._unable(error)
            return
        self._session = session
        setup["spark"] = session.for_workers
        self._on_session(setup, application_id=session.application_id, ui_url=session.ui_url)

    def _on_session(self, setup, **fields):
        self._setup = wire.encode("setup", setup)
        self._fork(time.monotonic())
        self._tell("ready", **fields)

    def _unable(self, error):
        text = str(error) if isinstance(error, Unable) else "%s: %s" % (type(error).__name__, error)
        say("unable: " + text)
        self._tell("unable", message=text)
        self._finish(1)

    def _on_run(self, run, line):
        job = run["job"]
        if job in self._runs:
            return
        hashes = [binary["sha256"] for binary in run["binaries"]]
        now = time.monotonic()
        known = Run(job, run["class"], ",".join(hashes), hashes, line, run["log"], now)
        self._runs[job] = known
        if self._pool is None or self._stopping:
            self._fail(known, JobFailure("the context is not running"))
            return
        for sha in hashes:
            self._last_used[sha] = now
        worker = self._pool.take(known, now)
        if worker is not None:
            self._send_run(worker, known)

    def _send_run(self, worker, run):
        self._logs[worker.number] = os.path.dirname(run.log)
        self._accepted[worker.slot] = 0
        run.since = time.monotonic()
        self._young.append(run)
        worker.channel.write(run.line + b"\n")
        run.line = None
        self._touched.add(worker.channel)

    def _attend(self, now):
        """Make the logs of jobs that run for more than a moment visible, and say that they were accepted."""
        later = []
        while self._young and now - self._young[0].since >= MOMENT_SECONDS:
            run = self._young.popleft()
            if self._runs.get(run.job) is not run or run.worker.run is not run:
                continue
            accepted = self._accepted[run.worker.slot]
            run.shown = run.shown or show(scratch_path(os.path.dirname(run.log), run.worker.pid), run.log)
            if accepted and not run.told:
                run.told = True
                self._tell("accepted", job=run.job)
            if not (accepted and run.shown):
                run.since = now
                later.append(run)
        self._young.extend(later)

    def _on_cancel(self, job):
        run = self._runs.get(job)
        if run is None or run.cancelled:
            return
        run.cancelled = True
        if run.worker is None:
            self._pool.forget(run)
            self._end(run)
            self._tell("cancelled", job=job)
            return
        self._kill(run.worker)

    # ---- the zygote and the workers ---------------------------------------------------------

    def _start_zygote(self, kind):
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._zygote = subprocess.Popen(
            [sys.executable, "-m", "doyen_driver.zygote", str(theirs.fileno()), str(self._shared), kind],
            stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno(), self._shared])
        theirs.close()
        os.close(self._shared)
        self._loop.watch(self._control.fileno(), self._on_zygote)

    def _fork(self, now):
        """Ask for a new worker, and make room for it."""
        self._numbers += 1
        worker = Worker(self._numbers, self._slots.popleft())
        ours, theirs = socket.socketpair()
        worker.channel = Channel(
            self._loop.epoll, ours, lambda lines: self._on_worker(worker, lines), lambda: self._on_worker_closed(worker))
        self._loop.watch(worker.channel.descriptor, worker.channel.handle, register=False)
        worker.channel.write(self._setup)
        self._touched.add(worker.channel)
        self._pool.workers[worker.number] = worker
        self._pool.forking += 1
        packet = json.dumps({"fork": worker.number, "slot": worker.slot}).encode()
        try:
            self._control.sendmsg(
                [packet], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [theirs.fileno()]))])
        except OSError as error:
            say("the zygote cannot be reached: %s" % error)
        theirs.close()
        for idle in self._pool.superfluous(now):
            self._send_home(idle)

    def _send_home(self, worker):
        """Close an idle worker's socket: at end of file it ends by itself."""
        self._pool.dismiss(worker)
        self._close(worker)

    def _close(self, worker):
        if not worker.channel.closed:
            worker.channel.flush()
            self._loop.forget(worker.channel.descriptor)
            worker.channel.close()

    def _on_worker(self, worker, frames):
        for frame in frames:
            mark = frame[0]
            if mark == wire.HELLO:
                self._on_hello(worker, int(frame[1:]))
            elif worker.run is not None:
                run = worker.run
                self._end(run)
                if mark == wire.BROKEN:
                    self._tell("failed", job=run.job, error=json.loads(frame[1:]))
                else:
                    self._shim.write(frame[1:] + b"\n")
                self._on_free(worker, retired=mark != wire.END)
                if mark == wire.END_LOST:
                    self._on_spark_missed()

    def _on_hello(self, worker, pid):
        self._starts_failed = 0
        worker.pid = pid
        run = self._pool.arrived(worker, time.monotonic())
        if run is not None:
            self._send_run(worker, run)

    def _on_free(self, worker, retired):
        if retired:
            self._pool.dismiss(worker)
        run = self._pool.ended(worker, time.monotonic())
        if run is not None:
            self._send_run(worker, run)
        if self._stopping and not self._runs:
            self._close_session()

    def _end(self, run):
        if run.shown:
            hide_if_empty(run.log)
        self._runs.pop(run.job, None)

    def _on_worker_closed(self, worker):
        """End of file of a worker: how it ended comes from the zygote."""
        self._loop.forget(worker.channel.descriptor)
        self._pool.dismiss(worker)

    def _on_zygote(self, _events):
        try:
            packet = self._control.recv(4096)
        except OSError:
            packet = b""
        if not packet and self._closing:
            self._loop.forget(self._control.fileno(), unregister=True)
        elif not packet:
            self._collapse("the process that forks the workers has ended (%s)" % self._zygote.poll())
        else:
            number, status = json.loads(packet)["exited"]
            worker = self._pool.workers.get(number)
            if worker is not None:
                self._on_exited(worker, status)

    def _on_exited(self, worker, status):
        worker.channel.read()  # what it still said
        started = worker.pid is not None
        self._pool.lost(worker)
        self._close(worker)
        run, worker.run = worker.run, None
        self._slots.append(worker.slot)
        if run is not None:
            show(scratch_path(os.path.dirname(run.log), worker.pid), run.log)
        if worker.number in self._logs:
            _remove(scratch_path(self._logs.pop(worker.number), worker.pid))
        if run is not None:
            self._on_run_lost(worker, run, status)
        elif not started and not self._stopping:
            self._on_start_failed(status)

    def _on_run_lost(self, worker, run, status):
        """A worker has ended without a terminal message for its run."""
        if run.cancelled:
            if worker.killed:
                self._cancelled(run)
            else:
                worker.run = run  # what it started may still be there: `_on_killed` ends it
            return
        lines = _last_lines(run.log)
        message = "the job's process has ended before it gave a result: %s" % end_in_words(status)
        if lines:
            message += "; its last output: %s" % " | ".join(lines)
        self._tell("failed", job=run.job, error={"message": message, "class": "WorkerExited", "stack": None})
        self._lost(run)

    def _on_start_failed(self, status):
        self._starts_failed += 1
        say("a worker could not start: %s" % end_in_words(status))
        if self._starts_failed < MAX_STARTS_FAILED:
            return
        self._starts_failed = 0
        self._fork_from = time.monotonic() + PAUSE_AFTER_FAILED_STARTS
        while self._pool.waiting:
            reason = "no process for the job could be started (%s); see the context's log" % end_in_words(status)
            self._fail(self._pool.waiting.popleft(), JobFailure(reason))

    def _fail(self, run, error):
        self._tell("failed", job=run.job, error=error_of(error, ""))
        self._end(run)

    def _kill(self, worker):
        """Kill a worker and what its job started; `_on_killed` comes after."""
        self._pool.dismiss(worker)
        worker.killed = False
        self._loop.help(self._helpers, lambda: kill_tree(worker.pid), lambda gone, error: self._on_killed(worker, gone, error))

    def _on_killed(self, worker, gone, error):
        if error is not None or not gone:
            say("worker %d: not all of its processes could be killed: %s" % (worker.pid, error or "still there"))
        worker.killed = True
        if worker.number not in self._pool.workers and worker.run is not None:
            run, worker.run = worker.run, None
            self._cancelled(run)

    @staticmethod
    def _on_group_cancelled(_result, error):
        if error is not None:
            say("the Spark jobs of a job could not be cancelled: %s" % error)

    def _cancelled(self, run):
        self._tell("cancelled", job=run.job)
        self._lost(run)

    def _lost(self, run):
        """After a run whose worker is dead: its Spark tasks and an empty log go as well."""
        self._end(run)
        if self._session is not None:
            session = self._session
            self._loop.help(self._spark_helper, lambda: session.cancel(run.job), self._on_group_cancelled)
        hide_if_empty(run.log)
        if self._stopping and not self._runs:
            self._close_session()

    # ---- housekeeping and the end -----------------------------------------------------------

    def _keep_house(self):
        self._loop.after(HOUSEKEEPING_SECONDS, self._keep_house)
        if self._pool is None:
            return
        for worker in self._pool.superfluous(time.monotonic()):
            self._send_home(worker)
        in_use = {sha for worker in self._pool.workers.values() for sha in (worker.key or "").split(",")}
        in_use.update(sha for run in self._runs.values() for sha in run.hashes)
        for trash in binaries.remove_unused(self._unpacked, self._last_used, in_use):
            self._loop.help(self._helpers, lambda trash=trash: shutil.rmtree(trash, ignore_errors=True))

    def _when_spark_is_lost(self, reason):
        """Called in any thread."""
        self._loop.post(lambda: None if self._stopping else self._collapse(reason))

    def _on_spark_missed(self):
        """A job was lost with Spark. Also when the JVM is still there, this driver has to end, for the server waits for that."""
        reason = "Spark has stopped, or can no longer be reached"
        self._loop.after(MISSED_SECONDS, lambda: self._when_spark_is_lost(reason))

    def _collapse(self, reason):
        """The context cannot go on: fail what runs, and end."""
        say(reason)
        for run in list(self._runs.values()):
            self._tell("failed", job=run.job, error=lost_with(reason))
            self._end(run)
        self._finish(1)

    def _on_stop(self, graceful, grace_ms):
        if self._stopping:
            return
        self._stopping = True
        if not self._runs:
            self._close_session()
        elif graceful:
            self._loop.after(grace_ms / 1000.0, self._cancel_all)
        else:
            self._cancel_all()

    def _cancel_all(self):
        for job in list(self._runs):
            self._on_cancel(job)
        if not self._runs:
            self._close_session()
        else:
            self._loop.after(STOP_CANCEL_SECONDS, self._close_session)

    def _close_session(self):
        """Nothing runs any more."""
        if self._closing:
            return
        self._closing = True
        session, self._session = self._session, None
        if session is None:
            self._say_bye()
        else:
            self._loop.help(
                self._spark_helper, lambda: self._close_spark(session), lambda _result, _error: self._say_bye())

    def _close_spark(self, session):
        """In a helper thread: first the workers, for they use the session."""
        kill_tree(self._zygote.pid)
        session.close()

    def _say_bye(self):
        if self._exit_status is None:
            self._tell("bye")
            self._finish(0)

    def _finish(self, status):
        """Send what is left, take everything down, and leave the loop."""
        deadline = time.monotonic() + 2.0
        self._shim.flush()
        while self._shim.pending and time.monotonic() < deadline:
            self._loop.epoll.poll(0.05)
            self._shim.handle(select.EPOLLOUT)
        self._exit_status = status
        kill_tree(os.getpid(), spare_root=True)

    def end_now(self):
        """The shim is gone, or wants us gone: nobody is left who could want a result."""
        kill_tree(os.getpid(), spare_root=True, timeout=2.0)
        os._exit(0)


def _last_lines(path):
    """The last lines of a job's log, without our own frames, for the message about its process's death."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - LAST_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    ours = (os.path.dirname(os.path.abspath(__file__)), "<frozen runpy>")
    return [line for line in lines if line.strip() and not any(part in line for part in ours)][-LAST_LINES:]


def _remove(path):
    try:
        os.unlink(path)
    except OSError:
        pass
