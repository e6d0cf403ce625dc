"""A vehicle that stands does not wander; one that moves is never kept back, and in an emergency nobody is."""

from __future__ import annotations

import random
from itertools import pairwise
from math import atan2, degrees, exp, hypot, sqrt

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.hold import DISTRUST_S, GAP_S_MAX, GOING_FIXES, Hold
from wire.distance import moved, nearby_m
from wire.fix import Fix

LAT, LON = 39.96, -83.0


def fix(speed_mps: float | None, north_m: float = 0.0, east_m: float = 0.0, heading_deg: float | None = None) -> Fix:
    lat, lon = moved(*moved(LAT, LON, 0.0, north_m), 90.0, east_m)
    return Fix(lat=lat, lon=lon, speed_mps=speed_mps, heading_deg=heading_deg, hdop=1.2, satellites=8)


class Urban:
    """A receiver between houses: its place wanders by `place_m` over a minute, its speed is off by `speed_mps`."""

    def __init__(self, seed: int, place_m: float = 6.0, speed_mps: float = 0.1, time_constant_s: float = 60.0) -> None:
        self._chance = random.Random(seed)
        self._place_m, self._speed_mps, self._keep = place_m, speed_mps, exp(-1 / time_constant_s)
        self._off = (self._chance.gauss(0, place_m), self._chance.gauss(0, place_m))

    def sees(self, north_m: float, east_m: float, north_mps: float, east_mps: float) -> Fix:
        fresh = self._place_m * sqrt(1 - self._keep**2)
        self._off = tuple(off * self._keep + self._chance.gauss(0, fresh) for off in self._off)
        north_mps += self._chance.gauss(0, self._speed_mps)
        east_mps += self._chance.gauss(0, self._speed_mps)
        heading = degrees(atan2(east_mps, north_mps)) % 360 % 360.0
        return fix(hypot(north_mps, east_mps), north_m + self._off[0], east_m + self._off[1], heading)


def way_m(fixes: list[Fix]) -> float:
    return sum(nearby_m(a.lat, a.lon, b.lat, b.lon) for a, b in pairwise(fixes))


def through(hold: Hold, fixes: list[Fix], start_s: float = 0.0, every_s: float = 1.0) -> list[Fix]:
    return [hold.take(one, start_s + n * every_s) for n, one in enumerate(fixes)]


@given(st.integers(0, 2**32), st.sampled_from([0.03, 0.1, 0.15]))
@settings(deadline=None)
def test_a_parked_vehicle_does_not_wander_between_houses(seed: int, speed_noise_mps: float) -> None:
    receiver = Urban(seed, speed_mps=speed_noise_mps)
    raw = [receiver.sees(0, 0, 0, 0) for _ in range(600)]
    told = through(Hold(), raw)
    assert sum(one.is_held for one in told) >= 0.97 * len(told)
    # A wild speed costs a step out and back; the wander itself, hundreds of meters in ten minutes, is gone.
    assert way_m(told) <= 0.35 * way_m(raw)


def test_a_parked_hour_in_figures(report) -> None:
    before, after, places = [], [], []
    for seed in range(10):
        receiver = Urban(seed)
        raw = [receiver.sees(0, 0, 0, 0) for _ in range(3600)]
        told = through(Hold(), raw)
        before.append(way_m(raw))
        after.append(way_m(told))
        places.append(len({(one.lat, one.lon) for one in told}))
    report(
        f"hold: ten simulated hours parked between houses (6 m, 60 s; 0.1 m/s): {sum(before) / 10:.0f} m of way an hour "
        f"before, {sum(after) / 10:.1f} m after; places told {sum(places) / 10:.1f} instead of 3600"
    )
    assert sum(after) <= 0.01 * sum(before)


def test_a_held_fix_keeps_its_place_and_says_so_and_keeps_all_else() -> None:
    hold = Hold()
    first, later = fix(0.0), fix(0.1, north_m=4.0, heading_deg=77.0)
    assert hold.take(first, 0.0) == msgspec.structs.replace(first, speed_mps=0.0, is_held=True)
    held = hold.take(later, 1.0)
    assert (held.lat, held.lon, held.speed_mps, held.heading_deg, held.is_held) == (
        first.lat,
        first.lon,
        0.0,
        None,
        True,
    )
    assert (held.hdop, held.satellites, held.at) == (later.hdop, later.satellites, later.at)


@given(
    st.floats(0.3, 4.0),
    st.floats(0.0, 359.0),
    st.sampled_from([0.1, 0.2, 1.0]),
    st.integers(0, 600),
    st.booleans(),
    st.integers(0, 2**32),
)
@settings(deadline=None)
def test_the_first_meter_of_movement_is_never_kept_back(
    pull_mps2: float, heading_deg: float, every_s: float, parked: int, has_heading: bool, seed: int
) -> None:
    hold, receiver = Hold(), Urban(seed, speed_mps=0.03)
    through(hold, [receiver.sees(0, 0, 0, 0) for _ in range(parked)], 1.0 - parked * every_s, every_s)
    hold.take(fix(0.0), 1.0)
    for n in range(1, 60):
        passed_s = n * every_s
        gone_m, speed_mps = pull_mps2 * passed_s**2 / 2, pull_mps2 * passed_s
        moving = fix(speed_mps, gone_m, 0.0, heading_deg if has_heading else None)
        told = hold.take(moving, 1.0 + passed_s)
        if gone_m >= 1.0:
            assert told == moving
            return


