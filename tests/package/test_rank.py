"""Who should go: every unit answered, the fit ones first, each unfit one with its reasons."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hub.positions import Position
from hub.rank import (
    AGE_GROUPS,
    ASSUMED_MPS,
    DETOUR,
    LICENSES,
    Candidate,
    Errand,
    Need,
    RosterUnit,
    Rules,
    Travel,
    first_fit,
    judge,
    place_of,
    rank,
    straight_line,
)
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


@pytest.mark.parametrize(
    ("asked", "aboard", "said"),
    [
        ({"licenses": ("may_hold",)}, {"licenses": frozenset({"lcsw"})}, ("no one licensed to hold",)),
        ({"licenses": ("lcsw",)}, {}, ("no LCSW aboard",)),
        ({"licenses": ("lcsw",)}, {"licenses": frozenset({"lcsw"})}, ()),
        ({"age_group": "child"}, {}, ("nobody aboard for youth",)),
        ({"age_group": "youth", "skills": ("youth",)}, {}, ("nobody aboard for youth",)),
        ({"age_group": "youth"}, {"skills": frozenset({"youth"})}, ()),
        ({"age_group": "older"}, {}, ()),
        ({"crew_size": 2}, {"crew": ("s1",)}, ("crew of 1, needs 2",)),
        ({"crew_size": 2}, {"crew": ("s1", "s2")}, ()),
        ({"clinician": "s2"}, {"crew": ("s1",)}, ("the named clinician is not aboard",)),
        ({"clinician": "s2"}, {"crew": ("s1", "s2")}, ()),
    ],
)
def test_a_need_is_met_by_who_is_aboard_this_shift(
    asked: dict[str, object], aboard: dict[str, object], said: tuple[str, ...]
) -> None:
    assert reasons(replace(NEED, **asked), unit("a", **aboard), away("a", 100)) == said


def test_a_license_and_a_named_clinician_that_are_there_are_notes() -> None:
    need = replace(NEED, licenses=("may_hold",), clinician="s2")
    (candidate,) = ranked(need, [unit("a", crew=("s2",), licenses=frozenset({"may_hold"}))], away("a", 100))
    assert {"may hold ✓", "named clinician ✓"} <= set(candidate.notes)


def test_a_crew_that_gave_this_incident_back_is_not_asked_again_without_being_said_so() -> None:
    assert reasons(NEED, unit("a", has_declined=True), away("a", 100)) == ("declined this incident",)


# --- rest -------------------------------------------------------------------------------------------------------------


def resting(left_min_ago: float, **changed: object) -> tuple[str, ...]:
    one = unit("a", left_person_ms=NOW_MS - round(left_min_ago * 60_000), **changed)
    return reasons(NEED, one, away("a", 100))


def test_a_crew_rests_ten_minutes_after_it_left_a_person_and_the_list_says_until_when() -> None:
    assert resting(4) == ("resting until 11:13",)  # it is 11:06:40
    assert resting(9.99) == ("resting until 11:07",)
    assert resting(10) == ()


def test_the_time_until_which_a_crew_rests_is_that_of_the_hubs_wall() -> None:
    one = unit("a", left_person_ms=NOW_MS - 240_000)
    judged = judge(NEED, one, away("a", 100), NOW_MS, utc_offset_min=-300)
    assert judged.reasons == ("resting until 06:13",)


def test_a_supervisor_ends_a_rest_and_the_list_says_so() -> None:
    one = unit("a", left_person_ms=NOW_MS - 1000, is_rest_ended=True)
    (candidate,) = ranked(NEED, [one], away("a", 100))
    assert candidate.fit
    assert "rest ended by a supervisor" in candidate.notes
    (later,) = ranked(NEED, [replace(one, left_person_ms=NOW_MS - 600_000)], away("a", 100))
    assert "rest ended by a supervisor" not in later.notes


def test_how_long_a_crew_rests_is_the_agencys() -> None:
    one = unit("a", left_person_ms=NOW_MS - 60_000)
    assert judge(NEED, one, away("a", 100), NOW_MS, Rules(rest_min=0)).reasons == ()
    assert judge(NEED, one, away("a", 100), NOW_MS, Rules(rest_min=30)).reasons != ()


# --- diversion --------------------------------------------------------------------------------------------------------

URGENT = replace(NEED, priority=1)
BEFORE_ARRIVAL = (Status.ASSIGNED, Status.ACKNOWLEDGED, Status.EN_ROUTE)


def errand(meters: float = 2640, priority: int = 3, number: int = 12) -> Errand:
    lat, lon = moved(*HERE, 90.0, meters)
    return Errand(number=number, priority=priority, lat=lat, lon=lon)


def sent(name: str, status: Status = Status.EN_ROUTE, **changed: object) -> RosterUnit:
    return unit(name, status, **{"incident": 12, "errand": errand(), **changed})


def test_a_unit_on_its_way_to_something_lesser_is_offered_after_the_fit_saying_what_would_be_left() -> None:
    roster = [unit("off", Status.OFF_DUTY), sent("near"), unit("far")]
    far, near, off = ranked(URGENT, roster, away("near", 600), away("far", 9000), away("off", 10))
    assert (far.unit, near.unit, off.unit) == ("far", "near", "off")
    assert near.reasons == ("en route to #12 (priority 3), about 4 min from it",)
    assert (near.fit, near.diverted_from, far.diverted_from, off.diverted_from) == (False, 12, None, None)


def test_a_diversion_is_never_the_one_that_goes_without_a_word() -> None:
    assert first_fit(ranked(URGENT, [sent("a")], away("a", 600))) is None


@pytest.mark.parametrize("status", list(Status))
def test_nobody_is_taken_from_a_scene(status: Status) -> None:
    (candidate,) = ranked(URGENT, [sent("a", status)], away("a", 600))
    assert (candidate.diverted_from == 12) is (status in BEFORE_ARRIVAL)


@pytest.mark.parametrize(("asking", "its"), [(1, 1), (2, 2), (3, 2), (4, 1), (None, 4)])
def test_nobody_is_taken_from_something_as_urgent(asking: int | None, its: int) -> None:
    need = replace(NEED, priority=asking)
    assert reasons(need, sent("a", errand=errand(priority=its)), away("a", 600)) == ("en route to #12",)


def test_a_unit_that_stands_where_it_was_sent_is_there_whatever_its_crew_pressed() -> None:
    assert reasons(URGENT, sent("a"), away("a", 2640 - 149)) == ("en route to #12",)
    assert reasons(URGENT, sent("a"), away("a", 2640 - 151)) != ("en route to #12",)


def test_a_unit_that_may_have_arrived_since_its_last_position_is_not_offered() -> None:
    assert "about" in reasons(URGENT, sent("a"), away("a", 600, age=150))[0]
    assert reasons(URGENT, sent("a"), away("a", 600, age=200)) == ("en route to #12",)


@pytest.mark.parametrize(
    "changed",
    [
        {"is_here_already": True},
        {"has_terminal": False},
        {"is_in_emergency": True},
        {"is_crewed": False},
        {"has_declined": True},
        {"left_person_ms": NOW_MS - 1000},
        {"errand": None},
        {"kind": "desk"},
    ],
)
def test_a_unit_that_could_not_go_anyway_is_not_taken_from_its_errand(changed: dict[str, object]) -> None:
    (candidate,) = ranked(URGENT, [sent("a", **changed)], away("a", 600))
    assert candidate.diverted_from is None


def test_at_equal_times_the_least_urgent_errand_gives_first_and_of_those_the_youngest() -> None:
    need = replace(NEED, priority=1)
    roster = [
        sent("a", errand=errand(priority=2)),
        sent("b", errand=errand(priority=4), status_ms=NOW_MS - 90_000),
        sent("c", errand=errand(priority=4), status_ms=NOW_MS - 10_000),
    ]
    assert order(ranked(need, roster, *(away(name, 100) for name in "abc"))) == ["c", "b", "a"]


# --- what an agency decides -------------------------------------------------------------------------------------------


def test_an_unmet_wish_costs_what_the_agency_says() -> None:
    need = replace(NEED, wishes=("youth",))
    roster = [unit("plain"), unit("wished", skills=frozenset({"youth"}))]
    positions = {"plain": away("plain", 100), "wished": away("wished", 1500)}
    times = straight_line(need, positions, NOW_MS)
    assert order(rank(need, roster, positions, times, NOW_MS)) == ["plain", "wished"]
    generous = rank(need, roster, positions, times, NOW_MS, rules=Rules(wish_s=300))
    assert order(generous) == ["wished", "plain"]


@pytest.mark.parametrize("wrong", [{"wish_s": -1}, {"rest_min": float("nan")}, {"exact_n": 0}, {"road_wait_s": 60}])
def test_rules_that_cannot_be_are_refused_with_their_limits(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is .*; it is .* to "):
        Rules(**wrong)  # type: ignore[arg-type]


def test_a_unit_whose_way_was_not_asked_for_says_what_it_takes_at_the_least() -> None:
    positions = {"a": away("a", 100), "b": away("b", 9000)}
    times = {"a": Travel(distance_m=120, seconds=20)}
    first, second = rank(NEED, [unit("b"), unit("a")], positions, times, NOW_MS, "road", at_least_s={"b": 240.7})
    assert (first.unit, first.travel_s, first.at_least_s) == ("a", 20, None)
    assert (second.fit, second.travel_s, second.distance_m, second.at_least_s) == (True, None, None, 240)


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
    crew=st.lists(st.sampled_from(["s1", "s2", "s3"]), unique=True, max_size=2).map(tuple),
    licenses=st.frozensets(st.sampled_from(list(LICENSES))),
    errand=st.none() | st.builds(errand, st.floats(0, 9000), st.integers(1, 4), st.integers(1, 99)),
    has_declined=st.booleans(),
    left_person_ms=st.none() | st.integers(NOW_MS - 10**6, NOW_MS),
)
needs = st.builds(
    Need,
    lat=st.just(HERE[0]),
    lon=st.just(HERE[1]),
    gate=st.sampled_from(["unknown", "staged"]),
    skills=st.lists(st.sampled_from(list(SKILLS)), unique=True, max_size=2).map(tuple),
    languages=st.lists(st.sampled_from(list(LANGUAGES)), unique=True, max_size=1).map(tuple),
    wishes=st.lists(st.sampled_from(list(SKILLS)), unique=True, max_size=2).map(tuple),
    priority=st.none() | st.integers(1, 4),
    licenses=st.lists(st.sampled_from(list(LICENSES)), unique=True, max_size=1).map(tuple),
    age_group=st.none() | st.sampled_from(list(AGE_GROUPS)),
    crew_size=st.integers(0, 2),
    clinician=st.none() | st.just("s1"),
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


@given(need=needs, one=units, meters=distances, age=ages, wish_s=st.floats(0, 900), times=st.lists(st.floats(0, 9999)))
def test_a_longer_way_never_puts_a_unit_earlier(
    need: Need, one: RosterUnit, meters: float, age: float, wish_s: float, times: list[float]
) -> None:
    judged = judge(need, one, away(one.unit, meters, age), NOW_MS, Rules(wish_s=wish_s))
    places = [place_of(judged, seconds) for seconds in sorted(times)]
    assert places == sorted(places)


@given(need=needs, fleet=fleets())
def test_who_could_be_diverted_stands_between_the_fit_and_the_rest(
    need: Need, fleet: tuple[list[RosterUnit], dict[str, Position]]
) -> None:
    roster, positions = fleet
    known = {one.unit: one for one in roster}
    tiers = []
    for candidate in rank(need, roster, positions, straight_line(need, positions, NOW_MS), NOW_MS):
        tiers.append(0 if candidate.fit else 2 if candidate.diverted_from is None else 1)
        if tiers[-1] == 1:
            taken = known[candidate.unit].errand
            assert taken is not None
            assert need.priority is not None
            assert taken.priority > need.priority
            assert Status(candidate.status) in BEFORE_ARRIVAL
    assert tiers == sorted(tiers)


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
