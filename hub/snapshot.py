"""Everything the console shows, read in one transaction each time: values on their way to a browser, no decisions.

A note appears here by its envelope only. There is no field that could hold its text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

import msgspec
from msgspec import UNSET, Struct, UnsetType
from sqlalchemy import ColumnElement, Connection, Row, func, select

from hub import alarms, cautions, closures, labels, packet
from hub.alarms import Alarm
from hub.closures import ClosureView
from hub.positions import Position
from hub.presence import State, Word
from hub.rank import Need
from hub.schema import account, assignment, device, emergency, incident, note, quarantine, staff, unit, unit_now
from wire import typed
from wire.codec import decode
from wire.fix import Fix
from wire.incident import TYPES
from wire.notes import NoteKind
from wire.state import KnownCaution, PacketAnswer
from wire.status import LABEL, Status, status_from

NOTES_SHOWN_MAX = 200  # the newest; the rest is asked for by incident


class CrewMember(Struct, frozen=True, kw_only=True):
    """Somebody aboard."""

    id: str
    name: str


class Eta(Struct, frozen=True, kw_only=True):
    """When a unit will be where it is going: `eta_s` seconds after `at_ms`, which is when it was where this was reckoned.

    `word`: "way", or why there is no time: "off" (it left its way, a new one is on the way), "waiting" (no way yet, or
    nothing heard since), "engine", "no_way", "position" (of `wire.way.WhyNot`). `left_m`: to drive.
    """

    assignment: str
    word: str
    at_ms: int
    eta_s: int | None = None
    left_m: int | None = None


class PositionView(Struct, frozen=True, kw_only=True):
    """A position as a page needs it to move a marker on. `age_ms`: measured aboard before sending; a page adds the time
    since `arrived_ms`; `eta`: while the unit is on its way. With `has_fix` false the terminal says that it has none now, and this is the last it had; place,
    speed and time are null where there has never been one."""

    unit: str
    lat: float | None
    lon: float | None
    speed_mps: float | None
    heading_deg: float | None
    fix_at: datetime | None
    arrived_ms: int
    age_ms: int
    has_fix: bool
    eta: Eta | None = None


class EmergencyView(Struct, frozen=True, kw_only=True):
    """An emergency that is not cleared. `id` in hex; `unit` is the unit of the device that raised it.

    `pressed_ms`: by the terminal's clock, None when it had none to believe; `received_ms` and `newest_ms`: when the hub
    heard the first press and the newest; `lat`, `lon`: the last fix at the newest press, `fix_age_ms` old then; the live
    position, if there is one, is newer. `number` and `place` are of the incident its crew was on.
    """

    id: str
    unit: str
    call_sign: str
    is_drill: bool
    source: str
    pressed_ms: int | None
    received_ms: int
    presses: int
    newest_ms: int
    crew: tuple[CrewMember, ...]
    lat: float | None
    lon: float | None
    fix_age_ms: int | None
    incident: str | None
    number: int | None
    place: str | None
    asked_ms: int | None
    acknowledged_ms: int | None
    acknowledged_by: str | None


class UnitView(Struct, frozen=True, kw_only=True):
    """A unit on the board. `is_in_emergency`: its crew raised one, and not as a test. `owed`, `owed_since_ms`,
    `complete_ms`: as in `hub.presence.State`. `position` is in a snapshot; where it is unset, the positions come their own way."""

    unit: str
    call_sign: str
    agency: str
    kind: str
    device: str | None
    status: str
    status_label: str
    status_ms: int
    status_skipped: bool
    assignment: str | None
    crew: tuple[CrewMember, ...]
    skills: tuple[str, ...]
    languages: tuple[str, ...]
    has_sworn: bool
    presence: str
    presence_ms: int | None
    owed: int
    owed_since_ms: int | None
    complete_ms: int | None
    is_in_emergency: bool
    position: PositionView | UnsetType | None = UNSET


class AssignmentView(Struct, frozen=True, kw_only=True):
    """One unit on one incident: offered by a dispatcher, received by the terminal, acknowledged by a person."""

    id: str
    unit: str
    call_sign: str
    offered_ms: int
    received_ms: int | None
    acknowledged_ms: int | None
    released_ms: int | None


class IncidentView(Struct, frozen=True, kw_only=True):
    """An incident as everybody at a board may see it. `revision`: to be said again by whoever changes it; `amber`: codes
    of what matters before a unit is en route and nobody has asked; `gate_by`: who called the scene secure."""

    id: str
    number: int
    type: str
    type_label: str
    priority: int
    lat: float
    lon: float
    place: str
    problem: str
    cautions: tuple[str, ...]
    skills: tuple[str, ...]
    languages: tuple[str, ...]
    state: str
    gate: str
    opened_ms: int
    closed_ms: int | None
    disposition: str | None
    assignments: tuple[AssignmentView, ...]
    notes: int
    revision: int = 0
    gate_by: str | None = None
    amber: tuple[str, ...] = ()
    packet: tuple[PacketAnswer, ...] = ()
    known_cautions: tuple[KnownCaution, ...] = ()
    recommended: str | None = None
    reopened_ms: int | None = None
    merged_into: str | None = None


class NoteView(Struct, frozen=True, kw_only=True):
    """The envelope of a sealed note. `id` in hex; `author` a person's name, `incident` an id, `number` its number."""

    id: str
    incident: str | None
    number: int | None
    call_sign: str | None
    author: str | None
    kind: str
    disposition: str | None
    size_bytes: int
    held_ms: int


