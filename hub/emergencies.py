"""What people do about an emergency, and what its terminal is told of it. One transaction and one audit row each.

Doing a thing twice is doing it once: two dispatchers reach for the same button, and the first has it.
"""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy import Connection, Row, func, select

from hub import audit, projections, schema
from hub.deeds import Deed
from hub.errors import Refused
from wire.ids import ID_BYTES
from wire.state import Emergencies, HeardPress, KnownEmergency

CONTACT_CHARS_MAX = 100
WORDS_CHARS_MAX = 500
CLEARED_SHOWN = 8  # to the terminal, so that one that was away hears how its last ones ended


class Clearing(Struct, frozen=True, kw_only=True):
    """The end of an emergency. `contact`: with whom there was voice contact; `words`: what was said; `presses`: how
    many the person had seen, so that one they had not seen is not cleared with it."""

    contact: str = ""
    words: str = ""
    presses: int


def acknowledge(connection: Connection, emergency: str, deed: Deed) -> None:
    """Take it: from now on the crew's lamp is solid, and the consoles are silent."""
    found = _the(connection, emergency)
    if found.cleared_ms is not None:
        raise Refused("closed", "That emergency was cleared already.")
    if found.acknowledged_ms is None:
        projections.acknowledged(connection, found.emergency, deed.now_ms, deed.by)
        _note_deed(connection, deed, "emergency_acknowledged", emergency)


def clear(connection: Connection, emergency: str, clearing: Clearing, deed: Deed) -> None:
    """End it. Refused before it was acknowledged, without voice contact unless it is a test, and after a press that
    the person has not seen."""
    found = _the(connection, emergency)
    if found.cleared_ms is not None:
        return
    if found.acknowledged_ms is None:
        raise Refused("busy", "Acknowledge it first: nobody has it yet.")
    if found.presses != clearing.presses:
        raise Refused("busy", "They have pressed again. Speak with them, then clear it.")
    contact, words = clearing.contact.strip(), clearing.words.strip()
    is_said = 0 < len(contact) <= CONTACT_CHARS_MAX and 0 < len(words) <= WORDS_CHARS_MAX
    if not is_said and not (found.is_drill and not contact and not words):
        raise Refused(
            "reason_needed",
            f"Say with whom you had voice contact and what was said, in at most {WORDS_CHARS_MAX} characters.",
        )
    projections.cleared(connection, found.emergency, deed.now_ms, deed.by, contact, words)
    _note_deed(connection, deed, "emergency_cleared", emergency)


def known(connection: Connection, device: str) -> Emergencies:
    """What dispatch knows of the emergencies of `device`."""
    table, account = schema.emergency, schema.account
    asked = (
        select(table, account.c.name.label("by"))
        .select_from(table.outerjoin(account, account.c.account == table.c.acknowledged_by))
        .where(table.c.device == device)
    )
    rows = [
        *connection.execute(asked.where(table.c.cleared_ms.is_(None)).order_by(table.c.received_ms)),
        *connection.execute(
            asked.where(table.c.cleared_ms.is_not(None)).order_by(table.c.cleared_ms.desc()).limit(CLEARED_SHOWN)
        ),
    ]
    heard = _heard(connection, [row.emergency for row in rows])
    return Emergencies(
        emergencies=tuple(
            KnownEmergency(
                id=row.emergency,
                heard=heard.get(row.emergency, ()),
                received_ms=row.received_ms,
                drill=row.is_drill,
                asked_ms=row.asked_ms,
                acknowledged_ms=row.acknowledged_ms,
                by=None if row.acknowledged_ms is None else row.by or row.acknowledged_by,
                cleared_ms=row.cleared_ms,
            )
            for row in rows
        )
    )


def _heard(connection: Connection, ids: list[bytes]) -> dict[bytes, tuple[HeardPress, ...]]:
    table = schema.press
    found: dict[bytes, tuple[HeardPress, ...]] = {}
    for row in connection.execute(
        select(table.c.emergency, table.c.boot, func.max(table.c.mono_ms).label("mono_ms"))
        .where(table.c.emergency.in_(ids), table.c.asks_clear.is_(False))
        .group_by(table.c.emergency, table.c.boot)
        .order_by(table.c.emergency, table.c.boot)
    ):
        found[row.emergency] = (*found.get(row.emergency, ()), HeardPress(row.boot, row.mono_ms))
    return found


def _the(connection: Connection, emergency: str) -> Row[tuple[object, ...]]:
    found = None
    if len(emergency) == 2 * ID_BYTES and all(digit in "0123456789abcdef" for digit in emergency):
        table = schema.emergency
        found = connection.execute(select(table).where(table.c.emergency == bytes.fromhex(emergency))).first()
    if found is None:
        raise Refused("not_found", "There is no such emergency.")
    return found


def _note_deed(connection: Connection, deed: Deed, what: str, about: str) -> None:
    audit.append(connection, deed.now_ms, "console", deed.by, what, about, audit.OK)
