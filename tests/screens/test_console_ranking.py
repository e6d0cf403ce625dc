"""What a ranking rests on comes from the store, is kept with it, and is found again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import pytest
from sqlalchemy import insert, select, update

from hub import rankings, schema, sending, snapshot
from hub.closest import Question
from hub.deeds import Deed
from hub.errors import Refused
from hub.rank import Candidate, Need, RoadsDown, Rules, Travel
from hub.rankings import ByRoad, RoadsFor, Spot, licenses_at, roads_by
from hub.replay import replayed
from hub.rings import Ring
from hub.sending import Ranked
from tests.screens.console_world import NOW_MS, World

MINUTE_MS = 60_000


class Slow:
    """An engine that takes so long for each answer, by a clock of its own, and would go on for ever."""

    def __init__(self, takes_s: float) -> None:
        self.takes_s = takes_s
        self.now_s = 0.0
        self.asked: list[int] = []

    def __call__(
        self, sources: Sequence[Spot], target: Spot, closed: Sequence[Ring], wait_s: float
    ) -> list[Travel | None]:
        self.asked.append(len(sources))
        if self.takes_s > wait_s:
            self.now_s += wait_s
            raise RoadsDown("The road engine takes too long.")
        self.now_s += self.takes_s
        return [Travel(distance_m=1000.0 * n, seconds=100.0 * n) for n, _ in enumerate(sources, 1)]

    def roads(self) -> RoadsFor:
        return roads_by(self, "build-7", lambda: self.now_s)


def rank(hub: World, incident: str, times: RoadsFor | None = None, rules: Rules | None = None) -> Ranked:
    return sending.rank_units(
        hub.engine,
        incident,
        {position.unit: position for position in hub.positions.all()},
        lambda connection: snapshot.units(connection, hub.presence.state),
        Deed(by="nina", now_ms=hub.now_ms),
        rules or Rules(),
        None if times is None else ByRoad(times=times),
    )


def of(ranked: Ranked, unit: str) -> Candidate:
    return next(one for one in ranked.candidates if one.unit == unit)


def history(hub: World, unit: str, *told: tuple[str, int], assignment: str | None = None) -> None:
    """Statuses and how many minutes ago they came."""
    with hub.engine.begin() as connection:
        for status, minutes in told:
            connection.execute(
                insert(schema.status_history).values(
                    unit=unit,
                    status=status,
                    assignment=assignment,
                    by="crew",
                    skipped=False,
                    quality="hub",
                    held_ms=hub.now_ms - minutes * MINUTE_MS,
                )
            )


def set_now(hub: World, unit: str, **changed: object) -> None:
    with hub.engine.begin() as connection:
        connection.execute(update(schema.unit_now).where(schema.unit_now.c.unit == unit).values(**changed))


def send(hub: World, unit: str, incident: str, id_: str, **changed: object) -> None:
    with hub.engine.begin() as connection:
        connection.execute(
            insert(schema.assignment).values(
                assignment=id_,
                incident=incident,
                unit=unit,
                device=f"d-{unit}",
                offered_ms=hub.now_ms - 5 * MINUTE_MS,
                offered_by="nina",
                **changed,
            )
        )


# --- kept and found again ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_road", [True, False])
def test_what_was_shown_is_worked_out_again_from_the_store(hub: World, by_road: bool) -> None:
    ranked = rank(hub, "i3", Slow(0.01).roads() if by_road else None)
    assert ranked.engine == ("road" if by_road else "straight line")
    with hub.engine.begin() as connection:
        kept = rankings.shown(connection, ranked.ranking)
        row = connection.execute(select(schema.ranking)).one()
    assert kept is not None
    assert kept.candidates == ranked.candidates == replayed(kept)
    assert (kept.graph, row.graph) == (("build-7", "build-7") if by_road else (None, None))
    assert kept.question.need.languages == ("spa",)
    assert (kept.question.need.priority, kept.question.need.gate) == (2, "unknown")
    assert {one.unit: one.crew for one in kept.question.roster}["u1"] == ("dana", "theo")


def test_what_happens_afterwards_does_not_change_what_was_shown(hub: World) -> None:
    ranked = rank(hub, "i3")
    set_now(hub, "u2", status="off_duty", crew="")
    hub.now_ms += 3_600_000
    with hub.engine.begin() as connection:
        kept = rankings.shown(connection, ranked.ranking)
    assert kept is not None
    assert replayed(kept) == ranked.candidates
    assert rank(hub, "i3").candidates != ranked.candidates


def test_every_choice_is_found_with_who_chose_when_and_why_not_the_first(hub: World) -> None:
    page, number = hub.signed_in("nina"), rank(hub, "i3").ranking
    for id_, unit, more in (("s1", "u4", {"reason": "Knows this person"}), ("s2", "u2", {})):
        body = {"id": id_, "unit": unit, "ranking": number, **more}
        assert page.post("/api/v1/incidents/i3/assignments", body).status_code == 201
    with hub.engine.begin() as connection:
        chosen = rankings.choices(connection, number)
    assert [(one.unit, one.by, one.at_ms, one.reason) for one in chosen] == [
        ("u4", "nina", NOW_MS, "Knows this person"),
        ("u2", "nina", NOW_MS, None),
    ]


def test_no_transaction_is_open_while_the_roads_are_asked(hub: World) -> None:
    def asks_the_store(
        sources: Sequence[Spot], target: Spot, closed: Sequence[Ring], wait_s: float
    ) -> list[Travel | None]:
        with hub.engine.begin() as connection:
            connection.execute(select(schema.unit)).all()
        return [None for _ in sources]

    assert rank(hub, "i3", roads_by(asks_the_store, "g", lambda: 0.0)).candidates


# --- the roads' time --------------------------------------------------------------------------------------------------


def test_an_engine_that_hangs_costs_a_list_the_fifth_of_a_second_that_the_agency_lets_it_wait(hub: World) -> None:
    engine = Slow(60.0)
    ranked = rank(hub, "i3", engine.roads())
    assert (ranked.engine, ranked.why_not_road) == ("straight line", "The road engine takes too long.")
    assert engine.now_s == pytest.approx(0.2)


def test_roads_that_answer_in_time_are_not_asked_once_more_than_there_is_time_for(hub: World) -> None:
    asked = Question(need=Need(lat=42.0, lon=-101.0), roster=(), positions=(), now_ms=NOW_MS)
    for takes_s, may in ((0.05, True), (0.08, True), (0.1, False), (0.15, False)):
        engine = Slow(takes_s)
        roads = engine.roads()(asked)
        roads.times([])
        assert roads.may_go_on() is may, takes_s


# --- what a unit is, from the store -----------------------------------------------------------------------------------


def test_a_crew_rests_from_when_it_left_the_person_and_not_from_when_it_met_them(hub: World) -> None:
    history(hub, "u2", ("contact", 40), ("transporting", 20), ("clearing", 4), ("available", 3))
    assert of(rank(hub, "i3"), "u2").reasons[0].startswith("resting until ")
    history(hub, "u2", ("contact", 2), ("clearing", 1))
    assert of(rank(hub, "i3", rules=Rules(rest_min=0.5)), "u2").fit


def test_the_next_crew_does_not_rest_for_the_last(hub: World) -> None:
    history(hub, "u2", ("contact", 9), ("clearing", 4), ("off_duty", 3), ("available", 2))
    assert of(rank(hub, "i3"), "u2").fit


def test_a_rest_that_a_supervisor_ended_is_audited_and_the_next_person_gives_a_new_one(hub: World) -> None:
    history(hub, "u2", ("contact", 9), ("clearing", 4))
    with hub.engine.begin() as connection:
        rankings.end_rest(connection, "u2", "Nobody else speaks Spanish", "omar", hub.now_ms)
    rested = of(rank(hub, "i3"), "u2")
    assert rested.fit
    assert "rest ended by a supervisor" in rested.notes
    hub.now_ms += 3 * MINUTE_MS
    history(hub, "u2", ("contact", 2), ("clearing", 1))
    assert of(rank(hub, "i3"), "u2").reasons[0].startswith("resting until ")
    with hub.engine.begin() as connection:
        row = connection.execute(select(schema.audit).where(schema.audit.c.what == "rest_ended")).one()
    assert (row.actor, row.about, row.reason) == ("omar", "u2", "Nobody else speaks Spanish")


def test_only_a_supervisor_ends_a_rest(hub: World) -> None:
    body = {"reason": "Nobody else speaks Spanish"}
    assert hub.signed_in("nina").post("/api/v1/units/u2/rest/end", body).status_code == 403
    assert hub.signed_in("omar").post("/api/v1/units/u2/rest/end", body).status_code == 200
    assert hub.signed_in("omar").post("/api/v1/units/u2/rest/end", {"reason": ""}).status_code == 422


# --- several at once --------------------------------------------------------------------------------------------------


def test_incidents_to_which_nobody_is_on_the_way_are_solved_together_and_nothing_is_done(hub: World) -> None:
    page = hub.signed_in("nina")
    both = page.post("/api/v1/rounds", {}).get_json()
    assert [(one["number"], one["call_sign"]) for one in both["together"]] == [(3, "CARE-2"), (2, "CARE-1")]
    assert both["together"] == both["one_by_one"]
    assert both["words"] == ["One by one is as good.", "By straight line, not by road."]
    with hub.engine.begin() as connection:
        assert len(connection.execute(select(schema.assignment)).all()) == 1


@pytest.mark.parametrize(("unit", "reason", "code"), [("u9", "Because", "not_found"), ("u2", "  ", "reason_needed")])
def test_a_rest_is_ended_for_a_unit_that_is_there_with_a_reason(hub: World, unit: str, reason: str, code: str) -> None:
    with pytest.raises(Refused) as refused, hub.engine.begin() as connection:
        rankings.end_rest(connection, unit, reason, "omar", hub.now_ms)
    assert refused.value.code == code


def test_a_crew_that_gave_it_back_before_it_came_there_has_declined(hub: World) -> None:
    send(hub, "u2", "i3", "a8", released_ms=hub.now_ms, released_by="device:d-u2")
    history(hub, "u2", ("assigned", 5), ("available", 1), assignment="a8")
    assert of(rank(hub, "i3"), "u2").reasons == ("declined this incident",)
    assert "declined this incident" not in of(rank(hub, "i2"), "u2").reasons


@pytest.mark.parametrize(
    ("released_by", "told"),
    [
        ("nina", ("assigned", "available")),
        ("device:d-u2", ("assigned", "on_scene", "clearing", "available")),
        ("device:d-u2", ("assigned", "staged", "available")),
    ],
)
def test_a_crew_that_was_there_or_was_called_back_has_not(hub: World, released_by: str, told: Sequence[str]) -> None:
    send(hub, "u2", "i3", "a8", released_ms=hub.now_ms, released_by=released_by)
    history(hub, "u2", *((status, 9 - n) for n, status in enumerate(told)), assignment="a8")
    assert of(rank(hub, "i3"), "u2").fit


def test_a_unit_on_its_way_to_something_lesser_is_offered_from_the_store_s_own_words(hub: World) -> None:
    send(hub, "u2", "i2", "a8")
    set_now(hub, "u2", status="en_route", assignment="a8")
    taken = of(rank(hub, "i3"), "u2")
    assert taken.reasons[0].startswith("en route to #2 (priority 3), about ")
    assert taken.diverted_from == 2
    send(hub, "u2", "i1", "a9")
    assert of(rank(hub, "i3"), "u2").reasons == ("en route to #2",), "it has another one waiting"


def test_a_license_counts_on_its_last_day_and_not_after(hub: World) -> None:
    today = date.fromisoformat("2026-11-18")
    text = f"may_hold:{today} lcsw:{today - timedelta(days=1)} lpc:2030-01-01"
    assert licenses_at(text, today) == {"may_hold", "lpc"}
    with hub.engine.begin() as connection:
        connection.execute(
            update(schema.staff).where(schema.staff.c.staff == "marisol").values(licenses="may_hold:2099-01-01")
        )
    asked = {"licenses": ["may_hold"]}
    page = hub.signed_in("nina")
    body = {"id": "n1", "type": "MNTL", "priority": 2, "lat": 42.45, "lon": -101.35, "place": "P", "problem": "p"}
    assert page.post("/api/v1/incidents", {**body, "need": asked}).status_code == 201
    ranked = rank(hub, "n1")
    assert (of(ranked, "u2").fit, of(ranked, "u1").reasons) == (True, ("no one licensed to hold",))


@pytest.mark.parametrize("wrong", [{"licenses": ["md"]}, {"age_group": "old"}, {"crew_size": 10}, {"wishes": ["md"]}])
def test_a_need_that_nobody_can_meet_by_its_words_is_refused(hub: World, wrong: dict[str, object]) -> None:
    body = {"id": "n1", "type": "MNTL", "priority": 2, "lat": 42.45, "lon": -101.35, "place": "P", "problem": "p"}
    assert hub.signed_in("nina").post("/api/v1/incidents", {**body, "need": wrong}).status_code == 400
