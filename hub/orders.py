"""What devices are told to do: each order sent until it is answered, and answered once.

Nothing here destroys anything. What does (a wipe) needs a statement on the order by a key that is not on this hub; its
place is `Order.vouched`, and a terminal obeys no such kind without it.
"""

from __future__ import annotations

import secrets

from msgspec import Struct
from sqlalchemy import Connection, Row, Select, insert, select, update

from hub import audit, schema
from hub.errors import Refused
from wire.facts import OrderDone
from wire.ids import ID_BYTES
from wire.state import Order, OrderKind, Orders

OPEN_MAX = 16  # of one device: nobody gives a board so many that it has not answered
SHOWN_MAX = 5

LABEL: dict[str, str] = {
    OrderKind.LOCK: "Lock the clinical zone",
    OrderKind.RESEND: "Send everything again",
}

_order = schema.device_order


class Given(Struct, frozen=True, kw_only=True):
    """An order as people see it. `outcome`: None until the terminal has answered."""

    kind: str
    label: str
    issued_ms: int
    issued_by: str
    done_ms: int | None
    outcome: str | None


def give(connection: Connection, device: str, kind: str, by: str, now_ms: int) -> bytes:
    """Tell `device` to do `kind`, and the order's id; the same one again while an equal order is not answered."""
    if kind not in LABEL:
        raise Refused("malformed", f"There is no order {kind!r}.")
    known = schema.device
    if connection.execute(select(known.c.device).where(known.c.device == device)).first() is None:
        raise Refused("not_found", f"There is no device {device}.")
    still_open = connection.execute(_open(device)).all()
    same = next((row for row in still_open if row.kind == kind), None)
    if same is not None:
        return bytes(same.id)
    if len(still_open) >= OPEN_MAX:
        raise Refused("conflict", f"{device} has {OPEN_MAX} orders that it has not answered.")
    made = secrets.token_bytes(ID_BYTES)
    connection.execute(insert(_order).values(id=made, device=device, kind=kind, issued_ms=now_ms, issued_by=by))
    audit.append(connection, now_ms, "console", by, f"order_{kind}", device, audit.OK)
    return made


def section(connection: Connection, device: str) -> Orders | None:
    """Section `orders` of `device`; None for one that was never told anything, as nearly all."""
    if connection.execute(select(_order.c.id).where(_order.c.device == device).limit(1)).first() is None:
        return None
    rows = connection.execute(_open(device)).all()
    return Orders(
        orders=tuple(Order(id=row.id, kind=row.kind, issued_ms=row.issued_ms, by=row.issued_by) for row in rows)
    )


def answered(connection: Connection, device: str, said: OrderDone, now_ms: int) -> bool:
    """Whether the terminal's answer is news."""
    done = connection.execute(
        update(_order)
        .where(_order.c.id == said.order, _order.c.device == device, _order.c.done_ms.is_(None))
        .values(done_ms=now_ms, outcome=said.outcome[:32])
    )
    return bool(done.rowcount)


def given(connection: Connection, device: str) -> tuple[Given, ...]:
    """The newest orders of `device`."""
    rows = connection.execute(
        select(_order).where(_order.c.device == device).order_by(_order.c.issued_ms.desc()).limit(SHOWN_MAX)
    )
    return tuple(_given(row) for row in rows)


def _open(device: str) -> Select[tuple[object, ...]]:
    return (
        select(_order)
        .where(_order.c.device == device, _order.c.done_ms.is_(None))
        .order_by(_order.c.issued_ms, _order.c.id)
    )


def _given(row: Row[tuple[object, ...]]) -> Given:
    return Given(
        kind=row.kind,
        label=LABEL.get(row.kind, row.kind),
        issued_ms=row.issued_ms,
        issued_by=row.issued_by,
        done_ms=row.done_ms,
        outcome=row.outcome,
    )
