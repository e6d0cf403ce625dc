"""The screen on a wall: asked for again and again by a page that nobody touches."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response
from sqlalchemy import Engine

from hub import snapshot
from hub.snapshot import LinkOf
from hub.wall import wall
from hub.web import answers


def wall_views(engine: Engine, agency: str, link_of: LinkOf, now_ms: Callable[[], int]) -> Blueprint:
    """GET /wall/now.json."""
    views = Blueprint("wall", __name__)

    @views.get("/wall/now.json")
    def now() -> Response:
        with engine.begin() as connection:
            emergencies = snapshot.emergencies(connection)
            incidents = snapshot.incidents(connection)
            units = snapshot.units(connection, link_of)
        return answers.json(wall(emergencies, incidents, units, agency, now_ms()))

    return views
