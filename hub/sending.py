"""Who should go, and sending them: rank the units, assign one, release it. One transaction and one audit row each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, insert, select, update

from hub import projections
from hub.deeds import Deed, note, require_name, said_why, the_open
from hub.errors import Refused
from hub.positions import Position
from hub.rank import STRAIGHT_LINE, Candidate, Need, RosterUnit, first_fit, rank, straight_line
from hub.schema import assignment, device, incident, ranking, unit
from hub.snapshot import UnitView, is_usable


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


def rank_units(
    connection: Connection, incident_id: str, positions: Mapping[str, Position], shown: Iterable[UnitView], deed: Deed
) -> Ranked:
    """Rank every unit for the incident, and keep the answer as it is shown."""
    need = msgspec.json.decode(the_open(connection, incident_id).need, type=Need)
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
    require_name(sending.id)
    the_open(connection, incident_id)
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
    note(connection, deed, "assignment_made", sending.id, reason)
    return True


def release(connection: Connection, assignment_id: str, reason: str, deed: Deed) -> str:
    """Take the unit off its incident, whose id is the answer. Doing it twice is doing it once."""
    reason = said_why(reason, "Say why the unit is released.")
    found = connection.execute(select(assignment).where(assignment.c.assignment == assignment_id)).first()
    if found is None:
        raise Refused("not_found", "There is no such assignment.")
    if found.released_ms is None:
        projections.released(connection, assignment_id, deed.now_ms, deed.by)
        note(connection, deed, "assignment_released", assignment_id, reason)
    return str(found.incident)


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
    candidates = msgspec.json.decode(shown, type=tuple[Candidate, ...])
    if sending.unit not in {candidate.unit for candidate in candidates}:
        raise Refused("not_found", "That unit was not in the ranking. Rank the units again.")
    if first_fit(candidates) == sending.unit:
        return None
    return said_why(sending.reason or "", "Another unit is first. Say why you send this one.")


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
