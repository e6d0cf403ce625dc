"""A receiver at a port: opened, read at once, lost, opened again; and which of its dates are believed."""

from __future__ import annotations

import random
import threading
import time
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise
from pathlib import Path

import pynmea2
import pytest

from firmware_bridge.gpstime import ROLLOVER, agree, repaired
from firmware_bridge.readings import Condition, FixRead, PortState, Reading
from firmware_bridge.replay import Moment, PseudoTerminal, moments
from firmware_bridge.serial_port import (
    REOPEN_S_MAX,
    SILENT_S,
    Receiver,
    ReceiverSettings,
    open_port,
    trouble,
)

FLOOR = date(2026, 1, 1)


def rmc(second: int, *, day: str = "140326", status: str = "A") -> bytes:
    body = f"GPRMC,1200{second:02}.00,{status},3957.6700,N,08259.9280,W,12.5,87.4,{day},,,A"
    return f"${body}*{pynmea2.NMEASentence.checksum(body):02X}\r\n".encode()


class FakePort:
    """Keeps pyserial's promises: what is there at once, nothing after a quiet while, OSError when it is gone."""

    def __init__(self, script: list[bytes], clock: FakeClock) -> None:
        self._script = script
        self._clock = clock
        self.is_open = True

    @property
    def in_waiting(self) -> int:
        if not self._script:
            raise OSError(5, "Input/output error")
        return len(self._script[0])

    def read(self, size: int = 1, /) -> bytes:
        data = self._script.pop(0)
        self._clock.now_s += 0.01 if data else 0.3
        return data

    def close(self) -> None:
        self.is_open = False


class FakeClock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def scripted(*script: bytes) -> tuple[Receiver, FakePort]:
    """A receiver whose port says `script`, once, and is missing afterwards."""
    clock = FakeClock()
    fake = FakePort(list(script), clock)
    unopened = [fake]

    def open_fake(port: str, baud: int) -> FakePort:
        if not unopened:
            raise OSError(2, "gone")
        return unopened.pop()

    return Receiver(ReceiverSettings(port="fake", date_floor=FLOOR), open_port=open_fake, mono_s=clock), fake


def until_lost(receiver: Receiver) -> list[Reading]:
    stop = threading.Event()
    seen = []
    for reading in receiver.readings(stop):
        seen.append(reading)
        if isinstance(reading, PortState) and reading.condition is Condition.LOST:
            stop.set()
    return seen


def conditions(readings: list[Reading]) -> list[str]:
    return [reading.condition.value if isinstance(reading, PortState) else "fix" for reading in readings]


@pytest.fixture
def terminal() -> Iterator[PseudoTerminal]:
    made = PseudoTerminal()
    yield made
    made.close()


def test_a_fix_carries_the_time_at_which_its_last_byte_was_read() -> None:
    receiver, _ = scripted(rmc(1), rmc(2)[:20], rmc(2)[20:], rmc(3))
    fixes = [reading for reading in until_lost(receiver) if isinstance(reading, FixRead)]
    assert [round(read.read_mono_s - 100, 2) for read in fixes] == [0.03, 0.03, 0.04]


def test_what_is_kept_back_leaves_when_the_line_falls_silent() -> None:
    receiver, _ = scripted(rmc(1), b"", rmc(2))
    [_, first, second, _] = until_lost(receiver)
    assert isinstance(first, FixRead) and isinstance(second, FixRead)
    assert first.read_mono_s == pytest.approx(100.01)  # when it was read, not when the silence was noticed


def test_a_lost_port_is_closed_and_its_last_fix_is_not_lost() -> None:
    receiver, port = scripted(rmc(1))
    assert conditions(until_lost(receiver)) == ["opened", "fix", "lost"]
    assert not port.is_open


def test_silence_and_no_fix_are_told_apart_and_told_once() -> None:
    silence, blind = [b""] * 15, [rmc(second, status="V") for second in range(40)] + [b""] * 4
    voids = [piece for one in blind for piece in (one, b"")]
    receiver, _ = scripted(*silence, *voids, rmc(50), rmc(51), *silence, rmc(52), *silence)
    seen = conditions(until_lost(receiver))
    assert seen == ["opened", "silent", "no_fix", "fix", "fix", "silent", "fix", "silent", "lost"]


