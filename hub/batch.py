"""What one transaction's worth of messages comes to, kept by those who take them: births, positions and records.

They are strangers to each other and meet here. Nothing of it outlives the transaction but `Taken` and the marks.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from sqlalchemy import Connection, bindparam, func, insert, select

from hub import schema
from hub.arrivals import Arrival, Dropped, Marks, Wanted, Why
from hub.logs import Logs
from hub.opening import Device
from hub.position import Position
from hub.presence import Owes
from wire.keys import NoteKeyList

EVIDENCE_BYTES_MAX = 4096  # enough to see what it was; a conflicting record is kept whole, it may be the only copy
QUARANTINE_ROWS_MAX = 1000  # per device; the first are the evidence, the rest is only counted

CONTESTED_MS = 600_000  # how long terminals are told that there was a second one

RecordRow = dict[str, str | bytes | int | None]

_INSERT_RECORD = insert(schema.record)  # built once: building costs as much as running
_INSERT_RECORD_TO_FOLD = insert(schema.record).returning(schema.record.c.id)
_SIGNERS = select(schema.signer.c.id, schema.signer.c.digest).where(
    schema.signer.c.digest.in_(bindparam("digests", expanding=True))
)
_TWINS = select(schema.twin)
_QUARANTINED = (
    select(func.count()).select_from(schema.quarantine).where(schema.quarantine.c.device == bindparam("of_device"))
)


class Batch:
    """One transaction's messages, and what they changed."""

    def __init__(
        self,
        connection: Connection,
        now_ms: int,
        note_keys: NoteKeyList | None,
        marks: Marks,
        devices: Iterable[Device],
    ) -> None:
        self.connection = connection
        self.now_ms = now_ms
        self.note_keys = note_keys
        self.marks = marks
        named = {device.device: device for device in devices}
        self.logs = Logs(connection, named)
        self.births: dict[str, None] = {}  # dicts as ordered sets
        self.here: dict[str, None] = {}
        self.gone: dict[str, None] = {}
        self.positions: dict[str, Position] = {}
        self.units: set[str] = set()
        self.is_shelf = False
        self.wanted: list[Wanted] = []
        self.refused = 0
        twins = connection.execute(_TWINS).all()  # mostly nobody
        self.strangers = {(row.device, bytes(row.boot)) for row in twins if row.is_stranger}
        self.contested = {row.device for row in twins if now_ms - row.newest_ms < CONTESTED_MS}
        self.is_troubled = False
        self.owes: dict[str, Owes] = {}
        self.affected: set[str] = set()  # devices whose desired state has changed for another reason than their unit
        self._devices = named
        self._signers: dict[bytes, int] | None = None
        self._waiting: list[RecordRow] = []

    def heard(self, device: str) -> None:
        """A device said a new word."""
        self.here[device] = None
        self.gone.pop(device, None)

    def lost(self, device: str) -> None:
        """The broker says that a device is gone."""
        self.gone[device] = None
        self.here.pop(device, None)

    # --- records

    def signer(self, device: Device) -> int:
        """The row that keeps this device's key and certificate as they are now."""
        if self._signers is None:
            digests = [_digest(one) for one in self._devices.values()]
            self._signers = {row.digest: row.id for row in self.connection.execute(_SIGNERS, {"digests": digests})}
        digest = _digest(device)
        if digest not in self._signers:
            made = self.connection.execute(
                insert(schema.signer)
                .values(device=device.device, digest=digest, public=device.public, certificate=device.certificate)
                .returning(schema.signer.c.id)
            )
            self._signers[digest] = int(made.scalar_one())
        return self._signers[digest]

    def keep_soon(self, row: RecordRow) -> None:
        """Keep a record whose number here nobody needs to know; it is written with its neighbors, in one statement."""
        self._waiting.append(row)

    def keep(self, row: RecordRow) -> int:
        """Keep a record; its id."""
        self.write_waiting()
        return int(self.connection.execute(_INSERT_RECORD_TO_FOLD, row).scalar_one())

    def write_waiting(self) -> None:
        """Write what waits, before anything that reads records or takes a place among them."""
        if self._waiting:
            self.connection.execute(_INSERT_RECORD, self._waiting)
            self._waiting = []

    # --- what is refused

    def quarantine(self, device: str, arrival: Arrival, why: Why, is_whole: bool = False) -> None:
        """Keep a message that changes nothing as evidence, and count it."""
        self.refused += 1
        rows = self.connection.execute(_QUARANTINED, {"of_device": device}).scalar_one()
        if rows >= QUARANTINE_ROWS_MAX:
            self.marks.drop(Dropped.QUARANTINE_FULL)
            return
        self.connection.execute(
            insert(schema.quarantine).values(
                device=device,
                topic=arrival.topic[:200],
                why=why,
                data=arrival.payload if is_whole else arrival.payload[:EVIDENCE_BYTES_MAX],
                held_ms=self.now_ms,
            )
        )


def _digest(device: Device) -> bytes:
    return sha256(device.device.encode() + b"\0" + sha256(device.public).digest() + device.certificate).digest()
