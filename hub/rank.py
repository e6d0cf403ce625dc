"""Who should go: every unit answered, the fit ones first, each unfit one with its reasons.

Pure: the same need, roster, positions, times and `now` give the same list. A unit is never left out, because a unit
that is missing from the list is one that a dispatcher cannot ask about.

Three tiers. The fit; then those on their way to something less urgent, which may be taken from it by a person who says
why; then the rest. Within the first two a longer way never puts a unit earlier, which is what lets `hub.closest` leave
most ways unasked: whoever changes the order here keeps that, or the short list is no longer the true one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

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
BOOK = 1  # of the rules below: raise it when the same question may get another answer, so that old answers say so

FIT, DIVERTED, UNFIT = 0, 1, 2  # the tiers

LICENSES = {"lcsw": "LCSW", "lpc": "LPC", "may_hold": "may hold"}  # the agency's own; each ends on a day
AGE_GROUPS = {"child": "Child", "youth": "Youth", "adult": "Adult", "older": "Older adult"}
_SKILL_FOR_AGE = {"child": "youth", "youth": "youth"}

_EAGERNESS = {Status.AVAILABLE: 0, Status.CLEARING: 1, Status.BREAK: 2}

_NO_SKILL = {
    "youth": "nobody aboard for youth",
    "sud": "nobody aboard for substance use",
    "emt": "no EMT aboard",
}
_NO_LANGUAGE = {"ase": "nobody aboard who signs"}
_NO_LICENSE = {"may_hold": "no one licensed to hold"}
BEFORE_ARRIVAL = frozenset({Status.ASSIGNED, Status.ACKNOWLEDGED, Status.EN_ROUTE})

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


class Rules(Struct, frozen=True, kw_only=True):
    """What an agency decides about its rankings: section [ranking] of hub.toml.

    `wish_s`: by how many seconds a unit may be farther for each wish that it meets and another does not. `rest_min`: how
    long a crew rests after it left a person. `arrived_m`: a unit this near to where it was sent counts as there, whatever
    its crew pressed. `exact_n`: how many of the list are as the roads say for certain. `road_wait_s`: for how long a list
    may wait for the roads.
    """

    wish_s: float = 0.0
    rest_min: float = 10.0
    arrived_m: float = 150.0
    exact_n: int = 3
    road_wait_s: float = 0.2

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("wish_s", self.wish_s, 0, 3600),
            ("rest_min", self.rest_min, 0, 240),
            ("arrived_m", self.arrived_m, 0, 5000),
            ("exact_n", self.exact_n, 1, 25),
            ("road_wait_s", self.road_wait_s, 0.01, 5),
        ):
            if not low <= value <= high:  # nor is "not a number"
                raise ValueError(f"{name} is {value}; it is {low} to {high}")


DEFAULTS = Rules()


class Need(Struct, frozen=True, kw_only=True):
    """What an incident asks for. Everything is a must but `wishes` (codes of skills, languages or licenses).

    `priority`: the incident's, 1 the most urgent; without it no unit is taken from another. `age_group`: of the person.
    `crew_size`: how many at least. `clinician`: a staff id, set at a desk. `agency` None: any agency may go.
    """

    lat: float
    lon: float
    gate: str = Gate.UNKNOWN
    skills: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    wishes: tuple[str, ...] = ()
    agency: str | None = None
    priority: int | None = None
    licenses: tuple[str, ...] = ()
    age_group: str | None = None
    crew_size: int = 0
    clinician: str | None = None


class Errand(Struct, frozen=True, kw_only=True):
    """The one incident that a unit was sent to: its number, its urgency, where it is."""

    number: int
    priority: int
    lat: float
    lon: float


class RosterUnit(Struct, frozen=True, kw_only=True):
    """A unit as it is now: its crew's abilities, what it does, and since when.

    `crew`: staff ids aboard; `licenses`: those of its crew that have not ended. `incident` is the number of the one it
    works on; `errand` is that one when it is the only one it was sent to; `is_here_already` says it is the very one that
    is asking; `has_declined`: this crew gave the one that is asking back before it came there. `is_in_emergency`: its crew
    raised one that is not cleared, and not as a test. `left_person_ms`: when this crew was last with a person;
    `is_rest_ended`: a supervisor ended the rest that followed.
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
    crew: tuple[str, ...] = ()
    licenses: frozenset[str] = frozenset()
    errand: Errand | None = None
    has_declined: bool = False
    left_person_ms: int | None = None
    is_rest_ended: bool = False


