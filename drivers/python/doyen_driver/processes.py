"""Processes: dying with the parent, and killing a process with all that it started.

A process is known by its pid and its start time, for a pid alone may be another process by now.
"""
import ctypes
import os
import signal
import time

_PR_SET_PDEATHSIG = 1
_KILL_ROUNDS = 20


def die_with_parent(parent_pid):
    """Have the kernel kill this process when its parent ends; ends at once when that has happened already."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:
        os._exit(0)


class Stat:
    """One line of /proc/<pid>/stat."""

    __slots__ = ("parent", "group", "state", "started")

    def __init__(self, text):
        fields = text[text.rindex(b")") + 2:].split()
        self.state = fields[0]
        self.parent = int(fields[1])
        self.group = int(fields[2])
        self.started = int(fields[19])

    @property
    def gone(self):
        return self.state in (b"Z", b"X")


def stat(pid):
    """The state of a process, None when there is none."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:
            return Stat(file.read())
    except (OSError, ValueError):
        return None


def snapshot():
    """All processes that can be seen: pid → Stat."""
    table = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            found = stat(int(name))
            if found is not None:
                table[int(name)] = found
    return table


def tree(root, table):
    """The pids of `root`, of its process group when it leads one, and of all their descendants."""
    found = {pid for pid, entry in table.items() if pid == root or entry.group == root}
    grew = True
    while grew:
        below = {pid for pid, entry in table.items() if entry.parent in found and pid not in found}
        found |= below
        grew = bool(below)
    return found


def kill_tree(root, spare_root=False, timeout=10.0):
    """Kill `root` (unless it is to be spared) and all below it, and wait until they are gone.

    They are stopped first, again and again until no new one appears, so that none can start another unseen. Zombies
    count as gone: their parent will collect them. Gives False when something was still there after `timeout` seconds.
    """
    stopped = {}
    for _ in range(_KILL_ROUNDS):
        table = snapshot()
        new = {pid for pid in tree(root, table) if pid not in stopped and not table[pid].gone}
        if spare_root:
            new.discard(root)
        if not new:
            break
        for pid in new:
            stopped[pid] = table[pid].started
            _signal(pid, signal.SIGSTOP)
    for pid, started in stopped.items():
        found = stat(pid)
        if found is not None and found.started == started:
            _signal(pid, signal.SIGKILL)
    return _wait_until_gone(stopped, timeout)


def _wait_until_gone(processes, timeout):
    deadline = time.monotonic() + timeout
    pause = 0.0005
    left = dict(processes)
    while True:
        for pid, started in list(left.items()):
            found = stat(pid)
            if found is None or found.gone or found.started != started:
                del left[pid]
        if not left or time.monotonic() > deadline:
            return not left
        time.sleep(pause)
        pause = min(pause * 2, 0.02)


def _signal(pid, number):
    try:
        os.kill(pid, number)
    except OSError:
        pass


def end_in_words(status):
    """How a process ended, from what `waitpid` gave: `exit code 3`, or `killed by signal 9 (SIGKILL)`."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = "unknown"
        return "killed by signal %d (%s)" % (number, name)
    return "exit code %d" % os.WEXITSTATUS(status)
