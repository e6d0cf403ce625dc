"""How far the hub's audit went, countersigned: a desk says in its own log what the hub told it, and keeps the highest.

The log is numbered, signed by this desk and held by the hub beside its audit. Who cuts the audit, or writes its end anew, is
then contradicted by words that only this desk can have said.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec
from sqlite_utils import Database

from edge import held
from wire.codec import Malformed
from wire.facts import AUDIT_HEAD, AuditFact
from wire.state import AuditHead
from wire.topics import Section


def countersigned(before: tuple[int, AuditHead] | None, epoch: int, said: AuditHead) -> AuditFact:
    """What this desk says to `said`, of the hub's state `epoch`; Malformed when that cannot be. `before`: epoch and head that
    it holds, the highest that it was told.

    Within an epoch the audit only grows. A restored hub begins a new one, and has lost lines honestly.
    """
    if before is not None and before[0] == epoch:
        if said.line < before[1].line:
            raise Malformed(f"an audit that ends at line {said.line}, and went to line {before[1].line}")
        if said.line == before[1].line and said.chained != before[1].chained:
            raise Malformed(f"an audit whose line {said.line} is another than before")
    return AuditFact(what=AUDIT_HEAD, outcome="ok", about=f"{epoch}:{said.line}", reason=said.chained.hex())


def last_told(db: Database, kem: ec.EllipticCurvePrivateKey) -> str | None:
    """epoch:line:hash, for whoever checks the audit from outside; None before the hub has told anything."""
    about, said = held.about(db, Section.AUDIT), held.content(db, kem, Section.AUDIT, AuditHead)
    return None if about is None or said is None else f"{about.version.epoch}:{said.line}:{said.chained.hex()}"
