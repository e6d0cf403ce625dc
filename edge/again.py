"""Saying again everything that is still held, because the hub asked: behind what is owed, and across restarts.

Receipts are not touched: nothing is owed for it, and the hub keeps what it has and takes what it had lost. How far it has
come is kept when the broker has answered for a batch, so that whoever is interrupted says that batch once more.
"""

from __future__ import annotations

from sqlite_utils import Database

from edge import outbox
from edge.outbox import LEDGER, TRAIL, Owed

BATCH_RECORDS = 16
BATCH_BYTES = 64 * 1024


def begin(db: Database) -> None:
    """Say both logs again, from the first number on."""
    for log in (LEDGER, TRAIL):
        keep(db, log, 1)


def cursors(db: Database) -> dict[str, int]:
    """From which number each log is still to be said again."""
    rows: list[tuple[str, int]] = db.execute("select name, value from fact where name like 'again:%'").fetchall()
    return {name.removeprefix("again:"): value for name, value in rows}


def keep(db: Database, log: str, cursor: int | None) -> None:
    """`log` was said again up to here; None: all of it."""
    if cursor is None:
        db.execute("delete from fact where name = ?", [f"again:{log}"])
    else:
        db.execute("insert or replace into fact (name, value) values (?, ?)", [f"again:{log}", cursor])


def batch(db: Database, cursor: int) -> tuple[Owed, ...]:
    """The next receipted records from `cursor` on; none when all have been said. What is owed goes its own way."""
    owed_from = outbox.numbers(db).lowest_owed
    held = outbox.read(db, cursor, BATCH_RECORDS, BATCH_BYTES)
    return tuple(record for record in held if record.seq < owed_from)
