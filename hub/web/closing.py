"""Closed roads, as HTTP: which there are, closing one, opening it again."""

from __future__ import annotations

from flask import Blueprint, Response

from hub import closures
from hub.closures import RoadClosing
from hub.web import answers
from hub.web.acting import Acting


def closing_views(acting: Acting) -> Blueprint:
    """Under /api/v1: closures, and closures/<id>/end."""
    views = Blueprint("closing", __name__, url_prefix="/api/v1/closures")

    @views.get("")
    def every() -> Response:
        with acting.engine.begin() as connection:
            return answers.json(closures.standing(closures.shown(connection), acting.now_ms()))

    @views.post("")
    def close() -> Response:
        asked = answers.body(RoadClosing)
        with acting.engine.begin() as connection:
            is_new = closures.close(connection, asked, acting.deed())
            made = closures.one(connection, asked.id)
        if is_new:
            acting.changed()
        return answers.json(made, 201 if is_new else 200)

    @views.post("/<closure_id>/end")
    def end(closure_id: str) -> Response:
        with acting.engine.begin() as connection:
            is_new = closures.end(connection, closure_id, acting.deed())
            ended = closures.one(connection, closure_id)
        if is_new:
            acting.changed()
        return answers.json(ended)

    return views
