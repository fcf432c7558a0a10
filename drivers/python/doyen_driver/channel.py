"""A stream socket in the event loop of main: lines in, bytes out, never blocking."""
import select

READ_BYTES = 1 << 18
_READ = select.EPOLLIN | select.EPOLLRDHUP


class Channel:
    """Splits what comes into lines, and keeps what cannot be sent yet.

    `on_lines(lines)` gets the complete lines without their newlines, `on_close()` is called once at end of file or on
    an error. What is written goes out when `flush` is called: once in each turn of the loop.
    """

    def __init__(self, epoll, socket, on_lines, on_close):
        socket.setblocking(False)
        self.descriptor = socket.fileno()
        self.closed = False
        self._epoll = epoll
        self._socket = socket
        self._on_lines = on_lines
        self._on_close = on_close
        self._parts = []
        self._out = []
        self._blocked = False
        epoll.register(self.descriptor, _READ)

    def write(self, data):
        self._out.append(data)

    def flush(self):
        """Send what was written, as far as the other side takes it."""
        if self._blocked or self.closed or not self._out:
            return
        data = memoryview(self._out[0] if len(self._out) == 1 else b"".join(self._out))
        self._out.clear()
        try:
            while data:
                data = data[self._socket.send(data):]
        except BlockingIOError:
            self._out.append(data)
            self._blocked = True
            self._epoll.modify(self.descriptor, _READ | select.EPOLLOUT)
        except OSError:
            self._out.clear()  # the reading side will see the end

    @property
    def pending(self):
        """Whether something could not be sent yet."""
        return bool(self._out) and not self.closed

    def handle(self, events):
        """React to what epoll reported."""
        if events & select.EPOLLOUT:
            self._blocked = False
            self._epoll.modify(self.descriptor, _READ)
            self.flush()
        if events & ~select.EPOLLOUT and not self.closed:
            self.read(once=True)

    def read(self, once=False):
        """Take what has come, all of it unless `once`."""
        while not self.closed:
            try:
                chunk = self._socket.recv(READ_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                chunk = b""
            if not chunk:
                self.close()
                self._on_close()
                return
            self._split(chunk)
            if once:
                return

    def close(self):
        """Close the socket. No callback follows."""
        if not self.closed:
            self.closed = True
            self._epoll.unregister(self.descriptor)
            self._socket.close()

    def _split(self, chunk):
        if b"\n" not in chunk:
            self._parts.append(chunk)
            return
        if self._parts:
            self._parts.append(chunk)
            chunk = b"".join(self._parts)
            self._parts = []
        lines = chunk.split(b"\n")
        rest = lines.pop()
        if rest:
            self._parts.append(rest)
        self._on_lines(lines)
