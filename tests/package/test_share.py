"""The backlog's share of the uplink: it never starves, and a live position never waits behind much of it."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from edge.share import FAST_BPS, FIRST_BYTES, LEAST_BYTES, PAUSE_S_MAX, QUEUE_S, WINDOW_BYTES, Share

KBIT_64 = 8000.0
RECORD = 550


class Line:
    """A line that carries one message after the other, and its broker, which answers at once; both by the clock given."""

    def __init__(self, rate_bps: float, way_s: float, jitter_s: float = 0.0, seed: int = 1) -> None:
        self.rate_bps, self.way_s, self.jitter_s = rate_bps, way_s, jitter_s
        self._chance = Random(seed)
        self._busy_until_s = 0.0
        self._answered_s = 0.0
        self.air_s = 0.0

    def carry(self, size: int, now_s: float) -> float:
        """When the answer to a message handed over now is here."""
        self.air_s += size / self.rate_bps
        self._busy_until_s = max(self._busy_until_s, now_s) + size / self.rate_bps
        late_s = self._chance.uniform(0, self.jitter_s)
        self._answered_s = max(self._answered_s, self._busy_until_s + 2 * self.way_s + late_s)  # TCP keeps the order
        return self._answered_s

    def waits_s(self, now_s: float) -> float:
        """How long something said now has to wait for its turn."""
        return max(0.0, self._busy_until_s - now_s)


class Drained(Struct, frozen=True):
    took_s: float
    worst_wait_s: float
    longest_pause_s: float
    air_share: float


def drain(share: Share, line: Line, sizes: list[int], from_s: float = 0.0) -> Drained:
    """Send `sizes` as `edge.sync` does, looking each 5 ms."""
    now_s, owed, is_open = from_s, list(sizes), list[tuple[int, float, float]]()
    worst_s = pause_s = 0.0
    last_s = from_s
    while owed or is_open:
        for one in [one for one in is_open if one[2] <= now_s]:
            is_open.remove(one)
            share.answered(one[0], one[1], one[2])
        while owed and sum(one[0] for one in is_open) < share.window_bytes and now_s >= share.free_s():
            size = owed.pop(0)
            share.sent(size, now_s)
            is_open.append((size, now_s, line.carry(size, now_s)))
            pause_s, last_s = max(pause_s, now_s - last_s), now_s
            worst_s = max(worst_s, line.waits_s(now_s))
        now_s += 0.005
    return Drained(now_s - from_s, worst_s, pause_s, line.air_s / (now_s - from_s))


def test_on_a_slow_link_the_backlog_takes_half_of_it() -> None:
    drained = drain(Share(), Line(KBIT_64, 0.05), [RECORD] * 300)
    assert 0.4 < drained.air_share < 0.6


def test_once_a_slow_link_is_known_a_position_waits_behind_half_a_second_a_round_trip_and_a_record_at_most() -> None:
    share, line = Share(), Line(KBIT_64, 0.05)
    drain(share, line, [RECORD] * 20)
    drained = drain(share, line, [RECORD] * 300, from_s=100.0)
    round_trip_s = 0.1 + RECORD / KBIT_64
    assert drained.worst_wait_s <= QUEUE_S + round_trip_s + RECORD / KBIT_64


def test_before_anything_is_known_a_position_waits_behind_a_second_of_a_bad_link() -> None:
    assert drain(Share(), Line(KBIT_64, 0.05), [RECORD] * 30).worst_wait_s <= (FIRST_BYTES + RECORD) / KBIT_64


def test_a_fast_link_is_not_held_back() -> None:
    share = Share()
    drain(share, Line(10 * FAST_BPS, 0.02), [RECORD] * 300)
    assert share.window_bytes == WINDOW_BYTES
    share.sent(WINDOW_BYTES, 50.0)
    assert share.free_s() < 50.0


def test_round_trips_that_vary_do_not_pass_for_a_slow_link() -> None:
    share = Share()
    drain(share, Line(60_000.0, 0.03, jitter_s=0.2), [RECORD] * 400)
    assert share.rate_bps is not None
    assert 60_000 / 4 < share.rate_bps < 60_000 * 1.5


def test_the_window_shrinks_when_the_link_gets_slower_and_grows_again() -> None:
    share, line = Share(), Line(100_000.0, 0.05)
    drain(share, line, [RECORD] * 200)
    wide = share.window_bytes
    line.rate_bps = KBIT_64
    drain(share, line, [RECORD] * 100, from_s=100.0)
    narrow = share.window_bytes
    line.rate_bps = 100_000.0
    drain(share, line, [RECORD] * 400, from_s=300.0)
    assert narrow < wide / 3
    assert share.window_bytes > 3 * narrow


def test_another_connection_is_measured_anew() -> None:
    share = Share()
    drain(share, Line(KBIT_64, 0.05), [RECORD] * 50)
    share.gone()
    assert share.rate_bps is None
    assert share.window_bytes == FIRST_BYTES
    assert share.free_s() <= 0


@settings(max_examples=40, deadline=None)
@given(
    rate_bps=st.floats(1000, 1e7),
    way_s=st.floats(0, 1),
    jitter_s=st.floats(0, 1),
    sizes=st.lists(st.integers(100, 3000), min_size=1, max_size=12),
    stall_s=st.floats(0, 60),
    seed=st.integers(0, 1000),
)
def test_a_backlog_always_drains_and_never_pauses_for_long(
    rate_bps: float, way_s: float, jitter_s: float, sizes: list[int], stall_s: float, seed: int
) -> None:
    share = Share()
    share.answered(RECORD, 0.0, stall_s)  # a tunnel, first thing
    line = Line(rate_bps, way_s, jitter_s, seed)
    drained = drain(share, line, sizes, from_s=stall_s)
    largest_s = (LEAST_BYTES + max(sizes) + WINDOW_BYTES * (rate_bps > KBIT_64)) / rate_bps
    assert drained.longest_pause_s <= PAUSE_S_MAX + 2 * way_s + jitter_s + 2 * largest_s + 1.0


@pytest.mark.parametrize(("size", "took_s"), [(1, 0.0), (1_000_000, 0.0), (1, 1e9)])
def test_no_answer_makes_the_window_impossible(size: int, took_s: float) -> None:
    share = Share()
    share.answered(size, 0.0, took_s)
    assert LEAST_BYTES <= share.window_bytes <= WINDOW_BYTES
    share.sent(size, took_s)
    assert share.free_s() <= took_s + PAUSE_S_MAX