@given(st.floats(0.2, 3.0), st.integers(0, 2**32))
@settings(deadline=None)
def test_a_vehicle_that_creeps_evenly_is_told_within_its_first_two_meters(speed_mps: float, seed: int) -> None:
    hold, receiver = Hold(), Urban(seed, speed_mps=0.03)
    through(hold, [receiver.sees(0, 0, 0, 0) for _ in range(120)], -119.0)
    told = [hold.take(fix(speed_mps, speed_mps * second, 0.0, 0.0), float(second)) for second in range(1, 12)]
    first_s = next(n for n, one in enumerate(told, 1) if not one.is_held)
    assert first_s * speed_mps <= max(1.0, speed_mps) + speed_mps  # a meter, and the fix that shows it


def test_a_noisy_receiver_still_lets_a_car_go_with_its_first_meter_per_second() -> None:
    for seed in range(50):
        hold, receiver = Hold(), Urban(seed, speed_mps=0.3)
        through(hold, [receiver.sees(0, 0, 0, 0) for _ in range(600)], -599.0)
        assert hold.take(fix(0.05), 0.05).is_held
        assert not hold.take(fix(1.0, 0.05, 0.0, 90.0), 0.1).is_held


def test_ten_times_a_second_one_fix_that_moves_is_enough() -> None:
    hold = Hold()
    through(hold, [fix(0.02)] * 100, every_s=0.1)
    assert not hold.take(fix(0.5, 0.03, 0.0, 0.0), 10.0).is_held


@given(st.integers(0, 2**32), st.integers(1, 300))
@settings(deadline=None)
def test_in_an_emergency_every_fix_is_the_receivers_own(seed: int, parked: int) -> None:
    hold, receiver = Hold(), Urban(seed)
    through(hold, [receiver.sees(0, 0, 0, 0) for _ in range(parked)])
    for n in range(60):
        raw = receiver.sees(0, 0, 0, 0)
        assert hold.take(raw, parked + n, is_emergency=True) == raw


def test_a_release_gives_the_place_free() -> None:
    hold = Hold()
    through(hold, [fix(0.0)] * 10)
    hold.release()
    there = fix(0.0, north_m=9.0)
    assert nearby_m(hold.take(there, 10.0).lat, LON, there.lat, LON) < 0.01


def test_one_wild_speed_does_not_move_the_place() -> None:
    hold = Hold()
    through(hold, [fix(0.05, heading_deg=10.0)] * 10)
    wild = fix(0.8, north_m=6.0, heading_deg=10.0)
    assert hold.take(wild, 10.0) == wild
    back = hold.take(fix(0.05, north_m=6.0, heading_deg=10.0), 11.0)
    assert back.is_held and back.lat == pytest.approx(LAT)


def test_a_queue_of_small_steps_does_not_leave_the_place_behind() -> None:
    hold, gone_m, now_s = Hold(), 0.0, 0.0
    for _ in range(20):
        for speed_mps in (0.0, 0.0, 0.8, 0.0):
            gone_m, now_s = gone_m + speed_mps, now_s + 1
            told = hold.take(fix(speed_mps, gone_m, 0.0, 0.0), now_s)
            assert nearby_m(told.lat, told.lon, *moved(LAT, LON, 0.0, gone_m)) < 2.0


def test_a_speed_that_lies_holds_a_vehicle_for_a_few_fixes_and_then_not_at_all() -> None:
    hold = Hold()
    drive = [fix(0.0, north_m=15.0 * n) for n in range(50)]
    told = through(hold, drive)
    held = [one.is_held for one in told]
    assert sum(held) <= 2 + GOING_FIXES
    assert not any(held[5:])
    assert told[5:] == drive[5:]
    assert hold.take(fix(0.0), 49.0 + DISTRUST_S + 1).is_held is True  # then it is given another chance


def test_a_place_taken_before_the_receiver_had_made_up_its_mind_is_taken_anew() -> None:
    told = through(Hold(), [fix(0.0), *[fix(0.0, north_m=70.0)] * 10])
    assert told[-1].is_held and told[-1].lat == fix(0.0, north_m=70.0).lat


def test_one_jump_behind_a_house_does_not_move_the_place() -> None:
    told = through(Hold(), [fix(0.0)] * 5 + [fix(0.0, north_m=40.0)] * 120)
    assert {one.lat for one in told} == {fix(0.0).lat}


def test_without_a_speed_nothing_is_held() -> None:
    raw = [fix(None, north_m=float(n)) for n in range(20)]
    assert through(Hold(), raw) == raw


def test_after_a_gap_the_place_is_asked_anew() -> None:
    hold = Hold()
    through(hold, [fix(0.0)] * 5)
    there = fix(0.0, north_m=20.0)
    told = hold.take(there, 4.0 + GAP_S_MAX + 1)
    assert (told.lat, told.is_held) == (there.lat, True)
    assert hold.take(fix(0.0), 2.0).lat == fix(0.0).lat  # a clock that went back is a gap too


FIXES = st.lists(
    st.builds(
        fix,
        st.one_of(st.none(), st.floats(0, 60)),
        st.floats(-200, 200),
        st.floats(-200, 200),
        st.one_of(st.none(), st.floats(0, 359)),
    ),
    max_size=40,
)


@given(FIXES)
@settings(deadline=None)
def test_a_held_place_is_always_one_that_the_receiver_said(raw: list[Fix]) -> None:
    told = through(Hold(), raw)
    said: set[tuple[float, float]] = set()
    for one, original in zip(told, raw, strict=True):
        said.add((original.lat, original.lon))
        assert (one.lat, one.lon) in said
        assert one.is_held or one == original
