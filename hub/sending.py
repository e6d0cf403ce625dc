"""Who should go, and sending them: rank the units, assign one, release it. One transaction and one audit row each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct
from sqlalchemy import Connection, Engine, insert, select, update

from hub import projections, rankings
from hub.closest import BY_ROAD, NO_FASTER, Answer, Question, closest
from hub.deeds import Deed, note, require_name, said_why, the_open
from hub.errors import Refused
from hub.positions import Position
from hub.rank import BEFORE_ARRIVAL, DEFAULTS, Candidate, Rules, first_fit
from hub.rankings import ByRoad
from hub.rings import Spot, holds
from hub.schema import account, assignment, device, incident, ranking, unit, unit_now
from hub.snapshot import UnitView, is_usable
from wire.status import status_from


class Sending(Struct, frozen=True, kw_only=True):
    """A choice made from a ranking. `reason`: why not the first candidate."""

    id: str
    unit: str
    ranking: int
    reason: str | None = None


class Ranked(Struct, frozen=True, kw_only=True):
    """An answer that was shown, by its number. `exact_n`: so many of the first are for certain as asking the roads for
    everybody would put them; `why_not_road`: why the times are by straight line, where somebody asked the roads. `words`: which closures the times keep
    to."""

    ranking: int
    engine: str
    candidates: tuple[Candidate, ...]
    exact_n: int
    why_not_road: str | None
    words: tuple[str, ...] = ()


def rank_units(
    engine: Engine,
    incident_id: str,
    positions: Mapping[str, Position],
    shown: Callable[[Connection], Iterable[UnitView]],
    deed: Deed,
    rules: Rules = DEFAULTS,
    by_road: ByRoad | None = None,
) -> Ranked:
    """Rank every unit for the incident, and keep the answer as it is shown. Without `by_road`: by straight line."""
    bound = NO_FASTER if by_road is None else by_road.bound
    with engine.begin() as connection:
        need = rankings.need_of(the_open(connection, incident_id))
        asked = rankings.question(
            connection, incident_id, need, positions, shown(connection), deed.now_ms, rules, bound
        )
    roads = None if by_road is None else by_road.times(asked)
    answer = closest(asked, None) if roads is None else closest(asked, roads.times, roads.may_go_on)
    graph = None if roads is None or not answer.ways else roads.graph
    with engine.begin() as connection:
        number = rankings.keep(connection, incident_id, asked, answer, graph, deed.by)
    return Ranked(
        ranking=number,
        engine=answer.engine,
        candidates=answer.candidates,
        exact_n=answer.exact_n,
        why_not_road=answer.why_not,
        words=_closed_words(asked, answer),
    )


def _closed_words(asked: Question, answer: Answer) -> tuple[str, ...]:
    """What a list says of the closures that hold now."""
    if not asked.closed:
        return ()
    count = len({ring.id for ring in asked.closed})
    closures = "one closure" if count == 1 else f"{count} closures"
    if answer.engine != BY_ROAD:
        return (f"A straight line goes through {closures}: ask the crew for the way.",)
    goal = Spot(lat=asked.need.lat, lon=asked.need.lon)
    if any(holds(ring, goal) for ring in asked.closed):
        return (
            "This place is inside a closure. The times are for driving in; everything else closed is driven around.",
        )
    return (f"The times drive around {closures}.",)


def assign(connection: Connection, incident_id: str, sending: Sending, deed: Deed) -> bool:
    """Send the unit; False when this very request was done before. What the list said it would be taken from, it is."""
    before = connection.execute(select(assignment).where(assignment.c.assignment == sending.id)).first()
    if before is not None:
        if (before.incident, before.unit) != (incident_id, sending.unit):
            raise Refused("conflict", "An assignment with this id says something else. Send again.")
        return False
    require_name(sending.id)
    the_open(connection, incident_id)
    listed = rankings.candidates_of(connection, sending.ranking, incident_id)
    if listed is None:
        raise Refused("not_found", "That ranking is not of this incident. Rank the units again.")
    chosen = _chosen(listed, sending)
    reason = _reason_for(listed, sending)
    device_id = _terminal_of(connection, sending.unit)
    _require_not_there(connection, sending.unit, incident_id)
    _require_still_so(connection, chosen, sending)
    if chosen.diverted_from is not None:
        _take_from(connection, chosen, incident_id, deed)
    connection.execute(
        insert(assignment).values(
            assignment=sending.id,
            incident=incident_id,
            unit=sending.unit,
            device=device_id,
            offered_ms=deed.now_ms,
            offered_by=deed.by,
            override_reason=reason,
            ranking=sending.ranking,
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


def _chosen(listed: tuple[Candidate, ...], sending: Sending) -> Candidate:
    for candidate in listed:
        if candidate.unit == sending.unit:
            return candidate
    raise Refused("not_found", "That unit was not in the ranking. Rank the units again.")


def _reason_for(listed: tuple[Candidate, ...], sending: Sending) -> str | None:
    """Why this unit and not the first: None when it is the first."""
    if first_fit(listed) == sending.unit:
        return None
    return said_why(sending.reason or "", "Another unit is first. Say why you send this one.")


def _take_from(connection: Connection, chosen: Candidate, incident_id: str, deed: Deed) -> None:
    """Release the unit from the lesser incident that its list named; Refused once it may be with somebody there."""
    lesser = select(incident.c.incident).where(incident.c.number == chosen.diverted_from).scalar_subquery()
    errand = connection.execute(
        select(assignment.c.assignment).where(
            assignment.c.unit == chosen.unit, assignment.c.incident == lesser, assignment.c.released_ms.is_(None)
        )
    ).scalar()
    if errand is None:
        return
    status = connection.execute(select(unit_now.c.status).where(unit_now.c.unit == chosen.unit)).scalar()
    if status_from(status or "") not in BEFORE_ARRIVAL:
        raise Refused(
            "busy", f"{chosen.call_sign} is not on its way to #{chosen.diverted_from} any more. Rank the units again."
        )
    number = connection.execute(select(incident.c.number).where(incident.c.incident == incident_id)).scalar_one()
    release(connection, errand, f"Sent to #{number}, more urgent", deed)


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


def _require_still_so(connection: Connection, chosen: Candidate, sending: Sending) -> None:
    """Refused when somebody sent the unit elsewhere after this list was made: two dispatchers who look at two lists with
    the same first unit must not both believe that they have it."""
    made_ms = select(ranking.c.ranked_ms).where(ranking.c.ranking == sending.ranking).scalar_subquery()
    since = assignment.c.offered_ms >= made_ms if chosen.fit else assignment.c.offered_ms > made_ms
    taken = connection.execute(
        select(unit.c.call_sign, incident.c.number, account.c.name, assignment.c.offered_by)
        .select_from(assignment)
        .join(unit, unit.c.unit == assignment.c.unit)
        .join(incident, incident.c.incident == assignment.c.incident)
        .outerjoin(account, account.c.account == assignment.c.offered_by)
        .where(assignment.c.unit == sending.unit, assignment.c.released_ms.is_(None), since)
        .order_by(assignment.c.offered_ms.desc())
    ).first()
    if taken is not None:
        raise Refused(
            "busy",
            f"{taken.name or taken.offered_by} sent {taken.call_sign} to #{taken.number} meanwhile. "
            "Rank the units again.",
        )
