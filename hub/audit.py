"""Who did what, when: appended in the transaction of the deed itself, never edited, each line hashed with the one before.

    chained(n) = SHA-256("tandem-audit-v1\\0" ‖ [chained(n-1), seq, at_ms, source, actor, what, about, outcome, reason])

Whoever edits, deletes or moves a line breaks the chain there. Whoever writes it anew from there to the end, or cuts the end
off, is found by what others hold of it: see `hub.audit_check`.
"""

from __future__ import annotations

from hashlib import sha256

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import Connection, Row, insert, select, update

from hub import schema, store
from wire.codec import encode
from wire.state import AuditHead

BEGINNING = bytes(32)  # before the first line
HEAD_EVERY = 100  # lines; and ten minutes, see `mark`
_TABLE = schema.audit
_APPEND = insert(_TABLE)  # built once and not for each
_LAST = select(_TABLE.c.seq, _TABLE.c.chained).order_by(_TABLE.c.seq.desc()).limit(1)
_CONTEXT = b"tandem-audit-v1\0"

OK = "ok"
DENIED = "denied"
FAILED = "failed"

RESTORED_LINE = "restored"  # `what`, of the line in the place of the first that a restore lost

# In hub_fact: the number of the newest line of each kind that a supervisor must see, so that no reader searches for it.
WENT_BACK = "alarm_went_back"
NO_BACKUP = "alarm_no_backup"  # 0 after one that was made
RESTORED = "alarm_restored"
DAMAGED = "alarm_damaged:"  # before a device
TRIMMED = "trimmed:"  # before device:section: how many of its last entries do not fit in a packet
HEAD = "audit_head"  # the line that desks were told of last


class Line(Struct, frozen=True, kw_only=True, array_like=True):
    """A line of the audit as it is hashed. `source`: "console", "hub" or a device id; `outcome`: "ok", "denied" or "failed"."""

    seq: int
    at_ms: int
    source: str
    actor: str | None
    what: str
    about: str | None
    outcome: str
    reason: str | None


def append(
    connection: Connection,
    at_ms: int,
    source: str,
    actor: str | None,
    what: str,
    about: str | None,
    outcome: str,
    reason: str | None = None,
) -> int:
    """Note a deed, and say under which number.

    Never note text, a PIN, or the name of a person met: ids only.
    """
    last = connection.execute(_LAST).first()
    seq, before = (0, BEGINNING) if last is None else (last.seq, last.chained)
    line = Line(
        seq=seq + 1, at_ms=at_ms, source=source, actor=actor, what=what, about=about, outcome=outcome, reason=reason
    )
    if before is None:
        before = chain_up(connection)
    connection.execute(_APPEND, {**asdict(line), "chained": chained(before, line)})
    if line.seq % HEAD_EVERY == 0:
        store.keep_fact(connection, HEAD, line.seq)
    return line.seq


def mark(connection: Connection) -> None:
    """The desks shall be told of the newest line: called every ten minutes."""
    newest = connection.execute(_LAST).first()
    if newest is not None and newest.seq != store.fact(connection, HEAD):
        store.keep_fact(connection, HEAD, newest.seq)


def head(connection: Connection) -> AuditHead | None:
    """What desks shall hold of the audit; None before there is anything."""
    seq = store.fact(connection, HEAD)
    beside = connection.execute(select(_TABLE.c.chained).where(_TABLE.c.seq == seq)).scalar()
    if seq is None or beside is None:
        return None
    return AuditHead(line=seq, chained=beside)


def chained(before: bytes, line: Line) -> bytes:
    """What stands beside `line` when `before` stands beside the one before it."""
    return sha256(_CONTEXT + encode((before, line))).digest()


def line_of(row: Row[tuple[object, ...]]) -> Line:
    """A row of the table as it is hashed."""
    return Line(
        seq=row.seq,
        at_ms=row.at_ms,
        source=row.source,
        actor=row.actor,
        what=row.what,
        about=row.about,
        outcome=row.outcome,
        reason=row.reason,
    )


def chain_up(connection: Connection) -> bytes:
    """Chain the lines at the end that a release before wrote without, and answer what stands beside the last line.

    A line without a hash among such that have one stays as it is, for nobody can say when it came there.
    """
    newest = select(_TABLE.c.seq).where(_TABLE.c.chained.is_not(None)).order_by(_TABLE.c.seq.desc()).limit(1)
    through = connection.execute(newest).scalar() or 0
    before = connection.execute(select(_TABLE.c.chained).where(_TABLE.c.seq == through)).scalar() or BEGINNING
    for row in connection.execute(select(_TABLE).where(_TABLE.c.seq > through).order_by(_TABLE.c.seq)).all():
        before = chained(before, line_of(row))
        connection.execute(update(_TABLE).where(_TABLE.c.seq == row.seq).values(chained=before))
    return before
