"""Opening an incident: what a dispatcher hears and where, its first gate, and whether somebody opened it before.

Ids come from the client, so that a request sent twice is done once; the same id with other content is refused.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, Row, insert, select, update

from hub import gate as gates
from hub import near, packet
from hub.deeds import REASON_CHARS_MAX, Deed, Line, done, is_done, require_name
from hub.errors import Refused
from hub.near import Hint, Known, Sketch
from hub.packet import Answer
from hub.rank import AGE_GROUPS, LICENSES, Need
from hub.schema import hub_fact, incident
from wire import typed
from wire.incident import LANGUAGES, PRIORITIES, SKILLS, TYPES
from wire.packet import Label

NUMBER = "incident_number"  # in hub_fact
TEXT_CHARS_MAX = 2000  # of a problem; it has to fit on a screen in a car
PLACE_CHARS_MAX = 200
CAUTIONS_MAX = 8
CREW_SIZE_MAX = 9
NAME_CHARS_MAX = 100
BEFORE = "opened:"  # before an incident's id: the id of the act that opened it, which no client can mint


class Asked(Struct, frozen=True, kw_only=True):
    """The needs as a dispatcher ticks them: codes of `wire.incident` and `hub.rank`. `crew_size`: how many at least;
    `clinician`: a staff id; `agency`: whose unit it has to be."""

    skills: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    wishes: tuple[str, ...] = ()
    licenses: tuple[str, ...] = ()
    age_group: str | None = None
    crew_size: int = 0
    clinician: str | None = None
    agency: str | None = None


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
    packet: tuple[Answer, ...] = ()


class Described(Struct, frozen=True, kw_only=True):
    """What is said of an incident, new or changed: the part that has to be sound."""

    type: str
    priority: int
    lat: float
    lon: float
    place: str
    problem: str
    cautions: tuple[str, ...]
    need: Asked


def open_incident(connection: Connection, opening: Opening, encounter: bytes, deed: Deed) -> bool:
    """Open the incident; False when this very request was done before. `encounter`: 16 fresh bytes, kept if new."""
    require_name(opening.id)
    require_sound(_described(opening))
    packet.require_sound(opening.packet, deed)
    if is_done(connection, BEFORE + opening.id, opening.id, "opened", opening):
        return False
    before = connection.execute(select(incident).where(incident.c.incident == opening.id)).first()
    if before is not None:
        if _opening_of(before) != opening:
            raise Refused("conflict", "An incident with this id says something else. Open a new one.")
        return False
    gate = gates.fresh(opening.type, {one.question: one.answer for one in opening.packet})
    need = Need(lat=opening.lat, lon=opening.lon, gate=gate, **msgspec.structs.asdict(opening.need))
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
            need=msgspec.json.encode(need).decode(),
            gate=gate,
            state="open",
            opened_ms=deed.now_ms,
            opened_by=deed.by,
            revision=0,
        )
    )
    told = packet.keep(connection, opening.id, opening.packet, deed)
    lines = (Line(field="incident", label=Label.OPEN, after=deed.by), *told)
    done(connection, deed, BEFORE + opening.id, opening.id, "opened", opening, lines)
    return True


def hints(connection: Connection, sketch: Sketch, now_ms: int) -> tuple[Hint, ...]:
    """Incidents that may be the one that is being entered, the likeliest first, each with its reasons."""
    recent = incident.c.closed_ms > now_ms - near.CLOSED_MS_MAX
    rows = connection.execute(select(incident).where((incident.c.state == "open") | recent))
    known = [
        Known(
            id=row.incident,
            number=row.number,
            type=row.type,
            lat=row.lat,
            lon=row.lon,
            place=row.place,
            opened_ms=row.opened_ms,
            closed_ms=row.closed_ms,
        )
        for row in rows
        if row.merged_into is None
    ]
    return near.hints(sketch, known, now_ms)


def require_sound(described: Described) -> None:
    """Refused unless an incident may be described so."""
    wrong = _what_is_wrong(described)
    if wrong is not None:
        raise Refused("malformed", wrong)


def described(row: Row[tuple[object, ...]]) -> Described:
    """What is said of the incident in `row`."""
    return Described(
        type=row.type,
        priority=row.priority,
        lat=row.lat,
        lon=row.lon,
        place=row.place,
        problem=row.problem,
        cautions=typed.json(row.cautions, tuple[str, ...]),
        need=typed.json(row.need, Asked),
    )


def _described(opening: Opening) -> Described:
    return Described(**{field: getattr(opening, field) for field in Described.__struct_fields__})


def _opening_of(row: Row[tuple[object, ...]]) -> Opening:
    return Opening(id=row.incident, **msgspec.structs.asdict(described(row)))


def _next_number(connection: Connection) -> int:
    raised = connection.execute(
        update(hub_fact).where(hub_fact.c.name == NUMBER).values(value=hub_fact.c.value + 1).returning(hub_fact.c.value)
    ).scalar()
    if raised is None:
        connection.execute(insert(hub_fact).values(name=NUMBER, value=1))
        return 1
    return int(raised)


def _what_is_wrong(one: Described) -> str | None:
    if one.type not in TYPES:
        return "Choose a type."
    if one.priority not in PRIORITIES:
        return "Choose a priority from 1 to 4."
    if not (-90 <= one.lat <= 90 and -180 <= one.lon <= 180):
        return "Click the place on the map."
    if not one.place.strip() or len(one.place) > PLACE_CHARS_MAX:
        return f"Say where it is, in at most {PLACE_CHARS_MAX} characters."
    if len(one.problem) > TEXT_CHARS_MAX:
        return f"Say what is happening in at most {TEXT_CHARS_MAX} characters."
    if len(one.cautions) > CAUTIONS_MAX or any(not 0 < len(text) <= REASON_CHARS_MAX for text in one.cautions):
        return f"At most {CAUTIONS_MAX} cautions, each a short sentence."
    return _what_is_wrong_with(one.need)


def _what_is_wrong_with(need: Asked) -> str | None:
    if not set(need.skills) <= set(SKILLS) or not set(need.languages) <= set(LANGUAGES):
        return "A needed skill or language is not one this hub knows."
    if not set(need.licenses) <= set(LICENSES):
        return "A needed license is not one this hub knows."
    if not set(need.wishes) <= {*SKILLS, *LANGUAGES, *LICENSES}:
        return "A wished skill, language or license is not one this hub knows."
    if need.age_group not in (None, *AGE_GROUPS):
        return "Choose an age group, or none."
    if not 0 <= need.crew_size <= CREW_SIZE_MAX:
        return f"A crew is at most {CREW_SIZE_MAX} people."
    if any(one is not None and not 0 < len(one.strip()) <= NAME_CHARS_MAX for one in (need.clinician, need.agency)):
        return f"A named clinician or agency has 1 to {NAME_CHARS_MAX} characters. Leave it out when anybody may go."
    return None
