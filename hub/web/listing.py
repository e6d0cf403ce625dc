"""All incidents, open and over, page by page: for figures, and for a program that comes after the fact."""

from __future__ import annotations

from flask import Blueprint, Response, request
from msgspec import Struct
from sqlalchemy import select

from hub.errors import Refused
from hub.schema import incident
from hub.snapshot import IncidentView
from hub.web import answers
from hub.web.acting import Acting, incident_of

PAGE = 50
PAGE_MAX = 200
NUMBER_MAX = 2**63 - 1  # what the database can compare with


class Incidents(Struct, frozen=True, kw_only=True):
    """A page, by number. `next`: what to say as `after` for the page behind it; null: there is none yet."""

    incidents: tuple[IncidentView, ...]
    next: int | None


def listing_views(acting: Acting) -> Blueprint:
    """GET /api/v1/incidents."""
    views = Blueprint("listing", __name__, url_prefix="/api/v1")

    @views.get("/incidents")
    def every() -> Response:
        after, limit = _number("after", 0, 0, NUMBER_MAX), _number("limit", PAGE, 1, PAGE_MAX)
        may = acting.deed().may
        behind = select(incident.c.incident).where(incident.c.number > after).order_by(incident.c.number)
        with acting.engine.begin() as connection:
            ids = connection.execute(behind.limit(limit + 1)).scalars().all()
        page = []
        for one in ids[:limit]:
            with acting.engine.begin() as connection:  # one by one: whoever writes meanwhile does not wait for a page
                page.append(incident_of(connection, one, may))
        is_more = len(ids) > limit
        return answers.json(Incidents(incidents=tuple(page), next=page[-1].number if is_more else None))

    return views


def _number(name: str, usual: int, least: int, most: int) -> int:
    try:
        number = int(request.args.get(name, usual))
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        raise Refused("malformed", f"Say {name} as a number from {least} to {most}, or leave it out.")
    return number
