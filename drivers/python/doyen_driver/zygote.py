"""The zygote: a process with one thread and everything imported, which forks workers in a few milliseconds.

The driver main starts it (`python3 -m doyen_driver.zygote <socket> <shared memory> <kind>`). Each packet on its socket asks
for one worker and brings the worker's end of a socket; the zygote answers with how workers ended: `{"exited": [number, status]}`.
"""
import array
import faulthandler
import gc
import importlib
import json
import mmap
import os
import select
import signal
import socket
import sys

from .processes import die_with_parent
from .worker import Worker

# What jobs commonly use: imported once, shared by all workers.
_PREIMPORTS = {
    "python": (
        "collections", "csv", "datetime", "decimal", "functools", "hashlib", "itertools", "logging", "math", "random",
        "re", "subprocess", "tempfile", "time", "urllib.request", "uuid",
    ),
    "pyspark": ("logging", "pyspark", "pyspark.sql", "pyspark.sql.functions", "doyen_driver.spark_worker"),
}


def main():
    parent = os.getppid()
    control = socket.socket(fileno=int(sys.argv[1]))
    die_with_parent(parent)
    accepted = mmap.mmap(int(sys.argv[2]), 0)
    os.close(int(sys.argv[2]))
    for name in _PREIMPORTS[sys.argv[3]]:
        importlib.import_module(name)
    sys.path[:] = [path for path in sys.path if path not in ("", os.getcwd())]
    gc.collect()
    gc.freeze()  # so that collections do not touch, and thereby copy, what is shared
    channel, slot = _serve(control)
    if channel is not None:
        _work(Worker(channel, accepted, slot))
        channel.close()


def _serve(control):
    """Fork workers until main is gone. Gives (None, None) then; in a new worker it gives its socket and its slot."""
    waker, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    numbers = {}
    zygote = os.getpid()
    while True:
        ready, _, _ = select.select([control, waker], [], [])
        if waker in ready:
            os.read(waker, 4096)
            _reap(control, numbers)
        if control in ready:
            message, descriptor = _receive(control)
            if message is None:
                return None, None
            pid = os.fork()
            if pid == 0:
                _become_worker(zygote)
                control.close()
                os.close(waker)
                os.close(wake)
                return socket.socket(fileno=descriptor), message["slot"]
            numbers[pid] = message["fork"]
            os.close(descriptor)


def _receive(control):
    descriptors = array.array("i")
    data, ancillary, _, _ = control.recvmsg(4096, socket.CMSG_SPACE(descriptors.itemsize))
    if not data:
        return None, None
    descriptors.frombytes(ancillary[0][2][: descriptors.itemsize])
    return json.loads(data), descriptors[0]


def _reap(control, numbers):
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if pid in numbers:
            control.send(json.dumps({"exited": [numbers.pop(pid), status]}).encode())


def _become_worker(zygote):
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.setpgid(0, 0)  # so that a cancel finds what the job started
    die_with_parent(zygote)
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()  # else all workers would draw the same numbers


def _work(worker):
    """Be a worker. Afterwards the interpreter ends in the usual way, waiting for threads that a job left."""
    faulthandler.enable()  # a crash in native code leaves its traceback in the job's log
    worker.serve()


if __name__ == "__main__":
    main()
