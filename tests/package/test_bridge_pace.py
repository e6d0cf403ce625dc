"""Of many fixes a second one is kept: which, for every rate and every jitter."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from firmware_bridge.pace import Pace
from firmware_bridge.readings import FixRead
from wire.fix import Fix

START = datetime(2026, 3, 14, 12, tzinfo=UTC)


def read(at_s: float | None, read_s: float) -> FixRead:
    at = None if at_s is None else START + timedelta(seconds=at_s)
    return FixRead(fix=Fix(lat=40.0, lon=-83.0, at=at), read_mono_s=read_s)


def kept(reads: list[FixRead]) -> list[int]:
    pace = Pace()
    return [n for n, one in enumerate(reads) if pace.is_due(one)]


@pytest.mark.parametrize("is_dated", [True, False])
@pytest.mark.parametrize("rate_hz", [1, 2, 4, 5, 10])
def test_one_fix_a_second_is_kept_at_any_rate(rate_hz: int, is_dated: bool) -> None:
    reads = [read(n / rate_hz if is_dated else None, n / rate_hz) for n in range(60 * rate_hz)]
    assert kept(reads)[1:] == list(range(rate_hz, 60 * rate_hz, rate_hz))


def test_a_receiver_whose_second_jitters_has_each_of_its_fixes_kept() -> None:
    chance = random.Random(3)
    reads = [read(n + chance.uniform(-0.02, 0.02), n + chance.uniform(0, 0.3)) for n in range(300)]
    assert kept(reads) == list(range(300))


def test_a_receiver_that_speaks_every_other_second_has_each_of_its_fixes_kept() -> None:
    assert kept([read(2.0 * n, 2.0 * n) for n in range(10)]) == list(range(10))


def test_a_time_that_goes_back_or_leaps_keeps_nothing_waiting() -> None:
    assert kept([read(10, 1), read(11, 2), read(3, 3), read(4, 4), read(4000, 5)]) == [0, 1, 2, 3, 4]


def test_a_time_that_runs_away_keeps_no_more_than_ten_a_second() -> None:
    assert len(kept([read(float(n), n / 1000) for n in range(3000)])) <= 31
