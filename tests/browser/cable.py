"""A network cable between a client and a server that a test can pull out, put back, or let swallow what it is given."""

from __future__ import annotations

import socket
from contextlib import suppress
from threading import Lock, Thread

CHUNK_BYTES = 65536


class Cable:
    """Forwards TCP from `port` to `to_port` on the loopback, until it is pulled."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._lock = Lock()
        self._open: list[socket.socket] = []
        self._deaf: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def pull(self) -> None:
        """Every connection breaks, and new ones are refused: also how it ends."""
        # a socket that a thread still waits on keeps its port until it is shut down
        self._end(self._listener)
        with self._lock:
            broken, self._open = self._open, []
        for one in broken:
            self._end(one)

    def swallow(self) -> None:
        """What is said on the connections of now goes nowhere, and neither end hears of it. New ones go through."""
        with self._lock:
            self._deaf |= set(self._open)

    def put_back(self) -> None:
        """New connections go through again."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._to_port))
                except OSError:  # nobody at the far end yet: the near one hears so, and may call again
                    self._end(near)
                    continue
                with self._lock:
                    self._open += [near, far]
                Thread(target=self._pump, args=(near, far), daemon=True).start()
                Thread(target=self._pump, args=(far, near), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while chunk := source.recv(CHUNK_BYTES):
                if source not in self._deaf:
                    sink.sendall(chunk)
        if source not in self._deaf:
            self._end(sink)
        self._end(source)

    def _end(self, one: socket.socket) -> None:
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
