"""The page each role gets at `/`: the board, the devices, or a sentence."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from flask import Blueprint, Response, make_response, render_template
from msgspec import Struct
from sqlalchemy import Connection, Engine, select

from hub import snapshot
from hub.schema import device, unit
from hub.snapshot import LinkOf
from hub.web.access import DISPATCHER, FLEET_TECH, SUPERVISOR, signed_in

_ELSEWHERE = {
    "desk_clinician": "Notes are opened at your desk terminal, not here: no server can read them.",
    "privacy_auditor": "There is no page for privacy auditors yet. The audit is kept from the first day.",
    "hub_admin": "A hub is administered on its own machine, with tandem-hub.",
}


class DeviceRow(Struct, frozen=True, kw_only=True):
    """A device as a fleet tech sees it: no position, no crew, no assignment."""

    device: str
    call_sign: str
    kind: str
    state: str
    link: str
    since: str
    certificate_until: str


def page_views(engine: Engine, agency: str, link_of: LinkOf, built: Path) -> Blueprint:
    """GET /. `built` is where the bundles are."""
    views = Blueprint("pages", __name__)

    @views.get("/")
    def home() -> Response:
        role = signed_in().role
        if role in (DISPATCHER, SUPERVISOR):
            return make_response(render_template("board.html", agency=agency, is_built=(built / "console.js").exists()))
        if role == FLEET_TECH:
            with engine.begin() as connection:
                rows, refused = _devices(connection, link_of), snapshot.health(connection).quarantined
            return _with_form(
                render_template("devices.html", agency=agency, me=signed_in(), rows=rows, refused=refused)
            )
        return _with_form(
            render_template("elsewhere.html", agency=agency, me=signed_in(), sentence=_ELSEWHERE.get(role, ""))
        )

    return views


def _with_form(text: str) -> Response:
    """A page with a plain form in it, whose origin the browser must say."""
    page = make_response(text)
    page.headers["Referrer-Policy"] = "same-origin"
    return page


def _devices(connection: Connection, link_of: LinkOf) -> list[DeviceRow]:
    rows = connection.execute(
        select(device, unit.c.call_sign).join(unit, unit.c.unit == device.c.unit).order_by(unit.c.call_sign)
    )
    shown = []
    for row in rows:
        link = link_of(row.device)
        shown.append(
            DeviceRow(
                device=row.device,
                call_sign=row.call_sign,
                kind=row.kind,
                state=row.state,
                link=link.word,
                since=_minute(link.since_ms),
                certificate_until=_minute(row.not_after_ms),
            )
        )
    return shown


def _minute(at_ms: int | None) -> str:
    return "" if at_ms is None else datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
