"""An alarm is a sentence with what to do, stands until a supervisor has seen it, and then is gone."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import insert

from hub import alarms, audit, schema, store
from hub.ingest import Arrival
from tests.hub_agency import NOW_MS, Agency, Terminal
from wire.facts import StatusFact
from wire.records import Kind

AVAILABLE = StatusFact(unit="u1", status="available", by="crew")


def raised(agency: Agency) -> list[str]:
    with agency.engine.begin() as connection:
        found = alarms.raised(connection)
    assert all(alarm.what_to_do for alarm in found)
    return [alarm.text for alarm in found]


def gap(agency: Agency, terminal: Terminal, first: int, last: int) -> None:
    with agency.engine.begin() as connection:
        connection.execute(
            insert(schema.gap).values(
                device=terminal.device, log_id=terminal.log_id, first=first, last=last, noted_ms=NOW_MS
            )
        )


def test_a_healthy_hub_has_none(tmp_path: Path) -> None:
    agency = Agency(tmp_path)
    agency.take(agency.one.birth(), agency.one.record(Kind.STATUS, AVAILABLE))
    assert raised(agency) == []


def test_records_that_nobody_holds_are_counted_by_unit(tmp_path: Path) -> None:
    agency = Agency(tmp_path)
    agency.take(agency.two.birth(lowest_held=4))
    assert raised(agency) == ["3 records of CARE-2 are held by nobody any more"]


def test_a_hole_in_the_track_is_called_one(tmp_path: Path) -> None:
    agency = Agency(tmp_path)
    agency.take(agency.one.birth(name="trail", lowest_held=2))
    assert raised(agency) == ["1 track record of CARE-1 is held by nobody any more"]


def test_what_was_refused_is_one_line_for_each_unit_and_reason(tmp_path: Path) -> None:
    agency = Agency(tmp_path)
    stranger = Terminal("d-nine", "u9")
    forged = agency.two.record(Kind.STATUS, AVAILABLE)
    agency.take(
        *[Arrival(topic=agency.one.birth().topic, payload=b"rubbish")] * 3, agency.one.position(None), stranger.birth()
    )
    assert forged.payload
    assert sorted(raised(agency)) == [
        "A terminal that this hub does not know: 1 message refused, unknown device",
        "CARE-1: 3 messages refused, malformed",
    ]


def test_a_terminal_that_counts_backward_is_an_alarm(tmp_path: Path) -> None:
    agency = Agency(tmp_path)
    agency.take(agency.one.birth(), *(agency.one.record(Kind.STATUS, AVAILABLE) for _ in range(3)))
    agency.one.seq = 1
    agency.take(agency.one.birth())
    assert raised(agency) == ["Terminal d-one counts backward: the terminal counts to 1 where we hold 3"]


def test_a_backup_that_failed_is_an_alarm_until_one_is_made(tmp_path: Path) -> None:
    agency = Agency(tmp_path)
    with agency.engine.begin() as connection:
        number = audit.append(connection, NOW_MS, "hub", None, "backup_failed", "b", audit.FAILED, "make room")
        store.keep_fact(connection, audit.NO_BACKUP, number)
    assert raised(agency) == ["The last backup was not made: make room"]
    with agency.engine.begin() as connection:
        store.keep_fact(connection, audit.NO_BACKUP, 0)
    assert raised(agency) == []


def test_what_a_supervisor_has_seen_is_gone_and_what_comes_later_is_not(tmp_path: Path) -> None:
    agency = Agency(tmp_path)
    gap(agency, agency.one, 1, 2)
    with agency.engine.begin() as connection:
        alarms.seen(connection, NOW_MS + 10**12, "omar", NOW_MS)  # not what is still to come
    assert raised(agency) == []
    agency.take(agency.two.birth(lowest_held=3))
    assert raised(agency) == ["2 records of CARE-2 are held by nobody any more"]
    assert "alarms_seen" in {row[4] for row in agency.rows("audit")["audit"]}
