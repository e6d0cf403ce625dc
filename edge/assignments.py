"""Where the unit is sent and what it is doing: the hub's word, with the crew's own presses ahead of it folded in.

The hub's snapshot says through which of this terminal's records it was made. A press beyond that has not been heard
yet and still counts here, so that a button shows what it did at once and never jumps back.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct
from sqlite_utils import Database

from edge import held, outbox
from edge.outbox import Signer
from wire import signature
from wire.codec import Malformed, decode
from wire.facts import StatusFact
from wire.records import Kind, Record
from wire.stamp import Stamp
from wire.state import Assignment, Assignments
from wire.status import By, Status, may_follow, status_from
from wire.topics import Section


class View(Struct, frozen=True, kw_only=True):
    """What the screen shows. `current` is the assignment being worked on, `held_ms` when the hub's word was saved."""

    unit: str
    call_sign: str
    status: Status
    current: Assignment | None
    all: tuple[Assignment, ...]
    held_ms: int | None


class _Press(Struct, frozen=True, kw_only=True):
    status: str
    assignment: str | None


def view(db: Database, kem: ec.EllipticCurvePrivateKey) -> View | None:
    """The unit as it is to the best of this terminal's knowledge; None before the hub has said anything."""
    said = held.content(db, kem, Section.ASSIGNMENTS, Assignments)
    about = held.about(db, Section.ASSIGNMENTS)
    if said is None or about is None:
        return None
    press = _last_press(db, _folded_through(db, said))
    # A newer hub may know a status that this program does not: nothing is offered on the strength of a guess.
    status = status_from(press.status if press else said.status) or Status.OUT_OF_SERVICE
    return View(
        unit=said.unit,
        call_sign=said.call_sign,
        status=status,
        current=_current(said, press),
        all=said.assignments,
        held_ms=about.held_ms,
    )


def press(
    db: Database,
    signer: Signer,
    stamp: Stamp,
    view: View,
    status: Status,
    by: By,
    staff: str | None,
    undoes: int | None = None,
) -> int:
    """Owe the hub the crew's new `status`, and show it from now on: both or neither. The record's number.

    `undoes`: the number of the press that is taken back, so that a step backwards is none that was skipped.
    """
    assignment = view.current.id if view.current else None
    fact = StatusFact(
        unit=view.unit,
        status=status,
        by=by,
        staff=staff,
        assignment=assignment,
        skipped=undoes is None and not may_follow(view.status, status),
        undoes=undoes,
    )
    seq = outbox.append(db, signer, stamp, Kind.STATUS, fact)
    db.execute("delete from press")  # the newest one is what the crew does: no older one is ever looked at again
    db.execute(
        "insert into press (seq, status, assignment, pressed_ms) values (?, ?, ?, ?)",
        [seq, str(status), assignment, stamp.wall_ms or 0],
    )
    return seq


def fold(db: Database, said: Assignments) -> None:
    """Let go of the presses that the hub has folded into `said`."""
    db.execute("delete from press where seq <= ?", [_folded_through(db, said)])


def remember(db: Database, said: Assignments) -> None:
    """A hub that was restored has forgotten presses which it had folded, and will hear them again from the outbox.

    Until it has, they count here as they did before it first heard them, so that no button jumps back to yesterday.
    """
    if said.log_id not in (None, outbox.numbers(db).log_id):
        return  # the unit speaks through another board: ours are not the latest word
    rows: list[tuple[int, bytes]] = db.execute(
        "select seq, data from record where seq > ? and kind = ?", [_folded_through(db, said), Kind.STATUS]
    ).fetchall()
    for seq, data in rows:
        try:
            record = decode(signature.payload_of(data), Record)
            fact = decode(record.body, StatusFact)
        except Malformed:
            continue  # of another release: the hub will not read it either, and its word must be held all the same
        db.execute(
            "insert or ignore into press (seq, status, assignment, pressed_ms) values (?, ?, ?, ?)",
            [seq, fact.status, fact.assignment, record.stamp.wall_ms or 0],
        )


def _folded_through(db: Database, said: Assignments) -> int:
    """Through which of our own numbers the hub has heard us; a log of another file says nothing about ours."""
    return said.status_through if said.log_id == outbox.numbers(db).log_id else 0


def _last_press(db: Database, through: int) -> _Press | None:
    row: tuple[str, str | None] | None = db.execute(
        "select status, assignment from press where seq > ? order by seq desc limit 1", [through]
    ).fetchone()
    return None if row is None else _Press(status=row[0], assignment=row[1])


def _current(said: Assignments, press: _Press | None) -> Assignment | None:
    """The one the crew last pressed for, if the hub still has it; else the first of the hub's order."""
    by_id = {assignment.id: assignment for assignment in said.assignments}
    if press and press.assignment in by_id:
        return by_id[press.assignment]
    return said.assignments[0] if said.assignments else None
