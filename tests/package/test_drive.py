"""The demo's drivers: they follow their orders along the streets, by what the driving programs say and hear."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import msgspec
import pynmea2
import pytest

from demo.drive import (
    HOLD,
    STAND_S_MAX,
    STAND_S_MIN,
    Course,
    Destination,
    Order,
    Seen,
    Vehicle,
    first_route,
    park,
    steer_fleet,
    steered,
)
from demo.streets import Leg, Streets
from firmware_bridge.drive import Drive, Route, Where, held, placed, sent
from firmware_bridge.routes import from_line
from tests.patience import PATIENCE_S
from wire.distance import moved, nearby_m

BRIDGE = [sys.executable, "-c", "from firmware_bridge.main import cli; cli(prog_name='tandem-bridge')"]


@pytest.fixture(scope="module")
def streets() -> Streets:
    """Eight by eight corners, 150 m apart, 13 m/s everywhere, all two-way."""
    rows = [moved(42.45, -101.35, 0, 150 * row)[0] for row in range(8)]
    columns = [moved(42.45, -101.35, 90, 150 * column)[1] for column in range(8)]
    legs = []
    for row in range(8):
        for column in range(8):
            beside = [(row + dr, column + dc) for dr, dc in ((0, 1), (1, 0), (0, -1), (-1, 0))]
            legs.append(tuple(Leg(8 * r + c, 150.0, 13.0) for r, c in beside if 0 <= r < 8 and 0 <= c < 8))
    return Streets(
        lats=tuple(rows[i // 8] for i in range(64)),
        lons=tuple(columns[i % 8] for i in range(64)),
        legs=tuple(legs),
        stops=tuple(range(64)),
        top_speed_mps=13.0,
    )


def at(streets: Streets, stop: int) -> Destination:
    return Destination(lat=streets.lats[stop], lon=streets.lons[stop])


class Rig:
    """A course and the drive that follows it, on a clock of its own: what the program does, without the program."""

    def __init__(self, course: Course) -> None:
        self.course, line = first_route(course, None)
        route = from_line(line, 10.0)
        assert isinstance(route, Route)
        self.drive: Drive = placed(route, 0.0)
        self.now_s = 0
        self.told: list[tuple[int, bytes]] = []
        self.where: list[Where] = []

    def pass_s(self, seconds: int, order: Order = None) -> None:
        """Each second the program says where it is, and hears the answer a third of a second later."""
        for _ in range(seconds):
            self.where.append(self.drive.where(self.now_s))
            self.course, line = steered(self.course, self.seen(), order, self.now_s)
            if line is not None:
                self.told.append((self.now_s, line))
                route = from_line(line, 10.0)
                heard_s = self.now_s + 0.3
                self.drive = sent(self.drive, route, heard_s) if route else held(self.drive, heard_s)
            self.now_s += 1

    def seen(self) -> Seen:
        where = self.drive.where(self.now_s)
        return Seen(
            lat=where.lat,
            lon=where.lon,
            speed_mps=where.speed_mps,
            routes=self.drive.routes,
            turn_off=self.drive.turn_off(self.now_s),
            is_there=self.drive.is_there(self.now_s),
        )


def on_a_street(streets: Streets, where: Where) -> bool:
    """On one of the lines of the grid, a meter aside at most."""
    rows = min(nearby_m(where.lat, where.lon, lat, where.lon) for lat in set(streets.lats))
    columns = min(nearby_m(where.lat, where.lon, where.lat, lon) for lon in set(streets.lons))
    return min(rows, columns) < 1.0


@pytest.mark.parametrize("seed", ["CARE-1", "CARE-2", "CARE-3"])
def test_a_vehicle_stays_in_the_streets_through_roaming_orders_and_holds(streets: Streets, seed: str) -> None:
    rig = Rig(park(streets, seed))
    rig.pass_s(200)
    for order in (at(streets, 9), "hold", at(streets, 54), None):
        rig.pass_s(30, order)
    rig.pass_s(120)
    assert all(on_a_street(streets, where) for where in rig.where)
    assert max(where.speed_mps for where in rig.where) == pytest.approx(13.0)
    assert len({(where.lat, where.lon) for where in rig.where}) > 150
    jumps = zip(rig.where, rig.where[1:], strict=False)
    assert all(nearby_m(a.lat, a.lon, b.lat, b.lon) < 14 for a, b in jumps)


def test_the_same_seed_roams_the_same_way(streets: Streets) -> None:
    a, b, other = Rig(park(streets, "a")), Rig(park(streets, "a")), Rig(park(streets, "b"))
    for rig in (a, b, other):
        rig.pass_s(120)
    assert a.told == b.told != other.told
    assert STAND_S_MIN <= a.told[0][0] <= STAND_S_MAX + 1


def test_a_unit_that_is_sent_arrives_and_stays(streets: Streets) -> None:
    rig = Rig(park(streets, "a"))
    rig.pass_s(70)
    rig.pass_s(330, at(streets, 60))
    assert nearby_m(rig.where[-1].lat, rig.where[-1].lon, streets.lats[60], streets.lons[60]) < 1
    assert rig.where[-1].speed_mps == 0
    assert rig.drive.is_there(rig.now_s)
    told = len(rig.told)
    rig.pass_s(100, at(streets, 60))
    assert len(rig.told) == told, "an order is acted on once"


def test_a_unit_told_to_hold_holds_and_roams_again_when_it_is_free(streets: Streets) -> None:
    rig = Rig(park(streets, "a", at(streets, 0)))
    rig.pass_s(20, at(streets, 7))
    assert rig.where[-1].speed_mps > 10
    rig.pass_s(60, "hold")
    assert rig.told[-1][1] == HOLD and rig.where[-1].speed_mps == 0
    rig.pass_s(60)
    assert rig.where[-1] != rig.where[-60]


def test_nothing_is_planned_on_what_was_seen_before_the_last_route_was_heard(streets: Streets) -> None:
    rig = Rig(park(streets, "a"))
    late = rig.seen()
    course, line = steered(rig.course, late, at(streets, 60), 5.0)
    assert line is not None
    assert steered(course, late, "hold", 6.0) == (course, None)


def test_a_program_that_was_started_again_goes_on_from_where_its_vehicle_was(streets: Streets) -> None:
    rig = Rig(park(streets, "a", at(streets, 0)))
    rig.pass_s(25, at(streets, 60))
    stood = rig.where[-1]
    course, line = first_route(rig.course, rig.seen())
    route = from_line(line, 10.0)
    assert route is not None
    again = placed(route, 0.0)
    assert nearby_m(again.where(0).lat, again.where(0).lon, stood.lat, stood.lon) < 20
    assert on_a_street(streets, again.where(5))
    seen = msgspec.structs.replace(rig.seen(), routes=1, turn_off=again.turn_off(0))
    assert steered(course, seen, at(streets, 60), 0.0)[1] is not None, "it was on its way, and is sent again"


class Fleet:
    """Two vehicles steered by a thread, each with its program."""

    def __init__(self, streets: Streets, home: Path) -> None:
        self.orders: dict[str, Order] = {}
        self.seen: dict[str, list[Seen]] = {"CARE-1": [], "CARE-2": []}
        self.said: list[str] = []
        self.stop = Event()
        vehicles = [
            Vehicle(
                id=name, port=home / name, log=home / "logs" / name, course=park(streets, name, at(streets, corner))
            )
            for name, corner in (("CARE-1", 0), ("CARE-2", 63))
        ]
        self.thread = Thread(
            target=steer_fleet,
            args=(vehicles, lambda: self.orders, self.stop, self.said.append),
            kwargs={"bridge": BRIDGE, "on_seen": lambda name, seen: self.seen[name].append(seen)},
        )

    def until(self, name: str, sights: int) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        before = len(self.seen[name])
        while len(self.seen[name]) < before + sights:
            assert time.monotonic() < deadline_s and self.thread.is_alive()
            time.sleep(0.05)


@pytest.fixture
def fleet(streets: Streets, tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(streets, tmp_path)
    fleet.thread.start()
    yield fleet
    fleet.stop.set()
    fleet.thread.join(10)
    assert not fleet.thread.is_alive()


def read(path: Path, within_s: float = 2.5) -> bytes:
    reader = os.open(path, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        got, until_s = b"", time.monotonic() + within_s
        while (left_s := until_s - time.monotonic()) > 0 and got.count(b"RMC") < 2:
            if select.select([reader], [], [], left_s)[0]:
                got += os.read(reader, 65536)
        return got
    finally:
        os.close(reader)


def programs_of(home: Path) -> list[int]:
    """Processes that name a folder of this test."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(home).encode() in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return found


