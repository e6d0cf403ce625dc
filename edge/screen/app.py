"""Puts the screen together: guard, pages of the crew, pages of the clinical zone, pages of a desk, errors in plain words."""

from __future__ import annotations

import errno
import sqlite3
import traceback
from typing import NamedTuple

import structlog
from flask import Flask, Response, jsonify, make_response, redirect, render_template, request, url_for
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from edge.emergency_state import View
from edge.errors import Refused
from edge.screen import duress, guard, words
from edge.screen.clinical import clinical_views
from edge.screen.crew import crew_views
from edge.screen.desk_pages import desk_views
from edge.screen.picture import Cab, ScreenParts
from edge.screen.words import EmergencyWords
from edge.store import StoreGone, is_full
from wire.codec import Malformed
from wire.incident import DISPOSITIONS
from wire.status import LABEL

__all__ = ["ScreenParts", "create_screen"]

_STATUS_CODE = {
    "host": 421,
    "origin": 403,
    "stale": 403,
    "locked": 401,
    "no_draft": 404,
    "no_note": 404,
    "not_saving": 503,
}
_FOREIGN = ("host", "origin", "stale")  # refused by who asks, whatever the disk does
_WITHOUT_DISK = (
    "static",
    "crew.main",
    "crew.strip",
    "crew.assignment",
    "crew.the_way",
    "crew.turns",
    "crew.state",
    "crew.set_theme",
    "crew.lock",
    "desk.lock",
)
_DISK_REFUSES = frozenset({errno.EIO, errno.ENOSPC, errno.EROFS, errno.EDQUOT})
_log = structlog.get_logger()


class Shown(NamedTuple):
    """The emergency for a template."""

    view: View
    words: EmergencyWords


def create_screen(parts: ScreenParts) -> Flask:
    """The screen of one terminal, as a WSGI application."""
    app = Flask("edge.screen")
    app.config["MAX_CONTENT_LENGTH"] = guard.BODY_BYTES_MAX
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(
        at=words.day_and_clock,
        clock=words.clock,
        clock_s=words.clock_s,
        day=words.day,
        emergency=lambda: Shown(view := parts.emergency.view(), words.emergency(view)),
        dispositions={code: label for code, (label, _) in DISPOSITIONS.items()},
        labels=LABEL,
        session=guard.session,
        theme=lambda: theme(parts.identity.device) or _line_theme(parts),
        line_theme=lambda: "" if theme(parts.identity.device) else _line_theme(parts),
    )
    cab = Cab(parts)
    duress.keep_a_thread(app)
    guard.install(app, parts.identity.device)
    _refuse_while_not_saving(app, parts)
    app.register_blueprint(duress.duress_views(cab))
    app.register_blueprint(crew_views(cab))
    if parts.identity.kind == "desk":
        app.register_blueprint(desk_views(cab))
    else:
        app.register_blueprint(clinical_views(cab))
    _install_errors(app, parts)
    return app


def _refuse_while_not_saving(app: Flask, parts: ScreenParts) -> None:
    """While nothing is saved nothing is taken: what can be read, the emergency and the colors are all there is."""

    @app.before_request
    def check() -> None:
        wrong = _not_saving(parts)
        if wrong is not None:
            raise wrong


def _not_saving(parts: ScreenParts) -> Refused | None:
    """Why this request is not taken, while nothing is saved; None while everything is, or when it needs no disk."""
    why = parts.not_saving()
    if why is None or request.endpoint in _WITHOUT_DISK or request.blueprint == "duress":
        return None
    word = "Not saved" if request.method == "POST" else "Not saving"
    return Refused("not_saving", f"{word}: {why}. Use the radio, and tell the fleet tech. Emergency still works.")


def theme(device: str) -> str:
    """The theme that somebody tapped in this terminal's browser: "day", "night", or "" when nobody did."""
    word = request.cookies.get(f"tandem_theme_{device}", "")
    return word if word in ("day", "night") else ""


def _line_theme(parts: ScreenParts) -> str:
    """What the vehicle's headlights say: "day", "night", or "" where no line says, and the system is followed."""
    headlights = parts.pins_state().headlights
    return "" if headlights is None else "night" if headlights else "day"


def _install_errors(app: Flask, parts: ScreenParts) -> None:
    @app.errorhandler(Refused)
    def refused(wrong: Refused) -> Response:
        if wrong.code not in _FOREIGN:
            # When the disk fails in the middle of a request, a rule may refuse it for what the memory does not hold.
            wrong = _not_saving(parts) or wrong
        if wrong.code == "not_saving" and request.method == "POST":
            parts.unsaved()
        return _answer(_STATUS_CODE.get(wrong.code, 409), wrong.code, wrong.sentence)

    @app.errorhandler(Malformed)
    def malformed(wrong: Malformed) -> Response:
        return _answer(400, "malformed", f"That cannot be read: {wrong}.")

    @app.errorhandler(RequestEntityTooLarge)
    def too_large(wrong: RequestEntityTooLarge) -> Response:
        return _answer(413, "too_long", "That is too long for one note. Shorten it, or begin a second note.")

    @app.errorhandler(HTTPException)
    def http(wrong: HTTPException) -> Response:
        return _answer(wrong.code or 500, "http", wrong.description or "That page does not exist.")

    @app.errorhandler(StoreGone)
    @app.errorhandler(sqlite3.Error)
    def not_saved(wrong: Exception) -> Response:
        _log.error("screen_not_saved", endpoint=request.endpoint, error=type(wrong).__name__)
        if request.method == "POST":
            parts.unsaved()
        why = "the disk is full" if is_full(wrong) else "the terminal cannot write to its disk"
        return _answer(503, "not_saved", f"Not saved: {why}. Use the radio, and tell the fleet tech.")

    @app.errorhandler(OSError)
    def disk(wrong: OSError) -> Response:
        """A PIN is counted in a file before it is tried: a disk that refuses there is said as it is of a record."""
        return not_saved(wrong) if wrong.errno in _DISK_REFUSES else unexpected(wrong)

    @app.errorhandler(Exception)
    def unexpected(wrong: Exception) -> Response:
        # Only the kind of the error: its text may hold what a person typed.
        _log.error("screen_failed", endpoint=request.endpoint, error=type(wrong).__name__, where=_where(wrong))
        return _answer(500, "failed", "The terminal could not do that. Try again; if it stays, tell the fleet tech.")


def _answer(code: int, word: str, sentence: str) -> Response:
    if request.path.startswith("/api/") or guard.CSRF_HEADER in request.headers or not _wants_page():
        response = jsonify(code=word, message=sentence)
        response.status_code = code
        return response
    if word == "locked":
        came_from = request.path if request.method == "GET" else url_for("crew.main")
        return make_response(redirect(url_for("crew.unlock_page", then=came_from), 303))
    if request.method == "POST" and word not in ("host", "origin", "not_saving"):
        guard.session().say(sentence)
        return make_response(redirect(url_for("crew.main"), 303))
    return make_response(render_template("message.html", sentence=sentence), code)


def _wants_page() -> bool:
    return request.accept_mimetypes.best_match(["text/html", "application/json"]) == "text/html"


def _where(wrong: Exception) -> str:
    frames = traceback.extract_tb(wrong.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "?"
