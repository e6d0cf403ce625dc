"""What a terminal salvaged is folded once, whoever held it before, comes out the same when all is folded again, and what is
lost is said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from hub import alarms, projections, schema
from hub.arrivals import Arrival, Why
from tests.hub_agency import PROJECTED, Agency, Terminal
from wire.codec import encode
from wire.facts import AuditFact, LedgerDamaged, StatusFact
from wire.records import Kind
from wire.topics import Up

OLD = b"o" * 16


@pytest.fixture
def agency(tmp_path: Path) -> Iterator[Agency]:
    made = Agency(tmp_path)
    yield made
    made.engine.dispose()


def old(terminal: Terminal, seq: int, status: str) -> bytes:
    fact = StatusFact(unit=terminal.unit, status=status, by="crew")
    return terminal.signed(Kind.STATUS, encode(fact), seq=seq, log_id=OLD)


def damaged(
    terminal: Terminal, upcoming: int, through: int, salvaged: tuple[tuple[int, int], ...], log_id: bytes | None = OLD
) -> Arrival:
    return terminal.record(
        Kind.LEDGER_DAMAGED,
        LedgerDamaged(
            log="ledger", log_id=log_id, next=upcoming, through=through, salvaged=salvaged, damage="it is cut"
        ),
    )


def told(agency: Agency) -> list[str]:
    with agency.engine.begin() as connection:
        return [alarm.text for alarm in alarms.raised(connection)]


def gaps(agency: Agency) -> list[tuple[int, int]]:
    with agency.engine.begin() as connection:
        table = schema.gap
        return [(row.first, row.last) for row in connection.execute(select(table).order_by(table.c.first))]


def test_a_salvaged_record_is_kept_under_the_number_it_was_saved_with_and_folded(agency: Agency) -> None:
    one = agency.one
    taken = agency.take(damaged(one, 2, 0, ((1, 1),)), one.record(Kind.SALVAGED, old(one, 1, "available")))
    assert {receipt.log_id: receipt.through for receipt in taken.receipts}[one.log_id] == 2
    assert agency.unit("u1").status == "available"
    assert agency.quarantined() == []
    with agency.engine.begin() as connection:
        table = schema.record
        kept = connection.execute(select(table.c.kind).where(table.c.log_id == OLD, table.c.seq == 1)).all()
    assert [row.kind for row in kept] == [Kind.STATUS]


def test_what_the_hub_had_already_is_not_folded_again(agency: Agency) -> None:
    one = agency.one
    data = old(one, 1, "available")
    agency.take(one.arrival(Up.LOG, data), one.arrival(Up.LOG, old(one, 2, "break")))
    history = agency.rows("status_history")
    agency.take(damaged(one, 3, 0, ((1, 2),)), one.record(Kind.SALVAGED, data))
    assert agency.rows("status_history") == history
    assert agency.unit("u1").status == "break"


def test_the_terminal_hears_that_its_presses_are_folded_by_their_new_numbers(agency: Agency) -> None:
    one = agency.one
    first, second = old(one, 1, "available"), old(one, 2, "break")
    agency.take(one.arrival(Up.LOG, first))
    agency.take(damaged(one, 3, 0, ((1, 2),)), one.record(Kind.SALVAGED, first), one.record(Kind.SALVAGED, second))
    now = agency.unit("u1")
    assert (now.status, now.log_id, now.status_through) == ("break", one.log_id, 3)


def test_a_rebuild_comes_out_the_same(agency: Agency) -> None:
    one = agency.one
    first = old(one, 1, "available")
    agency.take(one.arrival(Up.LOG, first))
    agency.take(
        damaged(one, 5, 1, ((2, 2), (4, 4))),
        one.record(Kind.SALVAGED, old(one, 2, "break")),
        one.record(Kind.SALVAGED, old(one, 4, "available")),
        one.record(Kind.STATUS, StatusFact(unit="u1", status="break", by="crew")),
    )
    before = agency.rows(*PROJECTED)
    with agency.engine.begin() as connection:
        projections.rebuild(connection)
    assert agency.rows(*PROJECTED) == before


def test_what_could_not_be_read_is_a_gap_and_an_alarm(agency: Agency) -> None:
    one = agency.one
    agency.take(*(one.arrival(Up.LOG, old(one, seq, "available")) for seq in (1, 2)))
    agency.take(damaged(one, 9, 2, ((4, 5), (7, 7))))
    assert gaps(agency) == [(3, 3), (6, 6), (8, 8)]
    assert (
        "The disk of CARE-1 fails: the file with its records was damaged: 3 that were not sent yet are rescued, 3 lost"
    ) in told(agency)


def test_a_restored_hub_counts_what_it_lost_of_the_old_log_as_well(agency: Agency) -> None:
    agency.take(damaged(agency.one, 9, 6, ((7, 8),)))  # it was told 6, and has forgotten
    assert gaps(agency) == [(1, 6)]


def test_a_file_of_which_nothing_could_be_read_is_an_alarm(agency: Agency) -> None:
    agency.take(damaged(agency.one, 1, 0, (), log_id=None))
    assert told(agency) == ["The disk of CARE-1 fails: nothing could be read of the file with its records"]


def test_the_old_log_may_not_go_on_with_numbers_that_were_given(agency: Agency) -> None:
    one = agency.one
    agency.take(damaged(one, 6, 0, ((4, 5),)), one.record(Kind.SALVAGED, old(one, 4, "available")))
    agency.take(one.arrival(Up.LOG, old(one, 4, "break")))  # a card's old copy
    assert agency.quarantined() == [Why.CONFLICT]
    assert agency.unit("u1").status == "available"


def test_a_salvaged_record_that_another_signed_changes_nothing_and_is_receipted(agency: Agency) -> None:
    one, two = agency.one, agency.two
    forged = Terminal("d-one", "u1")
    taken = agency.take(
        one.record(Kind.SALVAGED, old(forged, 1, "break")),
        one.record(Kind.SALVAGED, old(two, 1, "break")),
        one.record(Kind.SALVAGED, b"rubbish"),
    )
    assert {receipt.log_id: receipt.through for receipt in taken.receipts} == {one.log_id: 3}
    assert set(agency.quarantined()) == {Why.SIGNATURE}
    assert agency.unit("u1").status == "off_duty"


def test_a_log_cannot_call_itself_damaged(agency: Agency) -> None:
    one = agency.one
    agency.take(damaged(one, 9, 0, (), log_id=one.log_id))
    assert agency.quarantined() == [Why.UNREADABLE]
    assert gaps(agency) == []


def test_a_salvaged_audit_line_is_written_once(agency: Agency) -> None:
    one = agency.one
    data = one.signed(Kind.AUDIT, encode(AuditFact(what="unlocked", outcome="ok")), seq=1, log_id=OLD)
    agency.take(one.record(Kind.SALVAGED, data), one.record(Kind.SALVAGED, data))
    with agency.engine.begin() as connection:
        lines = connection.execute(select(schema.audit).where(schema.audit.c.what == "unlocked")).all()
    assert len(lines) == 1
