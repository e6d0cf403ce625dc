"""Live positions, births and wills: what a terminal says of this moment, and what keeps an earlier one from coming back.

Whatever is said carries the boot and its monotonic clock, so that nothing is believed twice and nothing of an earlier
power-on; a will counts only against the birth it was left with.
"""

from __future__ import annotations

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from hub import audit, clones, schema, store
from hub.arrivals import Dropped, Refusal, Why
from hub.batch import Batch
from hub.opening import Device
from hub.position import Position
from hub.presence import Owes
from wire.live import Live, LogRange, Presence

LEDGER = "ledger"  # what a terminal calls the log that is never thinned
INTEGER_MAX = 2**53  # SQLite ends at 2**63 and browsers at 2**53; no clock or counter of ours comes near

_boot = schema.boot
_CURRENT = select(_boot).where(_boot.c.device == bindparam("of_device")).order_by(_boot.c.id.desc()).limit(1)
_KNOWN = select(_boot.c.id).where(_boot.c.device == bindparam("of_device"), _boot.c.boot == bindparam("of_boot"))


def take_live(batch: Batch, device: Device, said: Live) -> None:
    """A terminal says where it is."""
    if max(said.mono_ms, said.age_ms) > INTEGER_MAX:
        raise Refusal(Why.MALFORMED)
    if (device.device, said.boot) in batch.strangers:
        batch.marks.drop(Dropped.STRANGER)
        return
    boot, mono_ms = _newest(batch, device)
    if said.boot != boot:
        if boot is not None and _is_known(batch.connection, device.device, said.boot):
            batch.marks.drop(Dropped.EARLIER_BOOT)
            return
        _begin(batch, device.device, said.boot)
    elif said.mono_ms <= mono_ms:
        batch.marks.drop(Dropped.REPEATED)
        return
    batch.marks.newest[device.device] = (said.boot, said.mono_ms)
    batch.heard(device.device)
    if said.owed is not None:
        batch.owes[device.device] = Owes(
            device=device.device,
            records=min(said.owed, INTEGER_MAX),
            oldest_ms=None if said.owed_ms is None else min(said.owed_ms, INTEGER_MAX),
        )
    batch.positions[device.unit] = Position(
        unit=device.unit,
        device=device.device,
        fix=said.fix,
        has_fix=said.fix is not None,
        arrived_ms=batch.now_ms,
        age_ms=said.age_ms,
        boot=said.boot,
        mono_ms=said.mono_ms,
    )


def take_presence(batch: Batch, device: Device, said: Presence) -> None:
    """A terminal says that it is there, or the broker that it is gone."""
    numbers = (said.session, said.mono_ms, *(n for log in said.logs for n in (log.lowest_held, log.next)))
    if min(numbers) < 0 or max(numbers) > INTEGER_MAX:
        raise Refusal(Why.MALFORMED)
    current = _current(batch.connection, device.device)
    if not said.is_here:
        if current is None or (said.boot, said.session) != (current.boot, current.session):
            batch.marks.drop(Dropped.OTHER_WILL)
            return
        batch.lost(device.device)
        return
    earlier = None
    if current is not None and said.boot != current.boot:
        earlier = clones.earlier(batch.connection, device.device, said)
        if earlier is not None and not clones.is_news(batch, said, earlier, current):
            batch.marks.drop(Dropped.EARLIER_BOOT)
            return
    elif (
        current is not None and said.mono_ms < current.mono_ms
    ):  # not by session: a terminal that lost its ledger counts anew
        batch.marks.drop(Dropped.REPEATED)
        return
    elif current is not None and said.mono_ms == current.mono_ms:
        # The broker kept it and says it again. It may be long gone, so it is not here until it says a new word,
        # but if it is here, it missed what we sent while we were away.
        batch.births[device.device] = None
        return
    if clones.is_stranger(batch, device, said):
        return  # the receipts of its logs say by which bytes we hold them
    if current is None or said.boot != current.boot:
        if earlier is None:
            _begin(batch, device.device, said.boot)
        else:
            clones.take_turns(batch, device, earlier, current)
    _born(batch, device, said)


def _born(batch: Batch, device: Device, said: Presence) -> None:
    batch.connection.execute(
        update(_boot)
        .where(_boot.c.device == device.device, _boot.c.boot == said.boot)
        .values(session=said.session, mono_ms=said.mono_ms, held_ms=batch.now_ms)
    )
    boot, mono_ms = batch.marks.newest.get(device.device, (said.boot, -1))
    batch.marks.newest[device.device] = (said.boot, max(said.mono_ms, mono_ms if boot == said.boot else -1))
    batch.births[device.device] = None
    batch.heard(device.device)
    if device.state == "enrolled":
        _activate(batch, device.device)
    for log in said.logs:
        _hear_of_log(batch, device.device, log)
        if log.name == LEDGER:
            owed = max(0, log.next - 1 - batch.logs.through(device.device, log.log_id))
            batch.owes[device.device] = Owes(device=device.device, records=owed, oldest_ms=None)


def _activate(batch: Batch, device: str) -> None:
    table = schema.device
    made = batch.connection.execute(
        update(table).where(table.c.device == device, table.c.state == "enrolled").values(state="active")
    )
    if made.rowcount:  # not when it was born twice in one batch
        audit.append(batch.connection, batch.now_ms, "hub", None, "device_active", device, audit.OK)


def _hear_of_log(batch: Batch, device: str, log: LogRange) -> None:
    """Learn a log's name, and record as a gap what its terminal no longer holds and we never got."""
    through = batch.logs.through(device, log.log_id, log.name)
    if log.next - 1 < through:
        number = audit.append(
            batch.connection,
            batch.now_ms,
            "hub",
            None,
            "log_went_back",
            device,
            audit.FAILED,
            f"the terminal counts to {log.next - 1} where we hold {through}",
        )
        store.keep_fact(batch.connection, audit.WENT_BACK, number)
    if log.lowest_held <= through + 1:
        return
    first, last = through + 1, log.lowest_held - 1
    batch.connection.execute(
        insert(schema.gap).values(device=device, log_id=log.log_id, first=first, last=last, noted_ms=batch.now_ms)
    )
    audit.append(
        batch.connection,
        batch.now_ms,
        "hub",
        None,
        "records_lost",
        device,
        audit.FAILED,
        f"{log.name} {first} to {last} are held by nobody any more",
    )
    batch.logs.move(device, log.log_id, last)


def _newest(batch: Batch, device: Device) -> tuple[bytes | None, int]:
    """The current boot of `device`, and the newest thing believed of it."""
    marked = batch.marks.newest.get(device.device)
    if marked is not None:
        return marked
    current = _current(batch.connection, device.device)
    if current is None:
        return None, -1
    table = schema.position_last
    kept = batch.connection.execute(
        select(table.c.mono_ms).where(
            table.c.unit == device.unit, table.c.device == device.device, table.c.boot == current.boot
        )
    ).scalar()
    return current.boot, max(current.mono_ms, -1 if kept is None else int(kept))


def _current(connection: Connection, device: str) -> Row[tuple[object, ...]] | None:
    return connection.execute(_CURRENT, {"of_device": device}).first()


def _is_known(connection: Connection, device: str, boot: bytes) -> bool:
    return connection.execute(_KNOWN, {"of_device": device, "of_boot": boot}).scalar() is not None


def _begin(batch: Batch, device: str, boot: bytes) -> None:
    batch.connection.execute(
        insert(_boot).values(device=device, boot=boot, session=-1, mono_ms=-1, held_ms=batch.now_ms)
    )
