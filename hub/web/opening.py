"""Opening an incident, as HTTP, and the hint that it may be there already."""

from __future__ import annotations

import secrets

from flask import Blueprint, Response
from sqlalchemy import Connection

from hub import incidents
from hub.deeds import Deed
from hub.incidents import Opening
from hub.near import Sketch
from hub.web import answers
from hub.web.acting import Acting
from wire.ids import ID_BYTES


def opening_views(acting: Acting) -> Blueprint:
    """POST /api/v1/incidents and /api/v1/hints: a place that somebody types belongs into no address, and so into no log."""
    views = Blueprint("opening", __name__, url_prefix="/api/v1")

    @views.post("/incidents")
    def open_incident() -> Response:
        opening = answers.body(Opening)
        return acting.do(_open, opening.id, opening, 201)

    @views.post("/hints")
    def hints() -> Response:
        sketch = answers.body(Sketch)
        with acting.engine.begin() as connection:
            return answers.json(incidents.hints(connection, sketch, acting.now_ms()))

    return views


def _open(connection: Connection, _incident_id: str, opening: Opening, deed: Deed) -> bool:
    return incidents.open_incident(connection, opening, secrets.token_bytes(ID_BYTES), deed)
