"""The devices as a fleet tech or a supervisor sees them: no position, no crew, no assignment; and what they are told to do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from flask import Blueprint, Response, redirect, render_template, request
from msgspec import Struct
from sqlalchemy import Connection, Engine, select

from hub import clones, orders, snapshot
from hub.clones import Seen
from hub.errors import Refused
from hub.orders import LABEL, Given
from hub.presence import State, Word
from hub.schema import device, unit
from hub.snapshot import LinkOf
from hub.web.access import signed_in
from hub.web.answers import with_form

_DECISIONS = frozenset({clones.LEFT})
_OUTCOME = {"done": "done", "unknown": "not known to its program", "refused": "refused by the terminal"}


class DeviceRow(Struct, frozen=True, kw_only=True):
    """A device. `owed`: what its terminal has that is not here, in words; `orders`: the newest, in words; `twin`: there
    is a second board with its identity."""

    device: str
    call_sign: str
    kind: str
    state: str
    link: str
    since: str
    certificate_until: str
    owed: str
    orders: tuple[str, ...]
    twin: Seen | None
    is_working: bool


def device_views(
    engine: Engine, agency: str, link_of: LinkOf, changed: Callable[[], None], now_ms: Callable[[], int]
) -> Blueprint:
    """GET /devices; POST /devices/ID/order (kind) and /devices/ID/settle (word). `changed` is called after each commit."""
    views = Blueprint("devices", __name__, url_prefix="/devices")

    @views.get("")
    def every() -> Response:
        return page(engine, agency, link_of, now_ms())

    @views.post("/<name>/order")
    def order(name: str) -> Response:
        with engine.begin() as connection:
            orders.give(connection, name, request.form.get("kind", ""), signed_in().account, now_ms())
        changed()
        return _back()

    @views.post("/<name>/settle")
    def settle(name: str) -> Response:
        word = request.form.get("word", "")
        if word not in _DECISIONS:
            raise Refused("malformed", f"There is no decision {word!r}.")
        with engine.begin() as connection:
            clones.settle(connection, name, word, signed_in().account, now_ms())
        changed()
        return _back()

    return views


def page(engine: Engine, agency: str, link_of: LinkOf, now_ms: int) -> Response:
    """The page of devices."""
    with engine.begin() as connection:
        rows, refused = _rows(connection, link_of, now_ms), snapshot.health(connection).quarantined
    return with_form(
        render_template("devices.html", agency=agency, me=signed_in(), rows=rows, refused=refused, kinds=LABEL)
    )


def owed(link: State, now_ms: int) -> str:
    """What a terminal has that is not here, in few words."""
    if link.owed:
        oldest = "" if link.owed_since_ms is None else f", oldest {_age(now_ms - link.owed_since_ms)}"
        return f"{link.owed} unsent{oldest}"
    if link.word is Word.CONNECTED:
        return "all received"
    return "" if link.complete_ms is None else f"all received through {_clock(link.complete_ms)}"


def _rows(connection: Connection, link_of: LinkOf, now_ms: int) -> list[DeviceRow]:
    twins = {one.device: one for one in clones.seen(connection)}
    found = connection.execute(
        select(device, unit.c.call_sign).join(unit, unit.c.unit == device.c.unit).order_by(unit.c.call_sign)
    ).all()
    shown = []
    for row in found:
        link = link_of(row.device)
        shown.append(
            DeviceRow(
                device=row.device,
                call_sign=row.call_sign,
                kind=row.kind,
                state=row.state,
                link=link.word,
                since=_minute(link.since_ms),
                certificate_until=_minute(row.not_after_ms),
                owed=owed(link, now_ms),
                orders=tuple(_told(one) for one in orders.given(connection, row.device)),
                twin=twins.get(row.device),
                is_working=row.state in ("enrolled", "active"),
            )
        )
    return shown


def _told(one: Given) -> str:
    given = f"{one.label}, {_clock(one.issued_ms)} by {one.issued_by}"
    if one.done_ms is None:
        return f"{given}: not yet on the terminal"
    return f"{given}: {_OUTCOME.get(one.outcome or '', one.outcome)} {_clock(one.done_ms)}"


def _back() -> Response:
    answer = redirect("/devices", code=303)
    assert isinstance(answer, Response)
    return answer


def _age(ms: int) -> str:
    minutes = max(0, ms) // 60_000
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h"


def _clock(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%H:%M:%S} UTC"


def _minute(at_ms: int | None) -> str:
    return "" if at_ms is None else datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
