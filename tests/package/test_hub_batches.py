"""A batch is taken in the order it came, however many threads verify it and however its records are written."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import select, update

from hub import ingest, schema
from hub.arrivals import Arrival, Why
from hub.opening import CHUNK
from tests.hub_agency import NOW_MS, PROJECTED, Agency, Terminal, new_key
from wire.facts import EmergencyFact, StatusFact
from wire.records import Kind
from wire.signature import public_der
from wire.topics import Up
from wire.trail import Trail, TrailPoint, pack

TRAIL = pack(Trail(points=tuple(TrailPoint(mono_ms=n * 1000, lat=41.0 + n / 1e4, lon=-83.0) for n in range(10))))


@pytest.fixture
def agency(tmp_path: Path) -> Iterator[Agency]:
    made = Agency(tmp_path)
    yield made
    made.engine.dispose()


def pressed(terminal: Terminal, status: str) -> Arrival:
    return terminal.record(Kind.STATUS, StatusFact(unit=terminal.unit, status=status, by="crew"))


def kinds(agency: Agency) -> list[tuple[str, int, str]]:
    table = schema.record
    with agency.engine.begin() as connection:
        rows = connection.execute(select(table.c.device, table.c.seq, table.c.kind).order_by(table.c.id))
        return [(row.device, row.seq, row.kind) for row in rows]


def give_key(agency: Agency, device: str, key: ec.EllipticCurvePrivateKey) -> None:
    table = schema.device
    with agency.engine.begin() as connection:
        connection.execute(update(table).where(table.c.device == device).values(public=public_der(key.public_key())))


def mixed(agency: Agency) -> list[Arrival]:
    """Two terminals and a forger, each message in its turn."""
    forger = Terminal(agency.one.device, agency.one.unit)
    sent: list[Arrival] = [agency.one.birth(), agency.two.birth()]
    for number in range(3 * CHUNK):
        one, two = agency.one.record(Kind.TRAIL, TRAIL), agency.two.record(Kind.TRAIL, b"\x01")
        sent += [one, two, one, agency.two.position(None)]
        if number % 5 == 0:
            sent += [pressed(agency.one, ("available", "break")[number % 2]), forger.record(Kind.TRAIL, TRAIL)]
    return sent


def test_several_verifiers_come_to_what_one_comes_to(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    agencies = Agency(tmp_path / "a"), Agency(tmp_path / "b")
    for terminal in (agencies[0].one, agencies[0].two):
        give_key(agencies[1], terminal.device, terminal.key)
    sent = mixed(agencies[0])
    with ThreadPoolExecutor(4) as verifiers:
        taken = [
            ingest.take(agency.engine, sent, NOW_MS, marks=agency.marks, verifiers=threads)
            for agency, threads in zip(agencies, (None, verifiers), strict=True)
        ]
    tables = ("record", "quarantine", "boot", "log", "audit", *PROJECTED)
    rows = [agency.rows(*tables) for agency in agencies]
    for made in agencies:
        made.engine.dispose()
    assert rows[0] == rows[1]
    assert taken[0] == taken[1]
    assert len(rows[0]["record"]) > 2 * 3 * CHUNK


def test_records_are_kept_in_the_order_they_came_whatever_is_written_together(agency: Agency) -> None:
    agency.take(
        agency.one.record(Kind.TRAIL, TRAIL),
        agency.two.record(Kind.TRAIL, TRAIL),
        pressed(agency.one, "available"),
        agency.one.record(Kind.TRAIL, TRAIL),
        agency.two.record("weather", b"\x90"),
        agency.two.record(Kind.TRAIL, TRAIL),
    )
    assert kinds(agency) == [
        ("d-one", 1, "trail"),
        ("d-two", 1, "trail"),
        ("d-one", 2, "status"),
        ("d-one", 3, "trail"),
        ("d-two", 2, "weather"),
        ("d-two", 3, "trail"),
    ]


def test_a_trail_that_comes_twice_in_one_batch_is_kept_once_and_other_bytes_are_a_conflict(agency: Agency) -> None:
    first = agency.one.record(Kind.TRAIL, TRAIL)
    other = agency.one.record(Kind.TRAIL, pack(Trail(points=())), seq=1)
    taken = agency.take(first, first, other)
    assert kinds(agency) == [("d-one", 1, "trail")]
    assert agency.quarantined() == [Why.CONFLICT]
    assert [receipt.through for receipt in taken.receipts] == [1]


def test_an_emergency_ahead_of_its_number_has_its_place_after_the_trails_of_its_batch(agency: Agency) -> None:
    trails = [agency.one.record(Kind.TRAIL, TRAIL) for _ in range(3)]
    early = agency.one.record(Kind.EMERGENCY, EmergencyFact(id=bytes(16), source="button", mono_ms=1), seq=9)
    agency.take(*trails, agency.one.arrival(Up.ALARM, early.payload))
    with agency.engine.begin() as connection:
        assert connection.execute(select(schema.alarm.c.after_record)).scalar_one() == 3


def test_a_terminal_born_twice_in_one_batch_becomes_active_once(agency: Agency) -> None:
    agency.take(agency.one.birth(), agency.one.birth())
    with agency.engine.begin() as connection:
        said = connection.execute(select(schema.audit.c.what).where(schema.audit.c.what == "device_active")).all()
    assert len(said) == 1


def test_a_key_that_is_renewed_between_batches_signs_from_then_on(agency: Agency) -> None:
    agency.take(agency.one.record(Kind.TRAIL, TRAIL))
    before, agency.one.key = agency.one.key, new_key()
    give_key(agency, "d-one", agency.one.key)
    agency.take(agency.one.record(Kind.TRAIL, TRAIL))
    agency.one.key = before
    agency.take(agency.one.record(Kind.TRAIL, TRAIL))
    assert [row[:2] for row in kinds(agency)] == [("d-one", 1), ("d-one", 2)]
    assert agency.quarantined() == [Why.SIGNATURE]
    assert len({row[-2] for row in agency.rows("record")["record"]}) == 2
