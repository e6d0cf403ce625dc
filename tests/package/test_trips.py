"""A simulated vehicle drives as vehicles do: it never leaps, brakes in time, and takes new routes while it rolls."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.drive import (
    SLOW_DOWN_MPS2,
    SPEED_UP_MPS2,
    Drive,
    Route,
    Where,
    back,
    held,
    placed,
    sent,
)
from wire.distance import moved, nearby_m

LIMIT_MPS = 13.0


def corner(row: int, column: int) -> tuple[float, float]:
    """Corners 150 m apart."""
    lat, _ = moved(42.45, -101.35, 0, 150 * row)
    return lat, moved(42.45, -101.35, 90, 150 * column)[1]


def route(*corners: tuple[int, int]) -> Route:
    points = tuple(corner(*at) for at in corners)
    return Route(points=points, limits_mps=(LIMIT_MPS,) * (len(points) - 1))


AROUND = route((0, 0), (0, 1), (1, 1), (1, 2), (2, 2), (2, 3))


def driven(drive: Drive, from_s: float, to_s: float) -> list[Where]:
    return [drive.where(from_s + tenth / 10) for tenth in range(round(10 * (to_s - from_s)) + 1)]


def assert_smooth(seen: list[Where]) -> None:
    for before, after in pairwise(seen):
        step_m = nearby_m(before.lat, before.lon, after.lat, after.lon)
        assert step_m <= max(before.speed_mps, after.speed_mps) * 0.1 + 0.25, "it leapt"
        change = (after.speed_mps - before.speed_mps) / 0.1
        assert -SLOW_DOWN_MPS2 - 0.01 <= change <= SPEED_UP_MPS2 + 0.01, "nobody drives like this"


def test_a_trip_goes_smoothly_through_every_corner_to_its_end() -> None:
    drive = placed(AROUND, 0.0)
    seen = driven(drive, 0, drive.trip.lasts_s + 5)
    assert_smooth(seen)
    assert max(where.speed_mps for where in seen) == pytest.approx(LIMIT_MPS)
    for lat, lon in AROUND.points:
        assert min(nearby_m(lat, lon, where.lat, where.lon) for where in seen) < 1
    assert nearby_m(seen[-1].lat, seen[-1].lon, *AROUND.points[-1]) < 0.01
    assert seen[-1].speed_mps == 0 and drive.is_there(drive.trip.lasts_s)


@pytest.mark.parametrize("seed", range(20))
def test_it_never_leaps_whatever_it_is_told_and_when(seed: int) -> None:
    chance = Random(seed)
    drive, now_s, seen = placed(AROUND, 0.0), 0.0, list[Where]()
    for _ in range(12):
        after_s = chance.uniform(0.1, 25)
        seen += driven(drive, now_s, now_s + after_s)
        now_s += round(10 * after_s) / 10
        at = (chance.randrange(6), chance.randrange(6))
        drive = chance.choice([held(drive, now_s), sent(drive, route(at, (at[0], at[1] + 1), (3, 3)), now_s)])
    assert_smooth(seen + driven(drive, now_s, now_s + 300))
    assert drive.is_there(now_s + 300)


def test_a_route_that_begins_ahead_is_joined_there_by_the_way_it_was_on() -> None:
    drive = placed(route((0, 0), (0, 1), (1, 1), (1, 2)), 0.0)
    joined = sent(drive, route((1, 1), (2, 1)), 6.0)
    seen = driven(joined, 6, 6 + joined.trip.lasts_s)
    assert_smooth(seen)
    assert joined.routes == 2
    assert min(nearby_m(where.lat, where.lon, *corner(0, 1)) for where in seen) < 1, "it left the street"
    assert nearby_m(seen[-1].lat, seen[-1].lon, *corner(2, 1)) < 0.01


@pytest.mark.parametrize("second", range(0, 60, 3))
def test_a_route_from_the_turn_off_point_comes_in_time_even_a_second_late(second: int) -> None:
    drive = placed(AROUND, 0.0)
    turn_off = drive.turn_off(second)
    lat, lon = AROUND.points[turn_off]
    aside = Route(points=((lat, lon), moved(lat, lon, 225.0, 100)), limits_mps=(LIMIT_MPS,))
    heard_s = second + 1.5
    left_m = drive.trip.along_m[turn_off] - drive.trip.progress(heard_s)[0]
    assert sent(drive, aside, heard_s).trip.along_m[-1] == pytest.approx(left_m + 100, abs=1), "it turned back"


def test_a_route_that_begins_behind_is_reached_by_turning_back() -> None:
    drive = placed(route((0, 0), (0, 2)), 0.0)
    back = sent(drive, route((0, 0), (1, 0)), 12.0)
    seen = driven(back, 12, 12 + back.trip.lasts_s)
    assert_smooth(seen)
    assert min(nearby_m(where.lat, where.lon, *corner(0, 0)) for where in seen) < 1
    assert nearby_m(seen[-1].lat, seen[-1].lon, *corner(1, 0)) < 0.01


def test_a_vehicle_told_to_hold_stops_within_its_braking_distance_and_can_go_on_from_there() -> None:
    drive = placed(route((0, 0), (0, 1), (0, 2)), 0.0)
    rolling = drive.where(10)
    assert rolling.speed_mps > 10
    stopped = held(drive, 10.0)
    stood = stopped.where(60)
    assert stood.speed_mps == 0
    braking_m = rolling.speed_mps**2 / (2 * SLOW_DOWN_MPS2)
    assert nearby_m(rolling.lat, rolling.lon, stood.lat, stood.lon) == pytest.approx(braking_m, abs=1)
    assert stopped.routes == 1 and stopped.turn_off(60) == 1, "its route's numbers still hold"
    assert_smooth(driven(sent(stopped, route((0, 1), (1, 1)), 60.0), 60, 120))


def test_one_point_is_a_place_to_stand() -> None:
    drive = placed(route((2, 2)), 5.0)
    assert drive.is_there(5.0) and drive.turn_off(5.0) == 0
    assert nearby_m(drive.where(99).lat, drive.where(99).lon, *corner(2, 2)) < 0.01
    assert drive.where(99).speed_mps == 0
    assert held(drive, 7.0) == drive


def test_the_way_back_is_the_same_way() -> None:
    there = placed(AROUND, 0.0)
    began_s = there.trip.lasts_s
    returning = back(there, began_s)
    seen = driven(returning, began_s, began_s + returning.trip.lasts_s)
    assert_smooth(seen)
    assert returning.trip.points[1:] == there.trip.points[-2::-1]
    assert nearby_m(seen[-1].lat, seen[-1].lon, *AROUND.points[0]) < 0.01


def test_each_leg_keeps_to_its_own_limit() -> None:
    limits = (8.0, 13.0)
    drive = placed(Route(points=(corner(0, 0), corner(0, 2), corner(0, 4)), limits_mps=limits), 0.0)
    for where in driven(drive, 0, drive.trip.lasts_s):
        leg = 0 if where.lon < corner(0, 2)[1] else 1
        assert where.speed_mps <= limits[leg] + 1e-6


@settings(deadline=None)  # the machine may be doing much else
@given(st.lists(st.tuples(st.floats(-89, 89), st.floats(-180, 180)), min_size=1, max_size=6), st.data())
def test_any_points_make_a_trip_that_ends_at_the_last(points: list[tuple[float, float]], data: st.DataObject) -> None:
    points = [points[0]] + [
        data.draw(st.sampled_from([point, moved(*points[0], 77.0, 3.0 * i), points[0]]))
        for i, point in enumerate(points)
    ]
    drive = placed(Route(points=tuple(points), limits_mps=(20.0,) * (len(points) - 1)), 0.0)
    end = drive.where(drive.trip.lasts_s + 1)
    assert nearby_m(end.lat, end.lon, *points[-1]) < 0.3
    assert all(0 <= drive.turn_off(share * drive.trip.lasts_s) < len(points) for share in (0.0, 0.3, 0.9, 1.0))


def test_a_long_way_over_the_date_line_has_no_gap() -> None:
    drive = placed(Route(points=((10.0, 179.9), (10.3, -179.9)), limits_mps=(60.0,)), 0.0)
    assert_smooth(driven(drive, 0, 600))
