"""When the newest position must be told, as a table of claims."""

from __future__ import annotations

import math
from random import Random

import msgspec
import pytest

from edge.policy import Cadence, Reported, drift_m, reason_to_report
from wire.distance import believed, distance_m, moved
from wire.fix import Fix

CADENCE = Cadence()
PARKED = Fix(lat=39.96, lon=-83.0, speed_mps=0.0)
NORTH = Fix(lat=39.96, lon=-83.0, speed_mps=20.0, heading_deg=0.0)


def at(fix: Fix, north_m: float = 0.0, east_m: float = 0.0) -> Fix:
    lat, lon = moved(fix.lat, fix.lon, 0.0, north_m)
    lat, lon = moved(lat, lon, 90.0, east_m)
    return msgspec.structs.replace(fix, lat=lat, lon=lon)


def told(fix: Fix | None, read_s: float = 100.0) -> Reported:
    return Reported(fix=fix, read_s=read_s, sent_s=read_s)


@pytest.mark.parametrize(
    ("last", "fix", "after_s", "reason"),
    [
        (None, PARKED, 0, "first"),
        (None, None, 0, "first"),
        (told(PARKED), PARKED, 1, None),
        (told(PARKED), PARKED, 10, "cadence"),
        (told(PARKED), at(PARKED, north_m=14), 1, None),
        (told(PARKED), at(PARKED, north_m=16), 1, "drift"),
        (told(NORTH), at(NORTH, north_m=40), 2, None),
        (told(NORTH), NORTH, 2, "drift"),  # it stopped; the map has it 40 m on
        (told(NORTH), at(NORTH, north_m=40, east_m=16), 2, "drift"),
        (told(NORTH), None, 1, "no_fix"),
        (told(None), None, 1, None),
        (told(None), None, 10, "cadence"),
        (told(None), PARKED, 1, "first"),
    ],
)
def test_a_position_is_told_for_a_reason(
    last: Reported | None, fix: Fix | None, after_s: float, reason: str | None
) -> None:
    assert reason_to_report(last, fix, 100.0 + after_s, 100.0 + after_s, CADENCE) == reason


def test_one_reading_is_told_once_however_long_it_stays_the_newest() -> None:
    assert reason_to_report(told(PARKED, 100.0), PARKED, 100.0, 500.0, CADENCE) is None


@pytest.mark.parametrize(
    ("reason", "read_s", "now_s", "said"),
    [
        ("cadence", 100.0, 100.1, "emergency"),  # at once, although this very reading was told
        ("emergency", 100.0, 101.0, None),  # the next reading is a moment away
        ("emergency", 101.0, 101.0, "emergency"),
        ("emergency", 100.2, 100.2, None),  # a receiver of 5 Hz
        ("emergency", 100.0, 101.5, "emergency"),  # no reading comes: what was told may be lost
    ],
)
def test_in_an_emergency_the_position_is_told_at_once_and_each_second_moved_or_not(
    reason: str, read_s: float, now_s: float, said: str | None
) -> None:
    last = Reported(fix=PARKED, read_s=100.0, sent_s=100.0, reason=reason)
    assert reason_to_report(last, PARKED, read_s, now_s, CADENCE, is_emergency=True) == said
    assert reason_to_report(None, PARKED, read_s, now_s, CADENCE, is_emergency=True) == "emergency"
    assert reason_to_report(told(None), None, read_s, now_s, CADENCE, is_emergency=True) is None


def test_the_agency_decides_the_bounds() -> None:
    loose = Cadence(drift_m_max=100.0, report_s_max=60.0)
    assert reason_to_report(told(PARKED), at(PARKED, north_m=90), 110.0, 110.0, loose) is None
    assert reason_to_report(told(PARKED), PARKED, 160.0, 160.0, loose) == "cadence"


def test_the_map_is_never_more_than_the_bound_wrong_and_a_drive_costs_few_messages() -> None:
    """An hour's drive at 1 Hz with turns, stops and receiver noise, read by a hub that believes what it was told."""
    chance = Random(7)
    lat, lon, speed, heading = 39.96, -83.0, 0.0, 0.0
    last: Reported | None = None
    errors: list[float] = []
    sent = 0
    for second in range(3600):
        goal = 0.0 if second % 120 < 25 else 14.0
        speed += max(-3.0, min(2.0, goal - speed))
        heading = (heading + (chance.choice((-90, 90)) if second % 60 == 0 else chance.gauss(0, 1))) % 360
        lat, lon = moved(lat, lon, heading, speed)
        seen_lat, seen_lon = moved(lat, lon, chance.uniform(0, 360), abs(chance.gauss(0, 1)))
        fix = Fix(lat=seen_lat, lon=seen_lon, speed_mps=speed, heading_deg=heading % 360)
        if reason_to_report(last, fix, second, second, CADENCE):
            last, sent = Reported(fix=fix, read_s=second, sent_s=second), sent + 1
        assert last is not None and last.fix is not None
        hub = believed(last.fix.lat, last.fix.lon, last.fix.speed_mps, last.fix.heading_deg, second - last.read_s)
        errors.append(distance_m(*hub, fix.lat, fix.lon))
    assert max(errors) <= CADENCE.drift_m_max + 0.01
    assert sent < 3600 / 5


def test_drift_is_measured_from_where_the_map_has_moved_the_marker() -> None:
    assert drift_m(NORTH, at(NORTH, north_m=60), 3.0) < 0.1
    assert math.isclose(drift_m(NORTH, NORTH, 3.0), 60.0, rel_tol=0.01)
