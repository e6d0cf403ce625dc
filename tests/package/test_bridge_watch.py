"""What is told of a receiver, and the page it is told on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from threading import Event

import pytest
from msgspec import structs

from firmware_bridge import pins
from firmware_bridge.page import page
from firmware_bridge.pins import NO_PINS, PinsState, PinState
from firmware_bridge.readings import Condition, FixRead, PortState
from firmware_bridge.serial_port import Receiver, ReceiverSettings
from firmware_bridge.watch import (
    KINDS_MAX,
    LOOKING,
    OTHER_KIND,
    Picture,
    PlayedCapture,
    QuickTime,
    Tally,
    Watch,
    follow,
)
from tests.package.test_bridge_sky import GSV_1, GSV_2, sentence
from wire.fix import Fix

OWN = Path(__file__).parents[1] / "captures" / "own"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PORT = "/dev/serial/by-id/usb-A_Very_Long_Name_of_a_Receiver_and_Its_Serial_Number_0123456789-if00-port0"


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def mono_s(self) -> float:
        return self.now_s

    def utc(self) -> datetime:
        return NOON + timedelta(seconds=self.now_s - 100)


def watched(clock: Clock) -> Watch:
    return Watch(PORT, 9600, mono_s=clock.mono_s, utc_now=clock.utc)


def line(body: str) -> bytes:
    return sentence(body).encode("ascii") + b"\r\n"


RMC = line("GPRMC,120000.00,A,4404.13387,N,12118.85628,W,0.029,,010326,,,A")


def fix_read(clock: Clock, at: datetime | None) -> FixRead:
    return FixRead(fix=Fix(lat=44.0, lon=-121.0, at=at, hdop=1.0, dimensions=3), read_mono_s=clock.now_s)


def became(clock: Clock, watch: Watch, condition: Condition, why: str = "") -> None:
    watch.take(PortState(condition=condition, at_mono_s=clock.now_s, why=why))


def fully_told() -> Picture:
    clock = Clock()
    watch = watched(clock)
    watch.open(PORT, 38400)
    became(clock, watch, Condition.OPENED)
    for body in [GSV_1, GSV_2, *(f"GL{kind},1" for kind in ("AAA", "BBB", "CCC", "DDD", "EEE"))]:
        watch.hear(line(body))
    watch.hear(RMC + b"$GPRMC,bad*01\r\n\xff\xff")
    watch.take(fix_read(clock, NOON))
    clock.now_s += 1.5
    return watch.picture()


def test_a_picture_tells_the_fix_its_age_the_sky_and_what_was_wrong() -> None:
    picture = fully_told()
    assert (picture.condition, picture.port, picture.baud) == ("fix", PORT, 38400)
    assert picture.fix is not None and picture.fix.age_s == 1.5
    assert len(picture.sky.satellites) == 5
    assert picture.rejected == {"checksum": 1} and picture.noise_bytes == 2
    assert [(kind.kind, kind.count) for kind in picture.sentences][-1] == ("GPRMC", 1)


@pytest.mark.parametrize("width, height", [(80, 24), (120, 40), (60, 14), (40, 10), (10, 4), (10, 1), (300, 100)])
@pytest.mark.parametrize("is_ascii", [False, True])
def test_a_page_fits_any_terminal(width: int, height: int, is_ascii: bool) -> None:
    lines = page(fully_told(), width, height, is_ascii=is_ascii).plain.split("\n")
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert not is_ascii or all(one.isascii() for one in lines)


def test_a_common_terminal_shows_everything() -> None:
    shown = page(fully_told(), 80, 24).plain
    for told in ("FIX  3D, autonomous, 1.5 s old", "44.000000, -121.000000", "hdop 1.0", "believed", "within 1 s", " G03 ",
                 "S133", "GPRMC", "checksum 1", "2 of them noise", "38400 baud", "port0", "12:00:01 UTC", "Ctrl-C"):  # fmt: skip
        assert told in shown, told


def test_what_does_not_fit_is_said() -> None:
    shown = page(fully_told(), 38, 16).plain
    assert "and 3 others" in shown and "and 5 kinds" in shown


@pytest.mark.parametrize(
    "condition, why, says",
    [
        (Condition.LOST, "another program is reading it; stop that one first", "LOST"),
        (Condition.SILENT, "no byte comes", "SILENT"),
        (Condition.NO_FIX, "no sky yet", "NO FIX"),
        (Condition.OPENED, "", "OPENED"),
    ],
)
def test_each_condition_is_a_word_and_a_reason_not_a_color(condition: Condition, why: str, says: str) -> None:
    clock = Clock()
    watch = watched(clock)
    assert watch.picture().condition == LOOKING and "LOOKING" in page(watch.picture(), 80, 24).plain
    became(clock, watch, condition, why)
    clock.now_s += 5
    shown = page(watch.picture(), 80, 24).plain
    assert says in shown and why in shown.replace("\n  ", " ") and "5 s" in shown


def test_a_lost_receiver_keeps_its_last_place_as_past_and_comes_back() -> None:
    clock = Clock()
    watch = watched(clock)
    became(clock, watch, Condition.OPENED)
    watch.take(fix_read(clock, None))
    became(clock, watch, Condition.LOST, "it was unplugged")
    assert "Was at    44.0" in page(watch.picture(), 80, 24).plain
    became(clock, watch, Condition.OPENED)
    assert watch.picture().reopened == 1 and "Opened again once" in page(watch.picture(), 80, 24).plain


@pytest.mark.parametrize(
    "heard, at, state, ahead_s",
    [
        (b"", None, "not_said", None),
        (RMC, None, "doubted", None),
        (RMC, NOON - timedelta(seconds=7200), "believed", 7200),
        (RMC, NOON + timedelta(weeks=1024), "repaired", -timedelta(weeks=1024).total_seconds()),
    ],
)
def test_the_date_is_said_doubted_believed_or_repaired(
    heard: bytes, at: datetime | None, state: str, ahead_s: float | None
) -> None:
    clock = Clock()
    watch = watched(clock)
    watch.hear(heard)
    watch.take(fix_read(clock, at))
    told = watch.picture().clock
    assert (told.state, told.system_ahead_s) == (state, ahead_s)


def with_duress(condition: pins.Condition, *, is_simulated: bool = False) -> Picture:
    wired = {**NO_PINS.pins, "duress": PinState(condition=condition), "buzzer": PinState(condition=pins.Condition.OK)}
    state = PinsState(is_wired=True, is_simulated=is_simulated, duress=pins.Duress.WORKS, pins=wired)
    return structs.replace(fully_told(), pins=state)


def test_pins_are_told_and_the_button_is_never_said_to_work() -> None:
    assert "not looked at" in page(fully_told(), 80, 24).plain
    assert "none wired" in page(structs.replace(fully_told(), pins=NO_PINS), 80, 24).plain
    assert "duress opens, 2 of 2 pins ok" in page(with_duress(pins.Condition.OK), 80, 24).plain
    assert "NO duress (taken), 1 of 2 pins ok" in page(with_duress(pins.Condition.TAKEN), 80, 24).plain
    assert "NO duress (not wired), 1 of 1 pins ok" in page(with_duress(pins.Condition.OFF), 100, 24).plain
    assert "simulated, 2 of 2 pins ok" in page(with_duress(pins.Condition.OK, is_simulated=True), 80, 24).plain


def test_rates_are_of_whole_seconds_and_forget() -> None:
    tally = Tally()
    for tenth in range(0, 50):
        tally.hear(RMC if tenth % 2 else b"", 10.0 + tenth / 10)
    assert [(kind.count, kind.per_s) for kind in tally.kinds(15.0)] == [(25, 5.0)]
    assert [kind.per_s for kind in tally.kinds(60.0)] == [0.0]


def test_invented_kinds_do_not_fill_the_memory() -> None:
    tally = Tally()
    for number in range(10 * KINDS_MAX):
        tally.hear(line(f"X{number:04d},1"), 0.0)
    kinds = tally.kinds(1.0)
    assert len(kinds) == KINDS_MAX + 1
    assert {kind.kind: kind.count for kind in kinds}[OTHER_KIND] == 9 * KINDS_MAX


def test_a_capture_played_in_quick_time_is_as_old_as_it_was() -> None:
    quick = QuickTime()
    capture = (OWN / "five-hertz.nmea").read_bytes()
    watch = Watch("five-hertz", 0, is_capture=True, mono_s=quick.mono_s)

    def played(_port: str, _baud: int) -> PlayedCapture:
        return PlayedCapture(capture, mono_s=quick.mono_s, wait=quick.wait)

    read: list[FixRead] = []
    for reading in Receiver(ReceiverSettings(port="five-hertz"), open_port=played, mono_s=quick.mono_s).readings(
        Event()
    ):
        if isinstance(reading, FixRead):
            read.append(reading)
        elif reading.condition is Condition.LOST:
            break
    gaps_s = {round(after.read_mono_s - before.read_mono_s, 3) for before, after in pairwise(read)}
    assert len(read) > 3 and gaps_s <= {0.2, 0.0, 0.3}
    follow(Receiver(ReceiverSettings(port="x"), open_port=played, mono_s=quick.mono_s), watch, Event(), is_capture=True)
    assert watch.picture().condition == "fix"
