"""What listens: nothing of ours beyond this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.site import Site

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("site")]

LISTENING = "0A"  # the state column of /proc/net/tcp
LOOPBACK = {"0100007F", "00000000000000000000000001000000"}  # 127.0.0.1 and ::1 as the kernel writes them


def test_no_port_is_open_beyond_loopback(site: Site) -> None:
    sockets = _sockets_of(str(site.home))
    listening = {
        (address, int(port, 16))
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for address, port, state, inode in _rows(table)
        if state == LISTENING and inode in sockets
    }
    assert len(listening) >= 6, "console, device API, broker and three screens were to be found"
    assert {address for address, _ in listening} <= LOOPBACK


def _rows(table: str) -> list[tuple[str, str, str, str]]:
    rows = [line.split() for line in Path(table).read_text().splitlines()[1:]]
    return [(*row[1].split(":"), row[3], row[9]) for row in rows]


def _sockets_of(home: str) -> set[str]:
    """Inodes of the sockets that processes of this agency hold."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if home not in (process / "cmdline").read_text():
                continue
            links = [str(fd.readlink()) for fd in (process / "fd").iterdir()]
        except OSError:
            continue
        found |= {link[8:-1] for link in links if link.startswith("socket:[")}
    return found
