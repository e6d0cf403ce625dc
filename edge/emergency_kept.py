"""What the ledger keeps of an emergency: the press as an owed record, and that it is raised until dispatch has cleared it.

Every function runs inside the caller's transaction, so that a press and what is remembered of it are saved both or neither.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct
from msgspec.structs import replace
from sqlite_utils import Database

from edge import assignments, held, outbox, shift
from edge.emergency_state import Aboard, Raised, is_over, remembered
from edge.outbox import Signer
from wire.codec import Malformed, decode
from wire.facts import EmergencyFact
from wire.records import Kind, Record
from wire.signature import payload_of
from wire.stamp import Stamp
from wire.state import Emergencies, HeardPress, Version
from wire.topics import Section


class Unheard(Struct, frozen=True):
    """A press of an earlier start: what it said, in which boot, and its signed record."""

    fact: EmergencyFact
    boot: bytes
    record: bytes


class Begun(Struct, frozen=True, kw_only=True):
    """What is known at a start. `said`, `version`: the hub's word on emergencies, None before it has said anything."""

    aboard: Aboard
    raised: tuple[Raised, ...]
    said: Emergencies | None
    version: Version | None
    unheard: tuple[Unheard, ...]


def begin(db: Database, kem: ec.EllipticCurvePrivateKey) -> Begun:
    """What an earlier start left, and what the hub last said."""
    said = held.content(db, kem, Section.EMERGENCY, Emergencies)
    about = held.about(db, Section.EMERGENCY)
    known = {} if said is None else {one.id: one for one in said.emergencies}
    raised = {row.id: row for row in raised_in(db)}
    raised |= {one.id: remembered(one) for one in known.values() if one.cleared_ms is None and one.id not in raised}
    return Begun(
        aboard=aboard(db, kem),
        raised=tuple(raised.values()),
        said=said,
        version=None if about is None else about.version,
        unheard=_unheard_in(db),
    )


def aboard(db: Database, kem: ec.EllipticCurvePrivateKey) -> Aboard:
    """Who and what an emergency raised now is about."""
    on = shift.current(db)
    staff = () if on is None else (on.staff,)
    try:
        seen = assignments.view(db, kem)
    except Malformed:
        seen = None
    if seen is None:
        return Aboard(unit=None if on is None else on.unit, staff=staff)
    current = seen.current
    return Aboard(
        unit=seen.unit,
        staff=staff,
        assignment=None if current is None else current.id,
        incident=None if current is None else current.incident,
    )


def append(db: Database, signer: Signer, stamp: Stamp, fact: EmergencyFact, about: Aboard) -> bytes:
    """Owe the hub the press, remember that it is raised, and answer with the signed record: all or nothing."""
    fact = replace(fact, unit=about.unit, staff=about.staff, assignment=about.assignment, incident=about.incident)
    seq = outbox.append(db, signer, stamp, Kind.EMERGENCY, fact)
    _remember(db, fact, stamp, seq)
    (owed,) = outbox.read(db, seq, 1, 1)
    return owed.data


def raised_in(db: Database) -> tuple[Raised, ...]:
    """What was raised and is not over, the earliest first."""
    rows: list[tuple[bytes, int, int | None, bytes, int, int]] = db.execute(
        "select emergency, is_drill, raised_ms, boot, mono_ms, is_asked from emergency order by first_seq"
    ).fetchall()
    return tuple(
        Raised(
            id=row[0],
            is_drill=bool(row[1]),
            raised_ms=row[2],
            newest=HeardPress(row[3], row[4]),
            is_asked=bool(row[5]),
        )
        for row in rows
    )


def fold(db: Database, said: Emergencies) -> None:
    """Let go of what is over; in the transaction that keeps the hub's word."""
    known = {one.id: one for one in said.emergencies}
    for one in raised_in(db):
        if is_over(one, known):
            db.execute("delete from emergency where emergency = ?", [one.id])


def _remember(db: Database, fact: EmergencyFact, stamp: Stamp, seq: int) -> None:
    if fact.asks_clear:
        db.execute("update emergency set is_asked = 1 where emergency = ?", [fact.id])
        return
    raised_ms = None if stamp.wall_ms is None else stamp.wall_ms - (stamp.mono_ms - fact.mono_ms)
    db.execute(
        "insert into emergency (emergency, is_drill, raised_ms, boot, mono_ms, first_seq, seq)"
        " values (?, ?, ?, ?, ?, ?, ?) on conflict (emergency) do update set"
        " boot = excluded.boot, mono_ms = excluded.mono_ms, seq = excluded.seq",
        [fact.id, int(fact.drill), raised_ms, stamp.boot, fact.mono_ms, seq, seq],
    )


def _unheard_in(db: Database) -> tuple[Unheard, ...]:
    """The newest press of each that is raised, to be told again after a restart; those before it are in the log."""
    rows: list[tuple[bytes, bytes]] = db.execute(
        "select emergency.boot, record.data from emergency join record on record.seq = emergency.seq"
    ).fetchall()
    return tuple(
        Unheard(decode(decode(payload_of(data), Record).body, EmergencyFact), boot, data) for boot, data in rows
    )