class Travel(Struct, frozen=True, kw_only=True):
    """How long a unit needs to the place, and by what distance."""

    distance_m: float
    seconds: float


class RoadsDown(Exception):
    """Nobody can say how long the ways are. The message is one sentence that says why, and names no place."""


class Candidate(Struct, frozen=True, kw_only=True):
    """A unit in the answer. `reasons` say why it is unfit (none when fit); `notes` are worth knowing either way.

    `at_least_s`: its way was not asked for, for it could not be among the first; it takes no less than this.
    `diverted_from`: the number of the incident that would lose it; it is not fit, but nothing else keeps it.
    """

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
    at_least_s: float | None = None
    diverted_from: int | None = None


class Judged(Struct, frozen=True, kw_only=True):
    """A unit before anybody asked for its way: its tier, what stands against it, and its place among equals.

    `added_s` comes on top of its way: the age of a position that is not live, and its unmet wishes.
    """

    unit: RosterUnit
    tier: int
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    added_s: float
    among_equals: tuple[int, int, int]


Place = tuple[int, int, tuple[int, int, int], float, str, str]
"""Where a unit comes in the order: the smaller the earlier, and no two units have the same."""


def straight_line(need: Need, positions: Mapping[str, Position], now_ms: int) -> dict[str, Travel]:
    """The travel times without roads: to where each unit is believed to be by now, at an assumed city speed."""
    return {
        unit: Travel(distance_m=meters, seconds=meters / ASSUMED_MPS * DETOUR)
        for unit, position in positions.items()
        if (meters := meters_to(need, position, now_ms)) is not None
    }


def rank(
    need: Need,
    roster: Iterable[RosterUnit],
    positions: Mapping[str, Position],
    travel_times: Mapping[str, Travel],
    now_ms: int,
    engine: str = STRAIGHT_LINE,
    *,
    rules: Rules = DEFAULTS,
    at_least_s: Mapping[str, float] | None = None,
    utc_offset_min: int = 0,
) -> tuple[Candidate, ...]:
    """Every unit of `roster`, in the order in which a dispatcher should think of them.

    The fit: by travel time, plus the age of a position that is not live, plus what the agency gives for an unmet wish, in
    steps of 30 s; then available before clearing before break; fewer unmet wishes; longest idle; nearest; call sign. Then
    those that may be diverted, in the same way, where at equal times the least urgent errand gives first and of those the
    youngest. The others after them, by travel time. `at_least_s`: of units whose way was not asked for.
    """
    floors = at_least_s or {}

    def place(judged: Judged) -> Place:
        unit = judged.unit.unit
        travel = travel_times.get(unit)
        seconds = floors.get(unit) if travel is None else travel.seconds
        return place_of(judged, seconds) if seconds is not None else _last(judged)

    judgments = [judge(need, unit, positions.get(unit.unit), now_ms, rules, utc_offset_min) for unit in roster]
    return tuple(
        _candidate(
            need,
            judged,
            positions.get(judged.unit.unit),
            travel_times.get(judged.unit.unit),
            floors.get(judged.unit.unit),
            now_ms,
            engine,
        )
        for judged in sorted(judgments, key=place)
    )


def judge(
    need: Need,
    unit: RosterUnit,
    position: Position | None,
    now_ms: int,
    rules: Rules = DEFAULTS,
    utc_offset_min: int = 0,
) -> Judged:
    """What can be said of `unit` without asking the roads."""
    in_danger = ["emergency raised"] if unit.is_in_emergency else []
    others = [
        *_because_of_agency(need, unit),
        *_because_of_crew(need, unit),
        *_because_of_position(unit, position, now_ms),
        *_because_of_history(unit, now_ms, rules, utc_offset_min),
    ]
    unmet = len(_unmet_wishes(need, unit))
    tier, among_equals = UNFIT, (0, 0, 0)
    reasons = (*in_danger, *_because_of_status(unit), *others)
    errand = unit.errand
    if not reasons:
        tier, among_equals = FIT, (_EAGERNESS[Status(unit.status)], unmet, unit.status_ms)
    elif (
        position is not None
        and errand is not None
        and not (in_danger or others)
        and _may_be_diverted(need, unit, errand, position, now_ms, rules)
    ):
        tier, among_equals = DIVERTED, (-errand.priority, unmet, -unit.status_ms)
        reasons = (_taken_from(unit, errand, position, now_ms),)
    is_waived = unit.is_rest_ended and rest_ends_ms(unit, now_ms, rules) is not None
    return Judged(
        unit=unit,
        tier=tier,
        reasons=reasons,
        notes=("rest ended by a supervisor",) if is_waived else (),
        added_s=(0.0 if position is None else _doubt_s(position, now_ms)) + rules.wish_s * unmet,
        among_equals=among_equals,
    )


