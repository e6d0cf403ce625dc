"""What the hub wants done here: each order obeyed once, and answered.

That it was obeyed and that it is answered is remembered in one transaction, so that lists which are lost, doubled, late
or said again by a hub that was restored change nothing. What is done in memory (a lock) is done after it: a process that
dies in between holds no keys any more.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from sqlite_utils import Database

from edge import again, outbox
from edge.outbox import Signer
from wire.facts import OrderDone
from wire.records import Kind
from wire.stamp import Stamp
from wire.state import Order, OrderKind, Orders

REMEMBERED_MAX = 1000  # far more than anybody gives one board; the oldest are forgotten first
DONE, UNKNOWN, REFUSED = "done", "unknown", "refused"


class Obeyed(Struct, frozen=True, kw_only=True):
    """What is left to do outside the store."""

    locks: bool = False
    resends: bool = False


def fold(db: Database, signer: Signer, stamp: Stamp, orders: Orders, *, is_restored: bool) -> Obeyed:
    """Obey what is new in `orders`. `is_restored`: the hub's epoch has risen, so it may have lost answers."""
    obeyed = [order for order in orders.orders if not _is_known(db, order)]
    for order in obeyed:
        _remember(db, order)
        if order.kind == OrderKind.RESEND:
            again.begin(db)
    answer(db, signer, stamp, orders.orders if is_restored else obeyed)
    kinds = {order.kind for order in obeyed}
    return Obeyed(locks=OrderKind.LOCK in kinds, resends=OrderKind.RESEND in kinds)


def answer(db: Database, signer: Signer, stamp: Stamp, orders: Iterable[Order]) -> None:
    """Owe the hub what became of `orders`."""
    for order in orders:
        outbox.append(db, signer, stamp, Kind.ORDER_DONE, OrderDone(order=order.id, outcome=outcome_of(order)))


def outcome_of(order: Order) -> str:
    """What this program does about an order. None that destroys is known to it; such a one would need `vouched`."""
    return DONE if order.kind in (OrderKind.LOCK, OrderKind.RESEND) else UNKNOWN


def _is_known(db: Database, order: Order) -> bool:
    return db.execute("select 1 from fact where name = ?", [_name(order)]).fetchone() is not None


def _remember(db: Database, order: Order) -> None:
    db.execute("insert into fact (name, value) values (?, ?)", [_name(order), order.issued_ms])
    db.execute(
        "delete from fact where name like 'order:%' and name not in"
        " (select name from fact where name like 'order:%' order by value desc, name limit ?)",
        [REMEMBERED_MAX],
    )


def _name(order: Order) -> str:
    return f"order:{order.id.hex()}"
