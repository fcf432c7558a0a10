"""A server under load while its stores go away, and what was lost."""
import collections
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time

from . import document, kills, outages
from .checks import Checker
from .load import Client, Ledger, Listener, WHEEL, wheel
from .place import GONE, Place
from .stores import Stores


class Reader(threading.Thread):
    """Reads all the time: how often it was answered, how often with an age, and the largest."""

    def __init__(self, place, stop):
        super().__init__(daemon=True)
        self._place, self._stop_asked = place, stop
        self.answered = self.aged = self.oldest = 0
        # Not 200, by status and code; a server that is killed answers nothing.
        self.others = collections.Counter()

    def run(self):
        while not self._stop_asked.wait(0.1):
            try:
                status, headers, _ = self._place.ask_all("GET", "/jobs?limit=5")
            except GONE:
                continue
            age = int(headers.get("age", 0))
            self.answered, self.aged, self.oldest = self.answered + 1, self.aged + (age > 0), max(self.oldest, age)
            if status != 200:
                self.others["%d %s" % (status, headers.get("doyen-error", ""))] += 1


def prepare(place, clients):
    place.start()
    status, body = place.ask("POST", "/binaries/jobs", wheel("jobs"), WHEEL)
    if status != 201:
        raise SystemExit("soak: %d %s" % (status, body))
    for client in clients[:3]:
        client.open()


def strike(given, seed, place, stores, stop):
    """Outages until the time is over; how often each came about."""
    done, until = collections.Counter(), time.monotonic() + given.minutes * 60
    for outage in outages.plan(seed, given.only):
        time.sleep(outage.pause)
        if time.monotonic() > until:
            break
        if place.server.poll() is not None:
            raise SystemExit("soak: the server has ended by itself: %s" % place.server.returncode)
        print("soak: %s, %.0f s" % (outage.kind, outage.seconds), file=sys.stderr)
        outages.perform(place, stores, outage)
        done[outage.kind] += 1
    stop.set()
    return done


def table(done, ledger, checker, reader):
    states = collections.Counter(checker.states.get(job, "lost") for job in ledger.jobs)
    yield "| what | how often |"
    yield "|---|---|"
    for kind in outages.KINDS:
        if done[kind]:
            yield "| %s | %d |" % (kind, done[kind])
    yield "| jobs acknowledged | %s |" % "{:,}".format(len(ledger.jobs))
    for state in ("FINISHED", "KILLED", "ERROR"):
        yield "| … of them %s at the end | %s |" % (state, "{:,}".format(states[state]))
    for error, count in checker.errors.most_common(10):
        yield "| … … because: %s | %d |" % (error.replace("|", "/"), count)
    yield "| uploads acknowledged | %d |" % (len(ledger.binaries) + len(ledger.files))
    yield "| requests without an answer, refused | %d, %d |" % (ledger.unanswered, ledger.refused)
    yield "| repetitions with an Idempotency-Key, until answered | %d |" % ledger.repeated
    yield "| callbacks that had to come, and came | %s |" % "{:,}".format(checker.callbacks)
    yield "| reads answered; with an age; the largest, in seconds | %d; %d; %d |" % (reader.answered, reader.aged, reader.oldest)
    for other, count in reader.others.items():
        yield "| … of them %s | %d |" % (other, count)
    yield "| acknowledged and lost, done twice, changed afterwards, or left behind | %d |" % len(checker.faults)


def run(given, seed, directory):
    stores = Stores(directory)
    place = Place(os.path.abspath(given.program), directory, stores.settings())
    ledger, stop = Ledger(), threading.Event()
    listener, reader, checker = Listener(ledger), Reader(place, stop), Checker(place, ledger, stores)
    clients = [Client(number, place, ledger, listener, seed, stop) for number in range(given.clients)]
    try:
        prepare(place, clients)
        for thread in clients + [reader]:
            thread.start()
        done = strike(given, seed, place, stores, stop)
        for thread in clients + [reader]:
            thread.join()
        for client in clients:
            if client.failure:
                raise client.failure
        checker.run()
    finally:
        stop.set()
        kills.send([pid for pid in place.processes()], signal.SIGKILL)
        listener.close()
        stores.stop()
    return list(table(done, ledger, checker, reader)), checker.faults


def main(given):
    """What to exit with."""
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(10**6)
    directory = tempfile.mkdtemp(prefix="doyen-soak.")
    print("soak: seed %d, in %s" % (seed, directory), file=sys.stderr)
    lines, faults = run(given, seed, directory)
    lines += ["", "`scripts/soak stores --minutes %g --seed %d`." % (given.minutes, seed)]
    print("\n".join(lines))
    if faults:
        return "soak: %d faults, see %s:\n%s" % (len(faults), directory, "\n".join(faults[:50]))
    if given.write:
        document.write("outages", lines)
    shutil.rmtree(directory)
    return 0
