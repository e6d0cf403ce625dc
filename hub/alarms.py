"""What somebody must know about the hub's own health: each alarm one sentence, and one that says what to do.

An alarm stands until a supervisor has seen it. What is harmless, as a message that came twice, is counted and is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from operator import attrgetter

from msgspec import Struct
from sqlalchemy import Connection, Row, func, select

from hub import audit, clones, schema, store
from hub.arrivals import Why
from hub.batch import QUARANTINE_ROWS_MAX

SEEN = "alarms_seen"  # in hub_fact: what is not newer has been seen
SHOWN_MAX = 50
A_STRANGER = "A terminal that this hub does not know"

_TRAIL = "trail"
_FORGED = "Somebody may be speaking in its name. Tell the fleet tech; the messages are kept as evidence."
_NEWER = "Its program may be newer than the hub's: compare the versions. Everything was kept."
_TELL = "Tell the fleet tech. The messages are kept."
_WHAT_TO_DO: dict[str, str] = {
    Why.UNKNOWN_DEVICE: "If it was enrolled after the backup that this hub was restored from, enroll it again.",
    Why.NOT_ENROLLED: "A board that was revoked is still sending: find it.",
    Why.MALFORMED: _NEWER,
    Why.UNREADABLE: _NEWER,
    Why.SIGNATURE: _FORGED,
    Why.OTHER_DEVICE: _FORGED,
    Why.DAMAGED: "What its crew did then is not readable: ask them. Its disk or memory is failing: replace the board.",
    Why.STEPPED_ASIDE: "It came again in smaller parts. Set max_packet_size of the broker to 524288.",
    Why.CONFLICT: "Two boards may share one card. Ask the fleet tech to look at both and replace one.",
}


class Alarm(Struct, frozen=True, kw_only=True):
    """`at_ms`: the newest thing it is about, Unix ms of the hub."""

    at_ms: int
    kind: str
    text: str
    what_to_do: str


def raised(connection: Connection) -> tuple[Alarm, ...]:
    """What no supervisor has seen yet, the newest first."""
    seen_ms = store.fact(connection, SEEN) or 0
    found: Iterable[Alarm] = (
        *_gaps(connection, seen_ms),
        *_refused(connection, seen_ms),
        *_audited(connection, seen_ms),
        *_twins(connection, seen_ms),
        *_trimmed(connection, seen_ms),
    )
    return tuple(sorted(found, key=attrgetter("at_ms"), reverse=True)[:SHOWN_MAX])


def seen(connection: Connection, through_ms: int, by: str, now_ms: int) -> None:
    """A supervisor has seen what happened through then."""
    through_ms = min(through_ms, now_ms)  # never what is still to come
    if through_ms <= (store.fact(connection, SEEN) or 0):
        return
    store.keep_fact(connection, SEEN, through_ms)
    audit.append(connection, now_ms, "console", by, "alarms_seen", None, audit.OK)


def _gaps(connection: Connection, seen_ms: int) -> Iterator[Alarm]:
    gap, log, device, unit = schema.gap, schema.log, schema.device, schema.unit
    rows = connection.execute(
        select(gap, log.c.name, unit.c.call_sign)
        .select_from(
            gap.outerjoin(log, (log.c.device == gap.c.device) & (log.c.log_id == gap.c.log_id))
            .outerjoin(device, device.c.device == gap.c.device)
            .outerjoin(unit, unit.c.unit == device.c.unit)
        )
        .where(gap.c.noted_ms > seen_ms)
    )
    for row in rows:
        count, is_trail = row.last - row.first + 1, row.name == _TRAIL
        what = "records" if count > 1 else "record"
        yield Alarm(
            at_ms=row.noted_ms,
            kind="gap",
            text=f"{count} {'track ' if is_trail else ''}{what} of {row.call_sign or row.device} "
            f"{'are' if count > 1 else 'is'} held by nobody any more",
            what_to_do="Nothing to do: its track has a hole there."
            if is_trail
            else "Ask its crew what they did and wrote in that time, and have it written down again.",
        )


def _refused(connection: Connection, seen_ms: int) -> Iterator[Alarm]:
    kept, device, unit = schema.quarantine, schema.device, schema.unit
    rows = connection.execute(
        select(
            kept.c.device,
            kept.c.why,
            device.c.device.label("known"),
            unit.c.call_sign,
            func.count().label("n"),
            func.max(kept.c.held_ms).label("at_ms"),
        )
        .select_from(
            kept.outerjoin(device, device.c.device == kept.c.device).outerjoin(unit, unit.c.unit == device.c.unit)
        )
        .where(kept.c.held_ms > seen_ms)
        .group_by(kept.c.device, kept.c.why)
        .order_by(func.max(kept.c.held_ms).desc())
        .limit(SHOWN_MAX)
    )
    for row in rows:
        many = f"{row.n} or more" if row.n >= QUARANTINE_ROWS_MAX else str(row.n)
        who = row.call_sign or (A_STRANGER if row.known is None else row.device)
        messages = "message" if row.n == 1 else "messages"
        yield Alarm(
            at_ms=row.at_ms,
            kind="refused",
            text=f"{who}: {many} {messages} refused, {row.why}",
            what_to_do=_WHAT_TO_DO.get(row.why, _TELL),
        )


def _twins(connection: Connection, seen_ms: int) -> Iterator[Alarm]:
    """Two boards that speak as one device. Both stand under one name here: only somebody who looks can say which is which."""
    device, unit = schema.device, schema.unit
    for one in clones.seen(connection):
        if one.newest_ms <= seen_ms:
            continue
        call_sign = connection.execute(
            select(unit.c.call_sign).join(device, device.c.unit == unit.c.unit).where(device.c.device == one.device)
        ).scalar()
        kept = f"; {one.strays} {'record' if one.strays == 1 else 'records'} kept apart" if one.strays else ""
        yield Alarm(
            at_ms=one.newest_ms,
            kind="twin",
            text=f"Two boards speak as {call_sign or one.device}, or one with an old copy of its card{kept}",
            what_to_do="Reach its crew by radio: what they see and send may not be theirs. The fleet tech finds the second "
            "board, takes its card out and enrolls it anew; what it recorded is decided on the devices page.",
        )


def _trimmed(connection: Connection, seen_ms: int) -> Iterator[Alarm]:
    """What a terminal is not told because it would not pass in one message. It stands until it fits again."""
    table, device, unit = schema.hub_fact, schema.device, schema.unit
    rows = connection.execute(select(table).where(table.c.name.startswith(audit.TRIMMED), table.c.value > 0)).all()
    for row in rows:
        name, _, section = row.name.removeprefix(audit.TRIMMED).partition(":")
        call_sign = connection.execute(
            select(unit.c.call_sign).join(device, device.c.unit == unit.c.unit).where(device.c.device == name)
        ).scalar()
        yield Alarm(
            at_ms=seen_ms + 1,
            kind="trimmed",
            text=f"{call_sign or name} is not shown {row.value} of its {section}: they are too many for one message",
            what_to_do="Tell its crew by radio what is missing, and close or release what is over.",
        )


def _audited(connection: Connection, seen_ms: int) -> Iterator[Alarm]:
    """What only the audit says: a hub that came back, a backup that was not made, a terminal that counts backward."""
    restored = _line(connection, audit.RESTORED)
    failed = _line(connection, audit.NO_BACKUP)
    went_back = _line(connection, audit.WENT_BACK)
    if restored is not None and restored.at_ms > seen_ms:
        yield Alarm(
            at_ms=restored.at_ms,
            kind="restored",
            text=f"This hub was restored {_as_of(restored.reason)}: it forgot what dispatch did since",
            what_to_do="Open the incidents that still run again, and send their units again.",
        )
    if failed is not None and failed.at_ms > seen_ms:
        yield Alarm(
            at_ms=failed.at_ms,
            kind="backup",
            text=f"The last backup was not made: {failed.reason}",
            what_to_do="Do that, then make one on the hub's machine: tandem-hub backup.",
        )
    if went_back is not None and went_back.at_ms > seen_ms:
        yield Alarm(
            at_ms=went_back.at_ms,
            kind="went back",
            text=f"Terminal {went_back.about} counts backward: {went_back.reason}",
            what_to_do="Its card may be an old copy. Ask the fleet tech to enroll the board anew.",
        )


def _line(connection: Connection, name: str) -> Row[tuple[object, ...]] | None:
    table = schema.audit
    return connection.execute(select(table).where(table.c.seq == (store.fact(connection, name) or 0))).first()


def _as_of(reason: str | None) -> str:
    """When the backup was made, out of what the restore wrote into the audit."""
    said = (reason or "").partition(",")[0].removeprefix("as of ")
    try:
        at = datetime.fromisoformat(said).astimezone(UTC)
    except ValueError:
        return "from a backup"
    return f"from a backup of {at:%b %d %H:%M} UTC"
