"""Who should go: every unit answered, the fit ones first, each unfit one with its reasons."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hub.positions import Position
from hub.rank import ASSUMED_MPS, DETOUR, Candidate, Need, RosterUnit, Travel, first_fit, rank, straight_line
from wire.distance import distance_m, moved
from wire.fix import Fix
from wire.incident import LANGUAGES, SKILLS
from wire.status import ACTIVE, Status

NOW_MS = 1_795_000_000_000
HERE = (42.45, -101.35)
NEED = Need(lat=HERE[0], lon=HERE[1])


def unit(name: str, status: Status = Status.AVAILABLE, **changed: object) -> RosterUnit:
    plain = RosterUnit(
        unit=name,
        call_sign=name.upper(),
        agency="lakeshore",
        kind="vehicle",
        status=status,
        status_ms=NOW_MS - 60_000,
        languages=frozenset({"eng"}),
    )
    return replace(plain, **changed)


def away(name: str, meters: float, age: float = 1.0, course: float = 90.0) -> Position:
    lat, lon = moved(*HERE, course, meters)
    return Position(
        unit=name,
        device=f"d-{name}",
        fix=Fix(lat=lat, lon=lon, speed_mps=0.0),
        has_fix=True,
        arrived_ms=NOW_MS - round(age * 1000),
        age_ms=0,
        boot=bytes(16),
        mono_ms=0,
    )


def ranked(need: Need, roster: list[RosterUnit], *places: Position) -> tuple[Candidate, ...]:
    positions = {place.unit: place for place in places}
    return rank(need, roster, positions, straight_line(need, positions, NOW_MS), NOW_MS)


def order(candidates: tuple[Candidate, ...]) -> list[str]:
    return [candidate.unit for candidate in candidates]


def reasons(need: Need, one: RosterUnit, *places: Position) -> tuple[str, ...]:
    (candidate,) = ranked(need, [one], *places)
    assert candidate.fit is (candidate.reasons == ())
    return candidate.reasons


# --- the straight line ------------------------------------------------------------------------------------------------


def test_travel_is_the_straight_distance_at_eleven_meters_a_second_and_a_third_longer_and_says_so() -> None:
    (candidate,) = ranked(NEED, [unit("a")], away("a", 3300))
    assert candidate.distance_m == 3300
    assert candidate.travel_s == round(3300 / ASSUMED_MPS * DETOUR) == 390
    assert "straight line, not by road" in candidate.notes


def test_a_moving_unit_is_measured_from_where_it_is_believed_to_be() -> None:
    place = away("a", 2000, age=10, course=90)
    fix = Fix(lat=HERE[0], lon=place.fix.lon if place.fix else 0, speed_mps=20.0, heading_deg=270.0)
    (candidate,) = ranked(NEED, [unit("a")], replace(place, fix=fix))
    assert candidate.distance_m == pytest.approx(1800, abs=5)


# --- why not ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "incident", "said"),
    [
        (Status.ON_SCENE, 1042, "on scene at #1042"),
        (Status.EN_ROUTE, 7, "en route to #7"),
        (Status.TRANSPORTING, None, "transporting"),
        (Status.OFF_DUTY, None, "off duty"),
        (Status.OUT_OF_SERVICE, None, "out of service"),
        (Status.AVAILABLE, 12, "assigned to #12"),
    ],
)
def test_a_unit_at_work_or_off_says_what_it_does(status: Status, incident: int | None, said: str) -> None:
    assert reasons(NEED, unit("a", status, incident=incident), away("a", 100)) == (said,)


def test_a_unit_whose_crew_writes_up_may_be_sent_although_its_incident_is_not_released() -> None:
    (candidate,) = ranked(NEED, [unit("a", Status.CLEARING, incident=3)], away("a", 100))
    assert candidate.fit
    assert "writing up, may be sent" in candidate.notes


def test_each_missing_must_is_a_reason_of_its_own() -> None:
    need = replace(NEED, skills=("clinician", "youth"), languages=("spa", "ase"))
    assert reasons(need, unit("a", skills=frozenset({"clinician"})), away("a", 100)) == (
        "nobody aboard for youth",
        "no Spanish speaker",
        "nobody aboard who signs",
    )


def test_a_met_must_is_a_note() -> None:
    need = replace(NEED, languages=("spa",))
    (candidate,) = ranked(need, [unit("a", languages=frozenset({"eng", "spa"}))], away("a", 100))
    assert "Spanish ✓" in candidate.notes


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (None, "no position yet"),
        (replace(away("a", 100), fix=None, has_fix=False), "no satellite fix yet"),
        (away("a", 100, age=540), "position 9 min old"),
        (away("a", 100, age=-60), "position from the future: check the hub's clock"),
    ],
)
def test_a_unit_that_nobody_can_place_says_why(place: Position | None, said: str) -> None:
    assert reasons(NEED, unit("a"), *(() if place is None else (place,))) == (said,)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"is_crewed": False}, "nobody signed on"),
        ({"has_terminal": False}, "no terminal: radio only"),
        ({"kind": "desk"}, "a desk: advises, is not sent"),
        ({"is_here_already": True}, "already sent to this one"),
        ({"status": "hovering"}, "status unknown here: hovering"),
        ({"is_in_emergency": True}, "emergency raised"),
    ],
)
def test_what_keeps_a_unit_from_being_sent_is_said(changed: dict[str, object], said: str) -> None:
    assert reasons(NEED, replace(unit("a"), **changed), away("a", 100)) == (said,)


def test_a_unit_of_another_agency_needs_a_request() -> None:
    assert reasons(replace(NEED, agency="eastside"), unit("a"), away("a", 100)) == ("other agency: needs request",)


def test_an_unarmed_crew_is_not_kept_from_a_gated_scene_but_sent_to_staging() -> None:
    gated = replace(NEED, gate="staged")
    unarmed, sworn = ranked(gated, [unit("a"), unit("b", has_sworn=True)], away("a", 100), away("b", 900))
    assert unarmed.fit
    assert "to staging" in unarmed.notes
    assert "to staging" not in sworn.notes


# --- the order --------------------------------------------------------------------------------------------------------


def test_an_old_position_counts_as_that_much_longer_a_way() -> None:
    near_but_old, far_but_live = away("old", 400, age=200), away("live", 1500)
    assert order(ranked(NEED, [unit("old"), unit("live")], near_but_old, far_but_live)) == ["live", "old"]


def test_within_a_step_of_thirty_seconds_available_goes_before_clearing_before_break() -> None:
    roster = [unit("c", Status.BREAK), unit("b", Status.CLEARING), unit("a")]
    assert order(ranked(NEED, roster, away("a", 150), away("b", 100), away("c", 50))) == ["a", "b", "c"]


def test_thirty_seconds_nearer_beats_being_available() -> None:
    roster = [unit("a"), unit("b", Status.CLEARING)]
    assert order(ranked(NEED, roster, away("a", 800), away("b", 100))) == ["b", "a"]


def test_then_fewer_unmet_wishes_then_longest_idle_then_call_sign() -> None:
    need = replace(NEED, wishes=("youth",))
    roster = [
        unit("d", status_ms=NOW_MS - 10_000),
        unit("c", status_ms=NOW_MS - 90_000),
        unit("b", status_ms=NOW_MS - 10_000, skills=frozenset({"youth"})),
        unit("a", status_ms=NOW_MS - 10_000),
    ]
    assert order(ranked(need, roster, *(away(name, 100) for name in "abcd"))) == ["b", "c", "a", "d"]


def test_the_first_fit_is_nobody_when_nobody_is_fit() -> None:
    assert first_fit(ranked(NEED, [unit("a", Status.OFF_DUTY)], away("a", 100))) is None
    assert first_fit(ranked(NEED, [unit("a", Status.OFF_DUTY), unit("b")], away("a", 1), away("b", 900))) == "b"


# --- for any fleet ----------------------------------------------------------------------------------------------------

units = st.builds(
    unit,
    st.uuids().map(str),
    st.sampled_from(list(Status)),
    is_crewed=st.booleans(),
    has_terminal=st.booleans(),
    is_linked=st.booleans(),
    has_sworn=st.booleans(),
    kind=st.sampled_from(["vehicle", "vehicle", "desk"]),
    skills=st.frozensets(st.sampled_from(list(SKILLS))),
    languages=st.frozensets(st.sampled_from(list(LANGUAGES))),
    incident=st.none() | st.integers(1, 99),
    status_ms=st.integers(NOW_MS - 10**8, NOW_MS),
)
needs = st.builds(
    Need,
    lat=st.just(HERE[0]),
    lon=st.just(HERE[1]),
    gate=st.sampled_from(["unknown", "staged"]),
    skills=st.lists(st.sampled_from(list(SKILLS)), unique=True, max_size=2).map(tuple),
    languages=st.lists(st.sampled_from(list(LANGUAGES)), unique=True, max_size=1).map(tuple),
    wishes=st.lists(st.sampled_from(list(SKILLS)), unique=True, max_size=2).map(tuple),
)
distances = st.floats(0, 50_000)
ages = st.floats(0, 900)


@st.composite
def fleets(draw: st.DrawFn) -> tuple[list[RosterUnit], dict[str, Position]]:
    roster = draw(st.lists(units, max_size=12, unique_by=lambda one: one.unit))
    placed = {
        one.unit: away(one.unit, draw(distances), draw(ages), draw(st.floats(0, 359)))
        for one in roster
        if draw(st.booleans())
    }
    return roster, placed


@given(need=needs, fleet=fleets())
def test_every_unit_is_answered_once_and_no_unfit_one_comes_before_a_fit_one(
    need: Need, fleet: tuple[list[RosterUnit], dict[str, Position]]
) -> None:
    roster, positions = fleet
    candidates = rank(need, roster, positions, straight_line(need, positions, NOW_MS), NOW_MS)
    assert sorted(order(candidates)) == sorted(one.unit for one in roster)
    fits = [candidate.fit for candidate in candidates]
    assert fits == sorted(fits, reverse=True)
    for candidate in candidates:
        assert candidate.fit == (not candidate.reasons)
        if candidate.fit:
            assert candidate.travel_s is not None
            assert candidate.freshness != "lost"
            assert Status(candidate.status) not in ACTIVE


@given(need=needs, fleet=fleets(), seed=st.randoms())
def test_the_answer_does_not_depend_on_the_order_of_the_roster(
    need: Need, fleet: tuple[list[RosterUnit], dict[str, Position]], seed: object
) -> None:
    roster, positions = fleet
    times = straight_line(need, positions, NOW_MS)
    turned = list(reversed(roster))
    assert rank(need, roster, positions, times, NOW_MS) == rank(need, turned, positions, times, NOW_MS)


@given(one=units, near=st.floats(0, 20_000), further=st.floats(0, 20_000), age=st.floats(0, 14.9))
def test_a_closer_unit_that_is_otherwise_equal_and_live_never_ranks_after(
    one: RosterUnit, near: float, further: float, age: float
) -> None:
    far = replace(one, unit="far", call_sign="A")  # the call sign would put it first
    close = replace(one, unit="close", call_sign="B")
    answer = ranked(NEED, [far, close], away("far", near + further + 1, age), away("close", near, age))
    assert order(answer)[0] == "close" or not answer[0].fit


@given(need=needs, fleet=fleets(), meters=distances)
def test_one_more_unit_never_changes_the_order_of_the_others(
    need: Need, fleet: tuple[list[RosterUnit], dict[str, Position]], meters: float
) -> None:
    roster, positions = fleet
    before = order(rank(need, roster, positions, straight_line(need, positions, NOW_MS), NOW_MS))
    more = {**positions, "new": away("new", meters)}
    after = order(rank(need, [*roster, unit("new")], more, straight_line(need, more, NOW_MS), NOW_MS))
    assert [name for name in after if name != "new"] == before


def test_travel_times_are_taken_as_given() -> None:
    times = {"a": Travel(distance_m=9000, seconds=60), "b": Travel(distance_m=100, seconds=600)}
    positions = {"a": away("a", 9000), "b": away("b", 100)}
    answer = rank(NEED, [unit("a"), unit("b")], positions, times, NOW_MS, engine="road")
    assert order(answer) == ["a", "b"]
    assert all("straight line, not by road" not in candidate.notes for candidate in answer)


def test_the_straight_line_is_the_great_circle() -> None:
    places = {"a": away("a", 4321, course=12)}
    fix = places["a"].fix
    assert fix is not None
    assert straight_line(NEED, places, NOW_MS)["a"].distance_m == pytest.approx(distance_m(fix.lat, fix.lon, *HERE))
