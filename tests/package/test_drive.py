"""Simulated vehicles move as vehicles do, and their receivers speak NMEA that any reader believes."""

from __future__ import annotations

import os
import select
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread

import pynmea2
import pytest

from demo.drive import (
    SLOW_DOWN_MPS2,
    SPEED_UP_MPS2,
    UNREAD_BYTES_MAX,
    Destination,
    Drive,
    Order,
    Port,
    Vehicle,
    Where,
    drive_fleet,
    go_on,
    go_to,
    hold,
    park,
    roam,
    sentences,
)
from demo.streets import Leg, Streets
from wire.distance import moved, nearby_m

NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


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


def driven(drive: Drive, from_s: int, to_s: int) -> tuple[Drive, list[Where]]:
    seen = []
    for tenth in range(10 * from_s, 10 * to_s):
        drive = go_on(drive, tenth / 10)
        seen.append(drive.where(tenth / 10))
    return drive, seen


def assert_smooth(seen: list[Where]) -> None:
    for before, after in pairwise(seen):
        step_m = nearby_m(before.lat, before.lon, after.lat, after.lon)
        assert step_m <= max(before.speed_mps, after.speed_mps) * 0.1 + 0.25, "it leapt"
        change = (after.speed_mps - before.speed_mps) / 0.1
        assert -SLOW_DOWN_MPS2 - 0.01 <= change <= SPEED_UP_MPS2 + 0.01, "nobody drives like this"


@pytest.mark.parametrize("seed", ["CARE-1", "CARE-2", "CARE-3"])
def test_a_vehicle_moves_smoothly_through_trips_orders_and_holds(streets: Streets, seed: str) -> None:
    drive, seen = driven(park(streets, seed, 0), 0, 200)
    for at_s, act in ((200, "go"), (230, "hold"), (260, "go"), (290, "roam")):
        if act == "go":
            drive = go_to(drive, at_s, Destination(lat=streets.lats[9], lon=streets.lons[9]))
        else:
            drive = hold(drive, at_s) if act == "hold" else roam(drive)
        drive, more = driven(drive, at_s, at_s + 30)
        seen += more
    assert_smooth(seen)
    assert max(where.speed_mps for where in seen) == pytest.approx(13.0)
    assert len({(where.lat, where.lon) for where in seen}) > 1000


def test_the_same_seed_drives_the_same_way(streets: Streets) -> None:
    assert driven(park(streets, "a", 0), 0, 120)[1] == driven(park(streets, "a", 0), 0, 120)[1]
    assert driven(park(streets, "a", 0), 0, 120)[1] != driven(park(streets, "b", 0), 0, 120)[1]


def test_a_unit_that_is_sent_arrives_and_stays(streets: Streets) -> None:
    drive, _ = driven(park(streets, "a", 0), 0, 70)
    to = Destination(lat=streets.lats[60], lon=streets.lons[60])
    drive, seen = driven(go_to(drive, 70, to), 70, 400)
    assert nearby_m(seen[-1].lat, seen[-1].lon, to.lat, to.lon) < 1
    assert seen[-1].speed_mps == 0
    assert drive.has_arrived(400)
    assert driven(drive, 400, 500)[1][-1] == seen[-1]


def test_a_unit_told_to_hold_stops_within_its_braking_distance(streets: Streets) -> None:
    drive = go_to(park(streets, "a", 0, Destination(lat=streets.lats[0], lon=streets.lons[0])), 0, at(streets, 7))
    rolling = drive.where(20)
    assert rolling.speed_mps > 10
    held = hold(drive, 20)
    stood = held.where(60)
    braking_m = rolling.speed_mps**2 / (2 * SLOW_DOWN_MPS2)
    assert stood.speed_mps == 0
    assert nearby_m(rolling.lat, rolling.lon, stood.lat, stood.lon) == pytest.approx(braking_m, abs=1)
    assert go_on(held, 500).where(500) == stood


def at(streets: Streets, stop: int) -> Destination:
    return Destination(lat=streets.lats[stop], lon=streets.lons[stop])


