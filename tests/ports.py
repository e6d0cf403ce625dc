"""Ports for servers that tests start: below the kernel's own range, so that no outgoing connection takes one meanwhile."""

from __future__ import annotations

import secrets
import socket

FIRST, LAST = 10_000, 30_000


def free_ports(count: int) -> list[int]:
    """Different ports that nobody listens at; drawn by chance, so that tests side by side hardly draw the same."""
    free: list[int] = []
    while len(free) < count:
        port = FIRST + secrets.randbelow(LAST - FIRST)
        if port not in free and _is_free(port):
            free.append(port)
    return free


def free_port() -> int:
    """One of them."""
    return free_ports(1)[0]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
