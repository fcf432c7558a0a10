"""Which worker takes which run, when to fork, whom to send home: decisions only, no processes and no sockets."""
from collections import deque

# A burst of short jobs is done sooner by the workers that are there. So a run is waited for by a new worker only when
# none has become free for a while, or when the run at the head has waited for long.
STALLED_AFTER = 0.004
WAITED_TOO_LONG = 0.020
SPARE_DELAY = 0.02
IDLE_SECONDS = 60.0
KEEP_IDLE = 4


class Worker:
    """What main knows of a worker. `key` is None until its first run binds it to a set of binaries."""

    __slots__ = ("number", "pid", "channel", "key", "run", "idle_since", "going", "slot", "killed")

    def __init__(self, number, slot):
        self.number = number
        self.slot = slot  # where in the shared memory it says that its job is accepted
        self.pid = None  # known from its hello on; until then it is being forked
        self.channel = None
        self.key = None
        self.run = None
        self.idle_since = 0.0
        self.going = False  # takes no more runs
        self.killed = None  # None: nobody kills it; False: being killed; True: it and all below it are gone


class Run:
    """A job that was given to this driver and has not ended."""

    __slots__ = ("job", "name", "key", "hashes", "line", "log", "since", "worker", "cancelled", "shown", "told")

    def __init__(self, job, name, key, hashes, line, log, since):
        self.job = job
        self.name = name
        self.key = key
        self.hashes = hashes
        self.line = line
        self.log = log
        self.since = since
        self.worker = None
        self.cancelled = False
        self.shown = False  # its log has been made visible
        self.told = False  # its `accepted` has been sent


class Pool:
    """The workers and the runs that wait for one. Times are seconds of one monotonic clock, given by the caller."""

    def __init__(self, max_jobs, forks_at_once):
        self.limit = max_jobs + 1  # one to spare
        self.forks_at_once = forks_at_once
        self.workers = {}
        self.waiting = deque()
        self.forking = 0
        self._unbound = []
        self._bound = {}  # key → idle workers, the last used one last
        self._last_end = 0.0
        self._spare_wanted_since = None

    def take(self, run, now):
        """The idle worker for a run, which it is given to; None when the run has to wait."""
        idle = self._bound.get(run.key)
        if idle:
            worker = idle.pop()
        elif self._unbound:
            worker = self._unbound.pop()
        else:
            self.waiting.append(run)
            return None
        return self._give(worker, run)

    def ended(self, worker, now):
        """A worker's run has ended: gives the waiting run that it takes next, or None: then it is idle."""
        worker.run = None
        self._last_end = now
        if worker.going:
            return None
        for position, run in enumerate(self.waiting):
            if run.key == worker.key:
                del self.waiting[position]
                return self._give(worker, run).run
        worker.idle_since = now
        self._bound.setdefault(worker.key, []).append(worker)
        return None

    def arrived(self, worker, now):
        """A new worker is ready: gives the run that it takes, or None: then it is the spare one."""
        self.forking -= 1
        if self.waiting:
            return self._give(worker, self.waiting.popleft()).run
        worker.idle_since = now
        self._unbound.append(worker)
        return None

    def lost(self, worker):
        """A worker's process has ended."""
        self.workers.pop(worker.number, None)
        if worker.pid is None:
            self.forking -= 1
        self.dismiss(worker)

    def dismiss(self, worker):
        """Let a worker take no more runs."""
        worker.going = True
        idle = self._unbound if worker.key is None else self._bound.get(worker.key, [])
        if worker in idle:
            idle.remove(worker)
        if not idle and worker.key is not None:
            self._bound.pop(worker.key, None)

    def forget(self, run):
        """Take a run out of the waiting ones; False when it does not wait."""
        if run not in self.waiting:
            return False
        self.waiting.remove(run)
        return True

    def forks_wanted(self, now):
        """How many workers to fork now."""
        if self.waiting:
            stalled = now - self._last_end >= STALLED_AFTER or now - self.waiting[0].since >= WAITED_TOO_LONG
            if not stalled:
                return 0
            # Idle workers of other binaries can be sent home to make room.
            free = self.limit - self._living() + len(self._idle_bound())
            return max(0, min(len(self.waiting) - self.forking, free, self.forks_at_once - self.forking))
        if self._unbound or self.forking or self._living() - len(self._idle_bound()) >= self.limit:
            self._spare_wanted_since = None
            return 0
        if self._spare_wanted_since is None:
            self._spare_wanted_since = now
        if now - self._spare_wanted_since < SPARE_DELAY:
            return 0
        self._spare_wanted_since = None
        return 1

    def pause(self, now):
        """Seconds after which `forks_wanted` may answer otherwise, None when only an event can change it."""
        if self.waiting and self.forking < self.forks_at_once:
            return STALLED_AFTER / 2
        if self._spare_wanted_since is not None:
            return max(0.001, self._spare_wanted_since + SPARE_DELAY - now)
        return None

    def superfluous(self, now):
        """Idle workers to be sent home: beyond the limit, or idle for long."""
        idle = sorted(self._idle_bound(), key=lambda worker: worker.idle_since)
        beyond = max(0, self._living() - self.limit)
        old = [worker for worker in idle[: max(beyond, len(idle) - KEEP_IDLE)] if now - worker.idle_since > IDLE_SECONDS]
        return idle[:beyond] + [worker for worker in old if worker not in idle[:beyond]]

    def _living(self):
        return sum(1 for worker in self.workers.values() if not worker.going)

    def _idle_bound(self):
        return [worker for idle in self._bound.values() for worker in idle]

    @staticmethod
    def _give(worker, run):
        worker.key = run.key
        worker.run = run
        run.worker = worker
        return worker
