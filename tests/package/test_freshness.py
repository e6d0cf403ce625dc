"""How far a position may be believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hub.freshness import Freshness, age_s, freshness, spoken_age
from hub.positions import Position
from wire.fix import Fix

NOW_MS = 1_795_000_000_000


def arrived(ago_s: float, delay_ms: int = 0) -> Position:
    return Position(
        unit="u",
        device="d",
        fix=Fix(lat=42.0, lon=-101.0),
        has_fix=True,
        arrived_ms=NOW_MS - round(ago_s * 1000),
        age_ms=delay_ms,
        boot=bytes(16),
        mono_ms=0,
    )


@pytest.mark.parametrize(
    ("ago_s", "expected"),
    [
        (0, "live"),
        (14.999, "live"),
        (15, "aging"),
        (59.999, "aging"),
        (60, "stale"),
        (299.999, "stale"),
        (300, "lost"),
        (86_400, "lost"),
    ],
)
def test_the_classes_change_exactly_at_15_60_and_300_seconds(ago_s: float, expected: str) -> None:
    assert freshness(arrived(ago_s), NOW_MS) == expected


def test_the_delay_measured_aboard_counts_as_age() -> None:
    assert age_s(arrived(10, delay_ms=6_000), NOW_MS) == 16
    assert freshness(arrived(10, delay_ms=6_000), NOW_MS) is Freshness.AGING


def test_no_position_and_a_receiver_that_never_had_a_fix_are_lost() -> None:
    assert freshness(None, NOW_MS) is Freshness.LOST
    assert freshness(replace(arrived(0), fix=None, has_fix=False), NOW_MS) is Freshness.LOST


def test_a_position_from_the_hubs_future_is_lost_until_the_next_comes() -> None:
    assert freshness(arrived(-4), NOW_MS) is Freshness.LIVE
    assert freshness(arrived(-3600), NOW_MS) is Freshness.LOST


@given(ago_s=st.floats(0, 1e6), later_s=st.floats(0, 1e6))
def test_a_position_never_gets_fresher_by_waiting(ago_s: float, later_s: float) -> None:
    order = list(Freshness)
    before, after = freshness(arrived(ago_s), NOW_MS), freshness(arrived(ago_s + later_s), NOW_MS)
    assert order.index(after) >= order.index(before)


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (7200, "2 h"), (-3, "0 s")]
)
def test_an_age_is_said_as_people_say_it(seconds: float, said: str) -> None:
    assert spoken_age(seconds) == said
