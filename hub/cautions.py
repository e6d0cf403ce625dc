"""Cautions: what somebody did that a crew must beware of. From a list, with a source, a place or a person, and an end.

A diagnosis is not a hazard and has no field. An expired caution leaves every screen; what was known when stays in the
acts and the audit.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from msgspec import Struct
from sqlalchemy import Connection, Row, insert, select, update

from hub import audit
from hub.deeds import Deed, Line, done, is_done, require_name, the, the_open
from hub.errors import Refused
from hub.near import same_words
from hub.packet import SOURCE_CHARS_MAX, WORDS_CHARS_MAX
from hub.schema import caution, incident, packet_answer
from wire.distance import distance_m
from wire.packet import BEHAVIORS, SCOPES, SEVERITIES, YES, Label
from wire.state import KnownCaution

DAY_MS = 86_400_000
DAYS_DEFAULT = 180
DAYS_MAX = 365  # for every agency: a caution that nobody has seen again for a year is a rumor
RADIUS_M_MAX = 500
SAME_ADDRESS_M = 30.0  # two clicks on one house
KNOWN_MAX = 16  # of one incident, the gravest first; they have to fit on a screen in a car
_FAR_DEG = 0.006  # of latitude: more than RADIUS_M_MAX
_ORDER = {word: at for at, word in enumerate(SEVERITIES)}


class Cautioning(Struct, frozen=True, kw_only=True):
    """A caution as it is entered. `subject` and `born` (YYYY-MM-DD): the person, when that is its scope; `radius_m`: of an
    area around the incident; `observed_ms`: when it was seen, now if not said; `expires_ms`: 180 days later if not said."""

    id: str
    behavior: str
    source: str
    scope: str = "address"
    severity: str = "normal"
    subject: str = ""
    born: str = ""
    radius_m: int = 0
    observed_ms: int | None = None
    expires_ms: int | None = None


class Ending(Struct, frozen=True, kw_only=True):
    """A caution is taken back: the id of the act, and of the caution."""

    id: str
    caution: str


class Scene(Struct, frozen=True, kw_only=True):
    """Where a caution may hold: a place, the words for it, and who is known to be there."""

    lat: float
    lon: float
    place: str
    person: str = ""
    born: str = ""


def expiry_ms(observed_ms: int, wanted_ms: int | None, now_ms: int) -> int:
    """Until when a caution holds; Refused when that is over already, or more than 365 days after it was seen."""
    if not 0 < observed_ms <= now_ms:
        raise Refused("malformed", "Say when it was seen: that time has not come yet.")
    until_ms = observed_ms + DAYS_DEFAULT * DAY_MS if wanted_ms is None else wanted_ms
    if until_ms > observed_ms + DAYS_MAX * DAY_MS:
        raise Refused("malformed", f"A caution holds for at most {DAYS_MAX} days after it was seen.")
    if until_ms <= now_ms:
        raise Refused("malformed", "That caution is over already. Say until when it holds, or leave it out.")
    return until_ms


def holds(scope: str, radius_m: int, about: Scene, scene: Scene) -> bool:
    """Whether a caution about `about` holds at `scene`. A name without a date of birth is nobody: it would follow everybody
    of that name."""
    away_m = distance_m(about.lat, about.lon, scene.lat, scene.lon)
    match scope:
        case "person":
            is_born = bool(about.born) and about.born == scene.born
            return is_born and same_words(about.person, scene.person)
        case "address":
            return away_m <= SAME_ADDRESS_M or (same_words(about.place, scene.place) and away_m <= RADIUS_M_MAX)
        case "area":
            return away_m <= radius_m
        case _:
            return False


def add(connection: Connection, incident_id: str, cautioning: Cautioning, deed: Deed) -> bool:
    """Keep a caution; False when this very request was done before."""
    require_name(cautioning.id)
    if is_done(connection, cautioning.id, incident_id, "caution_added", cautioning):
        return False
    found = the_open(connection, incident_id)
    _require_sound(cautioning)
    observed_ms = cautioning.observed_ms or deed.now_ms
    expires_ms = expiry_ms(observed_ms, cautioning.expires_ms, deed.now_ms)
    connection.execute(
        insert(caution).values(
            caution=cautioning.id,
            incident=incident_id,
            behavior=cautioning.behavior,
            severity=cautioning.severity,
            source=cautioning.source.strip(),
            scope=cautioning.scope,
            subject=cautioning.subject.strip() if cautioning.scope == "person" else found.place,
            born=cautioning.born.strip() if cautioning.scope == "person" else "",
            lat=found.lat,
            lon=found.lon,
            radius_m=cautioning.radius_m if cautioning.scope == "area" else 0,
            observed_ms=observed_ms,
            expires_ms=expires_ms,
            entered_ms=deed.now_ms,
            entered_by=deed.by,
        )
    )
    text = f"{BEHAVIORS[cautioning.behavior]} ({cautioning.source.strip()}), until {_day(expires_ms)}"
    line = Line(field="caution", label=Label.SAFETY, after=text)
    done(connection, deed, cautioning.id, incident_id, "caution_added", cautioning, (line,), cautioning.id)
    return True


def end(connection: Connection, incident_id: str, ending: Ending, deed: Deed) -> bool:
    """Take a caution back; False when it has ended already."""
    require_name(ending.id)
    if is_done(connection, ending.id, incident_id, "caution_ended", ending):
        return False
    the(connection, incident_id)
    row = connection.execute(select(caution).where(caution.c.caution == ending.caution)).first()
    if row is None:
        raise Refused("not_found", "There is no such caution.")
    if row.ended_ms is not None:
        return False
    connection.execute(
        update(caution).where(caution.c.caution == ending.caution).values(ended_ms=deed.now_ms, ended_by=deed.by)
    )
    line = Line(field="caution", label=Label.SAFETY, before=f"{_text(row.behavior)} ({row.source})")
    done(connection, deed, ending.id, incident_id, "caution_ended", ending, (line,), ending.caution)
    return True


def expire(connection: Connection, now_ms: int) -> int:
    """Let every caution end whose time is over, and say how many; called often enough that nobody reads an old one."""
    over = connection.execute(
        update(caution)
        .where(caution.c.ended_ms.is_(None), caution.c.expires_ms <= now_ms)
        .values(ended_ms=now_ms)
        .returning(caution.c.caution)
    ).scalars()
    count = 0
    for one in over.all():
        audit.append(connection, now_ms, "hub", None, "caution_expired", one, audit.OK)
        count += 1
    return count


def known(
    connection: Connection, found: Row[tuple[object, ...]], now_ms: int | None = None
) -> tuple[KnownCaution, ...]:
    """The cautions of an incident, the gravest first: those noted on it or on what was merged into it, and those about
    its place and its person. `now_ms`: leave out what has expired since the last `expire`."""
    told = {
        row.question: row.words
        for row in connection.execute(
            select(packet_answer.c.question, packet_answer.c.words).where(
                packet_answer.c.incident == found.incident,
                packet_answer.c.question.in_(("name", "dob")),
                packet_answer.c.answer == YES,
            )
        )
    }
    scene = Scene(
        lat=found.lat,
        lon=found.lon,
        place=found.place,
        person=told.get("name", ""),
        born=told.get("dob", ""),
    )
    noted_on = family(connection, found.incident)
    rows = connection.execute(
        select(caution).where(
            caution.c.ended_ms.is_(None),
            # each with its index: a board asks for every open incident, each time that something changes
            caution.c.incident.in_(noted_on)
            | ((caution.c.born != "") & (caution.c.born == scene.born))
            | caution.c.lat.between(found.lat - _FAR_DEG, found.lat + _FAR_DEG),
        )
    )
    here = [
        row
        for row in rows
        if (now_ms is None or now_ms < row.expires_ms)
        and (row.incident in noted_on or holds(row.scope, row.radius_m, _about(row), scene))
    ]
    here.sort(key=lambda row: (_ORDER.get(row.severity, 0), -row.observed_ms, row.caution))
    return tuple(_known(row) for row in here[:KNOWN_MAX])


def family(connection: Connection, incident_id: str) -> frozenset[str]:
    """The incident, and those that were merged into it."""
    all_of_them, newest = {incident_id}, {incident_id}
    while newest:
        rows = connection.execute(select(incident.c.incident).where(incident.c.merged_into.in_(newest)))
        newest = set(rows.scalars()) - all_of_them
        all_of_them |= newest
    return frozenset(all_of_them)


def sentences(cautions: Iterable[KnownCaution]) -> tuple[str, ...]:
    """Each in words, with its source and date."""
    return tuple(f"{one.text} ({one.source}, {_day(one.observed_ms)})" for one in cautions)


def _require_sound(one: Cautioning) -> None:
    if one.behavior not in BEHAVIORS or one.severity not in SEVERITIES or one.scope not in SCOPES:
        raise Refused(
            "malformed", "Choose what was seen, how grave it is, and whether it is about a person or a place."
        )
    if not 0 < len(one.source.strip()) <= SOURCE_CHARS_MAX:
        raise Refused("malformed", f"Say who saw it, in at most {SOURCE_CHARS_MAX} characters.")
    if one.scope == "person" and not 0 < len(one.subject.strip()) <= WORDS_CHARS_MAX:
        raise Refused("malformed", "Say whom the caution is about.")
    if len(one.born) > WORDS_CHARS_MAX:
        raise Refused("malformed", "Say the date of birth as year-month-day.")
    if one.scope == "area" and not 0 < one.radius_m <= RADIUS_M_MAX:
        raise Refused("malformed", f"Say how far the caution reaches: 1 to {RADIUS_M_MAX} meters.")


def _about(row: Row[tuple[object, ...]]) -> Scene:
    is_person = row.scope == "person"
    place, person = ("", row.subject) if is_person else (row.subject, "")
    return Scene(lat=row.lat, lon=row.lon, place=place, person=person, born=row.born)


def _known(row: Row[tuple[object, ...]]) -> KnownCaution:
    return KnownCaution(
        id=row.caution,
        behavior=row.behavior,
        text=_text(row.behavior),
        label=Label.SAFETY,
        severity=row.severity,
        source=row.source,
        scope=row.scope,
        radius_m=row.radius_m,
        observed_ms=row.observed_ms,
        expires_ms=row.expires_ms,
    )


def _text(behavior: str) -> str:
    return BEHAVIORS.get(behavior, behavior)


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).date().isoformat()
