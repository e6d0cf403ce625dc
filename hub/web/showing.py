"""What was shown when somebody was sent, as HTTP: the list as it was, who was chosen of it, and whether it comes out again."""

from __future__ import annotations

from flask import Blueprint, Response
from msgspec import Struct
from sqlalchemy import Connection

from hub import rankings
from hub.deeds import the
from hub.rank import Candidate
from hub.rankings import Choice
from hub.replay import OtherBook, Shown, replayed
from hub.web import answers
from hub.web.acting import Acting

LISTS_MAX = 12  # the newest: each is worked out again
SAME = "Worked out again, it is the same list."
OTHER = "Worked out again, it is another list. Tell whoever runs the hub."


class ShownList(Struct, frozen=True, kw_only=True):
    """A list from which somebody was sent. `again`: in a sentence, whether the same question still gives it."""

    ranking: int
    ranked_ms: int
    engine: str
    graph: str | None
    candidates: tuple[Candidate, ...]
    choices: tuple[Choice, ...]
    again: str


def showing_views(acting: Acting) -> Blueprint:
    """GET /api/v1/incidents/<id>/rankings."""
    views = Blueprint("showing", __name__, url_prefix="/api/v1/incidents/<incident_id>")

    @views.get("/rankings")
    def rankings_of(incident_id: str) -> Response:
        with acting.engine.begin() as connection:
            the(connection, incident_id)
            lists = tuple(_list(connection, one) for one in rankings.sent_from(connection, incident_id)[:LISTS_MAX])
        return answers.json(tuple(one for one in lists if one is not None))

    return views


def _list(connection: Connection, number: int) -> ShownList | None:
    """None: made by a program that kept only the list."""
    shown = rankings.shown(connection, number)
    if shown is None:
        return None
    return ShownList(
        ranking=number,
        ranked_ms=shown.question.now_ms,
        engine=shown.engine,
        graph=shown.graph,
        candidates=shown.candidates,
        choices=rankings.choices(connection, number),
        again=_again(shown),
    )


def _again(shown: Shown) -> str:
    try:
        return SAME if replayed(shown) == shown.candidates else OTHER
    except OtherBook as other:
        return str(other)
