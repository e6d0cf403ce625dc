"""HTTP and HTTPS in threads of this process: cheroot, arranged so that a silent connection keeps nobody waiting.

As it comes, cheroot gives a new connection to a worker at once, and the worker then waits for the first byte. A browser
opens connections ahead of need and says nothing on them: four of those hold all four workers of a terminal for ten
seconds, and its screen stands still. Here a connection goes to a worker when there is something to read. It also
shakes hands in the one thread that accepts; here that happens in the worker too. And what it refuses before an app hears
of it has the shape in which the apps refuse: a code and one sentence, as JSON.
"""

from __future__ import annotations

import json
import socket
import ssl
from contextlib import suppress
from pathlib import Path

from cheroot import wsgi
from cheroot.connections import ConnectionManager
from cheroot.server import HTTPConnection, HTTPRequest
from cheroot.ssl.builtin import BuiltinSSLAdapter
from flask import Flask

TIMEOUT_S = 10  # for a handshake, a request, an idle connection
STOP_S_MAX = 1
HEADER_BYTES_MAX = 16 * 1024
BACKLOG = 128  # browsers that all come back at once


_SAID = {
    "405": ("not_allowed", "This address is not asked with this method."),
    "413": ("too_large", "That is more than this server takes at once. Send less."),
    "414": ("too_large", "The address is too long. Send less."),
}


class _Request(HTTPRequest):
    def simple_response(self, status: object, msg: str = "") -> None:
        """Called with what is refused before the app hears of it, or cannot be read at all; the connection ends."""
        code, sentence = _SAID.get(
            str(status)[:3], ("malformed", "That is not an HTTP request as this server reads it.")
        )
        if "HTTPS" in msg:
            sentence = "Here HTTPS is spoken and nothing else: write https:// in the address."
        body = json.dumps({"code": code, "message": sentence}).encode()
        head = (
            f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
        )
        self.close_connection = True
        with suppress(OSError):  # whoever asked has gone
            self.conn.wfile.write(head.encode("latin-1") + body)


class _Connection(HTTPConnection):
    RequestHandlerClass = _Request


class Server(wsgi.Server):
    """`prepare()`, then `serve()` in a thread, then `stop()`."""

    ConnectionClass = _Connection
    _connections: ConnectionManager  # cheroot's stubs leave it out

    def process_conn(self, conn: HTTPConnection) -> None:
        """Called with every connection, new or kept alive; one that never said anything waits among the idle ones."""
        if conn.last_used is None:
            self._connections.put(conn)  # comes back here as soon as it can be read, and is closed after TIMEOUT_S
        else:
            super().process_conn(conn)


class _LaterHandshake(BuiltinSSLAdapter):
    def wrap(self, sock: socket.socket) -> tuple[ssl.SSLSocket, dict[str, str]]:
        context = self.context
        assert isinstance(context, ssl.SSLContext)
        wrapped = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return wrapped, {"wsgi.url_scheme": "https", "HTTPS": "on"}


def http_server(host: str, port: int, app: Flask, *, threads: int, body_bytes_max: int) -> Server:
    """`app` on `host`:`port`, in clear: for the loopback, or behind something that speaks TLS. Not started yet."""
    server = Server(
        (host, port),
        app,
        numthreads=threads,
        timeout=TIMEOUT_S,
        request_queue_size=BACKLOG,
        shutdown_timeout=STOP_S_MAX,
        server_name="tandem",
    )
    server.max_request_body_size = body_bytes_max
    server.max_request_header_size = HEADER_BYTES_MAX
    return server


def https_server(
    host: str, port: int, app: Flask, certificate: Path, key: Path, *, threads: int, body_bytes_max: int
) -> Server:
    """`app` behind TLS 1.3 on `host`:`port`, not started yet."""
    server = http_server(host, port, app, threads=threads, body_bytes_max=body_bytes_max)
    adapter = _LaterHandshake(str(certificate), str(key))
    context = adapter.context
    assert isinstance(context, ssl.SSLContext)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    server.ssl_adapter = adapter
    return server
