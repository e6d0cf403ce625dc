"""The terminal follows its way by its own receiver: whatever the hub repeats, and with the hub away."""

from __future__ import annotations

import pytest

from edge.route import NEAR_M, SLOW_S, STAGED_M, Guide, Seen, has_arrived
from tests.ways import a_fix, a_route, driven, spot
from wire.state import Routes
from wire.way import Phase

CORNERS = ((0, 0), (0, 600), (600, 600))
PLACE = spot(600, 600)


def routes(*over: dict[str, object]) -> Routes:
    return Routes(routes=tuple(a_route(CORNERS, **one) for one in over))  # type: ignore[arg-type]


def test_a_way_that_is_said_again_goes_on_where_it_was() -> None:
    guide = Guide(routes({}))
    for at_s, _, fix in driven(CORNERS):
        if at_s <= 30:
            guide.offer(fix, at_s)
    before = guide.look("a-1", 30.0)
    guide.routed(routes({}))
    assert guide.look("a-1", 30.0) == before
    assert before.followed is not None and before.followed.progress is not None
    assert abs(before.followed.progress.at_m - 360) < 5


def test_a_new_way_begins_where_the_vehicle_is_without_waiting_for_a_fix() -> None:
    guide = Guide(routes({}))
    guide.offer(a_fix(0, 240), 20.0)
    guide.routed(routes({"n": 2}))
    followed = guide.look("a-1", 20.0).followed
    assert followed is not None and followed.progress is not None
    assert followed.route.n == 2
    assert abs(followed.progress.at_m - 240) < 1


def test_a_way_that_the_hub_took_back_is_gone() -> None:
    guide = Guide(routes({}, {"assignment": "a-2"}))
    guide.routed(routes({"assignment": "a-2"}))
    assert guide.look("a-1", 0.0).followed is None
    assert guide.look("a-2", 0.0).followed is not None


@pytest.mark.parametrize("line", ["", "_", "_c`|@", "_c`|@_c`|@"])
def test_a_line_that_is_none_is_no_way_and_stops_nothing(line: str) -> None:
    guide = Guide(routes({"line": line}))
    guide.offer(a_fix(0, 0), 1.0)
    followed = guide.look("a-1", 1.0).followed
    assert followed is not None and followed.line is None and followed.progress is None


def test_a_receiver_that_loses_its_place_leaves_the_last_one_with_its_age() -> None:
    guide = Guide(routes({}))
    guide.offer(a_fix(0, 0), 1.0)
    guide.offer(None, 2.0)
    assert guide.look("a-1", 41.0).age_s == 40.0


def test_a_vehicle_has_arrived_when_it_is_near_and_slow_for_a_while() -> None:
    guide = Guide()

    def arrived(now_s: float, is_staged: bool = False) -> bool:
        return has_arrived(guide.look("a-1", now_s), *PLACE, is_staged)

    guide.offer(a_fix(600, 600 - NEAR_M + 5, 0, 9.0), 0.0)
    assert not arrived(0.0)  # it passes by
    guide.offer(a_fix(600, 600 - NEAR_M + 6, 0, 1.0), 1.0)
    assert not arrived(1.0)  # it may be a crossing
    guide.offer(a_fix(600, 600 - NEAR_M + 6, 0, 0.0), 1.0 + SLOW_S)
    assert arrived(1.0 + SLOW_S)
    guide.offer(a_fix(600, 600, 0, 9.0), 7.0)
    assert not arrived(7.0)  # and drives on


def test_who_stands_elsewhere_has_not_arrived_and_who_waits_at_a_distance_is_asked_farther_off() -> None:
    guide = Guide()
    for second in range(12):
        guide.offer(a_fix(600, 600 - STAGED_M + 50, 0, 0.0), float(second))
    seen = guide.look(None, 11.0)
    assert not has_arrived(seen, *PLACE, False)
    assert has_arrived(seen, *PLACE, True)


def test_an_old_fix_and_no_fix_say_nothing_of_an_arrival() -> None:
    guide = Guide()
    for second in range(12):
        guide.offer(a_fix(600, 600, 0, 0.0), float(second))
    assert not has_arrived(guide.look(None, 40.0), *PLACE, False)
    assert not has_arrived(Seen(), *PLACE, False)


def test_who_leaves_the_way_is_off_it_without_being_told() -> None:
    guide = Guide(routes({}))
    for second in range(30):
        guide.offer(a_fix(-12.0 * second, 100, 270), float(second))
    followed = guide.look("a-1", 30.0).followed
    assert followed is not None and followed.progress is not None
    assert followed.progress.phase is Phase.OFF
