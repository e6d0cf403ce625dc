"""What a dispatcher does about an emergency, as HTTP."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response
from sqlalchemy import Connection, Engine

from hub import emergencies, snapshot
from hub.deeds import Deed
from hub.emergencies import Clearing
from hub.web import answers
from hub.web.access import signed_in


def emergency_views(engine: Engine, changed: Callable[[], None], now_ms: Callable[[], int]) -> Blueprint:
    """Under /api/v1/emergencies; each answers with those that are not cleared. `changed` is called after each commit."""
    views = Blueprint("emergencies", __name__, url_prefix="/api/v1/emergencies")

    def do(deed: Callable[[Connection, Deed], None]) -> Response:
        by = Deed(by=signed_in().account, now_ms=now_ms())
        with engine.begin() as connection:
            deed(connection, by)
            left = snapshot.emergencies(connection)
        changed()
        return answers.json(left)

    @views.post("/<emergency>/acknowledge")
    def acknowledge(emergency: str) -> Response:
        return do(lambda connection, by: emergencies.acknowledge(connection, emergency, by))

    @views.post("/<emergency>/clear")
    def clear(emergency: str) -> Response:
        clearing = answers.body(Clearing)
        return do(lambda connection, by: emergencies.clear(connection, emergency, clearing, by))

    return views
