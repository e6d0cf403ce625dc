"""The distribution's own chronyd, steering nothing, on sockets of its own: it reaches the time that we offer."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from firmware_bridge.chrony import SockRefclock, fed
from firmware_bridge.readings import FixRead
from tests.debian_tools import debian_tool
from tests.patience import PATIENCE_S
from tests.system.edge_site import until
from wire.fix import Fix

pytestmark = pytest.mark.system

LATE_S = 0.25  # how late our pretended system clock is


class Chronyd:
    """chronyd -x: it measures and never touches the clock; nothing of it listens on the network."""

    def __init__(self, home: Path) -> None:
        self.sample_socket = home / "gps.sock"
        self._command_socket = home / "chronyd.sock"
        self._config = home / "chrony.conf"
        self._config.write_text(
            f"refclock SOCK {self.sample_socket} refid GPS poll 0 filter 4 precision 1e-1\n"
            f"bindcmdaddress {self._command_socket}\ncmdport 0\nport 0\npidfile {home}/pid\n"
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        user = ["-u", "root"] if os.geteuid() == 0 else []
        command = [debian_tool("chronyd"), "-x", "-n", "-F", "0", "-f", str(self._config), *user]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as child:
            try:
                until(
                    "chronyd", lambda: (self.sample_socket.exists() and self._command_socket.exists()) or child.poll()
                )
                assert child.poll() is None, child.stderr and child.stderr.read()
                yield
            finally:
                child.terminate()
                child.wait(10)

    def source(self) -> list[str]:
        """What `chronyc sources` says of us: mark and state, name, stratum, poll, reach, …"""
        said = subprocess.run(
            [debian_tool("chronyc"), "-h", str(self._command_socket), "-c", "sources"],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        return said.stdout.strip().split(",")


def now_read() -> FixRead:
    at = datetime.fromtimestamp(time.time() + LATE_S, UTC)
    return FixRead(fix=Fix(lat=39.96, lon=-83.0, at=at), read_mono_s=time.monotonic())


def test_chronyd_reaches_our_time_and_measures_what_we_said(tmp_path: Path, report: Callable[[object], None]) -> None:
    chronyd, refclock = Chronyd(tmp_path), SockRefclock(tmp_path / "gps.sock")
    with chronyd.running():
        mode = oct(chronyd.sample_socket.stat().st_mode & 0o777)

        def reach() -> list[str] | None:
            assert refclock.offer(now_read())
            time.sleep(0.2)
            said = chronyd.source()
            return said if len(said) > 5 and int(said[5]) > 0 else None

        said = until("chronyd to reach us", reach, 30)
        refclock.close()
    offset_s = float(said[7])
    report(
        f"chronyd: source {said[0]}{said[1]} {said[2]}, reach {said[5]}, measured offset {offset_s:+.3f} s of {LATE_S} s; socket mode {mode}"
    )
    assert (said[0], said[2]) == ("#", "GPS")
    assert abs(offset_s + LATE_S) < 0.05, "chrony calls a late clock negative"


def test_without_chronyd_nothing_happens_and_when_it_comes_it_is_served(tmp_path: Path) -> None:
    chronyd = Chronyd(tmp_path)
    refclock = SockRefclock(chronyd.sample_socket)
    assert not refclock.offer(now_read())
    with chronyd.running():
        assert refclock.offer(now_read())
    assert list(fed([now_read()], refclock))


def test_a_fix_without_a_date_offers_nothing(tmp_path: Path) -> None:
    refclock = SockRefclock(tmp_path / "gps.sock")
    assert not refclock.offer(FixRead(fix=Fix(lat=39.96, lon=-83.0), read_mono_s=time.monotonic()))
    refclock.close()