class HealthView(Struct, frozen=True, kw_only=True):
    """What the hub had to refuse, by reason, and what a supervisor must know. `dropped`: what was harmless and passed
    over since the hub started, counted by reason; not in the stream, for it changes all the time."""

    quarantined: dict[str, int]
    alarms: tuple[Alarm, ...] = ()
    dropped: dict[str, int] | UnsetType = UNSET


class Sections(Struct, frozen=True, kw_only=True):
    """All of the board but the positions, which do not come from SQL."""

    emergencies: tuple[EmergencyView, ...] = ()
    units: tuple[UnitView, ...] = ()
    incidents: tuple[IncidentView, ...] = ()
    notes: tuple[NoteView, ...] = ()
    health: HealthView = HealthView(quarantined={})
    closures: tuple[ClosureView, ...] = ()


class Snapshot(Struct, frozen=True, kw_only=True):
    """The whole board, with the hub's clock, so that a page can tell ages without trusting its own."""

    now_ms: int
    agency: str
    emergencies: tuple[EmergencyView, ...]
    units: tuple[UnitView, ...]
    incidents: tuple[IncidentView, ...]
    notes: tuple[NoteView, ...]
    health: HealthView
    closures: tuple[ClosureView, ...]


_NEVER = State(word=Word.NEVER, since_ms=None)
LinkOf = Callable[[str], State]
EtaOf = Callable[[str], Eta | None]


def no_eta(unit: str) -> Eta | None:
    """While nobody knows the roads."""
    return None


def read(connection: Connection, link_of: LinkOf) -> Sections:
    """All sections as they are now."""
    return Sections(
        emergencies=emergencies(connection),
        units=units(connection, link_of),
        incidents=incidents(connection),
        notes=notes(connection),
        health=health(connection),
        closures=closures.shown(connection),
    )


def place(
    sections: Sections, positions: Mapping[str, Position], agency: str, now_ms: int, eta_of: EtaOf = no_eta
) -> Snapshot:
    """The sections with the positions put in."""
    return Snapshot(
        now_ms=now_ms,
        agency=agency,
        emergencies=sections.emergencies,
        units=tuple(_placed(one, positions.get(one.unit), eta_of) for one in sections.units),
        incidents=sections.incidents,
        notes=sections.notes,
        health=sections.health,
        closures=closures.standing(sections.closures, now_ms),
    )


def units(connection: Connection, link_of: LinkOf) -> tuple[UnitView, ...]:
    """Every unit, by call sign: a dispatcher learns where each one stands, so the order never changes by itself."""
    devices = {
        row.unit: row.device for row in connection.execute(select(device.c.unit, device.c.device).where(is_usable()))
    }
    people = {row.staff: row for row in connection.execute(select(staff))}
    in_danger = set(
        connection.execute(
            select(device.c.unit)
            .join(emergency, emergency.c.device == device.c.device)
            .where(emergency.c.cleared_ms.is_(None), emergency.c.is_drill.is_(False))
        ).scalars()
    )
    rows = connection.execute(
        select(unit, unit_now)
        .select_from(unit.outerjoin(unit_now, unit.c.unit == unit_now.c.unit))
        .order_by(unit.c.call_sign)
    ).mappings()
    shown = []
    for row in rows:
        aboard = [people[who] for who in (row[unit_now.c.crew] or "").split() if who in people]
        device_id = devices.get(row[unit.c.unit])
        link = _NEVER if device_id is None else link_of(device_id)
        status = row[unit_now.c.status] or Status.OFF_DUTY
        shown.append(
            UnitView(
                unit=row[unit.c.unit],
                call_sign=row[unit.c.call_sign],
                agency=row[unit.c.agency],
                kind=row[unit.c.kind],
                device=device_id,
                status=status,
                status_label=label(status),
                status_ms=row[unit_now.c.status_ms] or 0,
                status_skipped=bool(row[unit_now.c.skipped]),
                assignment=row[unit_now.c.assignment],
                crew=tuple(CrewMember(id=one.staff, name=one.name) for one in aboard),
                skills=_every(one.skills for one in aboard),
                languages=_every(one.languages for one in aboard),
                has_sworn=any(one.role == "sworn" for one in aboard),
                presence=link.word,
                presence_ms=link.since_ms,
                owed=link.owed,
                owed_since_ms=link.owed_since_ms,
                complete_ms=link.complete_ms,
                is_in_emergency=row[unit.c.unit] in in_danger,
            )
        )
    return tuple(shown)


