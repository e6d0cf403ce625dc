"""HTTPS in threads of this process: cheroot, with the handshake where it blocks nobody.

cheroot shakes hands in the one thread that accepts, so a single silent connection would keep every board and every
browser waiting for its timeout. Here the handshake happens in the worker that reads the first request.
"""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

from cheroot import wsgi
from cheroot.ssl.builtin import BuiltinSSLAdapter
from flask import Flask

TIMEOUT_S = 10  # for a handshake, a request, an idle connection
STOP_S_MAX = 1


class _LaterHandshake(BuiltinSSLAdapter):
    def wrap(self, sock: socket.socket) -> tuple[ssl.SSLSocket, dict[str, str]]:
        context = self.context
        assert isinstance(context, ssl.SSLContext)
        wrapped = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return wrapped, {"wsgi.url_scheme": "https", "HTTPS": "on"}


def https_server(
    host: str, port: int, app: Flask, certificate: Path, key: Path, *, threads: int, body_bytes_max: int
) -> wsgi.Server:
    """`app` behind TLS 1.3 on `host`:`port`, not started yet: `prepare()`, then `serve()` in a thread, then `stop()`."""
    server = wsgi.Server(
        (host, port), app, numthreads=threads, timeout=TIMEOUT_S, shutdown_timeout=STOP_S_MAX, server_name="tandem"
    )
    adapter = _LaterHandshake(str(certificate), str(key))
    context = adapter.context
    assert isinstance(context, ssl.SSLContext)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    server.ssl_adapter = adapter
    server.max_request_body_size = body_bytes_max
    server.max_request_header_size = 16 * 1024
    return server
