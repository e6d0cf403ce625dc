"""Who may ask for what, people and programs. Everything that is not in the tables is refused, so a view nobody thought
about is closed."""

from __future__ import annotations

from collections.abc import Callable
from hmac import compare_digest

from flask import Flask, Response, g, redirect, request
from sqlalchemy import Engine

from hub import audit, sessions, tokens
from hub.errors import Refused
from hub.limits import Limiter
from hub.sessions import Session
from hub.tokens import MARK, TokenRole

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
    "listing.every": _READERS,
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
    "published.openapi": _ANYBODY,
    "geojson.units": _BOARD,
    "streets.info": _BOARD,
    "streets.current": _BOARD,
    "streets.tiles": _BOARD,
}

_EVERY_SYSTEM = frozenset(str(role) for role in TokenRole)
_DISPATCHING = frozenset({str(TokenRole.DISPATCH)})
_WATCHING = _DISPATCHING | {str(TokenRole.BOARD)}
_ADVISING = _DISPATCHING | {str(TokenRole.CLINICAL)}
_READING = _WATCHING | {str(TokenRole.CLINICAL), str(TokenRole.STATISTICS)}

SYSTEMS: dict[str, frozenset[str]] = {  # what a program with a token may ask for, by the token's role
    "live.me": _EVERY_SYSTEM,
    "published.openapi": _EVERY_SYSTEM,
    "geojson.units": _WATCHING | {str(TokenRole.POSITIONS)},
    "live.snapshot": _WATCHING,
    "live.events": _WATCHING,
    "live.notes": _WATCHING,
    "live.health": _WATCHING,
    "listing.every": _READING,
    "showing.rankings_of": _DISPATCHING,
    "closing.every": _WATCHING,
    "closing.close": _DISPATCHING,
    "closing.end": _DISPATCHING,
    "layers.coverage": _WATCHING,
    "layers.trail": _DISPATCHING,
    "reading.one": _READING,
    "reading.whole": _ADVISING,
    "reading.timeline": _READING,
    "opening.open_incident": _DISPATCHING,
    "opening.hints": _DISPATCHING,
    "changing.change": _ADVISING,
    "changing.secure": _DISPATCHING,
    "changing.stage": _ADVISING,
    "remembering.add_caution": _ADVISING,
    "remembering.end_caution": _DISPATCHING,
    "remembering.remark": _ADVISING,
    "linking.merge": _DISPATCHING,
    "linking.link": _DISPATCHING,
    "linking.unlink": _DISPATCHING,
    "ending.close": _DISPATCHING,
    "ending.recommend": _ADVISING,
    "ending.reopen": _DISPATCHING,
    "dispatch.rank": _DISPATCHING,
    "dispatch.rounds": _DISPATCHING,
    "dispatch.assign": _DISPATCHING,
    "dispatch.release": _DISPATCHING,
    "emergencies.acknowledge": _DISPATCHING,
    "emergencies.clear": _DISPATCHING,
    "places.search": _WATCHING,
    "places.near": _WATCHING,
    "words.every": _READING,
}

API = "/api/v1/"
WRONG_MAX = 10  # a minute and address, as at the sign-in: 256 bits are not guessed, but an audit can be flooded
ASKED_MAX = 1200  # a minute and token: a screen of its own asks ten times a second and has room to spare
MINUTE_MS = 60_000

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Door:
    """Checks each request before its view runs: our host, our origin, signed in, the right role, our token. A program
    comes without cookie, origin and CSRF token: nobody else's page can make a browser send what it shows instead."""

    def __init__(
        self, engine: Engine, now_ms: Callable[[], int], *, hosts: frozenset[str], cookie: str, secure: bool
    ) -> None:
        self._engine = engine
        self._now_ms = now_ms
        self._hosts = hosts
        self._scheme = "https" if secure else "http"
        self._wrong = Limiter(WRONG_MAX, MINUTE_MS)
        self._asked = Limiter(ASKED_MAX, MINUTE_MS)
        self.cookie = cookie
        self.secure = secure

    def guard(self, app: Flask) -> None:
        """Stand before every view of `app`."""
        app.before_request(self._check)

    def goes_on(self) -> Callable[[], bool]:
        """Whether whoever asks now may still; for a stream, which asks later. Asking prolongs nothing."""
        cookie, name = self.token(), signed_in().token

        def answer() -> bool:
            with self._engine.begin() as connection:
                if name is not None:
                    return tokens.alive(connection, name, self._now_ms())
                return sessions.find(connection, cookie, self._now_ms(), is_active=False) is not None

        return answer

    def token(self) -> str:
        """This request's cookie, "" when it has none."""
        return request.cookies.get(self.cookie, "")

    def _check(self) -> Response | None:
        self._require_our_host()
        if (shown := _shown_token()) is not None:
            self._check_program(shown)
            return None
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

    def _check_program(self, shown: str) -> None:
        now_ms = self._now_ms()
        with self._engine.begin() as connection:
            token = tokens.find(connection, shown, now_ms)
        if token is None:
            self._count_wrong(now_ms)
            raise Refused("wrong_token", "This token opens nothing: unknown, expired or revoked. Ask for a new one.")
        if wait_ms := self._asked.take(token.name, now_ms):
            raise Refused("too_many", f"A token may ask {ASKED_MAX} times a minute. Wait a little.", _seconds(wait_ms))
        if request.endpoint is None:
            return  # an address that is not ours is answered 404, to anybody
        if token.role not in SYSTEMS.get(request.endpoint, frozenset()):
            raise Refused("not_your_role", "This token's role does not include this. Ask for a token with another.")
        g.session = Session(
            account=token.actor,
            name=token.name,
            role=token.role,
            csrf="",
            token=token.name,
            has_cji=token.has_cji,
        )

    def _count_wrong(self, now_ms: int) -> None:
        if wait_ms := self._wrong.take(request.remote_addr or "", now_ms):
            raise Refused("too_many", "Too many wrong tokens from this computer. Wait a minute.", _seconds(wait_ms))
        with self._engine.begin() as connection:  # not what was shown: it may be somebody's token with a slip in it
            audit.append(connection, now_ms, "hub", None, "token", None, audit.DENIED, "unknown, expired or revoked")

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


def _shown_token() -> str | None:
    """What a program shows to be let in; None when this is a browser, or the address is not one for programs."""
    if not request.path.startswith(API):
        return None
    if MARK in request.query_string.decode("latin-1"):
        sentence = "An address is kept in logs: revoke that token, and send a new one as Authorization: Bearer."
        raise Refused("malformed", sentence)
    scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
    return shown.strip() if scheme.lower() == "bearer" else None


def _seconds(wait_ms: int) -> int:
    return max(1, -(-wait_ms // 1000))


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
        return host.partition("]")[0].lower() + "]"
    return host.partition(":")[0].lower()
