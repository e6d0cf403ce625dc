"""Whether a receiver's date may be believed: agreement, rollovers, leap seconds, and receivers that lie."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.gpstime import AGREEING, BELIEVED_FOR, ROLLOVER, STEP_MAX, agree, repaired
from firmware_bridge.readings import DATE_FLOOR, Dates

FLOOR = datetime(DATE_FLOOR.year, DATE_FLOOR.month, DATE_FLOOR.day, tzinfo=UTC)
true_times = st.datetimes(
    min_value=FLOOR.replace(tzinfo=None), max_value=(FLOOR + BELIEVED_FOR).replace(tzinfo=None), timezones=st.just(UTC)
)
any_times = st.datetimes(timezones=st.just(UTC))
steps = st.lists(st.integers(1, int(STEP_MAX.total_seconds() * 10)), min_size=AGREEING - 1, max_size=10)


def second(n: float) -> datetime:
    return FLOOR + timedelta(days=30, seconds=n)


@given(true_times, st.integers(0, 2))
def test_a_rollover_is_repaired_however_often_it_happened(true: datetime, rollovers: int) -> None:
    assert repaired(true - rollovers * ROLLOVER, DATE_FLOOR) == true


@given(any_times, st.dates(date(2020, 1, 1), date(2040, 1, 1)))
def test_a_believed_date_lies_in_the_years_that_this_program_may_see(at: datetime, floor: date) -> None:
    earliest = datetime(floor.year, floor.month, floor.day, tzinfo=UTC)
    believed = repaired(at, floor)
    assert believed is None or earliest <= believed <= earliest + BELIEVED_FOR
    assert believed is None or (believed - at) % ROLLOVER == timedelta(0)


@given(true_times, steps, st.integers(0, 1))
def test_a_receiver_that_goes_on_is_believed_from_its_third_date(
    first: datetime, tenths: list[int], rollovers: int
) -> None:
    dates, at = Dates(DATE_FLOOR), first - timedelta(days=60)
    told = [dates.believed(at - rollovers * ROLLOVER)]
    for step in tenths:
        at += timedelta(milliseconds=100 * step)
        told.append(dates.believed(at - rollovers * ROLLOVER))
    assert told[: AGREEING - 1] == [None] * (AGREEING - 1)
    if first - timedelta(days=60) >= FLOOR and at <= FLOOR + BELIEVED_FOR:
        assert None not in told[AGREEING - 1 :]
        assert told[-1] == at


@given(st.lists(st.none() | any_times, max_size=20))
def test_whatever_a_receiver_says_no_wild_date_is_ever_believed(said: list[datetime | None]) -> None:
    dates = Dates(DATE_FLOOR)
    for n, at in enumerate(said):
        believed = dates.believed(at)
        if believed is not None:
            last = said[n + 1 - AGREEING : n + 1]
            assert len(last) == AGREEING
            assert None not in last
            assert FLOOR <= believed <= FLOOR + BELIEVED_FOR


def test_one_wild_date_costs_three_and_changes_none() -> None:
    dates, wild = Dates(DATE_FLOOR), second(3) + timedelta(days=4000)
    told = [dates.believed(at) for at in (second(0), second(1), second(2), wild, second(4), second(5), second(6))]
    assert told == [None, None, second(2), None, None, None, second(6)]


def test_a_rollover_while_the_receiver_runs_is_believed_again_after_three() -> None:
    dates = Dates(DATE_FLOOR)
    told = [dates.believed(second(n) - (ROLLOVER if n >= 3 else timedelta(0))) for n in range(7)]
    assert told == [None, None, second(2), None, None, second(5), second(6)]


def test_the_leap_seconds_that_a_cold_receiver_learns_late_cost_three_dates() -> None:
    dates = Dates(DATE_FLOOR)
    told = [dates.believed(second(n - (2 if n >= 3 else 0))) for n in range(7)]
    assert told == [None, None, second(2), None, None, second(3), second(4)]


def test_a_leap_second_interrupts_nothing() -> None:
    midnight = FLOOR + timedelta(days=100)
    dates = Dates(DATE_FLOOR)
    said = [midnight + timedelta(seconds=n) for n in (-3, -2, -1, 0, 0, 1, 2)]
    assert [dates.believed(at) for at in said] == [None, None, *said[2:]]


def test_a_receiver_that_stands_still_is_not_believed_even_at_midnight() -> None:
    for at in (second(1), FLOOR + timedelta(days=100)):
        assert not agree([at] * AGREEING)
