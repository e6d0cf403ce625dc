"""The description of this API, for programs and for those who write them."""

from __future__ import annotations

from functools import cache

from flask import Blueprint, Response, current_app


def published_views() -> Blueprint:
    """GET /api/v1/openapi.json."""
    views = Blueprint("published", __name__, url_prefix="/api/v1")

    @cache  # the routes of a running program never change
    def described() -> str:
        from hub.web import openapi  # slow to load, and hardly ever needed

        return openapi.text(current_app.url_map.iter_rules())

    @views.get("/openapi.json")
    def openapi() -> Response:
        return Response(described(), mimetype="application/json")

    return views