def emergencies(connection: Connection) -> tuple[EmergencyView, ...]:
    """Every emergency that is not cleared: real ones before tests, those nobody has taken first, the oldest first."""
    rows = connection.execute(
        select(
            emergency,
            unit.c.unit.label("unit_id"),
            unit.c.call_sign,
            unit_now.c.crew,
            incident.c.number,
            incident.c.place,
            account.c.name.label("by_name"),
        )
        .select_from(
            emergency.join(device, device.c.device == emergency.c.device)
            .join(unit, unit.c.unit == device.c.unit)
            .outerjoin(unit_now, unit_now.c.unit == unit.c.unit)
            .outerjoin(incident, incident.c.incident == emergency.c.incident)
            .outerjoin(account, account.c.account == emergency.c.acknowledged_by)
        )
        .where(emergency.c.cleared_ms.is_(None))
        .order_by(emergency.c.is_drill, emergency.c.acknowledged_ms.is_not(None), emergency.c.received_ms)
    ).all()
    names = {row.staff: row.name for row in connection.execute(select(staff))} if rows else {}
    return tuple(_emergency(row, names) for row in rows)


def incidents(connection: Connection, only: str | None = None) -> tuple[IncidentView, ...]:
    """The open incidents, the most urgent first and of those the oldest; or the one whose id is `only`, open or not."""
    wanted = incident.c.state == "open" if only is None else incident.c.incident == only
    rows = connection.execute(select(incident).where(wanted).order_by(incident.c.priority, incident.c.opened_ms)).all()
    ids = [row.incident for row in rows]
    sent: dict[str, list[AssignmentView]] = {}
    for one in connection.execute(
        select(assignment, unit.c.call_sign)
        .join(unit, unit.c.unit == assignment.c.unit)
        .where(assignment.c.incident.in_(ids))
        .order_by(assignment.c.offered_ms)
    ):
        sent.setdefault(one.incident, []).append(_assignment(one))
    counted = {
        row.encounter: row.n
        for row in connection.execute(
            select(note.c.encounter, func.count().label("n"))
            .where(note.c.encounter.in_([row.encounter for row in rows]))
            .group_by(note.c.encounter)
        )
    }
    told = packet.of(connection, ids)
    shown = (
        labels.seen(
            _incident(
                row,
                sent.get(row.incident, []),
                counted.get(row.encounter, 0),
                told.get(row.incident, ()),
                cautions.known(connection, row),
            ),
            labels.ON_THE_BOARD,  # one board for everybody: what fewer people may see is asked for by one person
        )
        for row in rows
    )
    return tuple(one for one in shown if one is not None)


def notes(connection: Connection) -> tuple[NoteView, ...]:
    """The newest sealed notes, by their envelopes."""
    rows = connection.execute(
        select(
            note.c.note_id,
            note.c.kind,
            note.c.author,
            note.c.disposition,
            note.c.size_bytes,
            note.c.held_ms,
            incident.c.incident,
            incident.c.number,
            unit.c.call_sign,
            staff.c.name,
        )
        .select_from(
            note.outerjoin(incident, incident.c.encounter == note.c.encounter)
            .outerjoin(device, device.c.device == note.c.device)
            .outerjoin(unit, unit.c.unit == device.c.unit)
            .outerjoin(staff, staff.c.staff == note.c.author)
        )
        .order_by(note.c.held_ms.desc())
        .limit(NOTES_SHOWN_MAX)
    )
    return tuple(
        NoteView(
            id=row.note_id.hex(),
            incident=row.incident,
            number=row.number,
            call_sign=row.call_sign,
            author=row.name or row.author,
            kind=_kind(row.kind),
            disposition=row.disposition,
            size_bytes=row.size_bytes,
            held_ms=row.held_ms,
        )
        for row in rows
    )