def test_trouble_is_nothing_right_for_three_seconds_or_no_place_for_three_seconds() -> None:
    assert trouble(10.0, 10.0 - SILENT_S, 9.0) is Condition.SILENT
    assert trouble(10.0, 9.9, 10.0 - SILENT_S) is Condition.NO_FIX
    assert trouble(10.0, 9.9, 9.0) is None


def test_a_port_that_is_missing_is_said_once_and_tried_again_within_two_seconds() -> None:
    tried_s: list[float] = []
    stop = threading.Event()

    def open_missing(port: str, baud: int) -> FakePort:
        tried_s.append(time.monotonic())
        if len(tried_s) == 4:
            stop.set()
        raise OSError(2, "there is no such port")

    receiver = Receiver(ReceiverSettings(port="/dev/none"), open_port=open_missing)
    [lost] = receiver.readings(stop)
    assert isinstance(lost, PortState) and lost.why == "there is no such port"
    assert all(after - before <= REOPEN_S_MAX for before, after in pairwise(tried_s))


def test_a_date_is_believed_after_three_that_agree_and_its_rollovers_are_repaired() -> None:
    old = (datetime(2026, 3, 14, tzinfo=UTC) - ROLLOVER).strftime("%d%m%y")
    receiver, _ = scripted(rmc(1, day="060180"), *(rmc(second, day=old) for second in range(2, 6)))
    dates = [reading.fix.at for reading in until_lost(receiver) if isinstance(reading, FixRead)]
    assert dates == [None, None, None, *(datetime(2026, 3, 14, 12, 0, second, tzinfo=UTC) for second in (4, 5))]


def test_rollovers_are_repaired_into_the_years_a_board_can_live_and_nothing_else_is() -> None:
    today = datetime(2026, 3, 14, 12, tzinfo=UTC)
    assert repaired(today, FLOOR) == repaired(today - ROLLOVER, FLOOR) == repaired(today - 2 * ROLLOVER, FLOOR) == today
    assert repaired(datetime(2025, 12, 31, tzinfo=UTC), FLOOR) is None
    assert repaired(today + timedelta(days=16 * 365), FLOOR) is None


def test_dates_agree_when_they_follow_each_other() -> None:
    first = datetime(2026, 3, 14, tzinfo=UTC)
    second, third = first + timedelta(seconds=1), first + timedelta(seconds=2)
    assert agree([first, second, third]) and agree([None, first, second, third])
    assert not agree([first, second]) and not agree([first, None, third]) and not agree([first, third, second])
    assert not agree([first - timedelta(days=7000), second, third])


def test_a_real_port_is_read_lost_and_read_again(terminal: PseudoTerminal, tmp_path: Path) -> None:
    link = tmp_path / "gps"
    unplugged = PseudoTerminal()
    link.symlink_to(unplugged.path)
    stop = threading.Event()
    readings = Receiver(ReceiverSettings(port=str(link))).readings(stop)
    assert conditions(list(islice(readings, 1))) == ["opened"]
    unplugged.write(rmc(1) + rmc(2), stop)
    assert conditions(list(islice(readings, 2))) == ["fix", "fix"]

    link.unlink()
    link.symlink_to(terminal.path)
    unplugged.close()
    assert conditions(list(islice(readings, 2))) == ["lost", "opened"]
    terminal.write(rmc(3) + rmc(4), stop)
    assert conditions(list(islice(readings, 2))) == ["fix", "fix"]
    stop.set()
    assert list(readings) == []


def test_a_port_is_for_one_program_and_the_second_is_told_why(terminal: PseudoTerminal) -> None:
    held = open_port(terminal.path, 9600)
    with pytest.raises(OSError, match="another program is reading it"):
        open_port(terminal.path, 9600)
    held.close()
    open_port(terminal.path, 9600).close()


