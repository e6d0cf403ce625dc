"""From a reading to the live slot and the trail."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from queue import Queue

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from edge import outbox, schema
from edge.clock import Clock
from edge.link import Sent
from edge.outbox import Signer
from edge.policy import Cadence
from edge.store import Store
from edge.tracker import Tracker
from edge.trail import TrailKeeper
from edge.uplink import LiveSlot
from firmware_bridge.reader import Counts
from firmware_bridge.readings import Condition, FixRead, PortState, Reading
from tests.patience import PATIENCE_S
from wire.fix import Fix
from wire.live import Live, open_live
from wire.records import open_record
from wire.stamp import ClockQuality
from wire.topics import Up
from wire.trail import Trail, unpack

SIGNER = Signer("care-1", ec.generate_private_key(ec.SECP256R1()))
WALL_S = 1_770_000_000.0


class Time:
    def __init__(self) -> None:
        self.mono_s = 100.0
        self.clock = Clock(
            bytes(16),
            mono_s=lambda: self.mono_s,
            wall_s=lambda: WALL_S + self.mono_s,
            quality=lambda: ClockQuality.RTC,
        )


class Receiver:
    """A tracker that is told readings, and what came of them."""

    def __init__(self, home: Path) -> None:
        self.time = Time()
        self.store = Store(home / "trail.db", schema.TRAIL)
        self.offered: list[tuple[Fix | None, float]] = []
        self.kept = 0
        keeper = TrailKeeper(self.store, SIGNER, self.time.clock)
        self.tracker = Tracker(
            self.time.clock, keeper, lambda fix, read_s: self.offered.append((fix, read_s)), self._keep
        )

    def says(self, *readings: Reading) -> None:
        def timely() -> Iterator[Reading]:
            for reading in readings:
                self.time.mono_s = reading.read_mono_s if isinstance(reading, FixRead) else reading.at_mono_s
                yield reading

        self.tracker.run(timely())

    def trails(self) -> list[Trail]:
        owed = self.store.do(lambda db: outbox.read(db, 1, 1000, 10_000_000))
        return [unpack(open_record(record.data, "care-1", SIGNER.key.public_key()).body) for record in owed]

    def _keep(self) -> None:
        self.kept += 1


def fix(second: float, lat: float = 39.96, dated: bool = True) -> FixRead:
    at = datetime.fromtimestamp(WALL_S + second, UTC) if dated else None
    return FixRead(fix=Fix(lat=lat, lon=-83.0, at=at, speed_mps=5.0, satellites=9), read_mono_s=second)


def port(condition: Condition, second: float) -> PortState:
    return PortState(condition=condition, at_mono_s=second)


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    made = Receiver(tmp_path)
    yield made
    made.store.close()


def test_every_fix_is_offered_and_kept_a_minute_to_a_record(receiver: Receiver) -> None:
    receiver.says(*(fix(100 + n, 39.96 + n / 1000) for n in range(125)))
    assert len(receiver.offered) == 125
    trails = receiver.trails()
    assert [len(trail.points) for trail in trails] == [60, 60, 5]
    points = [point for trail in trails for point in trail.points]
    assert [point.mono_ms for point in points] == [(100 + n) * 1000 for n in range(125)]
    assert [round(point.lat, 3) for point in points] == [round(39.96 + n / 1000, 3) for n in range(125)]
    assert receiver.kept == 3


def test_slow_fixes_are_recorded_within_a_minute(receiver: Receiver) -> None:
    receiver.says(*(fix(100 + 7 * n) for n in range(40)))
    trails = receiver.trails()
    assert sum(len(trail.points) for trail in trails) == 40
    assert len(trails) == 5
    assert all(trail.points[-1].mono_ms - trail.points[0].mono_ms <= 60_000 for trail in trails)


def test_what_was_collected_is_kept_when_the_receiver_goes(receiver: Receiver) -> None:
    trouble = port(Condition.LOST, 103)

    def looked() -> Iterator[Reading]:
        yield fix(100)
        yield fix(101)
        yield trouble
        assert len(receiver.trails()) == 1

    receiver.tracker.run(looked())


@pytest.mark.parametrize(
    ("condition", "word"),
    [(Condition.NO_FIX, "no fix"), (Condition.SILENT, "silent"), (Condition.LOST, "no receiver")],
)
def test_a_position_that_is_lost_is_said_to_be(receiver: Receiver, condition: Condition, word: str) -> None:
    receiver.says(port(Condition.OPENED, 99), fix(100), port(condition, 103))
    assert receiver.offered[-1] == (None, 103)
    state = receiver.tracker.state()
    assert (state.word, state.age_s, state.speed_mps) == (word, 3.0, None)


def test_before_the_first_fix_there_is_no_fix(receiver: Receiver) -> None:
    assert receiver.tracker.state().word == "no receiver"
    receiver.says(port(Condition.OPENED, 100))
    assert receiver.tracker.state().word == "no fix"
    assert receiver.offered == []


def test_the_screen_sees_the_fix(receiver: Receiver) -> None:
    receiver.says(fix(100))
    receiver.time.mono_s = 101.5
    state = receiver.tracker.state()
    assert (state.word, state.age_s, state.speed_mps, state.satellites) == ("fix", 1.5, 5.0, 9)


@pytest.mark.parametrize(("off_s", "quality"), [(0.0, "gps"), (30.0, "rtc")])
def test_the_clock_is_as_good_as_the_satellites_if_they_agree(receiver: Receiver, off_s: float, quality: str) -> None:
    read = fix(100)
    assert read.fix.at is not None
    shifted = FixRead(
        fix=Fix(lat=39.96, lon=-83.0, at=datetime.fromtimestamp(read.fix.at.timestamp() + off_s, UTC)), read_mono_s=100
    )
    receiver.says(shifted)
    assert receiver.time.clock.stamp().quality == quality
    receiver.says(port(Condition.LOST, 101))
    assert receiver.time.clock.stamp().quality == "rtc"


def test_a_clock_in_1970_says_that_it_does_not_know() -> None:
    unset = Clock(bytes(16), mono_s=lambda: 1.0, wall_s=lambda: 5.0, quality=lambda: ClockQuality.NTP)
    unset.gps_says(datetime.fromtimestamp(5.0, UTC), 1.0)
    assert (unset.stamp().wall_ms, unset.stamp().quality) == (None, "none")


def test_no_two_messages_are_of_the_same_millisecond() -> None:
    clock = Time().clock
    told = [clock.next_ms() for _ in range(100)]
    assert told == sorted(set(told))


class Air:
    """The live slot in its own thread, and a socket that takes what it is given, or does not."""

    def __init__(self) -> None:
        self.heard: Queue[tuple[Live, float]] = Queue()
        self.is_connected = self.is_out = True
        self.slot = LiveSlot(SIGNER, Clock(bytes(16)), self._publish)
        self.thread = threading.Thread(target=self.slot.run)
        self.thread.start()

    def offer(self, lat: float | None) -> None:
        self.slot.offer(None if lat is None else Fix(lat=lat, lon=-83.0), time.monotonic())

    def next(self) -> Live:
        return self.heard.get(timeout=PATIENCE_S)[0]

    def is_quiet(self) -> bool:
        time.sleep(0.1)
        return self.heard.empty()

    def _publish(self, channel: Up, payload: bytes, qos: int, retain: bool) -> Sent | None:
        assert (channel, qos, retain) == (Up.LIVE, 0, False)
        if not self.is_connected:
            return None
        self.heard.put((open_live(payload, "care-1", SIGNER.key.public_key()), time.monotonic()))
        return Sent(1, lambda: self.is_out)


@pytest.fixture
def air() -> Iterator[Air]:
    made = Air()
    yield made
    made.slot.stop()
    made.thread.join(PATIENCE_S)
    assert not made.thread.is_alive()


def test_the_newest_is_told_when_somebody_listens_and_the_others_never(air: Air) -> None:
    for lat in (1.0, 2.0, 3.0):
        air.offer(lat)
    assert air.is_quiet()
    air.slot.open(True)
    live = air.next()
    assert (live.reason, live.fix and live.fix.lat) == ("first", 3.0)
    assert air.is_quiet()


def test_a_new_listener_is_told_again(air: Air) -> None:
    air.offer(1.0)
    for _ in range(2):
        air.slot.open(True)
        assert air.next().reason == "first"
        air.slot.open(False)


def test_a_fix_that_must_go_leaves_within_milliseconds(air: Air) -> None:
    air.slot.open(True)
    delays_s = []
    for lat in range(40):
        time.sleep(0.005)
        began_s = time.monotonic()
        air.offer(float(lat))
        delays_s.append(air.heard.get(timeout=PATIENCE_S)[1] - began_s)
    assert sorted(delays_s)[len(delays_s) // 2] < 0.01


def test_a_position_that_is_gone_is_told_at_once_and_again_at_the_cadence(air: Air) -> None:
    air.slot.cadence(Cadence(report_s_max=0.05))
    air.slot.open(True)
    air.offer(1.0)
    assert air.next().reason == "first"
    air.offer(None)
    live = air.next()
    assert (live.reason, live.fix) == ("no_fix", None)
    assert [air.next().reason for _ in range(2)] == ["cadence", "cadence"]


def test_behind_a_slow_socket_only_the_newest_waits(air: Air) -> None:
    air.is_out = False
    air.slot.open(True)
    air.offer(1.0)
    air.next()
    for lat in (2.0, 3.0, 4.0):
        air.offer(lat)
    assert air.is_quiet()
    air.is_out = True
    live = air.next()
    assert live.fix is not None
    assert live.fix.lat == 4.0
    assert air.is_quiet()


def test_a_connection_that_ends_underneath_loses_no_more_than_the_slot(air: Air) -> None:
    air.is_connected = False
    air.slot.open(True)
    air.offer(1.0)
    assert air.is_quiet()
    air.is_connected = True
    air.offer(2.0)
    assert air.is_quiet(), "it waits to be opened again"
    air.slot.open(True)
    assert air.next().reason == "first"


def test_the_age_counts_from_the_last_byte_read(air: Air) -> None:
    air.slot.offer(Fix(lat=1.0, lon=2.0), time.monotonic() - 3.0)
    air.slot.open(True)
    assert 3000 <= air.next().age_ms < 3000 + PATIENCE_S * 1000


def test_the_trail_keeps_one_fix_a_second_and_the_live_slot_is_offered_all(receiver: Receiver) -> None:
    receiver.says(*(fix(100 + n / 10, 39.96 + n / 10_000) for n in range(100)))
    assert len(receiver.offered) == 100
    points = [point for trail in receiver.trails() for point in trail.points]
    assert [point.mono_ms for point in points] == [100_000 + 1000 * n for n in range(10)]


def still(second: float, lat: float) -> FixRead:
    return FixRead(fix=Fix(lat=lat, lon=-83.0, speed_mps=0.02, satellites=9), read_mono_s=second)


def test_a_vehicle_that_stands_is_told_and_kept_where_it_came_to_stand(receiver: Receiver) -> None:
    receiver.says(*(still(100 + n, 39.96 + n / 100_000) for n in range(10)))
    assert {(fix.lat, fix.speed_mps, fix.is_held) for fix, _ in receiver.offered if fix} == {(39.96, 0.0, True)}
    assert {round(point.lat, 5) for trail in receiver.trails() for point in trail.points} == {39.96}
    assert receiver.tracker.state().is_held


def test_in_an_emergency_a_vehicle_that_stands_is_told_where_the_receiver_says(tmp_path: Path) -> None:
    time_, is_emergency = Time(), False
    store = Store(tmp_path / "trail.db", schema.TRAIL)
    offered: list[Fix | None] = []
    tracker = Tracker(
        time_.clock,
        TrailKeeper(store, SIGNER, time_.clock),
        lambda fix, read_s: offered.append(fix),
        lambda: None,
        is_emergency=lambda: is_emergency,
    )
    tracker.run([still(100, 39.96), still(101, 39.9601)])
    is_emergency = True
    tracker.run([still(102, 39.9602)])
    store.close()
    assert [(fix.lat, fix.is_held) for fix in offered if fix] == [(39.96, True), (39.96, True), (39.9602, False)]


def test_the_screen_is_told_which_port_it_is_and_what_is_wrong(tmp_path: Path) -> None:
    counts = Counts(accepted=5, empty=2, rejected={"checksum": 1}, noise_bytes=7)
    time_ = Time()
    store = Store(tmp_path / "trail.db", schema.TRAIL)
    keeper = TrailKeeper(store, SIGNER, time_.clock)
    tracker = Tracker(time_.clock, keeper, lambda fix, read_s: None, lambda: None, counts=lambda: counts)
    assert tracker.state().why == "looking for a receiver"
    tracker.run([PortState(condition=Condition.OPENED, at_mono_s=100, port="/dev/ttyACM0", baud=38400), fix(101)])
    state = tracker.state()
    assert (state.word, state.why, state.port, state.baud, state.quality) == (
        "fix",
        "",
        "/dev/ttyACM0",
        38400,
        "autonomous",
    )
    assert (state.accepted, state.empty, state.rejected, state.noise_bytes) == (5, 2, {"checksum": 1}, 7)
    tracker.run([PortState(condition=Condition.LOST, at_mono_s=102, why="no cable", port="/dev/ttyACM0", baud=38400)])
    assert (tracker.state().word, tracker.state().why) == ("no receiver", "no cable")
    store.close()
