"""HTTP and HTTPS in threads of this process: cheroot, arranged so that a silent connection keeps nobody waiting.

As it comes, cheroot gives a new connection to a worker at once, and the worker then waits for the first byte. A browser
opens connections ahead of need and says nothing on them: four of those hold all four workers of a terminal for ten
seconds, and its screen stands still. Here a connection goes to a worker when there is something to read. It also
shakes hands in the one thread that accepts; here that happens in the worker too.
"""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

from cheroot import wsgi
from cheroot.connections import ConnectionManager
from cheroot.server import HTTPConnection
from cheroot.ssl.builtin import BuiltinSSLAdapter
from flask import Flask

TIMEOUT_S = 10  # for a handshake, a request, an idle connection
STOP_S_MAX = 1
HEADER_BYTES_MAX = 16 * 1024
BACKLOG = 128  # browsers that all come back at once


class Server(wsgi.Server):
    """`prepare()`, then `serve()` in a thread, then `stop()`."""

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
