"""What a page asks once and what it is told from then on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from flask import Blueprint, Response
from msgspec import Struct, structs
from sqlalchemy import Engine

from hub import alarms, snapshot
from hub.board import Board
from hub.errors import Refused
from hub.positions import Positions
from hub.snapshot import LinkOf
from hub.web import answers
from hub.web.access import Door, signed_in
from hub.web.listening import STREAMS_MAX, Listening


class Me(Struct, frozen=True, kw_only=True):
    """Who is signed in, and the token for requests that change something. Of a program: its name, and no such token."""

    account: str
    name: str
    role: str
    csrf: str


class Seen(Struct, frozen=True, kw_only=True):
    """A supervisor has seen the alarms through this moment, Unix ms of the hub."""

    through_ms: int


def live_views(
    engine: Engine,
    board: Board,
    positions: Positions,
    now_ms: Callable[[], int],
    door: Door,
    *,
    agency: str,
    link_of: LinkOf,
    dropped: Callable[[], Mapping[str, int]],
    listening: Listening,
) -> Blueprint:
    """GET under /api/v1: me, snapshot, events, notes, health; POST: alarms/seen."""
    views = Blueprint("live", __name__, url_prefix="/api/v1")

    @views.get("/me")
    def me() -> Response:
        person = signed_in()
        return answers.json(Me(account=person.account, name=person.name, role=person.role, csrf=person.csrf))

    @views.get("/snapshot", endpoint="snapshot")
    def whole() -> Response:
        with engine.begin() as connection:
            sections = snapshot.read(connection, link_of)
        known = {position.unit: position for position in positions.all()}
        return answers.json(snapshot.place(sections, known, agency, now_ms(), board.eta_of))

    @views.get("/events")
    def events() -> Response:
        viewer = board.join()
        if viewer is None:
            raise Refused("unavailable", "Too many pages are open on this hub. Close one.")
        goes_on, name = door.goes_on(), signed_in().token

        def leave() -> None:
            board.leave(viewer)
            if name is not None:
                listening.leave(name, viewer)

        if name is not None and not listening.join(name, viewer):
            board.leave(viewer)
            raise Refused("too_many", f"A token may hold {STREAMS_MAX} streams open. Close one.")
        if name is not None and not goes_on():
            viewer.drop()  # revoked between the door and here: whoever revoked did not see this stream yet

        def stream() -> Iterator[bytes]:
            yield from viewer.stream(now_ms, goes_on)

        answer = Response(stream(), mimetype="text/event-stream")
        answer.headers["X-Accel-Buffering"] = "no"
        answer.call_on_close(leave)
        return answer

    @views.get("/notes")
    def notes() -> Response:
        with engine.begin() as connection:
            return answers.json(snapshot.notes(connection))

    @views.get("/health")
    def health() -> Response:
        with engine.begin() as connection:
            found = snapshot.health(connection)
        return answers.json(structs.replace(found, dropped=dict(dropped())))

    @views.post("/alarms/seen")
    def seen() -> Response:
        through_ms = answers.body(Seen).through_ms
        with engine.begin() as connection:
            alarms.seen(connection, through_ms, signed_in().account, now_ms())
            left = snapshot.health(connection)
        board.changed()
        return answers.json(left)

    return views
