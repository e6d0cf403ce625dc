"""A damaged file is put aside, what can be read of it goes on in a new one, and the hub hears which numbers are lost.

The law: whatever a disk did, the terminal starts. Nothing is salvaged twice over or half: the new file takes its place whole,
after it is on the disk, and a power cut before that begins again from the file that was put aside. Nothing is given back that
was taken away: PIN tries and PINs are in files of their own and are not touched, and the key of a shift comes only from a row
that SQLite still reads, never from an older copy, where it may stand although it was destroyed at sign-off.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from pathlib import Path

import structlog
from sqlite_utils import Database

from edge import copies, evidence, outbox
from edge.clock import Clock, boot_id
from edge.damage import beside, damage_of
from edge.evidence import Rescued
from edge.outbox import Signer
from edge.readable import Found, Row, read
from edge.schema import Step
from edge.settings import SettingsError
from edge.store import SUSPECT, Damaged, Store, open_file
from wire.facts import LedgerDamaged
from wire.records import Kind
from wire.stamp import Stamp

log = structlog.get_logger()


def open_store(
    path: Path,
    steps: tuple[Step, ...],
    name: str,
    signer: Signer,
    stamp: Callable[[], Stamp] = lambda: Clock(boot_id()).stamp(),
    *,
    opened: Callable[[Path, tuple[Step, ...]], Store] = Store,
    second: Path | None = None,
    mend: Callable[[Database], object] = lambda db: None,
) -> Store:
    """The store at `path`, salvaged before if the file is damaged or a salvage was cut short. `opened` opens it; `name`: of
    its log; `second`: where copies are kept if not in the terminal's folder; `mend`: drops what SQLite reads and nobody else can.
    SettingsError when it cannot be used."""
    try:
        aside = evidence.unfinished(path) or _damaged(path, steps)
        if aside is None:
            try:
                return _mended(opened(path, steps), mend)
            except Damaged:
                aside = evidence.put_aside(path, "it does not open")
        _salvage(aside, path, steps, name, signer, stamp(), copies.newest(path, second))
    except OSError as wrong:
        raise SettingsError(f"{path} is damaged and cannot be salvaged: {wrong.strerror}.") from wrong
    except sqlite3.Error as wrong:
        raise SettingsError(f"{path} is damaged and cannot be salvaged: {wrong}.") from wrong
    return _mended(opened(path, steps), mend)


def _damaged(path: Path, steps: tuple[Step, ...]) -> Path | None:
    damage = damage_of(path, steps)
    return None if damage is None else evidence.put_aside(path, damage)


def _mended(store: Store, mend: Callable[[Database], object]) -> Store:
    store.do(mend)
    return store


def _salvage(
    aside: Path, path: Path, steps: tuple[Step, ...], name: str, signer: Signer, stamp: Stamp, copy: Path | None
) -> None:
    new = beside(path, ".new")
    for leftover in (new, beside(new, "-wal"), beside(new, "-shm")):
        leftover.unlink(missing_ok=True)
    found, rest = read(aside / path.name, copy, signer)
    db = open_file(new, steps)
    with closing(db.conn):
        db.execute("begin immediate")
        rescued = _fill(db, found, rest, name, signer, stamp, evidence.why(aside))
        db.execute("commit")
        db.conn.execute("pragma wal_checkpoint(truncate)")
    evidence.sync(new)
    evidence.rescued(aside, rescued)
    for old in ("-wal", "-shm", SUSPECT):  # of the damaged file: read together with the new one they would spoil it
        beside(path, old).unlink(missing_ok=True)
    new.rename(path)
    evidence.sync(path.parent)
    evidence.finished(aside)
    log.warning("file_salvaged", file=path.name, records=rescued.records, lost=rescued.lost)


def _fill(
    db: Database,
    found: Found,
    rest: Mapping[str, list[Row]],
    name: str,
    signer: Signer,
    stamp: Stamp,
    damage: str,
) -> Rescued:
    owed = found.owed
    runs = _runs(owed)
    numbers: dict[int, int] = {}
    newest = outbox.append(
        db,
        signer,
        stamp,
        Kind.LEDGER_DAMAGED,
        LedgerDamaged(
            log=name,
            log_id=found.log_id,
            next=found.next,
            through=found.through,
            salvaged=runs,
            damage=damage,
        ),
    )
    raised = {row.get("seq") for row in rest.get("emergency", ())}
    presses: dict[int, int] = {}
    for seq in sorted(found.held):
        record = found.held[seq][0]
        if record.kind == Kind.EMERGENCY and seq in raised:  # goes out by itself, ahead of everything, as what it is
            newest = presses[seq] = outbox.append(db, signer, record.stamp, record.kind, record.body)
    for seq, data in owed.items():
        record = found.held[seq][0]
        inner = record.body if record.kind == Kind.SALVAGED else data
        newest = numbers[seq] = outbox.append(db, signer, record.stamp, Kind.SALVAGED, inner)
    for table, rows in rest.items():
        for row in rows:
            _insert(db, table, _renumbered(table, row, numbers, presses))
    lost = found.next - 1 - found.through - sum(1 for seq in owed if seq > found.through)
    return Rescued(
        log=name,
        log_id=outbox.numbers(db).log_id,
        through=newest,
        records=len(owed),
        lost=lost if found.log_id is not None else -1,
        damage=damage,
        at_ms=stamp.wall_ms or 0,
    )


def _renumbered(table: str, row: Row, numbers: Mapping[int, int], presses: Mapping[int, int]) -> Row | None:
    """The row with the new log's numbers; None when it is about a record that is gone."""
    seq = row.get("seq")
    match table:
        case "note" if isinstance(seq, int):
            return row | {"seq": numbers.get(seq, 0)}  # 0: the hub holds it
        case "press":
            return row | {"seq": numbers[seq]} if isinstance(seq, int) and seq in numbers else None
        case "emergency":
            first = row.get("first_seq")
            upcoming = presses.get(seq, 0) if isinstance(seq, int) else 0
            return row | {"seq": upcoming, "first_seq": presses.get(first, 0) if isinstance(first, int) else 0}
    return row


def _insert(db: Database, table: str, row: Row | None) -> None:
    if row is None:
        return
    known = {column[1] for column in db.execute(f"pragma table_info({table})").fetchall()}
    columns = [column for column in row if column in known]
    if not columns:
        return
    marks = ", ".join("?" * len(columns))
    with suppress(sqlite3.IntegrityError):  # a value that its column cannot have: what was flipped, or seen twice
        db.execute(
            f"insert or ignore into {table} ({', '.join(columns)}) values ({marks})",  # noqa: S608 - names of our schema
            [row[column] for column in columns],
        )


def _runs(owed: Iterable[int]) -> tuple[tuple[int, int], ...]:
    runs: list[tuple[int, int]] = []
    for seq in owed:
        if runs and runs[-1][1] == seq - 1:
            runs[-1] = runs[-1][0], seq
        else:
            runs.append((seq, seq))
    return tuple(runs)
