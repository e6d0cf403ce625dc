"""Who may ask for what. Everything that is not in the table is refused, so a view nobody thought about is closed."""

from __future__ import annotations

from collections.abc import Callable
from hmac import compare_digest

from flask import Flask, Response, g, redirect, request
from sqlalchemy import Engine

from hub import sessions
from hub.errors import Refused
from hub.sessions import Session

DISPATCHER = "dispatcher"
SUPERVISOR = "supervisor"
FLEET_TECH = "fleet_tech"
CLINICIAN = "desk_clinician"
WALL = "wall"

_ANYBODY = frozenset({DISPATCHER, SUPERVISOR, FLEET_TECH, CLINICIAN, "privacy_auditor", "hub_admin", WALL})
_BOARD = frozenset({DISPATCHER, SUPERVISOR})
_DISPATCH = frozenset({DISPATCHER})
_READERS = _BOARD | {CLINICIAN}  # of one incident, and what anybody may say of it
_ADVICE = frozenset({DISPATCHER, CLINICIAN})  # who speaks with a caller: each writes only what each may see
_DEVICES = frozenset({SUPERVISOR, FLEET_TECH})

OPEN = frozenset({"static", "signin.ask", "signin.answer"})  # before anybody is known

ROLES: dict[str, frozenset[str]] = {
    "pages.home": _ANYBODY,
    "signin.leave": _ANYBODY,
    "devices.every": _DEVICES,
    "devices.order": _DEVICES,
    "devices.settle": _DEVICES,
    "live.me": _ANYBODY,
    "live.snapshot": _BOARD,
    "live.events": _BOARD,
    "live.notes": _BOARD,
    "live.health": _BOARD | {FLEET_TECH},
    "live.seen": frozenset({SUPERVISOR}),
    "reading.one": _READERS,
    "reading.whole": _READERS,
    "reading.timeline": _READERS,
    "opening.open_incident": _DISPATCH,
    "opening.hints": _DISPATCH,
    "changing.change": _ADVICE,
    "changing.secure": _BOARD,
    "changing.stage": _READERS,
    "remembering.add_caution": _ADVICE,
    "remembering.end_caution": _DISPATCH,
    "remembering.remark": _READERS,
    "linking.merge": _DISPATCH,
    "linking.link": _DISPATCH,
    "linking.unlink": _DISPATCH,
    "ending.close": _DISPATCH,
    "ending.recommend": _ADVICE,
    "ending.reopen": _DISPATCH,
    "showing.rankings_of": _READERS,
    "closing.every": _BOARD,
    "closing.close": _BOARD,
    "closing.end": _BOARD,
    "layers.coverage": _BOARD,
    "layers.trail": _BOARD,
    "dispatch.rank": _DISPATCH,
    "dispatch.rounds": _DISPATCH,
    "dispatch.end_rest": frozenset({SUPERVISOR}),
    "dispatch.assign": _DISPATCH,
    "dispatch.release": _DISPATCH,
    "emergencies.acknowledge": _BOARD,
    "emergencies.clear": _BOARD,
    "places.search": _BOARD,
    "places.near": _BOARD,
    "words.every": _READERS,
    "wall.now": _BOARD | {WALL},
    "streets.info": _BOARD,
    "streets.current": _BOARD,
    "streets.tiles": _BOARD,
}

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Door:
    """Checks each request before its view runs: our host, our origin, signed in, the right role, our token."""

    def __init__(
        self, engine: Engine, now_ms: Callable[[], int], *, hosts: frozenset[str], cookie: str, secure: bool
    ) -> None:
        self._engine = engine
        self._now_ms = now_ms
        self._hosts = hosts
        self._scheme = "https" if secure else "http"
        self.cookie = cookie
        self.secure = secure

    def guard(self, app: Flask) -> None:
        """Stand before every view of `app`."""
        app.before_request(self._check)

    def is_still_signed_in(self, token: str) -> bool:
        """Whether the session of this cookie goes on; asking does not prolong it."""
        with self._engine.begin() as connection:
            return sessions.find(connection, token, self._now_ms(), is_active=False) is not None

    def token(self) -> str:
        """This request's cookie, "" when it has none."""
        return request.cookies.get(self.cookie, "")

    def _check(self) -> Response | None:
        self._require_our_host()
        if request.method not in _SAFE:
            self._require_our_origin()
        if request.endpoint is None or request.endpoint in OPEN:
            return None  # an address that is not ours is answered 404, to anybody
        # a stream reconnects by itself: it must not keep a session alive that nobody touches
        is_person = request.endpoint != "live.events"
        with self._engine.begin() as connection:
            session = sessions.find(connection, self.token(), self._now_ms(), is_active=is_person)
        if session is None:
            if request.endpoint == "pages.home":
                return _see_sign_in()
            raise Refused("not_signed_in", "Sign in first. A sign-in ends after 30 minutes without use.")
        if session.role not in ROLES.get(request.endpoint, frozenset()):
            raise Refused("not_your_role", "Your role does not include this.")
        if request.method not in _SAFE:
            _require_our_token(session)
        g.session = session
        return None

    def _require_our_host(self) -> None:
        if _name_in(request.host) not in self._hosts:
            raise Refused("wrong_host", "This console is not known under that name.")

    def _require_our_origin(self) -> None:
        origin = request.headers.get("Origin")
        if origin is None and request.endpoint == "signin.answer":
            return  # not from a browser: there is no other page that could have sent it
        if origin != f"{self._scheme}://{request.host}":
            raise Refused("forged", "That request did not come from this console. Load the page again.")


def signed_in() -> Session:
    """Whose request this is; only inside a view that is not open."""
    session = g.session
    assert isinstance(session, Session)
    return session


def _require_our_token(session: Session) -> None:
    given = request.headers.get("X-CSRF-Token") or request.form.get("csrf", "")
    if not compare_digest(given.encode(), session.csrf.encode()):
        raise Refused("forged", "That request did not carry this page's token. Load the page again.")


def _see_sign_in() -> Response:
    answer = redirect("/signin", code=303)
    assert isinstance(answer, Response)
    return answer


def _name_in(host: str) -> str:
    """The name in a Host header, without its port."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
