"""What terminals say becomes what the hub holds: verified, stored, folded, receipted; one transaction for all that came.

The law: a receipt covers what is stored, not what is understood. What is forged, cut, repeated or sent from another's
topic changes nothing, is counted, and stands in the quarantine; nothing that a peer sends raises an exception here.

A batch is opened first (whose is it, is it signed), then taken message by message in the order it came: live positions
and births in `births`, records in `recording`. What they change meets in `batch`.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Executor

from sqlalchemy import Connection, Engine, func, select

from hub import births, recording, schema, store
from hub.arrivals import Arrival as Arrival
from hub.arrivals import Dropped as Dropped
from hub.arrivals import Marks as Marks
from hub.arrivals import Refusal
from hub.arrivals import Taken as Taken
from hub.arrivals import Wanted as Wanted
from hub.arrivals import Why as Why
from hub.batch import QUARANTINE_ROWS_MAX as QUARANTINE_ROWS_MAX
from hub.batch import Batch
from hub.opening import WORKING, Closed, Opened, open_all
from wire.keys import NoteKeyList
from wire.live import Live, Presence
from wire.records import Kind, Record
from wire.topics import Up


def take(
    engine: Engine,
    arrivals: Iterable[Arrival],
    now_ms: int,
    *,
    note_keys: NoteKeyList | None = None,
    marks: Marks | None = None,
    verifiers: Executor | None = None,
) -> Taken:
    """Take everything that came. Without `note_keys` no note can be checked, so none is shelved; without `verifiers`
    signatures are verified one after the other."""
    with engine.begin() as connection:
        opened = open_all(connection, tuple(arrivals), verifiers)
        devices = {one.device.device: one.device for one in opened if isinstance(one, Opened)}
        batch = Batch(connection, now_ms, note_keys, marks or Marks(), devices.values())
        for one in opened:
            _take(batch, one)
        return _ended(batch)


def health(connection: Connection, marks: Marks) -> dict[str, dict[str, int]]:
    """Counts for people: quarantined and dropped by why, records held by kind, gaps recorded."""
    kept, held, known = schema.quarantine, schema.record, [str(kind) for kind in Kind]
    by_why = connection.execute(select(kept.c.why, func.count()).group_by(kept.c.why))
    by_kind = connection.execute(select(held.c.kind, func.count()).where(held.c.kind.in_(known)).group_by(held.c.kind))
    gaps = connection.execute(select(func.count()).select_from(schema.gap)).scalar_one()
    return {
        "quarantined": dict(by_why.all()),
        "dropped": dict(marks.dropped),
        "records": dict(by_kind.all()),
        "gaps": {"all": gaps},
    }


def affected(connection: Connection, units: set[str], now_ms: int, *, is_shelf: bool) -> list[str]:
    """The devices whose desired state may differ after `units` changed: theirs, and those on the same incidents."""
    if not units and not is_shelf:
        return []
    mine, others, device = schema.assignment.alias(), schema.assignment.alias(), schema.device
    together = (
        select(others.c.unit)
        .join(mine, mine.c.incident == others.c.incident)
        .where(mine.c.unit.in_(units), (mine.c.released_ms.is_(None)) | (mine.c.released_ms == now_ms))
        .where(others.c.released_ms.is_(None))
    )
    chosen = device.c.unit.in_(units) | device.c.unit.in_(together)
    if is_shelf:
        chosen = chosen | (device.c.kind == "desk")
    rows = connection.execute(select(device.c.device).where(device.c.state.in_(WORKING), chosen))
    return sorted(rows.scalars())


def _take(batch: Batch, one: Opened | Closed) -> None:
    """Take one message, or quarantine it."""
    if isinstance(one, Closed):
        batch.quarantine(one.device, one.arrival, one.refusal.why)
        return
    try:
        match one.said:
            case Live():
                births.take_live(batch, one.device, one.said)
            case Presence():
                births.take_presence(batch, one.device, one.said)
            case Record() if one.channel is Up.LOG:
                recording.take_record(batch, one.device, one.said, one.arrival)
            case said:
                recording.take_alarm(batch, one.device, said, one.arrival)
    except Refusal as refusal:
        batch.quarantine(one.device.device, one.arrival, refusal.why, refusal.is_whole)


def _ended(batch: Batch) -> Taken:
    """Write what is still to be written; what it all came to."""
    batch.write_waiting()
    batch.logs.write()
    connection = batch.connection
    return Taken(
        receipts=batch.logs.receipts(store.epoch(connection), batch.contested) if batch.logs.is_asked else (),
        births=tuple(batch.births),
        here=tuple(batch.here),
        gone=tuple(batch.gone),
        changed=bool(batch.units or batch.is_shelf or batch.births or batch.gone or batch.is_troubled),
        positions=tuple(batch.positions.values()),
        affected=tuple(
            sorted({*affected(connection, batch.units, batch.now_ms, is_shelf=batch.is_shelf), *batch.affected})
        ),
        wanted=tuple(batch.wanted),
        owes=tuple(batch.owes.values()),
        refused=batch.refused,
    )
