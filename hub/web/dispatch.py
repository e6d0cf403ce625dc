"""What a dispatcher does, as HTTP."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from flask import Blueprint, Response
from msgspec import Struct
from sqlalchemy import Connection, Engine

from hub import incidents, labels, rankings, sending, snapshot
from hub.deeds import Deed
from hub.endings import Closing
from hub.endings import close as end
from hub.errors import Refused
from hub.incidents import Opening
from hub.positions import Positions
from hub.rank import DEFAULTS, Rules
from hub.rankings import RoadsFor
from hub.sending import Sending
from hub.snapshot import AssignmentView, IncidentView, LinkOf
from hub.timeline import timeline as happenings
from hub.web import answers
from hub.web.access import signed_in
from wire.ids import ID_BYTES


class Releasing(Struct, frozen=True, kw_only=True):
    """Why a unit is taken off, or a rest ended."""

    reason: str


def dispatch_views(
    engine: Engine,
    positions: Positions,
    changed: Callable[[], None],
    now_ms: Callable[[], int],
    link_of: LinkOf,
    rules: Rules = DEFAULTS,
    times: RoadsFor | None = None,
) -> Blueprint:
    """Under /api/v1: incidents and assignments. `changed` is called after each commit that changed something."""
    views = Blueprint("dispatch", __name__, url_prefix="/api/v1")

    def deed() -> Deed:
        session = signed_in()
        return Deed(by=session.account, now_ms=now_ms(), may=labels.of_role(session.role))

    @views.get("/incidents/<incident_id>")
    def one(incident_id: str) -> Response:
        with engine.begin() as connection:
            return answers.json(_incident(connection, incident_id))

    @views.get("/incidents/<incident_id>/timeline")
    def timeline(incident_id: str) -> Response:
        with engine.begin() as connection:
            return answers.json(happenings(connection, incident_id, deed().may))

    @views.post("/incidents")
    def open_incident() -> Response:
        opening = answers.body(Opening)
        with engine.begin() as connection:
            is_new = incidents.open_incident(connection, opening, secrets.token_bytes(ID_BYTES), deed())
            opened = _incident(connection, opening.id)
        if is_new:
            changed()
        return answers.json(opened, 201 if is_new else 200)

    @views.post("/incidents/<incident_id>/ranking")
    def rank(incident_id: str) -> Response:
        known = {position.unit: position for position in positions.all()}
        return answers.json(
            sending.rank_units(
                engine,
                incident_id,
                known,
                lambda connection: snapshot.units(connection, link_of),
                deed(),
                rules,
                times,
            )
        )

    @views.post("/rounds")
    def rounds() -> Response:
        from hub.rounds import solve  # slow to load, and hardly ever needed

        known = {position.unit: position for position in positions.all()}
        with engine.begin() as connection:
            shown = snapshot.units(connection, link_of)
            waiting = rankings.pending(connection, known, shown, now_ms(), rules)
        if times is None:
            return answers.json(solve(waiting, None))
        ask = times
        return answers.json(solve(waiting, lambda one: ask(one.question).times))

    @views.post("/units/<unit>/rest/end")
    def end_rest(unit: str) -> Response:
        reason = answers.body(Releasing).reason
        by = deed()
        with engine.begin() as connection:
            rankings.end_rest(connection, unit, reason, by.by, by.now_ms)
        return answers.json({"unit": unit})

    @views.post("/incidents/<incident_id>/assignments")
    def assign(incident_id: str) -> Response:
        choice = answers.body(Sending)
        with engine.begin() as connection:
            is_new = sending.assign(connection, incident_id, choice, deed())
            made = _assignment(connection, incident_id, choice.id)
        if is_new:
            changed()
        return answers.json(made, 201 if is_new else 200)

    @views.post("/assignments/<assignment_id>/release")
    def release(assignment_id: str) -> Response:
        reason = answers.body(Releasing).reason
        with engine.begin() as connection:
            incident_id = sending.release(connection, assignment_id, reason, deed())
            released = _assignment(connection, incident_id, assignment_id)
        changed()
        return answers.json(released)

    @views.post("/incidents/<incident_id>/close")
    def close(incident_id: str) -> Response:
        closing = answers.body(Closing)
        with engine.begin() as connection:
            end(connection, incident_id, closing, deed())
            closed = _incident(connection, incident_id)
        changed()
        return answers.json(closed)

    return views


def _incident(connection: Connection, incident_id: str) -> IncidentView:
    for found in snapshot.incidents(connection, only=incident_id):
        return found
    raise Refused("not_found", "There is no such incident.")


def _assignment(connection: Connection, incident_id: str, assignment_id: str) -> AssignmentView:
    for found in _incident(connection, incident_id).assignments:
        if found.id == assignment_id:
            return found
    raise Refused("not_found", "There is no such assignment.")
