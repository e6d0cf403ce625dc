"""A small agency for tests of the hub: a store with units, devices with keys, and what a terminal would send."""

from __future__ import annotations

import secrets
from copy import copy
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct
from sqlalchemy import Connection, Engine, insert, select

from hub import ingest, projections, roster, schema
from hub.ingest import Arrival, Marks, Taken
from tests.new_store import new_store
from wire import live, notes, records, topics
from wire.codec import encode
from wire.fix import Fix
from wire.keys import NoteKey, NoteKeyList, Role
from wire.live import Live, LogRange, Mark, Presence
from wire.notes import Header, NoteContent, NoteKind
from wire.records import Record
from wire.signature import public_der
from wire.stamp import Stamp
from wire.topics import Up, UpTopic

NOW_MS = 1_780_000_000_000


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


class Terminal:
    """What a device would say, signed as it would sign it."""

    def __init__(self, device: str, unit: str) -> None:
        self.device = device
        self.unit = unit
        self.key = new_key()
        self.kem = new_key()
        self.boot = secrets.token_bytes(16)
        self.log_id = secrets.token_bytes(16)
        self.seq = 0
        self.mono_ms = 1000
        self.session = 0

    def copied(self) -> Terminal:
        """A second board with a copy of this one's card, as it is now."""
        other = copy(self)
        other.boot = secrets.token_bytes(16)
        other.mono_ms = 1000
        return other

    def stamp(self) -> Stamp:
        self.mono_ms += 10
        return Stamp(boot=self.boot, mono_ms=self.mono_ms, wall_ms=NOW_MS - 500, quality="gps")

    def arrival(self, channel: Up, payload: bytes) -> Arrival:
        return Arrival(topic=topics.text(UpTopic(self.device, channel)), payload=payload)

    def signed(self, kind: str, body: bytes, *, seq: int | None = None, log_id: bytes | None = None) -> bytes:
        if seq is None:
            self.seq += 1
            seq = self.seq
        return records.sign_record(
            Record(
                v=1,
                device=self.device,
                log_id=log_id or self.log_id,
                seq=seq,
                kind=kind,
                stamp=self.stamp(),
                body=body,
            ),
            self.key,
        )

    def record(self, kind: str, fact: object, *, seq: int | None = None) -> Arrival:
        body = fact if isinstance(fact, bytes) else encode(fact)
        return self.arrival(Up.LOG, self.signed(kind, body, seq=seq))

    def birth(
        self, *, lowest_held: int = 1, name: str = "ledger", is_again: bool = False, marks: tuple[Mark, ...] = ()
    ) -> Arrival:
        if not is_again:
            self.session += 1
            self.mono_ms += 10
        return self.arrival(
            Up.PRESENCE,
            live.sign_presence(
                Presence(
                    v=1,
                    device=self.device,
                    boot=self.boot,
                    session=self.session,
                    mono_ms=self.mono_ms,
                    is_here=True,
                    software="0.1.0",
                    logs=(
                        LogRange(
                            log_id=self.log_id,
                            name=name,
                            lowest_held=lowest_held,
                            lowest_owed=max(lowest_held, 1),
                            next=max(self.seq + 1, lowest_held),
                            marks=marks,
                        ),
                    ),
                ),
                self.key,
            ),
        )

    def will(self, *, session: int | None = None) -> Arrival:
        said = Presence(
            v=1,
            device=self.device,
            boot=self.boot,
            session=self.session if session is None else session,
            mono_ms=self.mono_ms,
            is_here=False,
            software="0.1.0",
        )
        return self.arrival(Up.PRESENCE, live.sign_presence(said, self.key))

    def position(self, fix: Fix | None, *, mono_ms: int | None = None) -> Arrival:
        self.mono_ms += 1000
        said = Live(
            v=1,
            device=self.device,
            boot=self.boot,
            mono_ms=self.mono_ms if mono_ms is None else mono_ms,
            age_ms=40,
            fix=fix,
            reason="cadence",
        )
        return self.arrival(Up.LIVE, live.sign_live(said, self.key))

    def note(self, keys: Custodian, *, note_id: bytes | None = None, encounter: bytes = bytes(16)) -> bytes:
        header = Header(
            v=1,
            kind=NoteKind.FINAL,
            note_id=note_id or secrets.token_bytes(16),
            encounter=encounter,
            parent=None,
            device=self.device,
            author="s1",
            shift=bytes(16),
            stamp=self.stamp(),
            suite=1,
            epoch=keys.epoch,
            flags=0,
            disposition="stabilized_in_place",
        )
        return notes.seal(header, encode(NoteContent(text="calm")), keys.listed.recipients(), self.key)


