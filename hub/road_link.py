"""Questions to the road engine over connections that stay open, each answered or given up at a fixed moment.

A timeout of a socket counts anew with every byte, so that an engine that trickles would hold a caller for ever; here the
moment counts. After a sign that the engine is down, one caller at a time finds out whether it is back and the others are
refused at once: a dispatcher's list never waits twice for the same trouble.
"""

from __future__ import annotations

import io
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse, IncompleteRead

from msgspec import Struct

from hub.engine import Endpoint
from hub.rank import RoadsDown as RoadsDown

OPEN_MAX = 8  # connections of one call, and kept ones alike: the engine works on fewer at a time
ANSWER_BYTES_MAX = 16 << 20  # a way across a state, with all its turns, has 2 MB
PATIENT_S = 0.1  # an answer that was not there within less is no sign that the engine is down
PAUSE_S = 0.5  # after a sign of it, nobody but one asks again before


class Answer(Struct, frozen=True, kw_only=True):
    """What the engine answered."""

    status: int
    body: bytes

    @property
    def is_good(self) -> bool:
        """Whether it is what was asked for."""
        return self.status == HTTPStatus.OK


class RoadLink:
    """The way to the engine that `where` names, None while there is none. Any thread may ask."""

    def __init__(self, where: Callable[[], Endpoint | None], monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self.where, self._now_s = where, monotonic_s
        self._lock = threading.Lock()
        self._idle: list[_Connection] = []
        self._ask_again_s: float | None = None  # None while the engine is believed to be well

    @contextmanager
    def asking(self, wait_s: float) -> Iterator[Call]:
        """Questions that belong together and are answered within `wait_s`; RoadsDown when they are not."""
        began_s = self._now_s()
        endpoint = self.where()
        if endpoint is None:
            raise RoadsDown("The road engine does not run.")
        self._refuse_while_paused(began_s)
        call = Call(self, endpoint, began_s + wait_s, self._now_s)
        try:
            yield call
            self._is_well()
        except RoadsDown:
            self._is_well()  # an answer that does not help is one
            raise
        except TimeoutError:
            if wait_s >= PATIENT_S:
                self._pause()
            raise RoadsDown("The road engine did not answer in time.") from None
        except (OSError, HTTPException):
            self._pause()
            raise RoadsDown("The road engine cannot be reached.") from None
        finally:
            call.close()

    def take(self, port: int) -> _Connection | None:
        """A connection to `port` that was kept; None when there is none."""
        with self._lock:
            while self._idle:
                kept = self._idle.pop()
                if kept.port == port:
                    return kept
                kept.close()  # to the engine of before
        return None

    def keep(self, connection: _Connection) -> None:
        """Keep a connection whose answer was read to its end."""
        with self._lock:
            if len(self._idle) < OPEN_MAX:
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Let go of what was kept."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()

    def _refuse_while_paused(self, now_s: float) -> None:
        with self._lock:
            if self._ask_again_s is None:
                return
            if now_s < self._ask_again_s:
                raise RoadsDown("The road engine did not answer a moment ago.")
            self._ask_again_s = now_s + PAUSE_S  # the others wait for what this one finds

    def _pause(self) -> None:
        with self._lock:
            self._ask_again_s = self._now_s() + PAUSE_S

    def _is_well(self) -> None:
        with self._lock:
            self._ask_again_s = None


class Call:
    """One caller's questions, until one moment. OSError and HTTPException come out of it as they are."""

    def __init__(self, link: RoadLink, endpoint: Endpoint, deadline_s: float, monotonic_s: Callable[[], float]) -> None:
        self.graph = endpoint.graph
        self._link, self._port = link, endpoint.port
        self._left_s = lambda: deadline_s - monotonic_s()
        self._open: deque[tuple[_Connection, bytes]] = deque()

    def ask(self, action: str, body: bytes) -> Answer:
        """The answer to one question."""
        return self.ask_all(action, [body])[0]

    def ask_all(self, action: str, bodies: Sequence[bytes]) -> list[Answer]:
        """The answers in the order of the questions, which the engine works on side by side."""
        answers: list[Answer] = []
        for body in bodies:
            if len(self._open) == OPEN_MAX:
                answers.append(self._read())
            self._send(_post(action, self._port, body))
        while self._open:
            answers.append(self._read())
        return answers

    def close(self) -> None:
        """Break off what was not answered; the engine stops working on it."""
        while self._open:
            self._open.popleft()[0].close()

    def _send(self, request: bytes) -> None:
        kept = self._link.take(self._port)
        if kept is None:
            self._send_anew(request)
            return
        self._open.append((kept, request))
        try:
            kept.send(request, self._left_s)
        except ConnectionError:  # it closed what nobody used
            self._open.pop()
            kept.close()
            self._send_anew(request)

    def _send_anew(self, request: bytes) -> None:
        fresh = _Connection(self._port, self._left_s)
        self._open.append((fresh, request))
        fresh.send(request, self._left_s)

    def _read(self) -> Answer:
        connection, request = self._open[0]
        try:
            answer = connection.read(self._left_s)
        except ConnectionError:
            self._open.popleft()
            connection.close()
            if connection.answered == 0:
                raise
            self._send_anew(request)
            self._open.rotate(1)
            return self._read()
        self._open.popleft()
        if connection.is_reusable:
            self._link.keep(connection)
        else:
            connection.close()
        return answer


class _Connection:
    """A connection to the engine. `answered` counts what came over it: a first answer that fails is not the cold line."""

    def __init__(self, port: int, left_s: Callable[[], float]) -> None:
        self.port = port
        self.answered = 0
        self.is_reusable = False
        self._socket = socket.create_connection(("127.0.0.1", port), _positive(left_s()))

    def send(self, request: bytes, left_s: Callable[[], float]) -> None:
        self._socket.settimeout(_positive(left_s()))
        self._socket.sendall(request)

    def read(self, left_s: Callable[[], float]) -> Answer:
        response = HTTPResponse(_Source(self._socket, left_s), method="POST")  # type: ignore[arg-type]  # asks it for a file only
        try:
            response.begin()
            body = response.read(ANSWER_BYTES_MAX)
            if response.length:
                raise IncompleteRead(b"", response.length)
            self.is_reusable = response.length == 0 and not response.will_close
            self.answered += 1
            return Answer(status=response.status, body=body)
        finally:
            response.close()

    def close(self) -> None:
        self._socket.close()


class _Source(io.RawIOBase):
    """The bytes of a socket until a moment, however they come."""

    def __init__(self, source: socket.socket, left_s: Callable[[], float]) -> None:
        self._source, self._left_s = source, left_s

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # a BufferedReader gives nothing else
        self._source.settimeout(_positive(self._left_s()))
        return self._source.recv_into(buffer)


def _post(action: str, port: int, body: bytes) -> bytes:
    head = f"POST /{action} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _positive(left_s: float) -> float:
    if left_s <= 0:
        raise TimeoutError
    return left_s
