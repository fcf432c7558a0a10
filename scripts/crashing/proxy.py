"""A TCP proxy that does what networks do."""
import socket
import threading
import time

FAIR, CUT, SILENT, ANSWERS_LOST, SLOW = "fair", "cut", "silent", "answers lost", "slow"
# Of each piece of an answer, in SLOW.
SECONDS = 10


class Proxy:
    def __init__(self, target):
        self._target, self._weather, self._pairs = target, FAIR, []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def set(self, weather):
        """Connections over which something went missing end with their weather."""
        torn, self._weather = self._weather != FAIR, weather
        if torn or weather == CUT:
            pairs, self._pairs = self._pairs, []
            for one in (one for pair in pairs for one in pair):
                self._end(one)

    def _end(self, one):
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def _accept(self):
        while True:
            client, _ = self._listener.accept()
            try:
                if self._weather == CUT:
                    raise OSError("cut")
                server = socket.create_connection(self._target)
            except OSError:
                client.close()
                continue
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._pairs = self._pairs[-1000:] + [(client, server)]
            for way in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pump, args=way, daemon=True).start()

    def _pump(self, source, target, is_answer):
        try:
            while True:
                piece = source.recv(65536)
                if not piece:
                    break
                if self._weather == SILENT or is_answer and self._weather == ANSWERS_LOST:
                    continue
                if is_answer and self._weather == SLOW:
                    time.sleep(SECONDS)
                target.sendall(piece)
        except OSError:
            pass
        self._end(source)
        self._end(target)
