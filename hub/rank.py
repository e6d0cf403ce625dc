"""Who should go: every unit answered, the fit ones first, each unfit one with its reasons.

Pure: the same need, roster, positions, times and `now` give the same list. A unit is never left out, because a unit
that is missing from the list is one that a dispatcher cannot ask about.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from hub.freshness import Freshness, age_s, freshness, spoken_age
from hub.position import Position
from wire.distance import believed, distance_m
from wire.incident import LANGUAGES, SKILLS, Gate
from wire.status import ACTIVE, LABEL, Status, status_from

STRAIGHT_LINE = "straight line"
ASSUMED_MPS = 11.0  # 40 km/h, lights and turns included
DETOUR = 1.3  # roads are this much longer than the straight line, in a city grid
STEP_S = 30  # closer than this is no difference: the other reasons decide

_EAGERNESS = {Status.AVAILABLE: 0, Status.CLEARING: 1, Status.BREAK: 2}

_NO_SKILL = {
    "youth": "nobody aboard for youth",
    "sud": "nobody aboard for substance use",
    "emt": "no EMT aboard",
}
_NO_LANGUAGE = {"ase": "nobody aboard who signs"}

_BUSY_WORDS = {
    Status.ASSIGNED: "assigned to",
    Status.ACKNOWLEDGED: "assigned to",
    Status.EN_ROUTE: "en route to",
    Status.STAGED: "staged for",
    Status.ON_SCENE: "on scene at",
    Status.CONTACT: "with a person at",
    Status.TRANSPORTING: "transporting from",
    Status.AT_FACILITY: "at a facility for",
}


class Need(Struct, frozen=True, kw_only=True):
    """What an incident asks for. `skills` and `languages` are musts; `wishes` (codes of either) only break ties.

    `agency` None: any agency may go.
    """

    lat: float
    lon: float
    gate: str = Gate.UNKNOWN
    skills: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    wishes: tuple[str, ...] = ()
    agency: str | None = None


class RosterUnit(Struct, frozen=True, kw_only=True):
    """A unit as it is now: its crew's abilities, what it does, and since when.

    `incident` is the number of the one it works on; `is_here_already` says it is the very one that is asking;
    `is_in_emergency`: its crew raised one that is not cleared, and not as a test.
    """

    unit: str
    call_sign: str
    agency: str
    kind: str
    status: str
    status_ms: int
    has_terminal: bool = True
    is_linked: bool = True
    is_crewed: bool = True
    has_sworn: bool = False
    skills: frozenset[str] = frozenset()
    languages: frozenset[str] = frozenset()
    incident: int | None = None
    is_here_already: bool = False
    is_in_emergency: bool = False


class Travel(Struct, frozen=True, kw_only=True):
    """How long a unit needs to the place, and by what distance."""

    distance_m: float
    seconds: float


class Candidate(Struct, frozen=True, kw_only=True):
    """A unit in the answer. `reasons` say why it is unfit (none when fit); `notes` are worth knowing either way."""

    unit: str
    call_sign: str
    fit: bool
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    distance_m: float | None
    travel_s: float | None
    freshness: str
    age_s: float | None
    status: str


def straight_line(need: Need, positions: Mapping[str, Position], now_ms: int) -> dict[str, Travel]:
    """The travel times without roads: to where each unit is believed to be by now, at an assumed city speed."""
    return {
        unit: Travel(distance_m=meters, seconds=meters / ASSUMED_MPS * DETOUR)
        for unit, position in positions.items()
        if (meters := _meters_to(need, position, now_ms)) is not None
    }


def rank(
    need: Need,
    roster: Iterable[RosterUnit],
    positions: Mapping[str, Position],
    travel_times: Mapping[str, Travel],
    now_ms: int,
    engine: str = STRAIGHT_LINE,
) -> tuple[Candidate, ...]:
    """Every unit of `roster`, in the order in which a dispatcher should think of them.

    The fit: by travel time, plus the age of a position that is not live, in steps of 30 s; then available before
    clearing before break; fewer unmet wishes; longest idle; nearest; call sign. The unfit after them, by travel time.
    """

    def order(unit: RosterUnit) -> tuple[object, ...]:
        travel = travel_times.get(unit.unit)
        if _reasons(need, unit, positions.get(unit.unit), travel, now_ms):
            return (1, travel is None, travel.seconds if travel else 0.0, unit.call_sign)
        assert travel is not None  # without one it is unfit
        expected_s = travel.seconds + _doubt_s(positions[unit.unit], now_ms)
        return (
            0,
            int(expected_s // STEP_S),
            _EAGERNESS[Status(unit.status)],
            len(_unmet_wishes(need, unit)),
            unit.status_ms,
            travel.seconds,
            unit.call_sign,
        )

    return tuple(
        _candidate(need, unit, positions.get(unit.unit), travel_times.get(unit.unit), now_ms, engine)
        for unit in sorted(roster, key=order)
    )


def first_fit(candidates: Iterable[Candidate]) -> str | None:
    """The unit that may be sent without a word of explanation; None when nobody is fit."""
    return next((candidate.unit for candidate in candidates if candidate.fit), None)


def _candidate(
    need: Need, unit: RosterUnit, position: Position | None, travel: Travel | None, now_ms: int, engine: str
) -> Candidate:
    reasons = _reasons(need, unit, position, travel, now_ms)
    has_fix = position is not None and position.fix is not None
    return Candidate(
        unit=unit.unit,
        call_sign=unit.call_sign,
        fit=not reasons,
        reasons=reasons,
        notes=_notes(need, unit, position, now_ms, engine),
        distance_m=None if travel is None else round(travel.distance_m),
        travel_s=None if travel is None else round(travel.seconds),
        freshness=freshness(position, now_ms),
        age_s=round(max(0.0, age_s(position, now_ms)), 1) if position is not None and has_fix else None,
        status=unit.status,
    )


def _reasons(
    need: Need, unit: RosterUnit, position: Position | None, travel: Travel | None, now_ms: int
) -> tuple[str, ...]:
    found = [
        *(["emergency raised"] if unit.is_in_emergency else []),
        *_because_of_status(unit),
        *_because_of_agency(need, unit),
        *_because_of_crew(need, unit),
        *_because_of_position(unit, position, travel, now_ms),
    ]
    return tuple(found)


def _because_of_status(unit: RosterUnit) -> list[str]:
    if unit.kind == "desk":
        return ["a desk: advises, is not sent"]
    if unit.is_here_already:
        return ["already sent to this one"]
    status = status_from(unit.status)
    if status is None:
        return [f"status unknown here: {unit.status}"]
    if status in ACTIVE:
        return [_busy(status, unit.incident)]
    if status not in _EAGERNESS:
        return [LABEL[status].lower()]
    if unit.incident is not None and status is not Status.CLEARING:
        return [f"assigned to #{unit.incident}"]
    return [] if unit.has_terminal else ["no terminal: radio only"]


def _busy(status: Status, incident: int | None) -> str:
    return LABEL[status].lower() if incident is None else f"{_BUSY_WORDS[status]} #{incident}"


def _because_of_agency(need: Need, unit: RosterUnit) -> list[str]:
    is_other = need.agency is not None and unit.agency != need.agency
    return ["other agency: needs request"] if is_other else []


def _because_of_crew(need: Need, unit: RosterUnit) -> list[str]:
    if unit.kind == "desk":
        return []
    if not unit.is_crewed:
        return ["nobody signed on"]
    return [
        *(_no_skill(code) for code in need.skills if code not in unit.skills),
        *(_no_language(code) for code in need.languages if code not in unit.languages),
    ]


def _no_skill(code: str) -> str:
    return _NO_SKILL.get(code, f"no {SKILLS.get(code, code).lower()} aboard")


def _no_language(code: str) -> str:
    return _NO_LANGUAGE.get(code, f"no {LANGUAGES.get(code, code)} speaker")


def _because_of_position(unit: RosterUnit, position: Position | None, travel: Travel | None, now_ms: int) -> list[str]:
    if unit.kind == "desk":
        return []
    if position is None:
        return ["no position yet"]
    if position.fix is None:
        return ["no satellite fix yet"]
    if freshness(position, now_ms) is Freshness.LOST:
        age = age_s(position, now_ms)
        return [f"position {spoken_age(age)} old" if age >= 0 else "position from the future: check the hub's clock"]
    return ["no way there found"] if travel is None else []


def _notes(need: Need, unit: RosterUnit, position: Position | None, now_ms: int, engine: str) -> tuple[str, ...]:
    notes = [SKILLS.get(code, code) for code in (*need.skills, *need.wishes) if code in unit.skills]
    notes += [LANGUAGES.get(code, code) for code in (*need.languages, *need.wishes) if code in unit.languages]
    notes = [f"{name} ✓" for name in dict.fromkeys(notes)]
    if unit.status == Status.CLEARING:
        notes.append("writing up, may be sent")
    if unit.status == Status.BREAK:
        notes.append("on break, may be recalled")
    if need.gate == Gate.STAGED and unit.kind != "desk" and not unit.has_sworn:
        notes.append("to staging")
    if unit.has_terminal and not unit.is_linked:
        notes.append("no link: use radio")
    if position is not None and position.fix is not None and not position.has_fix:
        notes.append("no satellite fix")
    if freshness(position, now_ms) is Freshness.STALE and position is not None:
        notes.append(f"position {spoken_age(age_s(position, now_ms))} old")
    if engine == STRAIGHT_LINE:
        notes.append("straight line, not by road")
    return tuple(notes)


def _doubt_s(position: Position, now_ms: int) -> float:
    """A unit whose position is old may be anywhere within that time."""
    return 0.0 if freshness(position, now_ms) is Freshness.LIVE else max(0.0, age_s(position, now_ms))


def _unmet_wishes(need: Need, unit: RosterUnit) -> frozenset[str]:
    return frozenset(need.wishes) - unit.skills - unit.languages


def _meters_to(need: Need, position: Position, now_ms: int) -> float | None:
    fix = position.fix
    if fix is None:
        return None
    lat, lon = believed(fix.lat, fix.lon, fix.speed_mps, fix.heading_deg, age_s(position, now_ms))
    return distance_m(lat, lon, need.lat, need.lon)
