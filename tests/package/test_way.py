"""A vehicle is followed along its way: never backwards, in the order in which it is driven, and off it when it is off it."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ways import Corner, a_fix, a_route, at_along, driven, length_m, spot
from wire.fix import Fix
from wire.way import (
    OFF_S,
    Line,
    Phase,
    Progress,
    ahead,
    course_at,
    encoded,
    follow,
    left,
    line_of,
    place_at,
    points_of,
    thinned,
    turns_left,
)

ERROR = st.tuples(st.floats(-7, 7), st.floats(-7, 7))
ERRORS = st.lists(ERROR, min_size=1, max_size=17)
STEP = st.integers(60, 400)
BLOCK = ((0, 0), (0, 400), (300, 400), (300, 0), (0, 0), (0, -400))  # round the block, over its own beginning
EIGHT = ((0, 0), (400, 0), (400, 300), (200, 300), (200, -300), (500, -300))  # crosses itself at (200, 0)
OUT_AND_BACK = ((0, 0), (0, 500), (0, 100), (300, 100))  # a turn round, then the same street again
TURN = ((0, 0), (0, 600), (600, 600))


@st.composite
def grids(draw: st.DrawFn) -> tuple[Corner, ...]:
    """A way over a grid: blocks of any length, left and right by chance, so that it crosses and repeats itself."""
    east, north, heading = 0, 0, 0
    corners: list[Corner] = [(0, 0)]
    for _ in range(draw(st.integers(1, 7))):
        step = draw(STEP)
        east += (0, step, 0, -step)[heading]
        north += (step, 0, -step, 0)[heading]
        corners.append((east, north))
        heading = (heading + draw(st.sampled_from((1, 3)))) % 4
    return tuple(corners)


def line_along(corners: Sequence[Corner]) -> Line:
    return line_of([spot(*corner) for corner in corners])


def after(line: Line, fixes: Sequence[tuple[float, Fix]], before: Progress | None = None) -> Progress:
    for at_s, fix in fixes:
        before = follow(line, before, fix, at_s)
    assert before is not None
    return before


@given(corners=grids(), errors=ERRORS, mps=st.floats(3.5, 30))
@settings(max_examples=150, deadline=None)
def test_a_vehicle_that_drives_its_way_is_on_it_all_the_way_and_where_it_is(
    corners: tuple[Corner, ...], errors: list[tuple[float, float]], mps: float
) -> None:
    line, now = line_along(corners), None
    for at_s, along_m, fix in driven(corners, mps, errors):
        now = follow(line, now, fix, at_s)
        assert now.phase is not Phase.OFF
        # Rounding a corner the nearest piece may be the next one, as far away as the receiver errs.
        assert abs(now.at_m - along_m) < 45


@given(
    places=st.lists(st.tuples(st.integers(-700, 700), st.integers(-700, 700)), min_size=2, max_size=40),
    speeds=st.lists(st.floats(0, 40), min_size=1, max_size=9),
    course=st.lists(st.floats(0, 359), min_size=1, max_size=7),
    waits=st.lists(st.floats(0.1, 90), min_size=1, max_size=5),
    corners=grids(),
)
@settings(max_examples=150, deadline=None)
def test_progress_never_falls_and_stays_on_the_line_whatever_the_receiver_says(
    places: list[tuple[int, int]],
    speeds: list[float],
    course: list[float],
    waits: list[float],
    corners: tuple[Corner, ...],
) -> None:
    line, now, at_s = line_along(corners), None, 0.0
    for index, (east, north) in enumerate(places):
        at_s += waits[index % len(waits)]
        fix = a_fix(east, north, course[index % len(course)], speeds[index % len(speeds)])
        then = follow(line, now, fix, at_s)
        assert 0 <= then.at_m <= line.length_m + 0.01
        if now is not None:
            assert then.at_m >= now.at_m
        now = then


def test_a_fix_that_is_older_than_the_last_changes_nothing() -> None:
    line = line_along(TURN)
    now = follow(line, None, a_fix(0, 100), 10.0)
    assert follow(line, now, a_fix(0, 300), 9.0) is now


def test_a_line_that_crosses_itself_is_followed_in_the_order_it_is_driven() -> None:
    for corners in (BLOCK, EIGHT):
        line, now = line_along(corners), None
        for at_s, along_m, fix in driven(corners, 13.0, ((3, -3), (-4, 2))):
            now = follow(line, now, fix, at_s)
            assert abs(now.at_m - along_m) < 25, (corners, along_m)


def test_a_turn_round_that_the_way_asks_for_is_followed_back() -> None:
    line, now = line_along(OUT_AND_BACK), None
    for at_s, along_m, fix in driven(OUT_AND_BACK, 9.0, ((2, 0), (-2, 1))):
        now = follow(line, now, fix, at_s)
        assert now.phase is not Phase.OFF
        assert abs(now.at_m - along_m) < 25


def test_a_turn_round_that_nobody_asked_for_is_off_the_way_within_seconds() -> None:
    line = line_along(TURN)
    now = after(line, [(at_s, fix) for at_s, along, fix in driven(TURN) if along <= 400])
    began_s = now.at_s
    for second in range(1, 12):
        now = follow(line, now, a_fix(0, 400 - 12 * second, 180), began_s + second)
    assert now.phase is Phase.OFF
    assert now.at_m < 420


@given(beside_m=st.floats(50, 300), side=st.sampled_from((-1, 1)))
@settings(max_examples=40, deadline=None)
def test_the_parallel_street_is_not_the_way(beside_m: float, side: int) -> None:
    line = line_along(((0, 0), (0, 3000)))
    now = after(line, [(float(second), a_fix(0, 12 * second)) for second in range(10)])
    fixes = [(10.0 + second, a_fix(side * beside_m, 120 + 12 * second)) for second in range(int(OFF_S) + 3)]
    assert after(line, fixes, now).phase is Phase.OFF


def test_the_other_lanes_of_a_wide_road_are_the_way() -> None:
    line = line_along(((0, 0), (0, 3000)))
    assert after(line, [(float(s), a_fix(22, 12 * s)) for s in range(60)]).phase is Phase.ON


def test_who_goes_straight_on_at_a_turn_is_told_no_later_turn_and_is_off_soon() -> None:
    corners = (*TURN, (600, 1200))
    route, line = a_route(corners), line_along(corners)
    now = after(line, [(at_s, fix) for at_s, along, fix in driven(corners) if along <= 600])
    began_s, said = now.at_s, []
    for second in range(1, 14):
        now = follow(line, now, a_fix(0, 600 + 12 * second, 0), began_s + second)
        coming = ahead(route, line, now.at_m)
        assert coming is not None
        if now.phase is Phase.ON:
            said.append(coming.turn.at)
    assert set(said) == {1}
    assert now.phase is Phase.OFF


def test_one_wild_fix_is_not_off_the_way() -> None:
    line = line_along(TURN)
    now = after(line, [(float(s), a_fix(0, 12 * s)) for s in range(10)])
    now = follow(line, now, a_fix(400, 120), 10.0)
    assert now.phase is Phase.UNSURE
    now = follow(line, now, a_fix(0, 132), 11.0)
    assert now.phase is Phase.ON


def test_who_was_off_the_way_is_on_it_again_when_it_stays_there_and_not_at_a_crossing_of_it() -> None:
    line = line_along(((0, 0), (0, 3000)))
    off = after(line, [(float(s), a_fix(14.0 * s, 200, 90)) for s in range(1, 24)])
    assert off.phase is Phase.OFF
    across = after(line, [(30.0 + s, a_fix(100 - 14.0 * s, 900, 270)) for s in range(16)], off)
    assert across.phase is Phase.OFF
    back = after(line, [(60.0 + s, a_fix(0, 900 + 12 * s)) for s in range(6)], across)
    assert back.phase is Phase.ON
    assert back.at_m > 900


def test_who_stands_wherever_the_receiver_wanders_stays_on_the_way() -> None:
    line = line_along(TURN)
    now = after(line, [(float(s), a_fix(0, 12 * s)) for s in range(20)])
    wander = [(5, -8), (-9, 6), (0, 11), (8, 8), (-6, -6)]
    fixes = [(20.0 + s, a_fix(wander[s % 5][0], 230 + wander[s % 5][1], 0, 0.3)) for s in range(120)]
    stood = after(line, fixes, now)
    assert stood.phase is Phase.ON
    assert stood.at_m < 250


def test_a_vehicle_on_a_yard_is_not_off_the_way_before_it_has_reached_it() -> None:
    line = line_along(((0, 0), (0, 2000)))
    now = None
    for second in range(30):
        now = follow(line, now, a_fix(90 - 3 * second, 0, 270, 2.9), float(second))
        assert now.phase is Phase.ON
    assert now is not None and now.start_m == 0


def test_the_yard_of_the_place_is_not_off_the_way() -> None:
    line = line_along(((0, 0), (0, 1000)))
    now = after(line, [(at_s, fix) for at_s, _, fix in driven(((0, 0), (0, 1000)))])
    assert after(line, [(100.0 + s, a_fix(60 + s, 1030, 90, 3.5)) for s in range(20)], now).phase is Phase.ON


def test_a_tunnel_is_driven_through() -> None:
    line = line_along(((0, 0), (0, 5000)))
    now = after(line, [(float(s), a_fix(0, 20 * s, 0, 20)) for s in range(20)])
    now = follow(line, now, a_fix(0, 380 + 20 * 60, 0, 20), 79.0)
    assert now.phase is Phase.ON
    assert abs(now.at_m - 1580) < 20


def test_after_a_restart_in_the_middle_the_next_fix_says_where_it_is() -> None:
    for corners in (TURN, BLOCK, EIGHT):
        line = line_along(corners)
        east, north, course = at_along(corners, 650.0)
        assert abs(follow(line, None, a_fix(east, north, course), 0.0).at_m - 650) < 5


def test_of_two_pieces_of_the_way_in_one_street_the_course_says_which() -> None:
    line = line_along(OUT_AND_BACK)
    assert abs(follow(line, None, a_fix(0, 250, 0), 0.0).at_m - 250) < 5
    assert abs(follow(line, None, a_fix(0, 250, 180), 0.0).at_m - 750) < 5


def test_who_turns_into_a_later_piece_of_the_way_is_off_it_first() -> None:
    line = line_along(EIGHT)
    now = after(line, [(at_s, fix) for at_s, along, fix in driven(EIGHT) if along <= 200])
    began_s, phases = now.at_s, []
    for second in range(1, 25):
        now = follow(line, now, a_fix(200, -12.0 * second, 180), began_s + second)
        phases.append((now.phase, now.at_m > 1000))
    assert phases.index((Phase.OFF, False)) < phases.index((Phase.ON, True))
    assert (Phase.ON, True) not in phases[: phases.index((Phase.OFF, False))]


def test_what_is_left_falls_with_the_way_and_ends_at_nothing() -> None:
    route, line = a_route(TURN), line_along(TURN)
    whole = left(route, line, 0.0)
    assert abs(whole.distance_m - length_m(TURN)) < 2
    assert abs(whole.seconds - route.seconds) <= 1
    half = left(route, line, line.length_m / 2)
    assert abs(half.seconds - whole.seconds / 2) < 1
    end = left(route, line, line.length_m)
    assert (round(end.distance_m), round(end.seconds)) == (0, 0)


def test_what_lies_beyond_the_part_that_was_sent_counts_as_left() -> None:
    route, line = a_route(TURN, beyond_m=9_000, beyond_s=600), line_along(TURN)
    end = left(route, line, line.length_m)
    assert (round(end.distance_m), round(end.seconds)) == (9_000, 600)


def test_the_turns_to_come_begin_with_the_next_and_end_with_the_place() -> None:
    route, line = a_route(EIGHT), line_along(EIGHT)
    coming = turns_left(route, line, 450.0)
    assert [turn.at for turn, _ in coming] == [2, 3, 4, 5]
    assert round(coming[0][1]) == 250
    assert coming[-1][0].kind == "arrive"


@given(corners=grids())
@settings(max_examples=60, deadline=None)
def test_a_line_comes_back_from_its_letters(corners: tuple[Corner, ...]) -> None:
    points = [spot(*corner) for corner in corners]
    back = points_of(encoded(points))
    assert all(abs(a[0] - b[0]) < 6e-7 and abs(a[1] - b[1]) < 6e-7 for a, b in zip(points, back, strict=True))


@given(corners=grids(), kept=st.integers(0, 40))
@settings(max_examples=60, deadline=None)
def test_a_thinned_line_is_nowhere_farther_from_the_whole_than_was_asked(
    corners: tuple[Corner, ...], kept: int
) -> None:
    whole = [spot(*at_along(corners, along)[:2]) for along in range(0, int(length_m(corners)), 7)]
    keep = min(kept, len(whole) - 1)
    chosen = thinned(whole, {keep}, 2.0)
    assert {0, keep, len(whole) - 1} <= set(chosen)
    line = line_of([whole[index] for index in chosen])
    for index, (lat, lon) in enumerate(whole):
        here = follow(line, None, Fix(lat=lat, lon=lon), 0.0)
        assert here.beside_m < 2.5, index


def test_a_place_and_a_course_along_the_line() -> None:
    line = line_along(TURN)
    lat, lon = place_at(line, 900)
    assert abs(lat - spot(300, 600)[0]) < 1e-5 and abs(lon - spot(300, 600)[1]) < 1e-5
    assert round(course_at(line, 700, 50)) == 90
