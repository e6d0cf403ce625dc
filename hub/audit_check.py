"""Whether the audit is what was written: the chain of its lines, and the words of those who hold how far it went.

A chain alone finds a line that was edited, taken out or moved. It does not find an end that was cut off, nor everything from
some line on written anew with hashes that fit; the heads that desks have countersigned do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct
from sqlalchemy import Connection, Engine, select

from hub import schema, store
from hub.audit import BEGINNING, RESTORED_LINE, Line, chained, line_of
from hub.errors import Refused
from wire.codec import Malformed, decode
from wire.facts import AUDIT_HEAD, AuditFact
from wire.records import Kind, open_record
from wire.signature import public_from

WRONGS_MAX = 50  # whoever reads more learns nothing more
PAGE_LINES = 2000


class Head(Struct, frozen=True, kw_only=True):
    """What `by` holds of the audit: in state `epoch` it went to `line`, beside which stood `chained`."""

    by: str
    epoch: int
    line: int
    chained: bytes


class Checked(Struct, frozen=True, kw_only=True, tag="checked"):
    """`lines`: how many there are; `open_from`: the first of those at the end that a release before wrote without hash, None
    when there are none; `heads`: how many words of desks were compared; `wrongs`: one sentence each, empty when all is well."""

    lines: int
    open_from: int | None
    heads: int
    wrongs: tuple[str, ...]


def check(engine: Engine, more: Sequence[Head] = ()) -> Checked:
    """Read every line, and compare with what desks have countersigned and with the heads in `more`. Page by page: lines are
    only ever added, and a hub that runs has other things to write meanwhile."""
    with engine.begin() as connection:
        heads = (*countersigned(connection), *more)
        epoch = store.epoch(connection)
    walk = _Walk({head.line for head in heads})
    while walk.take_page(engine):
        pass
    wrongs = [*walk.wrongs, *_contradictions(heads, walk, epoch)]
    return Checked(lines=walk.count, open_from=walk.open_from, heads=len(heads), wrongs=tuple(wrongs[:WRONGS_MAX]))


def countersigned(connection: Connection) -> Iterator[Head]:
    """What desks have said in their own logs that they were told, each verified by the key that it came under."""
    record, signer, device = schema.record, schema.signer, schema.device
    rows = connection.execute(
        select(record.c.data, record.c.device, signer.c.public)
        .join(signer, signer.c.id == record.c.signer)
        .join(device, device.c.device == record.c.device)
        .where(record.c.kind == Kind.AUDIT, record.c.refused.is_(None), device.c.kind == "desk")
        .order_by(record.c.id)
    )
    for row in rows:
        fact = decode(open_record(row.data, row.device, public_from(row.public)).body, AuditFact)
        if fact.what == AUDIT_HEAD:
            yield head_in(row.device, fact.about or "", fact.reason or "")


def head_in(by: str, about: str, reason: str) -> Head:
    """The head that an `AuditFact` names; Malformed."""
    try:
        epoch, line = about.split(":")
        return Head(by=by, epoch=int(epoch), line=int(line), chained=bytes.fromhex(reason))
    except ValueError:
        raise Malformed(f'"{about} {reason}" of {by} is no head of an audit') from None


def head_of(text: str) -> Head:
    """The head that a person gives; Refused."""
    about, _, value = text.rpartition(":")
    try:
        return head_in("you", about, value)
    except Malformed:
        raise Refused("malformed", f"{text} is no head: give EPOCH:LINE:HASH, as a desk prints it.") from None


def lines(checked: Checked) -> Iterator[str]:
    """What was found, for people."""
    yield from checked.wrongs
    if checked.open_from is not None:
        yield f"From line {checked.open_from} on a release before wrote without hashes; the next line chains them."
    held = "nothing that desks hold" if not checked.heads else f"{checked.heads} heads that are held elsewhere"
    found = "every line follows from the one before" if not checked.wrongs else f"{len(checked.wrongs)} faults"
    yield f"{checked.lines} lines, {found}; compared with {held}"


class _Walk:
    """From the first line to the last. `found`: what stands beside those asked for; `restored`: the first that tells of a
    restore, which stands in the place of the first line that was lost by it."""

    def __init__(self, asked: set[int]) -> None:
        self.last, self.count = 0, 0
        self.restored: int | None = None
        self._beside = BEGINNING
        self.open_from: int | None = None
        self.found: dict[int, bytes] = {}
        self.wrongs: list[str] = []
        self._asked = asked

    def take_page(self, engine: Engine) -> bool:
        """Whether there may be another one."""
        with engine.begin() as connection:
            rows = connection.execute(
                select(schema.audit)
                .where(schema.audit.c.seq > self.last)
                .order_by(schema.audit.c.seq)
                .limit(PAGE_LINES)
            ).all()
        for row in rows:
            self._take(line_of(row), row.chained)
        return len(rows) == PAGE_LINES

    def _take(self, line: Line, kept: bytes | None) -> None:
        seq, due = line.seq, chained(self._beside, line)
        if seq != self.last + 1:
            self.wrongs.append(_missing(self.last + 1, seq - 1))
        elif kept is not None and self.open_from is not None:
            self.wrongs.append(f"Line {self.open_from} carries no hash although one after it does.")
            self.open_from = None
        elif kept is not None and kept != due:
            self.wrongs.append(f"Line {seq} does not follow from the one before: one of the two was changed or moved.")
        if kept is None:
            self.open_from = self.open_from or seq
        if line.what == RESTORED_LINE and self.restored is None:
            self.restored = seq
        self.last, self.count = seq, self.count + 1
        self._beside = due if kept is None else kept
        if seq in self._asked:
            self.found[seq] = self._beside


def _missing(first: int, last: int) -> str:
    return f"Line {first} is missing." if first == last else f"Lines {first} to {last} are missing."


def _contradictions(heads: Iterable[Head], walk: _Walk, epoch: int) -> Iterator[str]:
    """What was held of lines that are gone, or are others now. A restore loses lines honestly, and says so in the audit: what
    was held in an epoch before may name lines that were lost by it, and none before."""
    for head in heads:
        beside = walk.found.get(head.line)
        is_lost = head.epoch < epoch and walk.restored is not None and walk.restored <= head.line
        if beside == head.chained or is_lost:
            continue
        if head.line > walk.last:
            yield f"The audit ends at line {walk.last}, and {head.by} was told of line {head.line}: its end was cut off."
        else:
            yield f"Line {head.line} is not the one that {head.by} was told of: it was written anew from there or before."