def test_a_receiver_is_within_five_meters_of_the_truth_and_says_gga_then_rmc(streets: Streets) -> None:
    drive = park(streets, "a", 0)
    errors_m = []
    for second in range(600):
        drive = go_on(drive, second)
        where, when = drive.where(second), NOON + timedelta(seconds=second, milliseconds=250)
        said = sentences(where, when, "CARE-1")
        assert said.endswith(b"\r\n")
        gga, rmc = (pynmea2.parse(line, check=True) for line in said.decode().split("\r\n")[:-1])
        assert (gga.sentence_type, rmc.sentence_type, rmc.status) == ("GGA", "RMC", "A")
        assert rmc.datetime == when
        assert 0.5 < float(gga.horizontal_dil) < 1.5
        assert 6 <= int(gga.num_sats) <= 12
        assert float(rmc.spd_over_grnd) * 1852 / 3600 == pytest.approx(where.speed_mps, abs=0.2)
        assert (gga.latitude, gga.longitude) == (rmc.latitude, rmc.longitude)
        errors_m.append(nearby_m(rmc.latitude, rmc.longitude, where.lat, where.lon))
    assert max(errors_m) < 5
    assert 0.5 < (sum(error**2 for error in errors_m) / len(errors_m)) ** 0.5 < 2


def test_a_receiver_is_right_in_every_hemisphere_and_at_the_edge_of_a_minute() -> None:
    for lat, lon in ((-33.9, 18.4), (51.5, -0.0001), (0.99999999, 9.99999999), (-0.0001, 179.9999)):
        where = Where(lat=lat, lon=lon, speed_mps=9.0, heading_deg=359.99)
        for second in range(50):
            for line in sentences(where, NOON + timedelta(seconds=second), "x").decode().split("\r\n")[:-1]:
                parsed = pynmea2.parse(line, check=True)
                assert nearby_m(parsed.latitude, parsed.longitude, lat, lon) < 5
                assert ",60." not in line
                assert "60.00000" not in line


def test_a_receiver_that_stands_says_no_course() -> None:
    where = Where(lat=42.0, lon=-101.0, speed_mps=0.0, heading_deg=90.0)
    rmc = pynmea2.parse(sentences(where, NOON, "x").decode().split("\r\n")[1], check=True)
    assert (rmc.true_course, rmc.spd_over_grnd) == (None, 0.0)


def test_a_port_that_nobody_reads_never_blocks_and_keeps_only_the_news(tmp_path: Path) -> None:
    with Port(tmp_path / "gps") as port:
        for number in range(60):
            port.write(numbered(number))
            time.sleep(0.004)  # the kernel hands bytes over in its own time
        history = read(tmp_path / "gps")
        assert history.endswith(numbered(59))
        assert len(history) <= UNREAD_BYTES_MAX + len(numbered(0))
        for number in range(60, 63):
            port.write(numbered(number))
        assert read(tmp_path / "gps") == b"".join(map(numbered, range(60, 63))), "the second reader missed something"
    assert not (tmp_path / "gps").is_symlink()


def numbered(number: int) -> bytes:
    return b"%04d " % number + b"x" * 140 + b"\r\n"


def read(path: Path, within_s: float = 0.2) -> bytes:
    reader = os.open(path, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        got = b""
        while select.select([reader], [], [], within_s)[0] and (piece := os.read(reader, 65536)):
            got += piece
        return got
    finally:
        os.close(reader)


def test_a_fleet_speaks_every_second_on_ports_of_its_own_and_obeys(streets: Streets, tmp_path: Path) -> None:
    vehicles = [
        Vehicle(id=name, port=tmp_path / name, drive=park(streets, name, 1e6, at(streets, corner)))
        for name, corner in (("CARE-1", 0), ("CARE-2", 63))
    ]
    orders: dict[str, Order] = {"CARE-1": at(streets, 1)}
    seen: dict[str, list[Where]] = {"CARE-1": [], "CARE-2": []}
    enough, stop = Event(), Event()

    def tell(name: str, _when: datetime, where: Where) -> None:
        seen[name].append(where)
        if len(seen["CARE-2"]) == 3:
            enough.set()

    fleet = Thread(target=drive_fleet, args=(vehicles, lambda: orders, stop, tell))
    fleet.start()
    try:
        assert enough.wait(10)
        said = {name: read(tmp_path / name) for name in seen}
    finally:
        stop.set()
        fleet.join(10)
    assert not fleet.is_alive()
    for name, heard in said.items():
        last = pynmea2.parse(heard.decode().split("\r\n")[-2], check=True)
        assert any(nearby_m(last.latitude, last.longitude, where.lat, where.lon) < 5 for where in seen[name])
    assert seen["CARE-1"][-1].speed_mps > 0, "it was sent and did not go"
    assert seen["CARE-2"][-1].speed_mps == 0, "nobody sent it"
    assert list(tmp_path.iterdir()) == []
