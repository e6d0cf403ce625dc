"""What a map shows on demand, as HTTP: how far the free units come, and where a unit was."""

from __future__ import annotations

from flask import Blueprint, Response, request

from hub import closures, snapshot
from hub.coverage import Covering
from hub.deeds import note
from hub.errors import Refused
from hub.positions import Positions
from hub.snapshot import LinkOf
from hub.trail import trail as way_so_far
from hub.web import answers
from hub.web.acting import Acting

MINUTES_DEFAULT = "30"


def layer_views(acting: Acting, positions: Positions, link_of: LinkOf, covering: Covering) -> Blueprint:
    """GET under /api/v1: coverage, units/<unit>/trail."""
    views = Blueprint("layers", __name__, url_prefix="/api/v1")

    @views.get("/coverage")
    def coverage() -> Response:
        now_ms = acting.now_ms()
        with acting.engine.begin() as connection:
            units = snapshot.units(connection, link_of)
            closed = closures.closed(connection, now_ms)
        known = {position.unit: position for position in positions.all()}
        return answers.json(covering.coverage(units, known, closed, now_ms))  # no transaction waits for the engine

    @views.get("/units/<unit>/trail")
    def trail(unit: str) -> Response:
        minutes = request.args.get("minutes", MINUTES_DEFAULT)
        if not (minutes.isascii() and minutes.isdigit() and len(minutes) < 6):
            raise Refused("malformed", "Ask for a trail in whole minutes.")
        deed = acting.deed()
        with acting.engine.begin() as connection:
            found = way_so_far(connection, unit, int(minutes), positions.get(unit), deed.now_ms)
            note(connection, deed, "trail_seen", unit, f"{found.minutes} min")  # who looked after whom is asked later
        return answers.json(found)

    return views
