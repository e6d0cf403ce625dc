"""Which incidents belong together, as HTTP."""

from __future__ import annotations

from flask import Blueprint, Response

from hub import links
from hub.links import Linking, Merging, Unlinking
from hub.web import answers
from hub.web.acting import Acting


def linking_views(acting: Acting) -> Blueprint:
    """POST under /api/v1/incidents/<id>; each answers with that incident. The other one is in the board's next picture."""
    views = Blueprint("linking", __name__, url_prefix="/api/v1/incidents/<incident_id>")

    @views.post("/merge")
    def merge(incident_id: str) -> Response:
        return acting.do(links.merge, incident_id, answers.body(Merging))

    @views.post("/link")
    def link(incident_id: str) -> Response:
        return acting.do(links.link, incident_id, answers.body(Linking))

    @views.post("/unlink")
    def unlink(incident_id: str) -> Response:
        return acting.do(links.unlink, incident_id, answers.body(Unlinking))

    return views
