"""What is remembered of an incident, as HTTP: cautions for whoever comes there, remarks for whoever reads."""

from __future__ import annotations

from flask import Blueprint, Response

from hub import cautions, remarks
from hub.cautions import Cautioning, Ending
from hub.remarks import Remarking
from hub.web import answers
from hub.web.acting import Acting


def remembering_views(acting: Acting) -> Blueprint:
    """POST under /api/v1/incidents/<id>; each answers with the incident, whose dossier holds what was written."""
    views = Blueprint("remembering", __name__, url_prefix="/api/v1/incidents/<incident_id>")

    @views.post("/cautions")
    def add_caution(incident_id: str) -> Response:
        return acting.do(cautions.add, incident_id, answers.body(Cautioning), 201)

    @views.post("/cautions/end")
    def end_caution(incident_id: str) -> Response:
        return acting.do(cautions.end, incident_id, answers.body(Ending))

    @views.post("/remarks")
    def remark(incident_id: str) -> Response:
        return acting.do(remarks.remark, incident_id, answers.body(Remarking), 201)

    return views
