"""As many light viewers as are wanted in one process: they read what a server pushes, and when each number came.

A viewer is a socket. It looks for the longitudes in what comes, which are numbers here (see `bench.pushed`), and keeps
the moment at which the bytes were there; it decodes and draws nothing. So two hundred of them cost less than what they
watch. `sse`: the hub's own stream, as a page opens it. `ws`: MQTT through a WebSocket, as Mosquitto offers it.

Run by `bench.hub_consoles`: `python -m bench.viewers KIND PORT COUNT COOKIE FILE`; says "ready" when all are connected, and
writes FILE when it is told to end.
"""

from __future__ import annotations

import base64
import os
import selectors
import socket
import sys
import time
from array import array
from collections.abc import Callable
from pathlib import Path

from bench import packets
from bench.pushed import LONGITUDE, number_of

READ_BYTES = 1 << 18
CARRIED_BYTES = 40  # of a longitude that was cut in two
LOOK_S = 0.05
AGAIN_S = 2.0
ALL_IN_S_MAX = 60.0


class Viewer:
    """One of them."""

    def __init__(self, number: int, connection: socket.socket) -> None:
        self.number = number
        self.socket = connection
        self.carried = b""


def main(kind: str, port: int, count: int, cookie: str, file: Path) -> None:
    """Connect, say so, read until a line comes, write."""
    join: Callable[[int, int], socket.socket] = (
        (lambda _number, to: _listening(to, cookie)) if kind == "sse" else _subscribed
    )
    viewers = [Viewer(number, join(number, port)) for number in range(count)]
    came = array("q")
    with selectors.DefaultSelector() as selector:
        for viewer in viewers:
            viewer.socket.setblocking(False)
            selector.register(viewer.socket, selectors.EVENT_READ, viewer)
        selector.register(sys.stdin, selectors.EVENT_READ, None)
        print("ready", flush=True)
        while read(selector, came):
            pass
    file.write_bytes(came.tobytes())
    print("written", flush=True)


def read(selector: selectors.BaseSelector, came: array[int]) -> bool:
    """Take what there is; False when we are told to end."""
    for key, _ in selector.select(LOOK_S):
        viewer = key.data
        if viewer is None:
            return False
        data = viewer.socket.recv(READ_BYTES)
        at_ns = time.monotonic_ns()
        if not data:
            raise ConnectionError(f"viewer {viewer.number} was dropped")
        text = viewer.carried + data
        end = 0
        for found in LONGITUDE.finditer(text):
            came.extend((viewer.number, number_of(found), at_ns))
            end = found.end()
        viewer.carried = text[max(end, len(text) - CARRIED_BYTES) :]
    return True


def _listening(port: int, cookie: str) -> socket.socket:
    """A page's stream, its snapshot read. Who is refused comes again after a while, as a page does: a hub hears that the pages
    of the round before have gone when it next says something to them."""
    ends_s = time.monotonic() + ALL_IN_S_MAX
    while True:
        connection = socket.create_connection(("127.0.0.1", port), ALL_IN_S_MAX)
        connection.sendall(
            f"GET /api/v1/events HTTP/1.1\r\nHost: localhost:{port}\r\nAccept: text/event-stream\r\n"
            f"Cookie: {cookie}\r\n\r\n".encode()
        )
        said = b""
        while b"event: snapshot" not in said and (more := connection.recv(READ_BYTES)):
            said += more
        if b"event: snapshot" in said:
            return connection
        connection.close()
        if b" 503 " not in said[:20] or time.monotonic() > ends_s:
            raise ConnectionError(said[:200].decode(errors="replace"))
        time.sleep(AGAIN_S)


def _subscribed(number: int, port: int) -> socket.socket:
    """An MQTT subscription through a WebSocket."""
    connection = socket.create_connection(("127.0.0.1", port), ALL_IN_S_MAX)
    key = base64.b64encode(os.urandom(16)).decode()
    connection.sendall(
        f"GET /mqtt HTTP/1.1\r\nHost: localhost:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n".encode()
    )
    _expect(connection, b"\r\n\r\n")
    connection.sendall(_frame(packets.connect(f"viewer-{number}", 0, 0, None)))
    _expect(connection, b"\x20")
    connection.sendall(_frame(packets.subscribe(("units/#",), 1)))
    _expect(connection, b"\x90")
    return connection


def _expect(connection: socket.socket, what: bytes) -> None:
    said = b""
    while what not in said:
        more = connection.recv(READ_BYTES)
        if not more:
            raise ConnectionError("the broker's WebSocket hung up")
        said += more


def _frame(data: bytes) -> bytes:
    """A binary WebSocket frame of a client; the mask is zero, for nobody stands between."""
    assert len(data) < 126
    return bytes((0x82, 0x80 | len(data), 0, 0, 0, 0)) + data


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], Path(sys.argv[5]))
