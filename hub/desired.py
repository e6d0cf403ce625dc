"""What each terminal should hold, by section, and which version of it that is.

A section's content says nothing about the moment it was computed, so that the same state is the same bytes, and a new
version means that something is different.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection, Row, insert, select, update

from hub import audit, cautions, emergencies, labels, orders, packet, projections, roster, routes, schema, shelf, store
from hub.labels import Labels
from wire import typed
from wire.codec import encode
from wire.incident import TYPES
from wire.state import (
    Assignment,
    Assignments,
    AuditHead,
    Emergencies,
    Orders,
    OtherUnit,
    Roster,
    Routes,
    Shelf,
    TerminalSettings,
    Version,
)
from wire.status import Status
from wire.topics import Section

SECTION_BYTES_MAX = 480 * 1024  # what is around it in a packet of 512 kB has less than 1 kB
_LISTS = {  # of which a section may lose the last entries
    Section.EMERGENCY: "emergencies",
    Section.ASSIGNMENTS: "assignments",
    Section.ROSTER: "staff",
    Section.SHELF: "entries",
    Section.ORDERS: "orders",
    Section.ROUTES: "routes",
}

Content = Emergencies | Assignments | Roster | TerminalSettings | Shelf | Orders | Routes | AuditHead


class Vouched(Struct, frozen=True, kw_only=True):
    """What every terminal is told of its agency. The two lists are signed by keys that are not here."""

    agency: str
    note_keys: bytes
    key_statement: bytes


class Kept(Struct, frozen=True, kw_only=True):
    """A section as it now stands. `is_new`: this version was made just now."""

    section: str
    version: Version
    content: bytes
    is_new: bool


def compute(connection: Connection, device: str, vouched: Vouched) -> list[tuple[Section, bytes]]:
    """Every section of `device` as MessagePack; none for one that may hold nothing."""
    row = connection.execute(
        select(schema.device.c.device, schema.device.c.kind, schema.unit.c.unit, schema.unit.c.call_sign)
        .join(schema.unit, schema.unit.c.unit == schema.device.c.unit)
        .where(schema.device.c.device == device, schema.device.c.state.in_(("enrolled", "active")))
    ).first()
    if row is None:
        return []
    contents: list[tuple[Section, Content]] = [
        (Section.EMERGENCY, emergencies.known(connection, row.device)),  # the first to be sent
        (Section.ASSIGNMENTS, _assignments(connection, row.unit, row.call_sign)),
        (
            Section.ROSTER,
            Roster(
                agency=vouched.agency,
                unit=row.unit,
                call_sign=row.call_sign,
                staff=roster.on_duty(connection, row.unit),
            ),
        ),
        (Section.SETTINGS, TerminalSettings(note_keys=vouched.note_keys, key_statement=vouched.key_statement)),
    ]
    ways = routes.section(connection, row.device, row.unit)
    if ways is not None:
        contents.append((Section.ROUTES, ways))
    told = orders.section(connection, row.device)
    if told is not None:
        contents.append((Section.ORDERS, told))
    if row.kind == "desk":
        contents.append((Section.SHELF, shelf.entries(connection)))
        head = audit.head(connection)
        if head is not None:
            contents.append((Section.AUDIT, head))
    return [(section, _kept(connection, row.device, section, content)) for section, content in contents]


def _kept(connection: Connection, device: str, section: Section, content: Content) -> bytes:
    data, left_out = fitting(section, content)
    name = f"{audit.TRIMMED}{device}:{section}"
    if left_out != (store.fact(connection, name) or 0):
        store.keep_fact(connection, name, left_out)
    return data


def fitting(section: Section, content: Content) -> tuple[bytes, int]:
    """`content` as MessagePack, small enough for a packet, and how many entries were left out for that: the last ones,
    which are the newest assignments, the oldest notes and emergencies, the end of a roster."""
    data = encode(content)
    if len(data) <= SECTION_BYTES_MAX or section not in _LISTS:
        return data, 0
    entries = getattr(content, _LISTS[section])
    fit, too_many = 0, len(entries)
    while too_many - fit > 1:
        middle = (fit + too_many) // 2
        data = encode(replace(content, **{_LISTS[section]: entries[:middle]}))
        fit, too_many = (middle, too_many) if len(data) <= SECTION_BYTES_MAX else (fit, middle)
    return encode(replace(content, **{_LISTS[section]: entries[:fit]})), len(entries) - fit


def refresh(connection: Connection, device: str, vouched: Vouched) -> tuple[Kept, ...]:
    """Compute every section of `device`, and give those that differ from before their next version."""
    epoch = store.epoch(connection)
    return tuple(
        _versioned(connection, device, section, content, epoch)
        for section, content in compute(connection, device, vouched)
    )


def _versioned(connection: Connection, device: str, section: Section, content: bytes, epoch: int) -> Kept:
    table = schema.desired
    here = (table.c.device == device, table.c.section == section)
    before = connection.execute(select(table.c.epoch, table.c.n, table.c.content).where(*here)).first()
    if before is not None and before.epoch == epoch and before.content == content:
        return Kept(section=section, version=Version(epoch, before.n), content=content, is_new=False)
    # `n` goes on across epochs: a number is never used twice, whatever a restore brought back.
    n = 1 if before is None else before.n + 1
    if before is None:
        connection.execute(insert(table).values(device=device, section=section, epoch=epoch, n=n, content=content))
    else:
        connection.execute(update(table).where(*here).values(epoch=epoch, n=n, content=content))
    if section is Section.ASSIGNMENTS:
        _first_carried(connection, device, Version(epoch, n))
    return Kept(section=section, version=Version(epoch, n), content=content, is_new=True)


def _first_carried(connection: Connection, device: str, version: Version) -> None:
    """Note on each new assignment the version that carries it: when that is held, it is on the terminal."""
    table = schema.assignment
    connection.execute(
        update(table)
        .where(table.c.device == device, table.c.version_n.is_(None), table.c.released_ms.is_(None))
        .values(version_epoch=version.epoch, version_n=version.n)
    )


def _assignments(connection: Connection, unit: str, call_sign: str) -> Assignments:
    now = projections.unit_now(connection, unit)
    may = _aboard(connection, now.crew)
    table, incident = schema.assignment, schema.incident
    rows = connection.execute(
        select(table.c.assignment, table.c.offered_ms, incident)
        .join(incident, incident.c.incident == table.c.incident)
        .where(table.c.unit == unit, table.c.released_ms.is_(None))
        .order_by(table.c.offered_ms, table.c.assignment)
    )
    return Assignments(
        unit=unit,
        call_sign=call_sign,
        status=now.status,
        status_ms=now.status_ms,
        log_id=now.log_id,
        status_through=now.status_through,
        assignments=tuple(_sent(connection, unit, row, may) for row in rows.all()),
    )


def _aboard(connection: Connection, crew: tuple[str, ...]) -> Labels:
    """What this crew may see: everybody aboard reads the same screen."""
    roles = connection.execute(select(schema.staff.c.role).where(schema.staff.c.staff.in_(crew))).scalars().all()
    return labels.of_crew((*roles, *("unknown",) * (len(set(crew)) - len(roles))))


def _sent(connection: Connection, unit: str, row: Row[tuple[object, ...]], may: Labels) -> Assignment:
    shown = labels.seen(_assignment(connection, unit, row), may)
    assert shown is not None  # every crew may see what is open
    return shown


def _assignment(connection: Connection, unit: str, row: Row[tuple[object, ...]]) -> Assignment:
    known = TYPES.get(row.type)
    warned = cautions.known(connection, row)
    return Assignment(
        id=row.assignment,
        incident=row.incident,
        encounter=row.encounter,
        type=row.type,
        type_label=row.type if known is None else known.label,
        priority=row.priority,
        lat=row.lat,
        lon=row.lon,
        place=row.place,
        problem=row.problem,
        gate=row.gate,
        offered_ms=row.offered_ms,
        cautions=(*typed.json(row.cautions, tuple[str, ...]), *cautions.sentences(warned)),
        others=tuple(_others(connection, unit, row.incident)),
        revision=row.revision,
        gate_by=row.gate_by,
        packet=packet.of(connection, (row.incident,)).get(row.incident, ()),
        known_cautions=warned,
    )


def _others(connection: Connection, unit: str, incident: str) -> Iterator[OtherUnit]:
    table, names, now = schema.assignment, schema.unit, schema.unit_now
    rows = connection.execute(
        select(names.c.call_sign, now.c.status)
        .select_from(table.join(names, names.c.unit == table.c.unit).outerjoin(now, now.c.unit == table.c.unit))
        .where(table.c.incident == incident, table.c.unit != unit, table.c.released_ms.is_(None))
        .order_by(names.c.call_sign)
    )
    for row in rows:
        yield OtherUnit(call_sign=row.call_sign, status=row.status or Status.OFF_DUTY)