def health(connection: Connection) -> HealthView:
    """What was refused, counted by reason, and the alarms that nobody has seen."""
    rows = connection.execute(
        select(quarantine.c.why, func.count().label("n")).group_by(quarantine.c.why).order_by(quarantine.c.why)
    )
    return HealthView(quarantined={row.why: row.n for row in rows}, alarms=alarms.raised(connection))


def position_view(position: Position, eta_of: EtaOf = no_eta) -> PositionView:
    """`position` for a page."""
    fix = position.fix
    return PositionView(
        unit=position.unit,
        lat=None if fix is None else fix.lat,
        lon=None if fix is None else fix.lon,
        speed_mps=None if fix is None else fix.speed_mps,
        heading_deg=None if fix is None else fix.heading_deg,
        fix_at=None if fix is None else fix.at,
        arrived_ms=position.arrived_ms,
        age_ms=position.age_ms,
        has_fix=position.has_fix,
        eta=eta_of(position.unit),
    )


def label(status: str) -> str:
    """What people call `status`; a word this hub does not know is shown as it came."""
    known = status_from(status)
    return status if known is None else LABEL[known]


def type_label(code: str) -> str:
    """What people call this incident type; a code this hub does not know is shown as it came."""
    known = TYPES.get(code)
    return code if known is None else known.label


def is_usable() -> ColumnElement[bool]:
    """Of a device: it may speak for its unit."""
    return device.c.state.in_(("enrolled", "active"))


def _placed(shown: UnitView, position: Position | None, eta_of: EtaOf) -> UnitView:
    return msgspec.structs.replace(shown, position=None if position is None else position_view(position, eta_of))


def _every(columns: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(code for column in columns for code in column.split()))


def _emergency(row: Row[tuple[object, ...]], names: Mapping[str, str]) -> EmergencyView:
    fix = None if row.fix is None else decode(row.fix, Fix)
    said = typed.json(row.staff, tuple[str, ...])
    aboard = said or tuple((row.crew or "").split())  # a terminal that could not read its own shift said nobody
    return EmergencyView(
        id=row.emergency.hex(),
        unit=row.unit_id,
        call_sign=row.call_sign,
        is_drill=row.is_drill,
        source=row.source,
        pressed_ms=row.pressed_ms,
        received_ms=row.received_ms,
        presses=row.presses,
        newest_ms=row.newest_ms,
        crew=tuple(CrewMember(id=who, name=names.get(who, who)) for who in aboard),
        lat=None if fix is None else fix.lat,
        lon=None if fix is None else fix.lon,
        fix_age_ms=row.fix_age_ms,
        incident=row.incident,
        number=row.number,
        place=row.place,
        asked_ms=row.asked_ms,
        acknowledged_ms=row.acknowledged_ms,
        acknowledged_by=None if row.acknowledged_ms is None else row.by_name or row.acknowledged_by,
    )


def _assignment(row: Row[tuple[object, ...]]) -> AssignmentView:
    return AssignmentView(
        id=row.assignment,
        unit=row.unit,
        call_sign=row.call_sign,
        offered_ms=row.offered_ms,
        received_ms=row.received_ms,
        acknowledged_ms=row.acknowledged_ms,
        released_ms=row.released_ms,
    )


def _incident(
    row: Row[tuple[object, ...]],
    sent: list[AssignmentView],
    notes_n: int,
    told: tuple[PacketAnswer, ...],
    known_cautions: tuple[KnownCaution, ...],
) -> IncidentView:
    need = typed.json(row.need, Need)
    return IncidentView(
        id=row.incident,
        number=row.number,
        type=row.type,
        type_label=type_label(row.type),
        priority=row.priority,
        lat=row.lat,
        lon=row.lon,
        place=row.place,
        problem=row.problem,
        cautions=typed.json(row.cautions, tuple[str, ...]),
        skills=need.skills,
        languages=need.languages,
        state=row.state,
        gate=row.gate,
        opened_ms=row.opened_ms,
        closed_ms=row.closed_ms,
        disposition=row.disposition,
        assignments=tuple(sent),
        notes=notes_n,
        revision=row.revision,
        gate_by=row.gate_by,
        amber=packet.amber(packet.answered(told), row.place, row.problem),
        packet=told,
        known_cautions=known_cautions,
        recommended=row.recommended,
        reopened_ms=row.reopened_ms,
        merged_into=row.merged_into,
    )


def _kind(number: int) -> str:
    known = {int(kind): kind.name.lower() for kind in NoteKind}
    return known.get(number, str(number))
