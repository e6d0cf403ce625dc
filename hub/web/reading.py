"""One incident as it is read: by everybody at the board, by one person with all that this person may see, as its story."""

from __future__ import annotations

from flask import Blueprint, Response

from hub import dossier
from hub.timeline import timeline as happenings
from hub.web import answers
from hub.web.acting import Acting, incident_of


def reading_views(acting: Acting) -> Blueprint:
    """GET under /api/v1/incidents/<id>."""
    views = Blueprint("reading", __name__, url_prefix="/api/v1/incidents/<incident_id>")

    @views.get("")
    def one(incident_id: str) -> Response:
        with acting.engine.begin() as connection:
            return answers.json(incident_of(connection, incident_id, acting.deed().may))

    @views.get("/dossier")
    def whole(incident_id: str) -> Response:
        with acting.engine.begin() as connection:
            return answers.json(dossier.dossier(connection, incident_id, acting.deed()))

    @views.get("/timeline")
    def timeline(incident_id: str) -> Response:
        with acting.engine.begin() as connection:
            return answers.json(happenings(connection, incident_id, acting.deed().may))

    return views
