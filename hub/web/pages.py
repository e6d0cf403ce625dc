"""The page each role gets at `/`: the board, the devices, the wall, or a sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flask import Blueprint, Response, make_response, render_template
from sqlalchemy import Engine

from hub.snapshot import LinkOf
from hub.web import devices
from hub.web.access import DISPATCHER, FLEET_TECH, SUPERVISOR, WALL, signed_in
from hub.web.answers import with_form

_ELSEWHERE = {
    "desk_clinician": "Notes are opened at your desk terminal, not here: no server can read them.",
    "privacy_auditor": "There is no page for privacy auditors yet. The audit is kept from the first day.",
    "hub_admin": "A hub is administered on its own machine, with tandem-hub.",
}


def page_views(engine: Engine, agency: str, link_of: LinkOf, built: Path, now_ms: Callable[[], int]) -> Blueprint:
    """GET /. `built` is where the bundles are."""
    views = Blueprint("pages", __name__)

    @views.get("/")
    def home() -> Response:
        role = signed_in().role
        if role in (DISPATCHER, SUPERVISOR):
            return make_response(render_template("board.html", agency=agency, is_built=(built / "console.js").exists()))
        if role == WALL:
            return make_response(render_template("wall.html", agency=agency, is_built=(built / "wallpage.js").exists()))
        if role == FLEET_TECH:
            return devices.page(engine, agency, link_of, now_ms())
        return with_form(
            render_template("elsewhere.html", agency=agency, me=signed_in(), sentence=_ELSEWHERE.get(role, ""))
        )

    return views