class Custodian:
    """The note keys of an agency."""

    def __init__(self, epoch: int = 1) -> None:
        self.epoch = epoch
        self.clinical = {n: new_key() for n in range(1, epoch + 1)}
        self.break_glass = new_key()
        self.listed = self.list_of(epoch)

    def list_of(self, newest: int) -> NoteKeyList:
        keys = [self._key(self.clinical[n], n, Role.CLINICAL) for n in range(1, newest + 1)]
        return NoteKeyList(v=1, number=newest, keys=(*keys, self._key(self.break_glass, 0, Role.BREAK_GLASS)))

    def _key(self, key: ec.EllipticCurvePrivateKey, epoch: int, role: Role) -> NoteKey:
        public = public_der(key.public_key())
        return NoteKey(
            kid=notes.kid(public), suite=1, public=public, epoch=epoch, role=role, not_after_ms=NOW_MS + 10**10
        )


class Agency:
    """A hub's store with three units, two of them vehicles, each with its terminal."""

    def __init__(self, home: Path) -> None:
        self.engine: Engine = new_store(home)
        self.custodian = Custodian()
        self.marks = Marks()
        self.now_ms = NOW_MS
        self.one = Terminal("d-one", "u1")
        self.two = Terminal("d-two", "u2")
        self.desk = Terminal("d-desk", "u3")
        with self.engine.begin() as connection:
            roster.load(connection, ROSTER, "Lakeshore CARE", NOW_MS)
            for terminal in (self.one, self.two, self.desk):
                enroll(connection, terminal, "desk" if terminal is self.desk else "vehicle")

    def take(self, *arrivals: Arrival) -> Taken:
        self.now_ms += 1000
        return ingest.take(self.engine, arrivals, self.now_ms, note_keys=self.custodian.listed, marks=self.marks)

    def incident(self, incident: str = "i1") -> None:
        with self.engine.begin() as connection:
            connection.execute(
                insert(schema.incident).values(
                    incident=incident,
                    encounter=incident.encode().ljust(16, b"\0"),
                    number=int(incident[1:]),
                    type="EDP",
                    priority=2,
                    lat=41.0,
                    lon=-83.0,
                    place="12 Shore St",
                    problem="shouting",
                    need="{}",
                    gate="unknown",
                    state="open",
                    opened_ms=self.now_ms,
                    opened_by="dee",
                )
            )

    def offer(self, assignment: str, terminal: Terminal, incident: str = "i1") -> None:
        self.now_ms += 1000
        with self.engine.begin() as connection:
            connection.execute(
                insert(schema.assignment).values(
                    assignment=assignment,
                    incident=incident,
                    unit=terminal.unit,
                    device=terminal.device,
                    offered_ms=self.now_ms,
                    offered_by="dee",
                )
            )
            projections.offered(connection, assignment, self.now_ms, "dee")

    def release(self, assignment: str) -> None:
        self.now_ms += 1000
        with self.engine.begin() as connection:
            projections.released(connection, assignment, self.now_ms, "dee")

    def unit(self, unit: str) -> projections.UnitNow:
        with self.engine.begin() as connection:
            return projections.unit_now(connection, unit)

    def assignment(self, assignment: str) -> AssignmentRow:
        table = schema.assignment
        with self.engine.begin() as connection:
            row = connection.execute(select(table).where(table.c.assignment == assignment)).one()
        return AssignmentRow(
            received_ms=row.received_ms,
            acknowledged_ms=row.acknowledged_ms,
            released_ms=row.released_ms,
            released_by=row.released_by,
        )

    def quarantined(self) -> list[str]:
        with self.engine.begin() as connection:
            return list(connection.execute(select(schema.quarantine.c.why).order_by(schema.quarantine.c.id)).scalars())

    def rows(self, *names: str) -> dict[str, list[tuple[object, ...]]]:
        """Every row of the tables `names`."""
        found: dict[str, list[tuple[object, ...]]] = {}
        with self.engine.begin() as connection:
            for name in names:
                table = schema.metadata.tables[name]
                order = list(table.primary_key.columns)
                found[name] = [tuple(row) for row in connection.execute(select(table).order_by(*order))]
        return found


class AssignmentRow(Struct, frozen=True):
    received_ms: int | None
    acknowledged_ms: int | None
    released_ms: int | None
    released_by: str | None


PROJECTED = ("unit_now", "status_history", "note", "assignment", "clock_correction")

ROSTER = roster.RosterFile(
    unit=(
        roster.Unit(unit="u1", call_sign="CARE-1", kind="vehicle"),
        roster.Unit(unit="u2", call_sign="CARE-2", kind="vehicle"),
        roster.Unit(unit="u3", call_sign="DESK-1", kind="desk"),
    ),
    staff=(
        roster.Staff(staff="s1", name="Aspen", role="specialist", skills=("clinician",), languages=("eng", "spa")),
        roster.Staff(staff="s2", name="Beech", role="sworn"),
    ),
    duty=(roster.Duty(unit="u1", staff=("s1", "s2")),),
)


def enroll(connection: Connection, terminal: Terminal, kind: str, state: str = "enrolled") -> None:
    connection.execute(
        insert(schema.device).values(
            device=terminal.device,
            unit=terminal.unit,
            kind=kind,
            state=state,
            public=public_der(terminal.key.public_key()),
            kem_public=public_der(terminal.kem.public_key()),
            certificate=b"certificate of " + terminal.device.encode(),
            added_ms=NOW_MS,
        )
    )
