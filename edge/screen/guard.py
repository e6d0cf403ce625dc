"""Who may talk to the screen: this machine's own browser, from our own pages, in a session of this boot.

Loopback is not enough: any page of any site can make a browser on this machine send requests here.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from hmac import compare_digest
from threading import Lock

from flask import Flask, Request, Response, g, request
from msgspec import Struct

from edge.errors import Refused

SESSIONS_MAX = 32  # browsers of one machine; the oldest makes room
BODY_BYTES_MAX = 64 * 1024
HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
CSRF_FIELD = "csrf"
CSRF_HEADER = "X-CSRF-Token"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Session(Struct, kw_only=True):
    """One browser since this program started. `flash`: a sentence for the next page."""

    id: str
    csrf: str
    flash: str | None = None
    flash_mood: str = "bad"

    def say(self, sentence: str, mood: str = "bad") -> None:
        """Show `sentence` on the next page."""
        self.flash, self.flash_mood = sentence, mood

    def heard(self) -> tuple[str, str] | None:
        """The sentence to show now, once."""
        sentence, self.flash = self.flash, None
        return None if sentence is None else (sentence, self.flash_mood)


class Sessions:
    """In memory: a restart is a new boot of the screen, and everybody says a PIN again."""

    def __init__(self) -> None:
        self._guard = Lock()
        self._by_id: OrderedDict[str, Session] = OrderedDict()

    def find(self, name: str | None) -> Session | None:
        """The session called `name`, now the youngest; None when there is none."""
        with self._guard:
            session = self._by_id.get(name or "")
            if session is not None:
                self._by_id.move_to_end(session.id)
            return session

    def begin(self) -> Session:
        """A new one."""
        session = Session(id=secrets.token_hex(16), csrf=secrets.token_urlsafe(24))
        with self._guard:
            self._by_id[session.id] = session
            while len(self._by_id) > SESSIONS_MAX:
                self._by_id.popitem(last=False)
        return session


def install(app: Flask, device: str) -> None:
    """Put the guard before and the headers after every request of `app`."""
    sessions = Sessions()
    cookie = f"tandem_{device}"  # cookies know no ports: two terminals on one machine must not share one

    @app.before_request
    def check() -> None:
        if request.host.rpartition(":")[0] not in HOSTS and request.host not in HOSTS:
            raise Refused("host", "This screen answers on its own machine only.")
        if request.method not in _SAFE:
            _check_origin(request)
        found = sessions.find(request.cookies.get(cookie))
        g.session = found or sessions.begin()
        is_ours = found is not None and compare_digest(_token(request).encode(), found.csrf.encode())
        if request.method not in _SAFE and not is_ours:
            raise Refused("stale", "That page was from before a restart. Nothing was done: try again.")

    @app.after_request
    def headers(response: Response) -> Response:
        session: Session | None = g.get("session")
        if session is not None and request.cookies.get(cookie) != session.id:
            response.set_cookie(cookie, session.id, httponly=True, samesite="Strict")
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        # Not "no-referrer": under that a browser sends `Origin: null` with our own forms, and they would be refused.
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers["Cache-Control"] = "no-cache" if request.path.startswith("/static/") else "no-store"
        return response


def session() -> Session:
    """The session of this request."""
    found: Session = g.session
    return found


def _check_origin(asked: Request) -> None:
    if asked.headers.get("Origin") != f"{asked.scheme}://{asked.host}":
        raise Refused("origin", "Another page tried to use this screen. Nothing was done.")


def _token(asked: Request) -> str:
    return asked.headers.get(CSRF_HEADER) or asked.form.get(CSRF_FIELD, "")
