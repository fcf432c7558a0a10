"""The event loop of the driver main: descriptors, timers, and helper threads that post back into it."""
import queue
import select
import socket
import time
from concurrent.futures import ThreadPoolExecutor


class Loop:
    """One thread calls `turn` again and again; only `post` may be called from other threads."""

    def __init__(self):
        self.epoll = select.epoll()
        self._handlers = {}
        self._timers = []
        self._posted = queue.SimpleQueue()
        self._waker, self._wake = socket.socketpair()
        self._wake.setblocking(False)
        self.watch(self._waker.fileno(), self._on_posted)

    def watch(self, descriptor, handler, register=True):
        """Call `handler(events)` when there is something to read. A `Channel` registers itself with epoll."""
        self._handlers[descriptor] = handler
        if register:
            self.epoll.register(descriptor, select.EPOLLIN)

    def forget(self, descriptor, unregister=False):
        """Watch a descriptor no more."""
        self._handlers.pop(descriptor, None)
        if unregister:
            self.epoll.unregister(descriptor)

    def turn(self, pause):
        """Wait for events, for `pause` seconds at most (None: until something happens), and handle them."""
        if self._timers:
            until = max(0.0, self._timers[0][0] - time.monotonic())
            pause = until if pause is None else min(pause, until)
        for descriptor, events in self.epoll.poll(pause):
            handler = self._handlers.get(descriptor)
            if handler is not None:
                handler(events)
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            self._timers.pop(0)[1]()
        return now

    def after(self, seconds, action):
        """Call `action` once, in so many seconds."""
        self._timers.append((time.monotonic() + seconds, action))
        self._timers.sort(key=lambda timer: timer[0])

    def post(self, action):
        """Have the loop call `action`; from any thread."""
        self._posted.put(action)
        try:
            self._wake.send(b"!")
        except BlockingIOError:
            pass  # it is full of wakes already

    def help(self, helper, work, then=None):
        """Do `work` in a helper thread, then call `then(result, error)` in the loop."""

        def task():
            result = error = None
            try:
                result = work()
            except BaseException as problem:
                error = problem
            if then is not None:
                self.post(lambda: then(result, error))

        helper.submit(task)

    @staticmethod
    def helpers(count):
        """Threads for what could block."""
        return ThreadPoolExecutor(count)

    def _on_posted(self, _events):
        self._waker.recv(4096)
        while not self._posted.empty():
            self._posted.get()()