def place_of(judged: Judged, seconds: float) -> Place:
    """Where the unit comes when its way takes so long. Never earlier for a longer way."""
    step = 0 if judged.tier == UNFIT else int(expected_s(judged, seconds) // STEP_S)
    return (judged.tier, step, judged.among_equals, seconds, judged.unit.call_sign, judged.unit.unit)


def expected_s(judged: Judged, seconds: float) -> float:
    """What a way of so many seconds counts for."""
    return seconds + judged.added_s


def whereabouts(position: Position, now_ms: int) -> tuple[float, float] | None:
    """Where the unit is believed to be by now, as (lat, lon); None when it has never had a fix."""
    fix = position.fix
    if fix is None:
        return None
    return believed(fix.lat, fix.lon, fix.speed_mps, fix.heading_deg, age_s(position, now_ms))


def meters_to(need: Need, position: Position, now_ms: int) -> float | None:
    """How far the unit is by straight line; None when it has never had a fix."""
    here = whereabouts(position, now_ms)
    return None if here is None else distance_m(*here, need.lat, need.lon)


def rest_ends_ms(unit: RosterUnit, now_ms: int, rules: Rules) -> int | None:
    """When its crew will have rested, whoever ended that; None when it has."""
    if unit.left_person_ms is None:
        return None
    ends_ms = unit.left_person_ms + round(rules.rest_min * 60_000)
    return ends_ms if now_ms < ends_ms else None


def first_fit(candidates: Iterable[Candidate]) -> str | None:
    """The unit that may be sent without a word of explanation; None when nobody is fit."""
    return next((candidate.unit for candidate in candidates if candidate.fit), None)


def _last(judged: Judged) -> Place:
    """Of a unit with no way to the place that anybody knows: it is unfit, whatever else it is."""
    return (UNFIT, 1, (0, 0, 0), 0.0, judged.unit.call_sign, judged.unit.unit)


def _candidate(
    need: Need,
    judged: Judged,
    position: Position | None,
    travel: Travel | None,
    at_least_s: float | None,
    now_ms: int,
    engine: str,
) -> Candidate:
    unit, reasons = judged.unit, judged.reasons
    has_fix = position is not None and position.fix is not None
    has_way = travel is not None or at_least_s is not None
    if not has_way and unit.kind != "desk" and freshness(position, now_ms) is not Freshness.LOST:
        reasons = (*reasons, "no way there found")
    return Candidate(
        unit=unit.unit,
        call_sign=unit.call_sign,
        fit=not reasons,
        reasons=reasons,
        notes=(*judged.notes, *_notes(need, unit, position, now_ms, engine)),
        distance_m=None if travel is None else round(travel.distance_m),
        travel_s=None if travel is None else round(travel.seconds),
        freshness=freshness(position, now_ms),
        age_s=round(max(0.0, age_s(position, now_ms)), 1) if position is not None and has_fix else None,
        status=unit.status,
        at_least_s=None if travel is not None or at_least_s is None else int(at_least_s),
        diverted_from=unit.errand.number if judged.tier == DIVERTED and unit.errand is not None and has_way else None,
    )


def _may_be_diverted(
    need: Need, unit: RosterUnit, errand: Errand, position: Position, now_ms: int, rules: Rules
) -> bool:
    """Only on its way, only from something less urgent, never once it may be there.

    A crew that has arrived may have forgotten to say so, or its word is still under way. So a unit near its errand counts
    as there, and so does one whose position is so old that it may have come near since: it may be with somebody by now,
    and nobody is left alone for somebody else's sake.
    """
    if unit.is_here_already or not unit.has_terminal or unit.kind == "desk":
        return False
    if need.priority is None or errand.priority <= need.priority:
        return False
    if status_from(unit.status) not in BEFORE_ARRIVAL:
        return False
    left_m = _left_m(errand, position, now_ms)
    return left_m is not None and left_m > rules.arrived_m + _doubt_s(position, now_ms) * ASSUMED_MPS


def _left_m(errand: Errand, position: Position, now_ms: int) -> float | None:
    here = whereabouts(position, now_ms)
    return None if here is None else distance_m(*here, errand.lat, errand.lon)


def _taken_from(unit: RosterUnit, errand: Errand, position: Position, now_ms: int) -> str:
    """What the other incident would lose. "about": no list asks the roads for the way to other incidents."""
    minutes = round((_left_m(errand, position, now_ms) or 0.0) / ASSUMED_MPS * DETOUR / 60)
    left = f"about {minutes} min" if minutes else "less than a minute"
    verb = _BUSY_WORDS[Status(unit.status)]
    return f"{verb} #{errand.number} (priority {errand.priority}), {left} from it"


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
        *(_no_skill(code) for code in _skills(need) if code not in unit.skills),
        *(_no_language(code) for code in need.languages if code not in unit.languages),
        *(_no_license(code) for code in need.licenses if code not in unit.licenses),
        *([f"crew of {len(unit.crew)}, needs {need.crew_size}"] if len(unit.crew) < need.crew_size else []),
        *(["the named clinician is not aboard"] if need.clinician not in (None, *unit.crew) else []),
    ]


