"""The distribution's own gpsd, fed by its own gpsfake with real receivers' captures, beside our own reader."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from threading import Event, Thread

import pytest

from firmware_bridge.gpsd import Gpsd
from firmware_bridge.gpstime import ROLLOVER
from firmware_bridge.reader import Reader
from firmware_bridge.readings import Condition, FixRead, PortState, Reading
from tests.debian_tools import debian_tool
from tests.ports import free_port
from wire.fix import Fix

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("gpsd")]

LOGS = next((logs for above in Path(__file__).parents if (logs := above / "shared" / "gps-logs").is_dir()), None)
NEAR_DEG = 5e-5
SENTENCE_S = 0.01  # gpsfake's pause after each; gpsd must not see two seconds of the receiver as one
RUN_S_MAX = 90.0

# Receivers of different makers that say NMEA with a date: 1 Hz and faster, moving and parked, with GST and without.
CAPTURES = (
    "neo-m8n",
    "venus634lp",
    *(
        pytest.param(name, marks=pytest.mark.proof)
        for name in ("bu353s4", "gr601-w", "skytraq-fix", "ublox-zed-f9p-nmea")
    ),
)

needs_logs = pytest.mark.skipif(LOGS is None, reason="no shared/gps-logs beside the project: real captures not tried")


@contextmanager
def gpsfake(capture: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """gpsd behind gpsfake, from the capture's first byte to its last."""
    with subprocess.Popen(
        [debian_tool("gpsfake"), "-1", "-q", "-p", "-P", str(port), "-c", str(SENTENCE_S), capture],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as child:
        try:
            yield child
        finally:
            # gpsfake's own way to end can wait forever for a gpsd that has ended: the whole group at once.
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)


@contextmanager
def listening(port: int, heard: list[Reading]) -> Iterator[None]:
    """Our side, writing down in `heard` all it reads."""
    stop = Event()
    thread = Thread(target=lambda: heard.extend(Gpsd(port=port).readings(stop)))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def capture_of(name: str) -> Path:
    assert LOGS is not None
    return LOGS / f"{name}.log"


def of_one_week(at: datetime) -> float:
    """The moment, whatever the week counter made of it."""
    return at.timestamp() % ROLLOVER.total_seconds()


def apart(one: Fix, other: Fix) -> float:
    return max(abs(one.lat - other.lat), abs(one.lon - other.lon))


def dated(fixes: list[Fix]) -> dict[float, Fix]:
    return {of_one_week(fix.at): fix for fix in fixes if fix.at is not None}


@needs_logs
@pytest.mark.parametrize("name", CAPTURES)
def test_gpsd_gives_the_fixes_that_our_own_reader_gives(name: str, report: Callable[[object], None]) -> None:
    capture, port, heard = capture_of(name), free_port(), list[Reading]()
    with gpsfake(capture, port) as fake, listening(port, heard):
        fake.wait(RUN_S_MAX)
    told = [one.fix for one in heard if isinstance(one, FixRead)]
    reader = Reader()
    own = [*reader.feed(capture.read_bytes()), *reader.finish()]
    theirs, ours = dated(told), dated(own)
    common = theirs.keys() & ours.keys()
    apart_deg = [apart(theirs[at], ours[at]) for at in common]
    lone = [fix for fix in told if min(apart(fix, one) for one in own) > NEAR_DEG]
    report(
        f"gpsd on {name}: {len(told)} fixes, {len(theirs)} of them dated, our reader {len(own)}; {len(common)} of one"
        f" moment, at most {max(apart_deg, default=0):.1e} degrees apart; {len(lone)} that no sentence supports"
    )
    assert common == theirs.keys()
    assert len(common) > 0
    assert max(apart_deg) <= NEAR_DEG
    assert not lone


@needs_logs
def test_a_gpsd_that_is_killed_and_started_again_is_heard_again() -> None:
    port, heard = free_port(), list[Reading]()
    with listening(port, heard):
        for _ in range(2):
            with gpsfake(capture_of("venus634lp"), port) as fake:
                fake.wait(RUN_S_MAX)
    conditions = [one.condition for one in heard if isinstance(one, PortState)]
    fixes = [n for n, one in enumerate(heard) if isinstance(one, FixRead)]
    assert conditions.count(Condition.OPENED) == 2
    between = heard[: fixes[-1]]
    assert any(isinstance(one, PortState) and one.condition is Condition.LOST for one in between[fixes[0] :])