@pytest.mark.parametrize("path", ["/dev/null", "/nowhere/gps"])
def test_what_is_no_port_is_refused_in_one_sentence(path: str) -> None:
    with pytest.raises(OSError, match=r"not a serial port|no such port"):
        open_port(path, 9600)


def test_a_capture_is_played_moment_by_moment_and_no_byte_is_left_out() -> None:
    capture = b"# made up\r\n" + rmc(1) + b"\xb5\x62\r" + rmc(2) + b"$GPTXT,no time\r\n" + rmc(4) + rmc(3)
    played = moments(capture)
    assert b"".join(moment.data for moment in played) == capture
    assert [moment.after_s for moment in played] == [1.0, 1.0, 2.0, 1.0]  # going back is a cut, not a day of waiting


def test_a_capture_that_says_no_time_is_played_at_9600_baud() -> None:
    assert moments(bytes(960))[0] == Moment(after_s=0.1, data=bytes(96))
    assert sum(moment.after_s for moment in moments(bytes(960))) == pytest.approx(1.0)
    assert moments(b"") == []


def test_a_reader_that_does_not_read_costs_bytes_and_never_the_player(terminal: PseudoTerminal) -> None:
    held = open_port(terminal.path, 9600)
    assert terminal.write(b"x" * 100_000, threading.Event()) > 0
    held.close()


def test_a_terminal_knows_whether_it_is_read(terminal: PseudoTerminal) -> None:
    assert not terminal.has_reader()
    held = open_port(terminal.path, 9600)
    assert terminal.has_reader()
    held.close()
    assert not terminal.has_reader()


def test_a_flood_of_garbage_is_survived_within_bounds_and_said() -> None:
    chance = random.Random(1)
    flood = [chance.randbytes(4096).replace(b"$", b"#") for _ in range(400)]  # four seconds at 921,600 baud and more
    receiver, _ = scripted(*flood)
    tracemalloc.start()
    states = [reading for reading in until_lost(receiver) if isinstance(reading, PortState)]
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [state.condition for state in states] == [Condition.OPENED, Condition.SILENT, Condition.LOST]
    assert "wrong speed" in states[1].why
    assert most_bytes < 1_000_000
    counts = receiver.counts()
    assert counts is not None and counts.noise_bytes > 1_000_000


def test_silence_of_a_port_and_of_the_sky_have_words_of_their_own() -> None:
    receiver, _ = scripted(*[b""] * 15)
    assert "no byte comes" in [r.why for r in until_lost(receiver) if isinstance(r, PortState)][1]
    receiver, _ = scripted(*[piece for n in range(40) for piece in (rmc(n, status="V"), b"")])
    assert "no sky yet" in [r.why for r in until_lost(receiver) if isinstance(r, PortState)][1]


def test_a_receiver_frozen_at_one_moment_is_one_fix_and_then_none() -> None:
    receiver, _ = scripted(*[piece for _ in range(15) for piece in (rmc(1), b"")])
    assert conditions(until_lost(receiver)) == ["opened", "fix", "no_fix", "lost"]


def test_a_real_port_in_flood_keeps_giving_fixes_and_ends_when_asked(terminal: PseudoTerminal) -> None:
    stop = threading.Event()
    noise = random.Random(2).randbytes(2000)

    def flood() -> None:
        second = 0
        while not stop.is_set():
            second += 1
            terminal.write(noise + rmc(second % 60) + noise, stop)

    readings = Receiver(ReceiverSettings(port=terminal.path)).readings(stop)
    assert conditions(list(islice(readings, 1))) == ["opened"]
    flooding = threading.Thread(target=flood)
    flooding.start()
    fixes = [reading for reading in islice(readings, 50) if isinstance(reading, FixRead)]
    stop.set()
    flooding.join(5)
    list(readings)
    assert len(fixes) == 50


def test_a_port_is_told_with_each_change_of_its_condition() -> None:
    receiver, _ = scripted(rmc(1), *[b""] * 15)
    states = [reading for reading in until_lost(receiver) if isinstance(reading, PortState)]
    assert {(state.port, state.baud) for state in states} == {("fake", 9600)}
