"""Raising an emergency by hand: two steps, or one long hold. No sound, no PIN, nobody signed on, no link, no disk.

The law: nothing here asks the store, and other requests can never take the last thread, so that a disk that hangs stops
neither the button nor what it says.
"""

from __future__ import annotations

from threading import BoundedSemaphore

from flask import Blueprint, Flask, Response, g, make_response, redirect, render_template, request, url_for

from edge.emergency_state import View
from edge.errors import Refused
from edge.screen import words
from edge.screen.picture import Cab
from wire.facts import Source

OTHERS_MAX = 3  # requests that may wait for the store at once; the screen has more threads than that
OTHERS_WAIT_S = 1.0  # two pages may ask at the same moment; longer means that the disk hangs


def duress_views(cab: Cab) -> Blueprint:
    """The pages of an emergency on the terminal of `cab`."""
    views = Blueprint("duress", __name__)
    emergency, clock = cab.parts.emergency, cab.parts.clock

    @views.get("/emergency")
    def page() -> str:
        return render_template("duress_page.html")

    @views.get("/live/emergency")
    def live() -> str:
        return render_template("duress_live.html")

    @views.post("/emergency/raise")
    def raise_it() -> Response:
        emergency.press(Source.SCREEN, clock.mono_s(), drill=request.form.get("drill") == "yes")
        return _to_page()

    @views.post("/emergency/ask-clear")
    def ask_clear() -> Response:
        emergency.ask_clear(clock.mono_s())
        return _to_page()

    return views


def keep_a_thread(app: Flask) -> None:
    """Let no more than a few requests that may ask the store run at once."""
    others = BoundedSemaphore(OTHERS_MAX)

    @app.before_request
    def enter() -> None:
        if request.endpoint == "static" or request.blueprint == "duress":
            return
        if not others.acquire(timeout=OTHERS_WAIT_S):
            raise Refused("not_saving", "The terminal's disk does not answer. Use the radio. Emergency still works.")
        g.has_entered = True

    @app.teardown_request
    def leave(_: BaseException | None) -> None:
        if g.pop("has_entered", False):
            others.release()


def state(view: View) -> dict[str, object]:
    """For programs."""
    return {
        "phase": str(view.phase),
        "is_drill": view.is_drill,
        "raised_ms": view.raised_ms,
        "received_ms": view.received_ms,
        "acknowledged_ms": view.acknowledged_ms,
        "by": view.by,
        "is_saved": view.is_saved,
        "is_asked": view.is_asked,
        "words": words.emergency(view).head,
    }


def _to_page() -> Response:
    return make_response(redirect(url_for("duress.page"), 303))
