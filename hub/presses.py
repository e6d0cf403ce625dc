"""What presses and people's words make of an emergency. The law: nothing here ends one but a person at the console.

A press is named by its emergency, its boot and its moment, because it is told at least twice: ahead of the log, and in it.
One that was not known before raises its emergency again even if that was cleared: the crew pressed, and whoever cleared
it had not heard that.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, Row, insert, select, update

from hub import schema
from wire.codec import Malformed, encode
from wire.facts import EmergencyFact
from wire.ids import name
from wire.stamp import Stamp

INTEGER_MAX = 2**53  # browsers end there; a clock beyond it is cut and its emergency shown all the same
STAFF_MAX = 8
WORD_CHARS_MAX = 64


class Press(Struct, frozen=True, kw_only=True):
    """A press as the hub came to hold it, in the log, ahead of it, or without a number."""

    device: str
    stamp: Stamp
    fact: EmergencyFact
    held_ms: int


def fold(connection: Connection, press: Press) -> bool:
    """Whether `press` was not known before. Malformed when its id is another device's emergency."""
    fact = press.fact
    before = _the(connection, fact.id)
    if before is not None and before.device != press.device:
        raise Malformed("another device's emergency")
    if not _is_new(connection, press):
        return False
    if before is None:
        connection.execute(insert(schema.emergency).values(_first(press) | _newest(press)))
    elif fact.asks_clear:
        if before.asked_ms is None:
            _set(connection, fact.id, asked_ms=press.held_ms)
    else:
        values = _newest(press) | {"presses": before.presses + 1, "is_drill": before.is_drill and fact.drill}
        if before.cleared_ms is not None:
            values |= dict.fromkeys(_ANSWERS)
        _set(connection, fact.id, **values)
    return True


def fold_acknowledged(connection: Connection, emergency: bytes, at_ms: int, by: str) -> None:
    """A person has taken it; the first one counts."""
    before = _the(connection, emergency)
    if before is not None and before.acknowledged_ms is None:
        _set(connection, emergency, acknowledged_ms=at_ms, acknowledged_by=by)


def fold_cleared(
    connection: Connection, emergency: bytes, at_ms: int, by: str, contact: str | None, words: str | None
) -> None:
    """A person has ended it."""
    before = _the(connection, emergency)
    if before is not None and before.cleared_ms is None:
        _set(connection, emergency, cleared_ms=at_ms, cleared_by=by, contact=contact, words=words)


_ANSWERS = (
    "acknowledged_ms",
    "acknowledged_by",
    "cleared_ms",
    "cleared_by",
    "contact",
    "words",
    "asked_ms",
)


def _first(press: Press) -> dict[str, object]:
    fact = press.fact
    return {
        "emergency": fact.id,
        "device": press.device,
        "is_drill": fact.drill,
        "source": fact.source[:WORD_CHARS_MAX],
        "received_ms": press.held_ms,
        "pressed_ms": _pressed_ms(press),
        "presses": 0 if fact.asks_clear else 1,
        "asked_ms": press.held_ms if fact.asks_clear else None,
    }


def _newest(press: Press) -> dict[str, object]:
    fact = press.fact
    age_ms = fact.fix_age_ms
    return {
        "unit": _word(fact.unit),
        "newest_ms": press.held_ms,
        "staff": msgspec.json.encode([who for who in fact.staff if _word(who)][:STAFF_MAX]).decode(),
        "assignment": _word(fact.assignment),
        "incident": _word(fact.incident),
        "fix": None if fact.fix is None else encode(fact.fix),
        "fix_age_ms": None if age_ms is None else min(age_ms, INTEGER_MAX),
    }


def _pressed_ms(press: Press) -> int | None:
    """When it was pressed by the board's wall clock; None when that cannot be told."""
    stamp = press.stamp
    if not stamp.is_trusted or stamp.wall_ms is None:
        return None
    pressed_ms = stamp.wall_ms - (stamp.mono_ms - press.fact.mono_ms)
    return pressed_ms if 0 <= pressed_ms <= INTEGER_MAX else None


def _word(text: str | None) -> str | None:
    """`text` when it can be an id; an emergency with an odd word in it is an emergency."""
    if text is None:
        return None
    try:
        return name(text)
    except Malformed:
        return None


def _is_new(connection: Connection, press: Press) -> bool:
    table, fact = schema.press, press.fact
    mono_ms = min(fact.mono_ms, INTEGER_MAX)
    known = connection.execute(
        select(table.c.held_ms).where(
            table.c.emergency == fact.id, table.c.boot == press.stamp.boot, table.c.mono_ms == mono_ms
        )
    ).first()
    if known is not None:
        return False
    connection.execute(
        insert(table).values(
            emergency=fact.id,
            boot=press.stamp.boot,
            mono_ms=mono_ms,
            source=fact.source[:WORD_CHARS_MAX],
            asks_clear=fact.asks_clear,
            held_ms=press.held_ms,
        )
    )
    return True


def _the(connection: Connection, emergency: bytes) -> Row[tuple[object, ...]] | None:
    return connection.execute(select(schema.emergency).where(schema.emergency.c.emergency == emergency)).first()


def _set(connection: Connection, emergency: bytes, **values: object) -> None:
    connection.execute(update(schema.emergency).where(schema.emergency.c.emergency == emergency).values(**values))
