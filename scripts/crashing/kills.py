"""What is killed, and when: a plan that a seed repeats."""
import collections
import os
import random
import signal
import time

KINDS = {
    "server": 30,
    "server, stopped for a while": 8,
    "shim": 8,
    "shim, stopped for a while": 8,
    "driver": 8,
    "driver, stopped for a while": 6,
    "worker": 15,
    "server and a driver at once": 6,
    "everything at once": 5,
}

Kill = collections.namedtuple("Kill", "pause kind pick down")


def plan(seed, rounds, only=None):
    """So long a pause, then this; `pick` chooses one of many, `down` is how long it stays stopped or away, in seconds."""
    chance = random.Random("%s plan" % seed)
    kinds = {kind: weight for kind, weight in KINDS.items() if not only or kind in only}
    return [Kill(chance.uniform(0.05, 2.0), chance.choices(list(kinds), kinds.values())[0], chance.random(),
                 chance.uniform(0.0, 1.5)) for _ in range(rounds)]


def send(pids, what):
    for pid in pids:
        try:
            os.kill(pid, what)
        except ProcessLookupError:
            pass


def one_of(pids, pick):
    return [pids[int(pick * len(pids))]] if pids else []


def perform(place, kill):
    """Whether there was something of the kind."""
    roles = place.by_role()
    role = kill.kind.split(",")[0]
    if kill.kind == "server":
        place.kill_server()
        time.sleep(kill.down)
        place.start()
    elif kill.kind == "everything at once":
        send([place.server.pid], signal.SIGKILL)
        send([pid for pids in roles.values() for pid in pids], signal.SIGKILL)
        place.kill_server()
        place.start()
    elif kill.kind == "server and a driver at once":
        send([place.server.pid] + one_of(roles["driver"], kill.pick), signal.SIGKILL)
        place.kill_server()
        time.sleep(kill.down)
        place.start()
    else:
        chosen = [place.server.pid] if role == "server" else one_of(roles[role], kill.pick)
        if kill.kind.endswith("for a while"):
            send(chosen, signal.SIGSTOP)
            time.sleep(kill.down * 2)
            send(chosen, signal.SIGCONT)
        else:
            send(chosen, signal.SIGKILL)
        return bool(chosen)
    return True
