"""Folding all records and acts again gives the rows that the live hub has, whatever kinds of record there were."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import select

from hub import projections, schema
from hub.arrivals import Arrival
from tests.hub_agency import PROJECTED, Agency, Terminal
from wire import parts
from wire.codec import encode
from wire.facts import (
    AuditFact,
    ClockCorrected,
    DamagedFact,
    EmergencyFact,
    OrderDone,
    RefusedFact,
    ShelfWanted,
    ShiftFact,
    StateHeld,
    StatusFact,
)
from wire.records import Alarm, Kind, sign_alarm
from wire.topics import Up
from wire.trail import Trail, TrailPoint, pack

TABLES = (*PROJECTED, "emergency", "press")
UNKNOWN = b"\xc0"  # the body of a kind that has none here: it is kept, receipted and quarantined


def emergency(number: int) -> EmergencyFact:
    return EmergencyFact(id=bytes([number]) * 16, source="button", mono_ms=900 + number, unit="u1", staff=("s1",))


def bodies(agency: Agency) -> dict[str, tuple[object, ...]]:
    """What a terminal says, by kind: at least one of each, in an order in which each means something."""
    one, said = agency.one, sha256(b"x").digest()
    shift = ShiftFact(shift=bytes(16), unit="u1", staff=("s1", "s2"), on=True)
    far = ShiftFact(shift=b"f" * 16, unit="u1", staff=("s2",), on=True)
    return {
        Kind.SHIFT: (shift,),
        Kind.STATUS: (pressed("available"), pressed("en_route", "a1"), pressed("on_scene", "a1")),
        Kind.STATE_HELD: (StateHeld(section="assignments", epoch=1, n=1),),
        Kind.TRAIL: (pack(Trail(points=(TrailPoint(mono_ms=1, lat=41.0, lon=-83.0),))), UNKNOWN),
        Kind.NOTE: (one.note(agency.custodian),),
        Kind.SHELF_WANTED: (ShelfWanted(note_ids=(bytes(16),)),),
        Kind.EMERGENCY: (emergency(1), emergency(2)),
        Kind.AUDIT: (AuditFact(what="unlocked", outcome="ok"),),
        Kind.CLOCK_CORRECTED: (
            ClockCorrected(boot=one.boot, mono_ms=5, wall_before_ms=0, wall_after_ms=agency.now_ms, quality="gps"),
        ),
        Kind.PART: parts.split(Kind.SHIFT, encode(far), 16),
        Kind.DAMAGED: (DamagedFact(sha256=said, size=1, found=b"x"),),
        Kind.REFUSED: (RefusedFact(reason=0x95, kind=Kind.NOTE, sha256=said, size=1),),
        Kind.ORDER_DONE: (OrderDone(order=bytes(16), outcome="done"),),
    }


def pressed(status: str, assignment: str | None = None) -> StatusFact:
    return StatusFact(unit="u1", status=status, by="crew", staff="s1", assignment=assignment)


def unnumbered(terminal: Terminal, said: EmergencyFact) -> Arrival:
    alarm = Alarm(v=1, device=terminal.device, stamp=terminal.stamp(), body=encode(said))
    return terminal.arrival(Up.ALARM, sign_alarm(alarm, terminal.key))


@pytest.fixture
def agency(tmp_path: Path) -> Iterator[Agency]:
    made = Agency(tmp_path)
    yield made
    made.engine.dispose()


@pytest.mark.parametrize("is_one_batch", [True, False])
def test_every_kind_of_record_every_act_and_every_alarm_fold_to_the_same_rows(
    agency: Agency, is_one_batch: bool
) -> None:
    agency.incident()
    agency.offer("a1", agency.one)
    agency.take(agency.one.birth(), unnumbered(agency.one, emergency(2)))
    said = bodies(agency)
    sent = [agency.one.record(kind, fact) for kind in Kind for fact in said.get(kind, (UNKNOWN,))]
    for batch in [sent] if is_one_batch else [[arrival] for arrival in sent]:
        agency.take(*batch)
    with agency.engine.begin() as connection:
        projections.acknowledged(connection, emergency(1).id, agency.now_ms, "dee")
        projections.cleared(connection, emergency(1).id, agency.now_ms, "dee", "Aspen", "all is well")
    agency.release("a1")
    agency.take(agency.one.record(Kind.STATUS, pressed("available")))
    live = agency.rows(*TABLES)
    with agency.engine.begin() as connection:
        assert set(connection.execute(select(schema.record.c.kind)).scalars()) == set(Kind)
        projections.rebuild(connection)
    assert agency.rows(*TABLES) == live
    assert all(live[name] for name in TABLES)