def test_a_fleet_speaks_on_ports_of_its_own_obeys_and_leaves_nothing(
    streets: Streets, fleet: Fleet, tmp_path: Path
) -> None:
    fleet.orders["CARE-1"] = at(streets, 1)
    fleet.until("CARE-1", 6)
    fleet.until("CARE-2", 1)
    for name in ("CARE-1", "CARE-2"):
        rmc = [line for line in read(tmp_path / name).decode().split("\r\n") if line.startswith("$GNRMC")]
        last = pynmea2.parse(rmc[-1], check=True)
        assert any(nearby_m(last.latitude, last.longitude, seen.lat, seen.lon) < 30 for seen in fleet.seen[name])
    assert fleet.seen["CARE-1"][-1].speed_mps > 0, "it was sent and did not go"
    assert fleet.seen["CARE-2"][-1].speed_mps == 0, "nobody sent it"
    assert len(programs_of(tmp_path)) == 2
    fleet.stop.set()
    fleet.thread.join(10)
    assert programs_of(tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]
    assert fleet.said == []


@pytest.mark.proof
def test_a_program_that_dies_is_started_again_where_its_vehicle_was(
    streets: Streets, fleet: Fleet, tmp_path: Path
) -> None:
    fleet.orders["CARE-1"] = at(streets, 2)
    fleet.until("CARE-1", 8)
    before = fleet.seen["CARE-1"][-1]
    for process in programs_of(tmp_path / "CARE-1"):
        os.kill(process, signal.SIGKILL)
    fleet.until("CARE-1", 3)
    after = fleet.seen["CARE-1"][-1]
    assert len(fleet.said) == 1 and "CARE-1" in fleet.said[0]
    assert nearby_m(before.lat, before.lon, after.lat, after.lon) < 60
    fleet.until("CARE-1", 4)
    assert fleet.seen["CARE-1"][-1].speed_mps > 0
