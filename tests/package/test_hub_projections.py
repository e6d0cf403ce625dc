"""What records and acts mean, and that folding all of them again comes out the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from hub import desired, projections, schema
from tests.hub_agency import PROJECTED, Agency, Terminal
from wire.facts import ShiftFact, StateHeld, StatusFact
from wire.records import Kind
from wire.status import Status

VOUCHED = desired.Vouched(agency="Lakeshore CARE", note_keys=b"n", key_statement=b"s")


@pytest.fixture
def agency(tmp_path: Path) -> Iterator[Agency]:
    made = Agency(tmp_path)
    yield made
    made.engine.dispose()


def press(agency: Agency, terminal: Terminal, status: str, assignment: str | None = None, **more: object) -> None:
    fact = StatusFact(
        unit=terminal.unit,
        status=status,
        by="crew",
        staff="s1",
        assignment=assignment,
        **more,  # type: ignore[arg-type]
    )
    agency.take(terminal.record(Kind.STATUS, fact))


def hold(agency: Agency, terminal: Terminal) -> None:
    """The terminal gets its sections and says that it holds them."""
    with agency.engine.begin() as connection:
        kept = desired.refresh(connection, terminal.device, VOUCHED)
    for section in kept:
        if section.section == "assignments":
            fact = StateHeld(section=section.section, epoch=section.version.epoch, n=section.version.n)
            agency.take(terminal.record(Kind.STATE_HELD, fact))


def assert_rebuilds_the_same(agency: Agency) -> None:
    before = agency.rows(*PROJECTED)
    with agency.engine.begin() as connection:
        projections.rebuild(connection)
    assert agency.rows(*PROJECTED) == before


def test_a_call_from_offer_to_clear(agency: Agency) -> None:
    agency.take(agency.one.birth())
    press(agency, agency.one, "available")
    agency.incident()
    agency.offer("a1", agency.one)
    assert (agency.unit("u1").status, agency.unit("u1").assignment) == (Status.ASSIGNED, "a1")
    assert agency.assignment("a1").received_ms is None
    hold(agency, agency.one)
    assert agency.assignment("a1").received_ms == agency.now_ms
    assert agency.assignment("a1").acknowledged_ms is None
    press(agency, agency.one, "en_route", "a1")
    acknowledged_ms = agency.now_ms
    press(agency, agency.one, "on_scene", "a1")
    assert agency.assignment("a1").acknowledged_ms == acknowledged_ms
    press(agency, agency.one, "clearing", "a1")
    assert agency.assignment("a1").released_ms is None
    press(agency, agency.one, "available", "a1")
    now = agency.unit("u1")
    assert (now.status, now.assignment, now.skipped) == (Status.AVAILABLE, None, False)
    assert agency.assignment("a1").released_by == "device:d-one"
    assert (now.log_id, now.status_through) == (agency.one.log_id, agency.one.seq)
    assert_rebuilds_the_same(agency)


def test_a_press_that_names_no_assignment_acknowledges_none(agency: Agency) -> None:
    agency.incident()
    agency.offer("a1", agency.one)
    press(agency, agency.one, "en_route")
    assert agency.assignment("a1").acknowledged_ms is None
    assert agency.unit("u1").status == Status.EN_ROUTE


def test_a_press_about_another_units_assignment_does_not_touch_it(agency: Agency) -> None:
    agency.incident()
    agency.offer("a1", agency.two)
    press(agency, agency.one, "en_route", "a1")
    press(agency, agency.one, "available", "a1")
    assert agency.assignment("a1").acknowledged_ms is None
    assert agency.assignment("a1").released_ms is None
    assert agency.unit("u2").assignment == "a1"


def test_a_unit_that_was_sent_is_not_shown_as_free_by_a_press_before_it_knew(agency: Agency) -> None:
    press(agency, agency.one, "break")
    agency.incident()
    agency.offer("a1", agency.one)
    press(agency, agency.one, "available")
    now = agency.unit("u1")
    assert (now.status, now.assignment, now.status_by) == (Status.ASSIGNED, "a1", "hub")
    assert now.status_through == agency.one.seq
    press(agency, agency.one, "off_duty")
    assert agency.unit("u1").status == Status.OFF_DUTY
    assert_rebuilds_the_same(agency)


def test_a_step_the_table_does_not_know_happened_all_the_same_and_is_flagged(agency: Agency) -> None:
    press(agency, agency.one, "contact")
    assert (agency.unit("u1").status, agency.unit("u1").skipped) == (Status.CONTACT, True)
    press(agency, agency.one, "clearing")
    assert agency.unit("u1").skipped is False
    press(agency, agency.one, "available", skipped=True)
    assert agency.unit("u1").skipped is True


def test_a_status_this_program_does_not_know_changes_nothing(agency: Agency) -> None:
    press(agency, agency.one, "available")
    press(agency, agency.one, "levitating")
    assert agency.unit("u1").status == Status.AVAILABLE


def test_taking_back_available_gives_the_assignment_back(agency: Agency) -> None:
    agency.incident()
    agency.offer("a1", agency.one)
    press(agency, agency.one, "clearing", "a1")
    press(agency, agency.one, "available", "a1")
    released = agency.one.seq
    assert agency.unit("u1").assignment is None
    press(agency, agency.one, "clearing", "a1", undoes=released)
    now = agency.unit("u1")
    assert (now.status, now.assignment, now.skipped) == (Status.CLEARING, "a1", False)
    assert agency.assignment("a1").released_ms is None
    assert_rebuilds_the_same(agency)


def test_taking_back_an_earlier_press_does_not_undo_a_later_release(agency: Agency) -> None:
    agency.incident()
    agency.offer("a1", agency.one)
    press(agency, agency.one, "available", "a1")
    earlier = agency.one.seq
    press(agency, agency.one, "clearing", "a1", undoes=earlier)
    press(agency, agency.one, "available", "a1")
    press(agency, agency.one, "clearing", "a1", undoes=earlier)
    assert agency.assignment("a1").released_ms is not None


def test_taking_back_does_not_give_back_what_a_dispatcher_released(agency: Agency) -> None:
    agency.incident()
    agency.offer("a1", agency.one)
    press(agency, agency.one, "en_route", "a1")
    agency.release("a1")
    press(agency, agency.one, "available", "a1")
    press(agency, agency.one, "en_route", "a1", undoes=agency.one.seq)
    assert agency.assignment("a1").released_by == "dee"
    assert agency.unit("u1").assignment is None


@pytest.mark.parametrize(
    ("pressed", "left"),
    [
        (None, Status.AVAILABLE),
        ("en_route", Status.AVAILABLE),
        ("staged", Status.AVAILABLE),
        ("on_scene", Status.CLEARING),
        ("contact", Status.CLEARING),
        ("clearing", Status.CLEARING),
        ("break", Status.BREAK),
    ],
)
def test_a_release_by_a_dispatcher_leaves_the_unit_where_it_stands(
    agency: Agency, pressed: str | None, left: Status
) -> None:
    agency.incident()
    agency.offer("a1", agency.one)
    if pressed is not None:
        press(agency, agency.one, pressed, "a1" if pressed != "break" else None)
    agency.release("a1")
    agency.release("a1")
    assert (agency.unit("u1").status, agency.unit("u1").assignment) == (left, None)
    assert agency.assignment("a1").released_by == "dee"
    assert_rebuilds_the_same(agency)


def test_the_crew_aboard_follows_its_own_shift(agency: Agency) -> None:
    early = ShiftFact(shift=b"e" * 16, unit="u1", staff=("s1", "s2"), on=True)
    late = ShiftFact(shift=b"l" * 16, unit="u1", staff=("s2",), on=True)
    agency.take(agency.one.record(Kind.SHIFT, early))
    assert agency.unit("u1").crew == ("s1", "s2")
    agency.take(agency.one.record(Kind.SHIFT, late))
    agency.take(agency.one.record(Kind.SHIFT, ShiftFact(shift=b"e" * 16, unit="u1", staff=(), on=False)))
    assert agency.unit("u1").crew == ("s2",)
    agency.take(agency.one.record(Kind.SHIFT, ShiftFact(shift=b"l" * 16, unit="u1", staff=(), on=False)))
    assert agency.unit("u1").crew == ()
    assert_rebuilds_the_same(agency)


def test_an_earlier_version_does_not_put_a_later_assignment_on_the_terminal(agency: Agency) -> None:
    agency.take(agency.one.birth())
    hold(agency, agency.one)
    agency.incident()
    agency.offer("a1", agency.one)
    with agency.engine.begin() as connection:
        desired.refresh(connection, "d-one", VOUCHED)
    agency.take(agency.one.record(Kind.STATE_HELD, StateHeld(section="assignments", epoch=1, n=1)))
    assert agency.assignment("a1").received_ms is None
    agency.take(agency.one.record(Kind.STATE_HELD, StateHeld(section="assignments", epoch=1, n=2)))
    assert agency.assignment("a1").received_ms == agency.now_ms


def test_rebuilding_does_not_ask_the_keys_and_units_of_today(agency: Agency) -> None:
    agency.take(agency.one.record(Kind.NOTE, agency.one.note(agency.custodian)))
    press(agency, agency.one, "available")
    with agency.engine.begin() as connection:
        connection.execute(
            update(schema.device)
            .where(schema.device.c.device == "d-one")
            .values(unit="u2", public=b"new", certificate=b"new", state="revoked")
        )
    assert_rebuilds_the_same(agency)


def test_rebuilding_does_not_know_the_future(agency: Agency) -> None:
    agency.incident()
    press(agency, agency.one, "en_route", "a1")
    agency.offer("a1", agency.one)
    press(agency, agency.one, "available", "a1")
    agency.offer("a2", agency.one)
    agency.release("a2")
    agency.offer("a3", agency.one)
    assert agency.assignment("a1").acknowledged_ms is None
    assert_rebuilds_the_same(agency)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["press", "press", "press", "offer", "release", "hold", "shift", "note", "undo"]),
        st.integers(0, 1),
        st.sampled_from(list(Status)),
        st.sampled_from([None, "a0", "a1", "a2", "a3", "a9"]),
    ),
    max_size=14,
)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_folding_everything_again_gives_the_same_rows(steps: list[tuple[str, int, Status, str | None]]) -> None:
    with TemporaryDirectory() as folder:
        agency = Agency(Path(folder))
        agency.incident("i1")
        agency.incident("i2")
        offered = 0
        for what, which, status, assignment in steps:
            terminal = (agency.one, agency.two)[which]
            match what:
                case "press":
                    press(agency, terminal, status, assignment)
                case "undo":
                    press(agency, terminal, status, assignment, undoes=max(1, terminal.seq))
                case "offer":
                    agency.offer(f"a{offered}", terminal, f"i{1 + offered % 2}")
                    offered += 1
                case "release" if offered:
                    agency.release(f"a{offered - 1}")
                case "hold":
                    hold(agency, terminal)
                case "shift":
                    fact = ShiftFact(shift=bytes([offered]) * 16, unit=terminal.unit, staff=("s1",), on=which == 0)
                    agency.take(terminal.record(Kind.SHIFT, fact))
                case "note":
                    agency.take(terminal.record(Kind.NOTE, terminal.note(agency.custodian)))
        try:
            assert_rebuilds_the_same(agency)
        finally:
            agency.engine.dispose()
