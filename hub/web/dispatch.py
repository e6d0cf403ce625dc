"""Who goes, as HTTP: rank, send, release; several waiting incidents at once; the end of a rest."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response
from msgspec import Struct
from sqlalchemy import Connection

from hub import rankings, sending, snapshot
from hub.closest import NO_FASTER
from hub.errors import Refused
from hub.position import Position
from hub.positions import Positions
from hub.rank import DEFAULTS, Rules
from hub.rankings import ByRoad
from hub.sending import Sending
from hub.snapshot import AssignmentView, LinkOf
from hub.web import answers
from hub.web.acting import Acting, incident_of


class RestEnded(Struct, frozen=True, kw_only=True):
    """This unit may be sent again."""

    unit: str


class Releasing(Struct, frozen=True, kw_only=True):
    """Why a unit is taken off, or a rest ended."""

    reason: str


def dispatch_views(
    acting: Acting,
    positions: Positions,
    link_of: LinkOf,
    rules: Rules = DEFAULTS,
    by_road: Callable[[], ByRoad | None] = lambda: None,
) -> Blueprint:
    """Under /api/v1: rankings and assignments. `by_road` is asked for each list, for the engine comes and goes."""
    views = Blueprint("dispatch", __name__, url_prefix="/api/v1")

    def known() -> dict[str, Position]:
        return {position.unit: position for position in positions.all()}

    @views.post("/incidents/<incident_id>/ranking")
    def rank(incident_id: str) -> Response:
        return answers.json(
            sending.rank_units(
                acting.engine,
                incident_id,
                known(),
                lambda connection: snapshot.units(connection, link_of),
                acting.deed(),
                rules,
                by_road(),
            )
        )

    @views.post("/rounds")
    def rounds() -> Response:
        from hub.rounds import solve  # slow to load, and hardly ever needed

        roads = by_road()
        bound = NO_FASTER if roads is None else roads.bound
        with acting.engine.begin() as connection:
            shown = snapshot.units(connection, link_of)
            waiting = rankings.pending(connection, known(), shown, acting.now_ms(), rules, bound)
        if roads is None:
            return answers.json(solve(waiting, None))
        ask = roads.times
        return answers.json(solve(waiting, lambda one: ask(one.question).times))

    @views.post("/units/<unit>/rest/end")
    def end_rest(unit: str) -> Response:
        reason = answers.body(Releasing).reason
        by = acting.deed()
        with acting.engine.begin() as connection:
            rankings.end_rest(connection, unit, reason, by.by, by.now_ms)
        return answers.json(RestEnded(unit=unit))

    @views.post("/incidents/<incident_id>/assignments")
    def assign(incident_id: str) -> Response:
        choice = answers.body(Sending)
        with acting.engine.begin() as connection:
            is_new = sending.assign(connection, incident_id, choice, acting.deed())
            made = _assignment(connection, incident_id, choice.id)
        if is_new:
            acting.changed()
        return answers.json(made, 201 if is_new else 200)

    @views.post("/assignments/<assignment_id>/release")
    def release(assignment_id: str) -> Response:
        reason = answers.body(Releasing).reason
        with acting.engine.begin() as connection:
            incident_id = sending.release(connection, assignment_id, reason, acting.deed())
            released = _assignment(connection, incident_id, assignment_id)
        acting.changed()
        return answers.json(released)

    return views


def _assignment(connection: Connection, incident_id: str, assignment_id: str) -> AssignmentView:
    for found in incident_of(connection, incident_id).assignments:
        if found.id == assignment_id:
            return found
    raise Refused("not_found", "There is no such assignment.")
