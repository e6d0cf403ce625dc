"""What travelled in parts means what it would have meant as one record; a gap closes with what comes after all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from hub import projections, schema
from hub.arrivals import Arrival
from tests.hub_agency import PROJECTED, Agency
from wire.codec import encode
from wire.facts import AuditFact, DamagedFact, StatusFact
from wire.parts import split
from wire.records import Kind


@pytest.fixture
def agency(tmp_path: Path) -> Iterator[Agency]:
    made = Agency(tmp_path)
    yield made
    made.engine.dispose()


def large(agency: Agency, kind: str, fact: object, size: int) -> list[Arrival]:
    return [agency.one.record(Kind.PART, part) for part in split(kind, encode(fact), size)]


def audited(agency: Agency) -> list[str | None]:
    table = schema.audit
    with agency.engine.begin() as connection:
        return list(connection.execute(select(table.c.reason).where(table.c.what == "long")).scalars())


def why(agency: Agency) -> list[str]:
    with agency.engine.begin() as connection:
        return list(connection.execute(select(schema.quarantine.c.why)).scalars())


def test_a_fact_of_400_kb_is_folded_when_its_last_part_is_stored_and_not_before(agency: Agency) -> None:
    words = "word " * 80_000
    parts = large(agency, Kind.AUDIT, AuditFact(what="long", outcome="ok", reason=words), 32 * 1024)
    assert len(parts) == 13
    agency.take(*parts[:5])
    agency.take(*parts[5:-1])
    assert audited(agency) == []
    taken = agency.take(parts[-1])
    assert [receipt.through for receipt in taken.receipts] == [13]
    agency.take(*parts)
    assert audited(agency) == [words]
    assert why(agency) == []


def test_a_status_in_parts_is_judged_and_folded_as_one_and_rebuilding_comes_out_the_same(agency: Agency) -> None:
    status = StatusFact(unit=agency.one.unit, status="available", by="crew", staff="s1")
    agency.take(*large(agency, Kind.STATUS, status, 20))
    assert agency.unit(agency.one.unit).status == "available"
    foreign = StatusFact(unit="elsewhere", status="available", by="crew")
    agency.take(*large(agency, Kind.STATUS, foreign, 20))
    assert why(agency) == ["another unit's"]
    agency.take(*large(agency, Kind.STATUS, StatusFact(unit=agency.one.unit, status="break", by="crew"), 20)[:-1])
    before = agency.rows(*PROJECTED)
    with agency.engine.begin() as connection:
        projections.rebuild(connection)
    assert agency.rows(*PROJECTED) == before
    assert agency.unit(agency.one.unit).status == "available"  # the last part of "break" has not come


def test_a_whole_with_a_damaged_part_is_quarantined_and_the_log_goes_on(agency: Agency) -> None:
    parts = large(agency, Kind.AUDIT, AuditFact(what="long", outcome="ok", reason="x" * 300), 100)
    damaged = agency.one.record(Kind.DAMAGED, DamagedFact(sha256=b"h" * 32, size=9, found=b"found"), seq=2)
    taken = agency.take(parts[0], damaged, *parts[2:])
    assert [receipt.through for receipt in taken.receipts] == [len(parts)]
    assert audited(agency) == []
    assert sorted(why(agency)) == ["changed by its board's disk or memory", "unknown kind or unreadable body"]


def test_a_recorded_gap_closes_with_what_is_said_again(agency: Agency) -> None:
    lost = [
        agency.one.record(Kind.STATUS, StatusFact(unit=agency.one.unit, status=status, by="crew"))
        for status in ("available", "break", "available", "break")
    ]
    agency.take(lost[0])
    agency.take(agency.one.birth(lowest_held=5))  # what nobody seemed to hold
    assert [row[2:4] for row in agency.rows("gap")["gap"]] == [(2, 4)]
    agency.take(lost[2], lost[2])
    assert [row[2:4] for row in agency.rows("gap")["gap"]] == [(2, 2), (4, 4)]
    agency.take(lost[3], lost[1], lost[0])
    assert agency.rows("gap")["gap"] == []
    with agency.engine.begin() as connection:
        assert sorted(connection.execute(select(schema.record.c.seq)).scalars()) == [1, 2, 3, 4]
