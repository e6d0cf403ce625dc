"""Name and password in, a cookie out."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from threading import Lock

from flask import Blueprint, Response, make_response, redirect, render_template, request
from sqlalchemy import Engine

from hub import accounts, audit, sessions
from hub.errors import Refused, http_status
from hub.web.access import Door, signed_in

TRIES_MAX = 10  # a minute and address; the account itself locks after five wrong ones
TRIES_WITHIN_MS = 60_000
ADDRESSES_MAX = 10_000  # remembered at once; the one that tried longest ago is forgotten first


class Tries:
    """How often each address has tried lately."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._by_address: OrderedDict[str, deque[int]] = OrderedDict()

    def may(self, address: str, now_ms: int) -> bool:
        """Count a try of `address`; False when it is one too many."""
        with self._lock:
            tries = self._by_address.setdefault(address, deque())
            self._by_address.move_to_end(address)
            while tries and tries[0] <= now_ms - TRIES_WITHIN_MS:
                tries.popleft()
            if len(self._by_address) > ADDRESSES_MAX:
                self._by_address.popitem(last=False)
            if len(tries) >= TRIES_MAX:
                return False
            tries.append(now_ms)
            return True


def sign_in_views(engine: Engine, now_ms: Callable[[], int], door: Door, agency: str) -> Blueprint:
    """GET and POST /signin, POST /signout."""
    views = Blueprint("signin", __name__)
    tries = Tries()

    @views.get("/signin")
    def ask() -> Response:
        return _page(agency, "", None, 200)

    @views.post("/signin")
    def answer() -> Response:
        account, password = request.form.get("account", "").strip(), request.form.get("password", "")
        try:
            if not tries.may(request.remote_addr or "", now_ms()):
                raise Refused("too_many", "Too many tries from this computer. Wait a minute.")
            person = accounts.check(engine, account, password, now_ms())
        except Refused as refused:
            return _page(agency, account, refused.sentence, http_status(refused))
        with engine.begin() as connection:
            sessions.end(connection, door.token())  # a new session at each sign-in, never one that was there before
            begun = sessions.begin(connection, person.account, now_ms())
            audit.append(connection, now_ms(), "console", person.account, "sign_in", None, audit.OK)
        answer = redirect("/", code=303)
        answer.set_cookie(door.cookie, begun.token, path="/", secure=door.secure, httponly=True, samesite="Strict")
        return _response(answer)

    @views.post("/signout")
    def leave() -> Response:
        with engine.begin() as connection:
            sessions.end(connection, door.token())
            audit.append(connection, now_ms(), "console", signed_in().account, "sign_out", None, audit.OK)
        answer = redirect("/signin", code=303)
        answer.delete_cookie(door.cookie, path="/", secure=door.secure, httponly=True, samesite="Strict")
        return _response(answer)

    return views


def _page(agency: str, account: str, why: str | None, status: int) -> Response:
    page = make_response(render_template("signin.html", agency=agency, account=account, why=why), status)
    # With "no-referrer" a browser says "Origin: null" when this form is sent, and we could not tell it from a stranger's.
    page.headers["Referrer-Policy"] = "same-origin"
    return page


def _response(answer: object) -> Response:
    assert isinstance(answer, Response)
    return answer
