"""Two boards with one identity: a copied card, a disk image restored twice. Noticed, told apart, and nothing thrown away.

One certificate is one name at the broker, so the two throw each other off and their births take turns. What tells them
apart is their log: the copy counts on under the numbers of the original. Four things are evidence:

* a birth whose marks name other bytes than we hold under one of its numbers;
* a record with a number that we hold with other bytes;
* a birth that counts less than we hold;
* a birth of an earlier power-on that is newer than everything heard from it, after a later one was born; but not when
  what was heard of it came back with a backup: births of the lost days are new to a restored hub and to nobody else.

The first two say who the stranger is: the log that is held wins, because people have acted on it. All that comes from
the stranger's power-on is kept apart, whole, and is answered by nothing but a receipt that names the bytes we hold, by
which it learns that it is one. The others say only that there are two: both are served until one contradicts.
An emergency is raised whoever presses.
"""

from __future__ import annotations

from hashlib import sha256

from msgspec import Struct
from sqlalchemy import Connection, Row, bindparam, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from hub import audit, schema, store
from hub.arrivals import Arrival
from hub.batch import Batch
from hub.logs import stored_tip
from hub.opening import Device
from wire.codec import decode
from wire.live import Presence
from wire.records import Kind, Record
from wire.signature import payload_of

LEFT = "left"  # decided: what strangers recorded stays apart

STRAYS_MAX = 20_000  # per device: a terminal holds 72 hours, which are fewer; beyond, the oldest are the evidence

CONTRADICTS = "its log has other bytes under numbers that are held"
WENT_BACK = "its log ends before what is held"
TAKES_TURNS = "it takes turns with another power-on"

_twin, _stray, _record = schema.twin, schema.stray, schema.record
_STANDS_IN = frozenset({str(Kind.DAMAGED), str(Kind.REFUSED)})  # a board's own word for bytes that it lost


def is_stranger(batch: Batch, device: Device, said: Presence) -> bool:
    """Whether this birth, which is news, is of a board whose log is not the one we hold; flagged if it was not known.

    One that counts less than we hold is flagged and no stranger yet: a broker that lost its memory may say an old birth
    of a power-on that we never heard of. If it is a board with an old card, its next record contradicts.
    """
    if (device.device, said.boot) in batch.strangers:
        _flag(batch, device.device, said.boot, CONTRADICTS, is_stranger=True)
        for log in said.logs:
            batch.logs.through(device.device, log.log_id, log.name)
        return True
    for log in said.logs:
        through = batch.logs.through(device.device, log.log_id, log.name)
        for mark in log.marks:
            held = stored_tip(batch.connection, device.device, log.log_id, mark.seq) if mark.seq <= through else b""
            if held and held != mark.tip and not _stands_in(batch.connection, device.device, log.log_id, mark.seq):
                _flag(batch, device.device, said.boot, CONTRADICTS, is_stranger=True)
                return True
        if log.next - 1 < through and _newest_boot(batch.connection, device.device, log.log_id) != said.boot:
            _flag(batch, device.device, said.boot, WENT_BACK, is_stranger=False)
    return False


def earlier(connection: Connection, device: str, said: Presence) -> Row[tuple[object, ...]] | None:
    """What is known of the power-on that speaks; None when it is a new one."""
    table = schema.boot
    return connection.execute(select(table).where(table.c.device == device, table.c.boot == said.boot)).first()


def is_news(batch: Batch, said: Presence, known: Row[tuple[object, ...]], current: Row[tuple[object, ...]]) -> bool:
    """Whether this birth, of a power-on before the `current` one, was said after that one's.

    What the broker kept and says again is not newer than what we heard; and births of one device come in their order, so
    one that comes after the birth of a later power-on was said after it.
    """
    is_later = bool(current.mono_ms >= 0 and 0 <= known.mono_ms < said.mono_ms)
    return is_later and known.id > (store.fact(batch.connection, store.OLD_BOOTS) or 0)


def take_turns(
    batch: Batch, device: Device, known: Row[tuple[object, ...]], current: Row[tuple[object, ...]] | None
) -> None:
    """There are two boards, and the earlier power-on is the one that is here now."""
    table = schema.boot
    for boot in (known.boot, *(() if current is None else (current.boot,))):
        _flag(batch, device.device, boot, TAKES_TURNS, is_stranger=False)
    newest = batch.connection.execute(select(func.max(table.c.id))).scalar_one()
    batch.connection.execute(update(table).where(table.c.id == known.id).values(id=newest + 1))
    batch.marks.newest.pop(device.device, None)


def conflicts(batch: Batch, record: Record, stored: bytes) -> bool:
    """Whether `record`, whose number is held with other bytes, shows a stranger: its power-on is not the held one's."""
    held = decode(payload_of(stored), Record)
    if _STANDS_IN & {record.kind, held.kind} or held.stamp.boot == record.stamp.boot:
        return False
    _flag(batch, record.device, record.stamp.boot, CONTRADICTS, is_stranger=True)
    return True


