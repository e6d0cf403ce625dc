"""A terminal whose system clock is wrong, as a process against a real broker: it connects, and says when it knew better."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge import clock_floor
from edge.clock import WALL_FLOOR_MS
from tests.shifted_clock import ShiftedClock
from tests.system.edge_site import ROOT, Broker, Hub, Receiver, Terminal, until
from tests.terminal_fleet import TerminalFleet
from wire.codec import decode
from wire.facts import ClockCorrected
from wire.records import Kind, Record

pytestmark = pytest.mark.system

DAY_S = 86400
TO_1970_S = -int(time.time()) + 60


class Site:
    """A broker, a hub, and a terminal whose clock a test sets."""

    def __init__(self, home: Path, shift_s: int = TO_1970_S) -> None:
        self.fleet = TerminalFleet()
        self.broker = Broker(home / "broker", self.fleet)
        self.receiver = Receiver()
        self.clock = ShiftedClock(home, shift_s)
        self.terminal = Terminal(
            home / "terminal", self.fleet, self.broker.port, self.receiver.path, self.clock.environment
        )
        self.hub: Hub | None = None

    def start(self) -> Hub:
        self.broker.start()
        self.hub = Hub(self.broker, self.fleet, self.terminal.who.key.public_key())
        self.hub.say_here(True)
        self.terminal.start()
        return self.hub

    def drive(self) -> None:
        """Three seconds of satellite time: enough to believe a date."""
        for second in range(4):
            self.receiver.say(39.96 + second / 1000, second)
            time.sleep(0.05)

    def is_up(self) -> bool:
        return self.terminal.link()["link"] == "up"

    def why(self) -> str:
        return next((str(line) for line in self.log() if "link_down" in line), "")

    def log(self) -> list[str]:
        return (self.terminal.home / "log").read_text().splitlines()

    def corrections(self) -> list[tuple[Record, ClockCorrected]]:
        assert self.hub is not None
        every = [record for records in self.hub.records.values() for record in records]
        return [(one, decode(one.body, ClockCorrected)) for one in every if one.kind == Kind.CLOCK_CORRECTED]

    def close(self) -> None:
        self.terminal.kill()
        if self.hub is not None:
            self.hub.stop()
        self.broker.kill()
        self.receiver.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


def test_a_board_in_1970_connects_and_says_what_time_it_was_when_satellites_tell(
    site: Site, report: Callable[[object], None]
) -> None:
    began_s = time.monotonic()
    hub = site.start()
    until("the link", site.is_up)
    up_s = time.monotonic() - began_s
    clock = site.terminal.state()["health"]["clock"]
    assert isinstance(clock, dict)
    assert clock["is_below_floor"]
    assert (clock["quality"], clock["gps"], clock["off_s"]) == ("none", "none", None)
    site.drive()
    ((record, fact),) = until("the correction", site.corrections)
    assert (record.stamp.wall_ms, record.stamp.quality) == (None, "none")
    assert fact.boot == record.stamp.boot
    assert fact.quality == "gps"
    assert datetime.fromtimestamp(fact.wall_before_ms / 1000, UTC).year == 1970
    noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
    assert abs(fact.wall_after_ms / 1000 - noon.timestamp()) < 60
    report(f"a board in 1970: link up {up_s:.1f} s after its start, corrected by {_days(fact):.1f} days")
    assert hub.births.qsize() >= 1


def test_a_clock_that_is_set_while_it_runs_is_told_and_moves_nothing(site: Site) -> None:
    site.start()
    until("the link", site.is_up)
    before = site.terminal.state()["health"]["clock"]
    site.clock.set(0)
    ((_, fact),) = until("the correction", site.corrections)
    assert isinstance(before, dict)
    assert abs(fact.wall_after_ms / 1000 - time.time()) < 30
    assert abs(fact.wall_after_ms - fact.wall_before_ms + TO_1970_S * 1000) < 5000
    assert site.is_up()


def test_a_certificate_that_had_ended_before_the_floor_is_refused_in_1970(site: Site) -> None:
    clock_floor.keep(site.terminal.home, int(time.time() * 1000))
    site.broker.issue(site.fleet, "broker", ended=timedelta(hours=1))
    site.broker.start()
    site.terminal.start()
    why = until("a refusal", site.why)
    assert "certificate has expired" in why


def test_another_agencys_broker_is_refused_in_1970(site: Site) -> None:
    other = TerminalFleet()
    site.broker.issue(other, "broker")
    site.broker.start()
    site.terminal.start()
    why = until("a refusal", site.why)
    assert "is not this agency" in why


def test_a_broker_of_another_name_is_refused_in_1970(site: Site) -> None:
    site.terminal.rename_broker("127.0.0.1")
    site.broker.start()
    site.terminal.start()
    why = until("a refusal", site.why)
    assert "is not this agency" in why


@pytest.mark.parametrize("off_s", [6 * 3600, -2 * 3600])
def test_a_clock_that_is_hours_off_connects(tmp_path: Path, off_s: int) -> None:
    site = Site(tmp_path, off_s)
    try:
        site.start()
        until("the link", site.is_up)
    finally:
        site.close()


def test_the_clock_is_set_on_to_its_floor_or_says_that_it_may_not_be(site: Site) -> None:
    command = [sys.executable, "-c", "from edge.main import cli; cli()", "clock-floor", "--home", site.terminal.home]
    # Without CAP_SYS_TIME, so that no test ever sets the clock of the machine it runs on.
    said = subprocess.run(
        ["setpriv", "--bounding-set=-sys_time", "--inh-caps=-sys_time", *command],
        cwd=ROOT,
        env=site.terminal.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 1, said.stderr
    assert said.stderr.startswith("The clock is below its floor and cannot be set (Operation not permitted)")
    site.clock.set(0)
    said = subprocess.run(command, cwd=ROOT, env=site.terminal.environment, capture_output=True, text=True, check=True)
    assert said.stdout.startswith("The clock is not below its floor, ")


def test_chrony_is_offered_the_time_of_each_dated_fix(site: Site) -> None:
    path = site.terminal.home / "gps.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as chronyd:
        chronyd.bind(str(path))
        chronyd.settimeout(20)
        with (site.terminal.home / "terminal.toml").open("a") as settings:
            settings.write(f'[time]\nchrony_socket = "{path}"\n')
        site.clock.set(0)
        site.terminal.start()
        site.drive()
        sample = chronyd.recv(100)
    seconds, _, offset_s, *_, magic = struct.unpack("@qqdiiii", sample)
    noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
    assert (len(sample), magic) == (40, 0x534F434B)
    assert abs(seconds + offset_s - noon.timestamp()) < 60


def _days(fact: ClockCorrected) -> float:
    assert fact.wall_after_ms > WALL_FLOOR_MS
    return (fact.wall_after_ms - fact.wall_before_ms) / 1000 / DAY_S
