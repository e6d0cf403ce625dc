"""What is said of an open incident and of its scene, as HTTP."""

from __future__ import annotations

from flask import Blueprint, Response
from msgspec.structs import replace

from hub import changes
from hub.changes import Change, Securing, Staging
from hub.errors import Refused
from hub.tokens import TokenRole
from hub.web import answers
from hub.web.access import CLINICIAN, signed_in
from hub.web.acting import Acting


def changing_views(acting: Acting) -> Blueprint:
    """POST under /api/v1/incidents/<id>; each answers with the incident."""
    views = Blueprint("changing", __name__, url_prefix="/api/v1/incidents/<incident_id>")

    @views.post("/change")
    def change(incident_id: str) -> Response:
        asked = answers.body(Change)
        if signed_in().role in (CLINICIAN, TokenRole.CLINICAL) and asked != _only_told(asked):
            raise Refused("not_your_role", "A clinician answers the questions. Ask dispatch to change the rest.")
        return acting.do(changes.change, incident_id, asked)

    @views.post("/secure")
    def secure(incident_id: str) -> Response:
        return acting.do(changes.secure, incident_id, answers.body(Securing))

    @views.post("/stage")
    def stage(incident_id: str) -> Response:
        return acting.do(changes.stage, incident_id, answers.body(Staging))

    return views


def _only_told(asked: Change) -> Change:
    return replace(Change(id=asked.id, revision=asked.revision), packet=asked.packet)