def keep_apart(batch: Batch, device: Device, record: Record, arrival: Arrival) -> None:
    """Keep what a stranger recorded, whole and once."""
    many = batch.connection.execute(
        select(func.count()).select_from(_stray).where(_stray.c.device == record.device)
    ).scalar_one()
    if many >= STRAYS_MAX:
        return
    batch.connection.execute(
        upsert(_stray)
        .values(
            device=record.device,
            log_id=record.log_id,
            seq=record.seq,
            boot=record.stamp.boot,
            digest=sha256(arrival.payload).digest(),
            data=arrival.payload,
            held_ms=batch.now_ms,
            signer=batch.signer(device),
        )
        .on_conflict_do_nothing()
    )
    batch.connection.execute(
        update(_twin)
        .where(_twin.c.device == record.device, _twin.c.boot == record.stamp.boot)
        .values(newest_ms=batch.now_ms)
    )


class Seen(Struct, frozen=True, kw_only=True):
    """A device that two boards speak as. `strays`: records kept apart that nobody has decided about."""

    device: str
    newest_ms: int
    is_told_apart: bool
    strays: int


def seen(connection: Connection) -> tuple[Seen, ...]:
    """Every device of which there were two boards."""
    waiting = {
        row.device: row.n
        for row in connection.execute(
            select(_stray.c.device, func.count().label("n"))
            .where(_stray.c.settled_ms.is_(None))
            .group_by(_stray.c.device)
        )
    }
    rows = connection.execute(
        select(
            _twin.c.device, func.max(_twin.c.newest_ms).label("newest_ms"), func.max(_twin.c.is_stranger).label("told")
        ).group_by(_twin.c.device)
    )
    return tuple(
        Seen(
            device=row.device,
            newest_ms=row.newest_ms,
            is_told_apart=bool(row.told),
            strays=waiting.get(row.device, 0),
        )
        for row in rows
    )


def waiting(connection: Connection, device: str) -> list[Row[tuple[object, ...]]]:
    """What strangers recorded as `device` and nobody has decided about, in the order of each log."""
    return list(
        connection.execute(
            select(_stray)
            .where(_stray.c.device == device, _stray.c.settled_ms.is_(None))
            .order_by(_stray.c.boot, _stray.c.log_id, _stray.c.seq, _stray.c.id)
        )
    )


def settle(connection: Connection, device: str, word: str, by: str, now_ms: int) -> int:
    """A tech has decided about what strangers recorded as `device`: "taken" or "left"; how many records it was."""
    done = connection.execute(
        update(_stray)
        .where(_stray.c.device == device, _stray.c.settled_ms.is_(None))
        .values(settled_ms=now_ms, settled=word)
    )
    audit.append(connection, now_ms, "console", by, f"strays_{word}", device, audit.OK, f"{done.rowcount} records")
    return done.rowcount


def _flag(batch: Batch, device: str, boot: bytes, why: str, *, is_stranger: bool) -> None:
    known = batch.connection.execute(
        select(_twin.c.is_stranger).where(_twin.c.device == device, _twin.c.boot == boot)
    ).scalar()
    if known is None:
        batch.connection.execute(
            insert(_twin).values(
                device=device,
                boot=boot,
                is_stranger=is_stranger,
                why=why,
                noted_ms=batch.now_ms,
                newest_ms=batch.now_ms,
            )
        )
        audit.append(batch.connection, batch.now_ms, "hub", None, "two_boards", device, audit.DENIED, why)
    else:
        batch.connection.execute(
            update(_twin)
            .where(_twin.c.device == device, _twin.c.boot == boot)
            .values(newest_ms=batch.now_ms, **({"is_stranger": True, "why": why} if is_stranger and not known else {}))
        )
    if is_stranger:
        batch.strangers.add((device, boot))
    batch.contested.add(device)
    batch.is_troubled = True


_NEWEST = (
    select(_record.c.data)
    .where(_record.c.device == bindparam("of_device"), _record.c.log_id == bindparam("of_log"))
    .order_by(_record.c.seq.desc())
    .limit(1)
)


def _newest_boot(connection: Connection, device: str, log_id: bytes) -> bytes | None:
    """The power-on that wrote the newest record of a log: a board of that very one cannot have gone back behind it."""
    data = connection.execute(_NEWEST, {"of_device": device, "of_log": log_id}).scalar()
    return None if data is None else decode(payload_of(data), Record).stamp.boot


def _stands_in(connection: Connection, device: str, log_id: bytes, seq: int) -> bool:
    kind = connection.execute(
        select(_record.c.kind).where(_record.c.device == device, _record.c.log_id == log_id, _record.c.seq == seq)
    ).scalar()
    return kind in _STANDS_IN
