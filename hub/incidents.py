"""What dispatchers do: open an incident, ask who should go, send, release, close. One transaction and one audit row each.

Ids come from the client, so that a request sent twice is done once; the same id with other content is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, Row, insert, select, update

from hub import audit, projections
from hub.errors import Refused
from hub.positions import Position
from hub.rank import STRAIGHT_LINE, Candidate, Need, RosterUnit, first_fit, rank, straight_line
from hub.schema import assignment, device, hub_fact, incident, ranking, unit
from hub.snapshot import UnitView, is_usable
from wire import typed
from wire.codec import Malformed
from wire.ids import name
from wire.incident import DISPOSITIONS, LANGUAGES, PRIORITIES, SKILLS, TYPES, Gate

NUMBER = "incident_number"  # in hub_fact
TEXT_CHARS_MAX = 2000  # of a problem; it has to fit on a screen in a car
PLACE_CHARS_MAX = 200
REASON_CHARS_MAX = 300
CAUTIONS_MAX = 8

Found = Row[tuple[object, ...]]


class Asked(Struct, frozen=True, kw_only=True):
    """The needs as a dispatcher ticks them: codes of `wire.incident`."""

    skills: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    wishes: tuple[str, ...] = ()


class Opening(Struct, frozen=True, kw_only=True):
    """A new incident as a dispatcher describes it."""

    id: str
    type: str
    priority: int
    lat: float
    lon: float
    place: str
    problem: str
    cautions: tuple[str, ...] = ()
    need: Asked = Asked()


class Sending(Struct, frozen=True, kw_only=True):
    """A choice made from a ranking. `reason`: why not the first candidate."""

    id: str
    unit: str
    ranking: int
    reason: str | None = None


class Ranked(Struct, frozen=True, kw_only=True):
    """An answer that was shown, by its number."""

    ranking: int
    engine: str
    candidates: tuple[Candidate, ...]


class Deed(Struct, frozen=True, kw_only=True):
    """Who does something at the console, and when."""

    by: str
    now_ms: int


def open_incident(connection: Connection, opening: Opening, encounter: bytes, deed: Deed) -> bool:
    """Open the incident; False when this very request was done before. `encounter`: 16 fresh bytes, kept if new."""
    _require_sound(opening)
    before = connection.execute(select(incident).where(incident.c.incident == opening.id)).first()
    if before is not None:
        if _opening_of(before) != opening:
            raise Refused("conflict", "An incident with this id says something else. Open a new one.")
        return False
    gate = Gate.STAGED if TYPES[opening.type].is_gated else Gate.UNKNOWN
    connection.execute(
        insert(incident).values(
            incident=opening.id,
            encounter=encounter,
            number=_next_number(connection),
            type=opening.type,
            priority=opening.priority,
            lat=opening.lat,
            lon=opening.lon,
            place=opening.place,
            problem=opening.problem,
            cautions=msgspec.json.encode(opening.cautions).decode(),
            need=msgspec.json.encode(_need(opening, gate)).decode(),
            gate=gate,
            state="open",
            opened_ms=deed.now_ms,
            opened_by=deed.by,
        )
    )
    _note_deed(connection, deed, "incident_opened", opening.id)
    return True


def rank_units(
    connection: Connection, incident_id: str, positions: Mapping[str, Position], shown: Iterable[UnitView], deed: Deed
) -> Ranked:
    """Rank every unit for the incident, and keep the answer as it is shown."""
    need = typed.json(_the_open(connection, incident_id).need, Need)
    candidates = rank(
        need,
        _roster(connection, incident_id, shown),
        positions,
        straight_line(need, positions, deed.now_ms),
        deed.now_ms,
    )
    number = connection.execute(
        insert(ranking).values(
            incident=incident_id,
            ranked_ms=deed.now_ms,
            ranked_by=deed.by,
            engine=STRAIGHT_LINE,
            candidates=msgspec.json.encode(candidates).decode(),
        )
    ).inserted_primary_key
    assert number is not None
    return Ranked(ranking=int(number[0]), engine=STRAIGHT_LINE, candidates=candidates)


def assign(connection: Connection, incident_id: str, sending: Sending, deed: Deed) -> bool:
    """Send the unit; False when this very request was done before."""
    before = connection.execute(select(assignment).where(assignment.c.assignment == sending.id)).first()
    if before is not None:
        if (before.incident, before.unit) != (incident_id, sending.unit):
            raise Refused("conflict", "An assignment with this id says something else. Send again.")
        return False
    _require_name(sending.id)
    _the_open(connection, incident_id)
    reason = _reason_for(connection, incident_id, sending)
    device_id = _terminal_of(connection, sending.unit)
    _require_not_there(connection, sending.unit, incident_id)
    connection.execute(
        insert(assignment).values(
            assignment=sending.id,
            incident=incident_id,
            unit=sending.unit,
            device=device_id,
            offered_ms=deed.now_ms,
            offered_by=deed.by,
            override_reason=reason,
        )
    )
    connection.execute(update(ranking).where(ranking.c.ranking == sending.ranking).values(chosen=sending.unit))
    projections.offered(connection, sending.id, deed.now_ms, deed.by)
    _note_deed(connection, deed, "assignment_made", sending.id, reason)
    return True


def release(connection: Connection, assignment_id: str, reason: str, deed: Deed) -> str:
    """Take the unit off its incident, whose id is the answer. Doing it twice is doing it once."""
    reason = _said(reason, "Say why the unit is released.")
    found = connection.execute(select(assignment).where(assignment.c.assignment == assignment_id)).first()
    if found is None:
        raise Refused("not_found", "There is no such assignment.")
    if found.released_ms is None:
        projections.released(connection, assignment_id, deed.now_ms, deed.by)
        _note_deed(connection, deed, "assignment_released", assignment_id, reason)
    return str(found.incident)


def close(connection: Connection, incident_id: str, disposition: str, deed: Deed) -> bool:
    """Close the incident; False when it was closed so already. Refused while a unit is on it."""
    if disposition not in DISPOSITIONS:
        raise Refused("malformed", "Choose how the incident ended.")
    found = _the(connection, incident_id)
    if found.state != "open":
        if found.disposition == disposition:
            return False
        raise Refused("closed", f"#{found.number} is closed already.")
    on_it = connection.execute(
        select(unit.c.call_sign)
        .join(assignment, assignment.c.unit == unit.c.unit)
        .where(assignment.c.incident == incident_id, assignment.c.released_ms.is_(None))
        .order_by(unit.c.call_sign)
    ).scalars()
    if still := ", ".join(on_it):
        raise Refused("busy", f"{still} is still on #{found.number}. Release it first.")
    connection.execute(
        update(incident)
        .where(incident.c.incident == incident_id)
        .values(
            state="canceled" if disposition in ("canceled", "duplicate") else "closed",
            closed_ms=deed.now_ms,
            disposition=disposition,
        )
    )
    _note_deed(connection, deed, "incident_closed", incident_id, disposition)
    return True


def _the(connection: Connection, incident_id: str) -> Found:
    found = connection.execute(select(incident).where(incident.c.incident == incident_id)).first()
    if found is None:
        raise Refused("not_found", "There is no such incident.")
    return found


def _the_open(connection: Connection, incident_id: str) -> Found:
    found = _the(connection, incident_id)
    if found.state != "open":
        raise Refused("closed", f"#{found.number} is closed.")
    return found


def _roster(connection: Connection, incident_id: str, shown: Iterable[UnitView]) -> list[RosterUnit]:
    working = {
        row.unit: row
        for row in connection.execute(
            select(assignment.c.unit, assignment.c.incident, incident.c.number)
            .join(incident, incident.c.incident == assignment.c.incident)
            .where(assignment.c.released_ms.is_(None))
            .order_by(assignment.c.offered_ms)
        )
    }
    return [
        RosterUnit(
            unit=one.unit,
            call_sign=one.call_sign,
            agency=one.agency,
            kind=one.kind,
            status=one.status,
            status_ms=one.status_ms,
            has_terminal=one.device is not None,
            is_linked=one.presence == "connected",
            is_crewed=bool(one.crew),
            has_sworn=one.has_sworn,
            skills=frozenset(one.skills),
            languages=frozenset(one.languages),
            incident=working[one.unit].number if one.unit in working else None,
            is_here_already=one.unit in working and working[one.unit].incident == incident_id,
            is_in_emergency=one.is_in_emergency,
        )
        for one in shown
    ]


def _reason_for(connection: Connection, incident_id: str, sending: Sending) -> str | None:
    """Why this unit and not the first: None when it is the first."""
    shown = connection.execute(
        select(ranking.c.candidates).where(ranking.c.ranking == sending.ranking, ranking.c.incident == incident_id)
    ).scalar()
    if shown is None:
        raise Refused("not_found", "That ranking is not of this incident. Rank the units again.")
    candidates = typed.json(shown, tuple[Candidate, ...])
    if sending.unit not in {candidate.unit for candidate in candidates}:
        raise Refused("not_found", "That unit was not in the ranking. Rank the units again.")
    if first_fit(candidates) == sending.unit:
        return None
    return _said(sending.reason or "", "Another unit is first. Say why you send this one.")


def _terminal_of(connection: Connection, unit_id: str) -> str:
    found = connection.execute(select(device.c.device).where(device.c.unit == unit_id, is_usable())).scalar()
    if found is None:
        raise Refused("busy", "That unit has no terminal. Send it by radio.")
    return str(found)


def _require_not_there(connection: Connection, unit_id: str, incident_id: str) -> None:
    there = connection.execute(
        select(unit.c.call_sign)
        .join(assignment, assignment.c.unit == unit.c.unit)
        .where(assignment.c.unit == unit_id, assignment.c.incident == incident_id, assignment.c.released_ms.is_(None))
    ).scalar()
    if there is not None:
        raise Refused("busy", f"{there} was sent to this incident already.")


def _next_number(connection: Connection) -> int:
    raised = connection.execute(
        update(hub_fact).where(hub_fact.c.name == NUMBER).values(value=hub_fact.c.value + 1).returning(hub_fact.c.value)
    ).scalar()
    if raised is None:
        connection.execute(insert(hub_fact).values(name=NUMBER, value=1))
        return 1
    return int(raised)


def _need(opening: Opening, gate: Gate) -> Need:
    return Need(
        lat=opening.lat,
        lon=opening.lon,
        gate=gate,
        skills=opening.need.skills,
        languages=opening.need.languages,
        wishes=opening.need.wishes,
    )


def _opening_of(row: Found) -> Opening:
    need = typed.json(row.need, Need)
    return Opening(
        id=row.incident,
        type=row.type,
        priority=row.priority,
        lat=row.lat,
        lon=row.lon,
        place=row.place,
        problem=row.problem,
        cautions=typed.json(row.cautions, tuple[str, ...]),
        need=Asked(skills=need.skills, languages=need.languages, wishes=need.wishes),
    )


def _require_sound(opening: Opening) -> None:
    _require_name(opening.id)
    wrong = _what_is_wrong(opening)
    if wrong is not None:
        raise Refused("malformed", wrong)


def _what_is_wrong(opening: Opening) -> str | None:
    if opening.type not in TYPES:
        return "Choose a type."
    if opening.priority not in PRIORITIES:
        return "Choose a priority from 1 to 4."
    if not (-90 <= opening.lat <= 90 and -180 <= opening.lon <= 180):
        return "Click the place on the map."
    if not opening.place.strip() or len(opening.place) > PLACE_CHARS_MAX:
        return f"Say where it is, in at most {PLACE_CHARS_MAX} characters."
    if len(opening.problem) > TEXT_CHARS_MAX:
        return f"Say what is happening in at most {TEXT_CHARS_MAX} characters."
    if len(opening.cautions) > CAUTIONS_MAX or any(not 0 < len(one) <= REASON_CHARS_MAX for one in opening.cautions):
        return f"At most {CAUTIONS_MAX} cautions, each a short sentence."
    asked = opening.need
    if not set(asked.skills) <= set(SKILLS) or not set(asked.languages) <= set(LANGUAGES):
        return "A needed skill or language is not one this hub knows."
    if not set(asked.wishes) <= {*SKILLS, *LANGUAGES}:
        return "A wished skill or language is not one this hub knows."
    return None


def _require_name(text: str) -> None:
    try:
        name(text)
    except Malformed as wrong:
        raise Refused("malformed", f"{wrong}.".capitalize()) from None


def _said(reason: str, sentence: str) -> str:
    reason = reason.strip()
    if not reason or len(reason) > REASON_CHARS_MAX:
        raise Refused("reason_needed", sentence)
    return reason


def _note_deed(connection: Connection, deed: Deed, what: str, about: str, reason: str | None = None) -> None:
    audit.append(connection, deed.now_ms, "console", deed.by, what, about, audit.OK, reason)
