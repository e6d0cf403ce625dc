"""Changing an incident while it is open: what, how urgent, where, what is known. The terminals on it are alerted again.

Two dispatchers may change two things at once. Who changes what another changed meanwhile is told so in one sentence and
loses nothing but the second it takes to look: nothing is ever written over unseen.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection, update

from hub import gate as gates
from hub import packet
from hub.deeds import Deed, Found, Line, done, is_done, require_name, require_unchanged, said_why, the_open
from hub.errors import Refused
from hub.gate import AUTHORITIES
from hub.incidents import Asked, Described, described, require_sound
from hub.packet import Answer
from hub.rank import Need
from hub.schema import incident
from wire import typed
from wire.incident import Gate
from wire.packet import DANGERS, Label

NAME_CHARS_MAX = 100

_LABELS = {"cautions": Label.SAFETY}  # of what is described; the rest is open
_GATE_FIELDS = frozenset({"gate", "type", "place", *DANGERS})


class Change(Struct, frozen=True, kw_only=True):
    """What is to be otherwise; None: as it is. `revision`: of the incident that the person was looking at."""

    id: str
    revision: int
    type: str | None = None
    priority: int | None = None
    lat: float | None = None
    lon: float | None = None
    place: str | None = None
    problem: str | None = None
    cautions: tuple[str, ...] | None = None
    need: Asked | None = None
    packet: tuple[Answer, ...] = ()


class Securing(Struct, frozen=True, kw_only=True):
    """Somebody who may has called the scene secure: `authority` a code of hub.gate.AUTHORITIES, `name` who it was."""

    id: str
    revision: int
    authority: str
    name: str


class Staging(Struct, frozen=True, kw_only=True):
    """The scene is not secure, or not any more, and why. Anybody may say so."""

    id: str
    reason: str


def change(connection: Connection, incident_id: str, asked: Change, deed: Deed) -> bool:
    """Change an open incident; False when this very request was done before."""
    require_name(asked.id)
    if is_done(connection, asked.id, incident_id, "changed", asked):
        return False
    found = the_open(connection, incident_id)
    packet.require_sound(asked.packet, deed)
    before = described(found)
    after = _changed(before, asked)
    require_sound(after)
    lines = _lines(before, after)
    known = packet.of(connection, (incident_id,)).get(incident_id, ())
    spoken = {one.question: (one.answer, one.words, one.source) for one in known}
    others = {one.question for one in asked.packet if spoken.get(one.question) != (one.answer, one.words, one.source)}
    require_unchanged(connection, found, frozenset({line.field for line in lines} | others), asked.revision)
    answers = packet.answered(known)
    lines += packet.keep(connection, incident_id, asked.packet, deed)
    gate = _gate_after(found, before, after, answers, {**answers, **{one.question: one.answer for one in asked.packet}})
    lines += _set_gate(connection, found, after, gate, None if gate is not Gate.SECURE else found.gate_by)
    connection.execute(
        update(incident)
        .where(incident.c.incident == incident_id)
        .values(
            type=after.type,
            priority=after.priority,
            lat=after.lat,
            lon=after.lon,
            place=after.place,
            problem=after.problem,
            cautions=msgspec.json.encode(after.cautions).decode(),
        )
    )
    done(connection, deed, asked.id, incident_id, "changed", asked, lines)
    return True


def secure(connection: Connection, incident_id: str, securing: Securing, deed: Deed) -> bool:
    """Open the gate on a named person's word; False when this very request was done before. Refused when what makes the
    scene dangerous has changed since the person looked."""
    require_name(securing.id)
    if is_done(connection, securing.id, incident_id, "secured", securing):
        return False
    found = the_open(connection, incident_id)
    if len(securing.name) > NAME_CHARS_MAX:
        raise Refused("malformed", f"Say who called it secure in at most {NAME_CHARS_MAX} characters.")
    gates.secured(Gate(found.gate), securing.authority, securing.name)
    require_unchanged(connection, found, _GATE_FIELDS, securing.revision)
    by = f"{securing.name.strip()}, {AUTHORITIES[securing.authority]}"
    lines = _set_gate(connection, found, described(found), Gate.SECURE, by)
    done(connection, deed, securing.id, incident_id, "secured", securing, lines, securing.authority)
    return True


def stage(connection: Connection, incident_id: str, staging: Staging, deed: Deed) -> bool:
    """Close the gate; False when this very request was done before. Never refused for what others did meanwhile."""
    require_name(staging.id)
    if is_done(connection, staging.id, incident_id, "staged", staging):
        return False
    found = the_open(connection, incident_id)
    reason = said_why(staging.reason, "Say why the scene is not secure.")
    lines = _set_gate(connection, found, described(found), Gate.STAGED, None)
    why = Line(field="reason", label=Label.SAFETY, after=reason)
    done(connection, deed, staging.id, incident_id, "staged", staging, (*lines, why))
    return True


def reset_gate(connection: Connection, found: Found) -> tuple[Line, ...]:
    """The gate as of a scene that nobody has looked at."""
    answers = packet.answered(packet.of(connection, (found.incident,)).get(found.incident, ()))
    return _set_gate(connection, found, described(found), gates.fresh(found.type, answers), None)


def regate(connection: Connection, found: Found, was: dict[str, str], answers: dict[str, str]) -> tuple[Line, ...]:
    """The gate after what is known of the scene went from `was` to `answers` and nothing else changed."""
    now = described(found)
    gate = _gate_after(found, now, now, was, answers)
    return _set_gate(connection, found, now, gate, found.gate_by if gate is Gate.SECURE else None)


def _gate_after(
    found: Found, before: Described, after: Described, was: dict[str, str], answers: dict[str, str]
) -> Gate:
    if (before.lat, before.lon) != (after.lat, after.lon):
        return gates.fresh(after.type, answers)
    gate = Gate(found.gate)
    if before.place != after.place and gate is Gate.SECURE:
        gate = gates.fresh(after.type, answers)  # another door: who called this one secure has not seen that one
    return gates.after(gate, was, answers, was=before.type, type_=after.type)


def _set_gate(connection: Connection, found: Found, now: Described, gate: Gate, by: str | None) -> tuple[Line, ...]:
    """Keep the gate, and the need that goes with it, which is what is ranked for."""
    need = replace(
        typed.json(found.need, Need),
        lat=now.lat,
        lon=now.lon,
        gate=gate,
        **msgspec.structs.asdict(now.need),
    )
    connection.execute(
        update(incident)
        .where(incident.c.incident == found.incident)
        .values(gate=gate, gate_by=by, need=msgspec.json.encode(need).decode())
    )
    if (found.gate, found.gate_by) == (gate, by):
        return ()
    after = gate.value + (f" ({by})" if by else "")
    return (Line(field="gate", label=Label.SAFETY, before=found.gate, after=after),)


def _changed(before: Described, asked: Change) -> Described:
    wanted = {field: getattr(asked, field) for field in Described.__struct_fields__}
    return replace(before, **{field: value for field, value in wanted.items() if value is not None})


def _lines(before: Described, after: Described) -> tuple[Line, ...]:
    """What is otherwise, a line for each. A place is its words and its point: whoever moves one has the other in view."""
    lines = [
        Line(
            field=field,
            label=_LABELS.get(field, Label.OPEN),
            before=_words(getattr(before, field)),
            after=_words(getattr(after, field)),
        )
        for field in ("type", "priority", "problem", "cautions", "need")
        if getattr(before, field) != getattr(after, field)
    ]
    if (before.place, before.lat, before.lon) != (after.place, after.lat, after.lon):
        is_moved = (before.lat, before.lon) != (after.lat, after.lon)
        moved = f"{after.place} ({after.lat:.5f}, {after.lon:.5f})" if is_moved else after.place
        lines.append(Line(field="place", label=Label.OPEN, before=before.place, after=moved))
    return tuple(lines)


def _words(value: str | int | tuple[str, ...] | Asked) -> str:
    match value:
        case tuple():
            return "; ".join(value)
        case Asked():
            asked = {field.replace("_", " "): getattr(value, field) for field in value.__struct_fields__}
            return "; ".join(f"{field}: {_words(what)}" for field, what in asked.items() if what)
        case _:
            return str(value)
