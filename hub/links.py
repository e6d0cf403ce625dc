"""Incidents that belong together: one call told twice is merged into the other, others are linked and unlinked."""

from __future__ import annotations

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, delete, insert, select, update

from hub import packet
from hub.changes import regate
from hub.deeds import Deed, Found, Line, done, is_done, require_name, the, the_open
from hub.endings import require_nobody_on_it
from hub.errors import Refused
from hub.incidents import CAUTIONS_MAX
from hub.packet import Answer
from hub.schema import incident, incident_link
from wire import typed
from wire.packet import NOT_ASKED, Label

KINDS = ("parent", "child", "related")  # what the other is to this one
AND = ":and"  # after an act's id: what it did to the other incident; no client can mint that

_link = incident_link


class Merging(Struct, frozen=True, kw_only=True):
    """This incident is the same as `into`, which goes on for both."""

    id: str
    into: str


class Linking(Struct, frozen=True, kw_only=True):
    """`other` is this incident's `kind`."""

    id: str
    other: str
    kind: str = "related"


class Unlinking(Struct, frozen=True, kw_only=True):
    """`other` has nothing to do with this one."""

    id: str
    other: str


class LinkView(Struct, frozen=True, kw_only=True):
    """An incident that belongs to the one that is looked at, and what it is to that: a code of KINDS, "merged" (it was
    merged into this one) or "into" (this one was merged into it)."""

    incident: str
    number: int
    kind: str


def merge(connection: Connection, incident_id: str, merging: Merging, deed: Deed) -> bool:
    """End this incident as a duplicate; False when this very request was done before. What it knew and the other did not
    goes to the other. Refused while a unit is on it: merge the other way round, or release the unit."""
    require_name(merging.id)
    if is_done(connection, merging.id, incident_id, "merged", merging):
        return False
    _require_another(incident_id, merging.into)
    found, into = the_open(connection, incident_id), the_open(connection, merging.into)
    require_nobody_on_it(connection, found)
    connection.execute(
        update(incident)
        .where(incident.c.incident == incident_id)
        .values(state="canceled", closed_ms=deed.now_ms, disposition="duplicate", merged_into=merging.into)
    )
    has = typed.json(into.cautions, tuple[str, ...])
    cautions = tuple(dict.fromkeys((*has, *typed.json(found.cautions, tuple[str, ...]))))[:CAUTIONS_MAX]
    connection.execute(
        update(incident)
        .where(incident.c.incident == merging.into)
        .values(cautions=msgspec.json.encode(cautions).decode())
    )
    warned = (Line(field="cautions", label=Label.SAFETY, before="; ".join(has), after="; ".join(cautions)),)
    told = _tell(connection, incident_id, into, deed)
    lines = (Line(field="merged_into", label=Label.OPEN, after=f"#{into.number}"),)
    done(connection, deed, merging.id, incident_id, "merged", merging, lines, merging.into)
    taken = (
        Line(field="took_over", label=Label.OPEN, after=f"#{found.number}"),
        *(warned if cautions != has else ()),
        *told,
    )
    done(connection, deed, merging.id + AND, merging.into, "took_over", merging, taken, incident_id)
    return True


def link(connection: Connection, incident_id: str, linking: Linking, deed: Deed) -> bool:
    """Link two incidents, in place of what linked them before; False when this very request was done before."""
    require_name(linking.id)
    if is_done(connection, linking.id, incident_id, "linked", linking):
        return False
    _require_another(incident_id, linking.other)
    if linking.kind not in KINDS:
        raise Refused("malformed", "Choose how the two belong together.")
    found, other = the(connection, incident_id), the(connection, linking.other)
    one, two = (incident_id, linking.other) if linking.kind == "child" else (linking.other, incident_id)
    _cut(connection, incident_id, linking.other)
    kind = "related" if linking.kind == "related" else "parent"
    connection.execute(insert(_link).values(one=one, other=two, kind=kind))
    theirs = {"parent": "child", "child": "parent", "related": "related"}[linking.kind]
    line = Line(field="link", label=Label.OPEN, after=f"#{other.number}, {linking.kind}")
    done(connection, deed, linking.id, incident_id, "linked", linking, (line,), linking.other)
    line = Line(field="link", label=Label.OPEN, after=f"#{found.number}, {theirs}")
    done(connection, deed, linking.id + AND, linking.other, "linked", linking, (line,), incident_id)
    return True


def unlink(connection: Connection, incident_id: str, unlinking: Unlinking, deed: Deed) -> bool:
    """Cut the link between two incidents; False when this very request was done before or there is none."""
    require_name(unlinking.id)
    if is_done(connection, unlinking.id, incident_id, "unlinked", unlinking):
        return False
    found, other = the(connection, incident_id), the(connection, unlinking.other)
    if not _cut(connection, incident_id, unlinking.other):
        return False
    line = Line(field="link", label=Label.OPEN, before=f"#{other.number}")
    done(connection, deed, unlinking.id, incident_id, "unlinked", unlinking, (line,), unlinking.other)
    line = Line(field="link", label=Label.OPEN, before=f"#{found.number}")
    done(connection, deed, unlinking.id + AND, unlinking.other, "unlinked", unlinking, (line,), incident_id)
    return True


def links(connection: Connection, incident_id: str) -> tuple[LinkView, ...]:
    """What belongs to this incident, by number."""
    kinds: dict[str, str] = {}
    for row in connection.execute(select(_link).where((_link.c.one == incident_id) | (_link.c.other == incident_id))):
        if row.one == incident_id:
            kinds[row.other] = "child" if row.kind == "parent" else row.kind
        else:
            kinds[row.one] = row.kind
    merged = (incident.c.merged_into == incident_id) | (incident.c.incident == incident_id)
    for row in connection.execute(select(incident.c.incident, incident.c.merged_into).where(merged)):
        if row.incident != incident_id:
            kinds[row.incident] = "merged"
        elif row.merged_into is not None:
            kinds[row.merged_into] = "into"
    rows = connection.execute(
        select(incident.c.incident, incident.c.number).where(incident.c.incident.in_(kinds)).order_by(incident.c.number)
    )
    return tuple(LinkView(incident=row.incident, number=row.number, kind=kinds[row.incident]) for row in rows)


def _tell(connection: Connection, from_: str, into: Found, deed: Deed) -> tuple[Line, ...]:
    """What `from_` knows and `into` does not, every label: it moves between incidents, and is shown to nobody. Danger
    that is news there closes its gate."""
    known = packet.of(connection, (from_, into.incident))
    has = packet.answered(known.get(into.incident, ()))
    news = [
        Answer(question=one.question, answer=one.answer, words=one.words, source=one.source, at_ms=one.at_ms)
        for one in known.get(from_, ())
        if one.answer != NOT_ASKED and has.get(one.question, NOT_ASKED) == NOT_ASKED
    ]
    lines = packet.keep(connection, into.incident, news, deed)
    return (*lines, *regate(connection, into, has, {**has, **{one.question: one.answer for one in news}}))


def _cut(connection: Connection, one: str, other: str) -> bool:
    both = ((_link.c.one == one) & (_link.c.other == other)) | ((_link.c.one == other) & (_link.c.other == one))
    return connection.execute(delete(_link).where(both)).rowcount > 0


def _require_another(one: str, other: str) -> None:
    if one == other:
        raise Refused("malformed", "Choose another incident: this is the same one.")
