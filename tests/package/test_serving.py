"""The server under all pages: connections that say nothing hold no worker. In TLS: test_enrollment_end_to_end."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from threading import Thread

import pytest
from flask import Flask

from serving import server as serving
from serving.server import Server, http_server
from tests.patience import PATIENCE_S

THREADS = 4


def a_page() -> Flask:
    app = Flask("a page")
    app.add_url_rule("/", view_func=lambda: "well")
    return app


@contextmanager
def running(server: Server) -> Iterator[int]:
    server.prepare()
    thread = Thread(target=server.serve, daemon=True)
    thread.start()
    yield int(server.bind_addr[1])
    server.stop()
    thread.join(10)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker would wait five minutes for a silent connection, far longer than anybody here waits for the server."""
    monkeypatch.setattr(serving, "TIMEOUT_S", 300)


def silent(stack: ExitStack, port: int, count: int) -> None:
    for _ in range(count):
        stack.enter_context(socket.create_connection(("127.0.0.1", port)))


def test_connections_that_say_nothing_hold_no_worker() -> None:
    with ExitStack() as stack:
        port = stack.enter_context(running(http_server("127.0.0.1", 0, a_page(), threads=THREADS, body_bytes_max=99)))
        silent(stack, port, THREADS + 1)
        asking = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        stack.callback(asking.close)
        for _ in range(3):  # the same connection again and again, as a browser does
            asking.request("GET", "/")
            assert asking.getresponse().read() == b"well"
