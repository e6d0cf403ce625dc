"""Rankings and the store: what a list rests on is read, what was shown is kept, and what was chosen of it is found.

Reading and keeping are two transactions with the roads between them, for nobody waits for an engine inside one.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection, Row, and_, exists, func, insert, select

from hub import audit, closures
from hub.closest import NO_FASTER, Answer, Bound, Pending, Question, Times, Ways
from hub.errors import Refused
from hub.position import Position
from hub.projections import DEVICE_PREFIX
from hub.rank import BOOK, DEFAULTS, Candidate, Errand, Need, RoadsDown, RosterUnit, Rules, Travel, whereabouts
from hub.replay import Shown
from hub.rings import Ring
from hub.schema import assignment, incident, ranking, rest_ended, staff, status_history, unit
from hub.snapshot import UnitView
from wire import typed
from wire.status import Status

REASON_CHARS_MAX = 300
ROUNDS_WAIT_S = 1.0  # for the ways to one incident of several: somebody asked for it and waits

_WITH_PERSON = (Status.CONTACT, Status.TRANSPORTING, Status.AT_FACILITY)
_ARRIVED = (Status.STAGED, Status.ON_SCENE, *_WITH_PERSON, Status.CLEARING)

Spot = tuple[float, float]
Asked = Callable[[Sequence[Spot], Spot, Sequence[Ring], float], Sequence[Travel | None]]
"""Asks the engine: the ways from these places to this one, through nothing that is closed, in at most so many seconds.
Raises RoadsDown."""


class Roads(Struct, frozen=True, kw_only=True):
    """Where the ways of one question come from. `graph`: which build of the roads answers."""

    graph: str
    times: Times
    may_go_on: Callable[[], bool]


RoadsFor = Callable[[Question], Roads]


class ByRoad(Struct, frozen=True, kw_only=True):
    """Who is asked for ways, and what no way of theirs undercuts."""

    times: RoadsFor
    bound: Bound = NO_FASTER


class Choice(Struct, frozen=True, kw_only=True):
    """A unit that was sent from a ranking: which, by whom, when, and why not the first."""

    unit: str
    by: str
    at_ms: int
    reason: str | None


class _Known(Struct, frozen=True, kw_only=True):
    """What a list rested on besides the need and the rules."""

    roster: tuple[RosterUnit, ...]
    positions: tuple[Position, ...]
    bound: Bound
    utc_offset_min: int
    ways: Ways
    closed: tuple[Ring, ...] = ()


def need_of(row: Row[tuple[object, ...]]) -> Need:
    """What the incident in `row` asks for, where it is and as urgent as it is by now."""
    told = typed.json(row.need, Need)
    return replace(told, lat=row.lat, lon=row.lon, gate=row.gate, priority=row.priority)


def pending(
    connection: Connection,
    positions: Mapping[str, Position],
    shown: Sequence[UnitView],
    now_ms: int,
    rules: Rules = DEFAULTS,
    bound: Bound = NO_FASTER,
) -> tuple[Pending, ...]:
    """The open incidents to which nobody is on the way, each with all that an answer for it rests on."""
    rules = replace(rules, road_wait_s=max(rules.road_wait_s, ROUNDS_WAIT_S))
    nobody = ~exists().where(assignment.c.incident == incident.c.incident, assignment.c.released_ms.is_(None))
    rows = connection.execute(
        select(incident).where(incident.c.state == "open", nobody).order_by(incident.c.priority, incident.c.number)
    ).all()
    return tuple(
        Pending(
            incident=row.incident,
            number=row.number,
            priority=row.priority,
            question=question(connection, row.incident, need_of(row), positions, shown, now_ms, rules, bound),
        )
        for row in rows
    )


def question(
    connection: Connection,
    incident_id: str,
    need: Need,
    positions: Mapping[str, Position],
    shown: Iterable[UnitView],
    now_ms: int,
    rules: Rules = DEFAULTS,
    bound: Bound = NO_FASTER,
) -> Question:
    """All that an answer for the incident rests on but the roads, as it is now."""
    offset = datetime.fromtimestamp(now_ms / 1000).astimezone().utcoffset()
    roster = _roster(connection, incident_id, shown, now_ms)
    here = {one.unit for one in roster}
    return Question(
        need=need,
        roster=roster,
        positions=tuple(position for name, position in sorted(positions.items()) if name in here),
        now_ms=now_ms,
        rules=rules,
        bound=bound,
        utc_offset_min=0 if offset is None else round(offset.total_seconds() / 60),
        closed=closures.closed(connection, now_ms),
    )


def roads_by(ask: Asked, graph: str, clock_s: Callable[[], float]) -> RoadsFor:
    """The ways of any question, asked of an engine within what the agency lets a list wait in all.

    It stops going on when what is left is less than the slowest answer so far and half of that again: a question that
    comes too late would cost the whole list its minutes.
    """

    def roads_for(about: Question) -> Roads:
        began_s = clock_s()
        ends_s = began_s + about.rules.road_wait_s
        slowest_s = [0.0]
        spots = {one.unit: spot for one in about.positions if (spot := whereabouts(one, about.now_ms)) is not None}

        def times(units: Sequence[str]) -> Mapping[str, Travel | None]:
            asked_s = clock_s()
            if asked_s >= ends_s:
                raise RoadsDown("The road engine takes too long.")
            target = (about.need.lat, about.need.lon)
            said = ask([spots[one] for one in units], target, about.closed, ends_s - asked_s)
            slowest_s[0] = max(slowest_s[0], clock_s() - asked_s)
            return dict(zip(units, said, strict=True))

        return Roads(graph=graph, times=times, may_go_on=lambda: ends_s - clock_s() >= 1.5 * slowest_s[0])

    return roads_for


def keep(connection: Connection, incident_id: str, about: Question, answer: Answer, graph: str | None, by: str) -> int:
    """Write down what is shown and all it rests on; its number."""
    known = _Known(
        roster=about.roster,
        positions=about.positions,
        bound=about.bound,
        utc_offset_min=about.utc_offset_min,
        ways=answer.ways,
        closed=about.closed,
    )
    number = connection.execute(
        insert(ranking).values(
            incident=incident_id,
            ranked_ms=about.now_ms,
            ranked_by=by,
            engine=answer.engine,
            candidates=msgspec.json.encode(answer.candidates).decode(),
            need=msgspec.json.encode(about.need).decode(),
            rules=msgspec.json.encode(about.rules).decode(),
            graph=graph,
            book=BOOK,
            known=zlib.compress(msgspec.json.encode(known, order="deterministic")),
        )
    ).inserted_primary_key
    assert number is not None
    return int(number[0])


def candidates_of(connection: Connection, number: int, incident_id: str) -> tuple[Candidate, ...] | None:
    """What was shown as ranking `number` of the incident; None when there is no such."""
    text = connection.execute(
        select(ranking.c.candidates).where(ranking.c.ranking == number, ranking.c.incident == incident_id)
    ).scalar()
    return None if text is None else typed.json(text, tuple[Candidate, ...])


def shown(connection: Connection, number: int) -> Shown | None:
    """Ranking `number` with all it rested on; None when there is none, or it is older than the keeping of that."""
    row = connection.execute(select(ranking).where(ranking.c.ranking == number)).first()
    if row is None or row.known is None:
        return None
    known = typed.json(zlib.decompress(row.known), _Known)
    return Shown(
        question=Question(
            need=typed.json(row.need, Need),
            roster=known.roster,
            positions=known.positions,
            now_ms=row.ranked_ms,
            rules=typed.json(row.rules, Rules),
            bound=known.bound,
            utc_offset_min=known.utc_offset_min,
            closed=known.closed,
        ),
        engine=row.engine,
        ways=known.ways,
        candidates=typed.json(row.candidates, tuple[Candidate, ...]),
        graph=row.graph,
        book=row.book,
    )


def sent_from(connection: Connection, incident_id: str) -> tuple[int, ...]:
    """The rankings of the incident from which somebody was sent, the newest first."""
    rows = connection.execute(
        select(assignment.c.ranking)
        .where(assignment.c.incident == incident_id, assignment.c.ranking.is_not(None))
        .group_by(assignment.c.ranking)
        .order_by(assignment.c.ranking.desc())
    )
    return tuple(rows.scalars())


def choices(connection: Connection, number: int) -> tuple[Choice, ...]:
    """Who was sent from ranking `number`, in order."""
    rows = connection.execute(
        select(assignment).where(assignment.c.ranking == number).order_by(assignment.c.offered_ms)
    )
    return tuple(
        Choice(unit=row.unit, by=row.offered_by, at_ms=row.offered_ms, reason=row.override_reason) for row in rows
    )


def end_rest(connection: Connection, unit_id: str, reason: str, by: str, now_ms: int) -> None:
    """A supervisor lets a crew be sent before it has rested; a person it is with later gives it a new rest."""
    if connection.execute(select(unit.c.unit).where(unit.c.unit == unit_id)).first() is None:
        raise Refused("not_found", "There is no such unit.")
    reason = reason.strip()
    if not reason or len(reason) > REASON_CHARS_MAX:
        raise Refused("reason_needed", "Say why this crew is sent before it has rested.")
    connection.execute(insert(rest_ended).values(unit=unit_id, at_ms=now_ms, by=by, reason=reason))
    audit.append(connection, now_ms, "console", by, "rest_ended", unit_id, audit.OK, reason)


def licenses_at(text: str, day: date) -> frozenset[str]:
    """The licenses in a row of `staff` that have not ended: each counts on its last day."""
    pairs = (one.split(":", 1) for one in text.split())
    return frozenset(code for code, last in pairs if date.fromisoformat(last) >= day)


def _roster(connection: Connection, incident_id: str, shown: Iterable[UnitView], now_ms: int) -> tuple[RosterUnit, ...]:
    errands = _errands(connection)
    declined = _declined(connection, incident_id)
    left = _left_person(connection)
    ended = _rests_ended(connection)
    licenses = _licenses(connection, now_ms)
    roster = []
    for one in shown:
        open_ = errands.get(one.unit, {})
        current = open_.get(one.assignment or "") or next(iter(open_.values()), None)
        left_ms = left.get(one.unit)
        crew = tuple(member.id for member in one.crew)
        roster.append(
            RosterUnit(
                unit=one.unit,
                call_sign=one.call_sign,
                agency=one.agency,
                kind=one.kind,
                status=one.status,
                status_ms=one.status_ms,
                has_terminal=one.device is not None,
                is_linked=one.presence == "connected",
                is_crewed=bool(crew),
                has_sworn=one.has_sworn,
                skills=frozenset(one.skills),
                languages=frozenset(one.languages),
                incident=None if current is None else current.errand.number,
                is_here_already=any(each.incident == incident_id for each in open_.values()),
                is_in_emergency=one.is_in_emergency,
                crew=crew,
                licenses=frozenset().union(*(licenses.get(who, frozenset()) for who in crew)),
                errand=current.errand if current is not None and len(open_) == 1 else None,
                has_declined=one.unit in declined,
                left_person_ms=left_ms,
                is_rest_ended=left_ms is not None and ended.get(one.unit, 0) >= left_ms,
            )
        )
    return tuple(roster)


class _Open(Struct, frozen=True, kw_only=True):
    incident: str
    errand: Errand


def _errands(connection: Connection) -> dict[str, dict[str, _Open]]:
    """What each unit was sent to and is not released from, the oldest first, by assignment."""
    found: dict[str, dict[str, _Open]] = {}
    for row in connection.execute(
        select(assignment.c.assignment, assignment.c.unit, incident)
        .join(incident, incident.c.incident == assignment.c.incident)
        .where(assignment.c.released_ms.is_(None))
        .order_by(assignment.c.offered_ms)
    ):
        errand = Errand(number=row.number, priority=row.priority, lat=row.lat, lon=row.lon)
        found.setdefault(row.unit, {})[row.assignment] = _Open(incident=row.incident, errand=errand)
    return found


def _declined(connection: Connection, incident_id: str) -> set[str]:
    """Whose crew left the incident by a press of its own, and was never there."""
    was_there = exists().where(
        status_history.c.unit == assignment.c.unit,
        status_history.c.assignment == assignment.c.assignment,
        status_history.c.status.in_(_ARRIVED),
    )
    return set(
        connection.execute(
            select(assignment.c.unit).where(
                assignment.c.incident == incident_id,
                assignment.c.released_by.startswith(DEVICE_PREFIX, autoescape=True),
                ~was_there,
            )
        ).scalars()
    )


def _left_person(connection: Connection) -> dict[str, int]:
    """When the crew of each unit was last with a person. A crew that went off duty since is another crew."""
    newest, following = status_history.alias(), status_history.alias()
    newest_id = (
        select(newest.c.id)
        .where(newest.c.unit == unit.c.unit, newest.c.status.in_((*_WITH_PERSON, Status.OFF_DUTY)))
        .order_by(newest.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    following_id = (
        select(func.min(following.c.id))
        .where(following.c.unit == status_history.c.unit, following.c.id > status_history.c.id)
        .scalar_subquery()
    )
    after = status_history.alias()
    rows = connection.execute(
        select(unit.c.unit, after.c.noted_ms, after.c.held_ms)
        .select_from(unit)
        .join(status_history, and_(status_history.c.id == newest_id, status_history.c.status.in_(_WITH_PERSON)))
        .join(after, after.c.id == following_id)
    )
    return {row.unit: row.held_ms if row.noted_ms is None else min(row.noted_ms, row.held_ms) for row in rows}


def _rests_ended(connection: Connection) -> dict[str, int]:
    rows = connection.execute(select(rest_ended.c.unit, func.max(rest_ended.c.at_ms).label("at_ms")).group_by("unit"))
    return {row.unit: row.at_ms for row in rows}


def _licenses(connection: Connection, now_ms: int) -> dict[str, frozenset[str]]:
    today = datetime.fromtimestamp(now_ms / 1000).astimezone().date()
    rows = connection.execute(select(staff.c.staff, staff.c.licenses).where(staff.c.licenses != ""))
    return {row.staff: licenses_at(row.licenses, today) for row in rows}
