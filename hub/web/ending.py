"""How an incident ends, and begins again, as HTTP."""

from __future__ import annotations

from flask import Blueprint, Response

from hub import endings
from hub.endings import Closing, Recommending, Reopening
from hub.web import answers
from hub.web.acting import Acting


def ending_views(acting: Acting) -> Blueprint:
    """POST under /api/v1/incidents/<id>; each answers with the incident."""
    views = Blueprint("ending", __name__, url_prefix="/api/v1/incidents/<incident_id>")

    @views.post("/close")
    def close(incident_id: str) -> Response:
        return acting.do(endings.close, incident_id, answers.body(Closing))

    @views.post("/recommend")
    def recommend(incident_id: str) -> Response:
        return acting.do(endings.recommend, incident_id, answers.body(Recommending))

    @views.post("/reopen")
    def reopen(incident_id: str) -> Response:
        return acting.do(endings.reopen, incident_id, answers.body(Reopening))

    return views