def _skills(need: Need) -> tuple[str, ...]:
    """The skills that are musts: those that are named, and the one that the person's age asks for."""
    for_age = _SKILL_FOR_AGE.get(need.age_group or "")
    return need.skills if for_age is None or for_age in need.skills else (*need.skills, for_age)


def _no_skill(code: str) -> str:
    return _NO_SKILL.get(code, f"no {SKILLS.get(code, code).lower()} aboard")


def _no_language(code: str) -> str:
    return _NO_LANGUAGE.get(code, f"no {LANGUAGES.get(code, code)} speaker")


def _no_license(code: str) -> str:
    return _NO_LICENSE.get(code, f"no {LICENSES.get(code, code)} aboard")


def _because_of_history(unit: RosterUnit, now_ms: int, rules: Rules, utc_offset_min: int) -> list[str]:
    if unit.kind == "desk":
        return []
    rested_ms = None if unit.is_rest_ended else rest_ends_ms(unit, now_ms, rules)
    return [
        *([f"resting until {_clock(rested_ms, utc_offset_min)}"] if rested_ms is not None else []),
        *(["declined this incident"] if unit.has_declined else []),
    ]


def _clock(at_ms: int, utc_offset_min: int) -> str:
    """The minute at which it is over: one that has begun counts."""
    at = datetime.fromtimestamp(-(-at_ms // 60_000) * 60, UTC) + timedelta(minutes=utc_offset_min)
    return f"{at:%H:%M}"


def _because_of_position(unit: RosterUnit, position: Position | None, now_ms: int) -> list[str]:
    if unit.kind == "desk":
        return []
    if position is None:
        return ["no position yet"]
    if position.fix is None:
        return ["no satellite fix yet"]
    if freshness(position, now_ms) is Freshness.LOST:
        age = age_s(position, now_ms)
        return [f"position {spoken_age(age)} old" if age >= 0 else "position from the future: check the hub's clock"]
    return []


def _notes(need: Need, unit: RosterUnit, position: Position | None, now_ms: int, engine: str) -> tuple[str, ...]:
    notes = [SKILLS.get(code, code) for code in (*_skills(need), *need.wishes) if code in unit.skills]
    notes += [LANGUAGES.get(code, code) for code in (*need.languages, *need.wishes) if code in unit.languages]
    notes += [LICENSES.get(code, code) for code in (*need.licenses, *need.wishes) if code in unit.licenses]
    notes += ["named clinician"] if need.clinician is not None and need.clinician in unit.crew else []
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
    return frozenset(need.wishes) - unit.skills - unit.languages - unit.licenses
