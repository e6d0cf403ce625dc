"""What the hub asked and was answered is answered once more, when the disk has spoiled the answer before it left.

Nobody else would: a list that is held and an order that is obeyed are answered when they come, and only then.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec
from sqlite_utils import Database

from edge import held, orders, outbox
from edge.outbox import Signer
from wire.facts import StateHeld
from wire.records import Kind
from wire.stamp import Stamp
from wire.state import Orders
from wire.topics import Section


def owe_again(db: Database, kem: ec.EllipticCurvePrivateKey, signer: Signer, stamp: Stamp, spoiled: str) -> None:
    """Owe every answer of the kind `spoiled`; for a record that answers nothing, nothing. Which of them it was nobody can
    tell any more, and one that is said twice counts once."""
    if spoiled == Kind.STATE_HELD:
        for section, version in held.versions(db):
            fact = StateHeld(section=section, epoch=version.epoch, n=version.n)
            outbox.append(db, signer, stamp, Kind.STATE_HELD, fact)
    if spoiled == Kind.ORDER_DONE:
        told = held.content(db, kem, Section.ORDERS, Orders)
        orders.answer(db, signer, stamp, () if told is None else told.orders)
