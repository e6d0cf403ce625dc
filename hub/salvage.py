"""What a terminal rescued from a damaged file: each record is folded once, under the number it was saved with.

A salvaged record is a record of a new log around the bytes of an old one. The old one is kept as what it is, a record of
its own log, so that it is folded, judged and rebuilt like every other, and comes twice as little. What could not be read is
a gap like any other that nobody can fill.
"""

from __future__ import annotations

from sqlalchemy import insert, select

from hub import audit, gaps, schema, store
from hub.batch import Batch
from hub.opening import Device
from wire.codec import Malformed, decode
from wire.facts import LedgerDamaged
from wire.records import Kind, Record, open_record

_record = schema.record


def inner(batch: Batch, device: Device, outer: Record) -> tuple[Record, bytes] | None:
    """The record inside a salvaged one and its bytes; None when it is held already. Malformed when it is not genuine, or
    of the very log that claims to have been salvaged."""
    record = open_record(outer.body, device.device, device.key)
    if record.log_id == outer.log_id or record.kind == Kind.SALVAGED:
        raise Malformed("a salvaged record of a log that goes on")
    batch.write_waiting()
    held = batch.connection.execute(
        select(_record.c.id).where(
            _record.c.device == record.device, _record.c.log_id == record.log_id, _record.c.seq == record.seq
        )
    ).first()
    if held is not None:
        return None
    gaps.fill(batch.connection, record.device, record.log_id, record.seq)
    if record.seq > batch.logs.through(record.device, record.log_id):
        batch.logs.move(
            record.device, record.log_id, record.seq, outer.body
        )  # the word about the damage was refused or is of old
    return record, outer.body


def heard(batch: Batch, device: Device, record: Record) -> None:
    """A terminal says that a file was damaged: from now on its old log is at its end, and what is missing is a gap."""
    fact = decode(record.body, LedgerDamaged)
    if fact.log_id == record.log_id:
        raise Malformed("a damaged log that goes on")
    missing = 0
    if fact.log_id is not None:
        held = batch.logs.through(device.device, fact.log_id, fact.log)
        for first, last in _missing(held, fact):
            missing += last - first + 1
            _keep_gap(batch, device.device, fact.log_id, first, last)
        if fact.next - 1 > held:
            batch.logs.move(device.device, fact.log_id, fact.next - 1)
    rescued = sum(last - first + 1 for first, last in fact.salvaged)
    number = audit.append(
        batch.connection,
        batch.now_ms,
        "hub",
        None,
        "ledger_damaged",
        device.device,
        audit.FAILED,
        _in_words(fact, rescued, missing),
    )
    store.keep_fact(batch.connection, audit.DAMAGED + device.device, number)


def _in_words(fact: LedgerDamaged, rescued: int, missing: int) -> str:
    what = "track" if fact.log == "trail" else "records"
    if fact.log_id is None:
        return f"nothing could be read of the file with its {what}"
    lost = "nothing is lost" if not missing else f"{missing} lost"
    return f"the file with its {what} was damaged: {rescued} that were not sent yet are rescued, {lost}"


def _missing(held: int, fact: LedgerDamaged) -> list[tuple[int, int]]:
    """The numbers that we do not hold and nobody has any more, as runs."""
    runs: list[tuple[int, int]] = []
    upcoming = held + 1
    for first, last in fact.salvaged:
        if first > upcoming:
            runs.append((upcoming, first - 1))
        upcoming = max(upcoming, last + 1)
    if upcoming < fact.next:
        runs.append((upcoming, fact.next - 1))
    return runs


def _keep_gap(batch: Batch, device: str, log_id: bytes, first: int, last: int) -> None:
    table = schema.gap
    where = (table.c.device == device, table.c.log_id == log_id, table.c.first == first)
    if batch.connection.execute(select(table.c.first).where(*where)).first() is None:
        batch.connection.execute(
            insert(table).values(device=device, log_id=log_id, first=first, last=last, noted_ms=batch.now_ms)
        )
