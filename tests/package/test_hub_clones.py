"""Two boards with one identity: both noticed, told apart by their log, and nothing that either recorded is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from hub import alarms, clones, schema, store
from hub.arrivals import Arrival
from tests.hub_agency import NOW_MS, Agency, Terminal
from wire import records
from wire.facts import EmergencyFact, StatusFact
from wire.live import Mark
from wire.records import Kind
from wire.topics import Up


@pytest.fixture
def agency(tmp_path: Path) -> Iterator[Agency]:
    made = Agency(tmp_path)
    yield made
    made.engine.dispose()


def press(terminal: Terminal, status: str = "available") -> Arrival:
    return terminal.record(Kind.STATUS, StatusFact(unit=terminal.unit, status=status, by="crew", staff="s1"))


def flagged(agency: Agency) -> dict[bytes, bool]:
    with agency.engine.begin() as connection:
        return {row.boot: row.is_stranger for row in connection.execute(select(schema.twin))}


def strays(agency: Agency) -> list[bytes]:
    with agency.engine.begin() as connection:
        return list(connection.execute(select(schema.stray.c.data).order_by(schema.stray.c.id)).scalars())


def held(agency: Agency) -> list[bytes]:
    with agency.engine.begin() as connection:
        return list(connection.execute(select(schema.record.c.data).order_by(schema.record.c.id)).scalars())


def test_a_board_that_starts_again_and_again_is_one_board(agency: Agency) -> None:
    terminal = agency.one
    for boot in range(4):
        terminal.boot, terminal.mono_ms = bytes([boot]) * 16, 1000
        birth = terminal.birth()
        agency.take(birth)
        sent = press(terminal)
        agency.take(sent, terminal.birth(marks=(Mark(terminal.seq, records.tip(sent.payload)),)))
        agency.take(birth, terminal.will())
    assert flagged(agency) == {}
    assert len(held(agency)) == 4


def test_the_birth_of_a_copy_whose_log_says_otherwise_flags_it_and_its_log_stands_apart_whole(agency: Agency) -> None:
    first = agency.one
    agency.take(first.birth(), press(first))
    second = first.copied()
    mine = press(first, "break")
    agency.take(mine)
    theirs = press(second, "out_of_service")
    taken = agency.take(second.birth(marks=(Mark(2, records.tip(theirs.payload)),)))
    assert flagged(agency) == {second.boot: True}
    assert taken.births == ()  # no sections for a stranger
    assert [(receipt.through, receipt.tip) for receipt in taken.receipts] == [(2, records.tip(mine.payload))]
    more = [press(second) for _ in range(3)]
    assert agency.take(theirs, *more, theirs).receipts == ()
    assert strays(agency) == [theirs.payload, *(one.payload for one in more)]
    assert agency.unit(first.unit).status == "break"
    going_on = press(first)
    assert [receipt.through for receipt in agency.take(going_on).receipts] == [3]  # its numbers stay its own


def test_a_copy_that_ends_before_what_is_held_is_flagged_at_its_first_birth_and_a_stranger_by_its_first_record(
    agency: Agency,
) -> None:
    first = agency.one
    agency.take(first.birth(), press(first))
    second = first.copied()
    agency.take(press(first), press(first))
    agency.take(second.birth())
    assert flagged(agency) == {second.boot: False}
    theirs = press(second, "break")
    agency.take(theirs)
    assert flagged(agency) == {second.boot: True}
    assert strays(agency) == [theirs.payload]


def test_an_old_birth_of_a_power_on_nobody_heard_of_costs_its_records_nothing(agency: Agency) -> None:
    terminal = agency.one
    unheard = terminal.birth()  # the broker kept it, and nobody listened
    made_then = [press(terminal) for _ in range(2)]
    terminal.boot = b"n" * 16
    agency.take(terminal.birth(), made_then[0])
    agency.take(unheard)  # a broker that lost its memory says it now
    agency.take(terminal.birth())
    assert [receipt.through for receipt in agency.take(made_then[1]).receipts] == [2]
    assert strays(agency) == []


def test_two_boards_that_have_recorded_nothing_since_are_both_flagged_when_their_births_take_turns(
    agency: Agency,
) -> None:
    first = agency.one
    agency.take(first.birth(), press(first))
    second = first.copied()
    assert agency.take(second.birth()).births == ("d-one",)  # as if the board had been started anew
    assert flagged(agency) == {}
    assert agency.take(first.birth()).births == ("d-one",)
    assert flagged(agency) == {first.boot: False, second.boot: False}
    agency.take(press(second))  # whoever takes the number first has it
    conflict = press(first, "break")
    agency.take(conflict)
    assert flagged(agency) == {first.boot: True, second.boot: False}
    assert strays(agency) == [conflict.payload]


def test_a_birth_that_the_broker_says_again_is_no_evidence(agency: Agency) -> None:
    terminal = agency.one
    earlier = terminal.birth()
    agency.take(earlier)
    terminal.boot = b"n" * 16
    agency.take(terminal.birth())
    agency.take(earlier, earlier)
    assert flagged(agency) == {}


def test_a_birth_of_the_lost_days_is_no_evidence_to_a_restored_hub(agency: Agency) -> None:
    """The backup knows an earlier birth of that power-on, and the broker says a later one again."""
    terminal = agency.one
    agency.take(terminal.birth())
    with agency.engine.begin() as connection:
        store.raise_epoch(connection)  # what came since is lost
    lost = terminal.birth()
    terminal.boot = b"n" * 16
    agency.take(terminal.birth())
    agency.take(lost)
    assert flagged(agency) == {}
    assert agency.take(terminal.birth()).births == ("d-one",), "the board that is here goes on"


def test_an_emergency_is_raised_whoever_presses(agency: Agency) -> None:
    first = agency.one
    agency.take(first.birth(), press(first))
    second = first.copied()
    agency.take(press(first), press(first))
    agency.take(second.birth(), press(second))
    fact = EmergencyFact(id=b"e" * 16, source="button", mono_ms=second.mono_ms, unit=second.unit)
    record = second.record(Kind.EMERGENCY, fact)
    taken = agency.take(second.arrival(Up.ALARM, record.payload))
    assert taken.changed
    assert len(agency.rows("emergency")["emergency"]) == 1
    assert strays(agency)[1:] == [record.payload]


def test_the_alarm_says_what_to_do_and_a_tech_decides(agency: Agency) -> None:
    first = agency.one
    agency.take(first.birth(), press(first))
    second = first.copied()
    agency.take(press(first))
    agency.take(second.birth(), press(second, "break"))
    agency.take(press(second))
    with agency.engine.begin() as connection:
        (alarm,) = [one for one in alarms.raised(connection) if one.kind == "twin"]
        assert "Two boards speak as CARE-1" in alarm.text
        assert "2 records kept apart" in alarm.text
        assert "takes its card out" in alarm.what_to_do
        assert clones.settle(connection, "d-one", "left", "tess", NOW_MS) == 2
        assert clones.waiting(connection, "d-one") == []
    assert len(strays(agency)) == 2  # decided, not deleted
