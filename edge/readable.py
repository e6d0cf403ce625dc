"""What can be read of a damaged file, by SQLite around its bad pages, then by the form of what stands in them.

The law: a record counts only with our signature; what was receipted stays receipted; nothing that was taken away comes back
from an older page or copy but the drafts and notes that a person wrote.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import NoneType

from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct

from edge import carving
from edge.damage import beside, read_only, what_is_left
from edge.outbox import Signer
from wire.codec import Malformed
from wire.ids import ID_BYTES
from wire.records import Record, open_record

QUERIES_MAX = 4_000  # of one table; a file whose every page is bad is left after a second
ROWID_MAX = 2**48
_OWN = ("log", "record")  # told by their meaning, not row by row
_SHAPES: dict[str, tuple[tuple[str, type | tuple[type, ...]], ...]] = {  # of the rows that are told by their form alone
    "draft": (("note_id", bytes), ("encounter", bytes), ("staff", str), ("sealed", bytes), ("saved_ms", int)),
    "note": (
        ("note_id", bytes),
        ("encounter", bytes),
        ("body_sha256", bytes),
        ("device", str),
        ("certificate", (bytes, NoneType)),
        ("note", bytes),
        ("kept_ms", int),
        ("seq", (int, NoneType)),
    ),
    "press": (("seq", NoneType), ("status", str), ("assignment", (str, NoneType)), ("pressed_ms", int)),
    "emergency": (
        ("emergency", bytes),
        ("is_drill", int),
        ("raised_ms", (int, NoneType)),
        ("boot", bytes),
        ("mono_ms", int),
        ("first_seq", int),
        ("seq", int),
        ("is_asked", int),
    ),
}
_FROM_COPIES = ("draft", "note")  # what a person wrote is looked for in an older copy as well

Row = dict[str, carving.Value]


class Found(Struct):
    """What is known of a damaged file's log. `owed`: signed bytes by number, verified; `held`: also what was receipted."""

    log_id: bytes | None = None
    next: int = 1
    through: int = 0
    held: dict[int, tuple[Record, bytes]] = {}
    unreceipted: set[int] = set()

    @property
    def owed(self) -> dict[int, bytes]:
        """What the hub has not said it holds, as far as it was read."""
        return {seq: self.held[seq][1] for seq in sorted(self.held) if seq > self.through or seq in self.unreceipted}


def read(source: Path, copy: Path | None, signer: Signer) -> tuple[Found, dict[str, list[Row]]]:
    """What is known of the log in `source`, and the rows of its other tables, by table. `copy`: an older state of the file,
    for what it has lost; `signer`: whose records they are. Whatever cannot be read is left out."""
    public = signer.key.public_key()
    found = Found()
    rest: dict[str, list[Row]] = {}
    unread: set[str] = set(_SHAPES)
    with suppress(sqlite3.Error), _connect(source) as conn:
        unread -= _read_rows(conn, found, rest, signer.device, public)
    _carve(source, found, rest, signer.device, public, unread)
    if copy is not None:
        older = Found()
        older_rest: dict[str, list[Row]] = {}
        with suppress(sqlite3.Error), _connect(copy) as conn:
            _read_rows(conn, older, older_rest, signer.device, public)
        _add_older(found, older)
        for table in unread.intersection(_FROM_COPIES):
            rest.setdefault(table, []).extend(older_rest.get(table, []))
    _without_finished(found, rest)
    _bound(found)
    return found, rest


def _read_rows(
    conn: sqlite3.Connection,
    found: Found,
    rest: dict[str, list[Row]],
    device: str,
    public: ec.EllipticCurvePublicKey,
) -> set[str]:
    """Everything that SQLite still reads; the tables that it read to the end."""
    whole: set[str] = set()
    tables: list[tuple[str]] = conn.execute(
        "select name from sqlite_schema where type = 'table' and name not like 'sqlite_%'"
    ).fetchall()
    for (table,) in sorted(tables, key=lambda one: one[0] not in _OWN):
        columns = [row[1] for row in conn.execute(f"pragma table_info({table})")]
        rows, is_whole = probe(conn, table, columns)
        if is_whole:
            whole.add(table)
        for row in rows:
            if table == "record":
                _take(found, row.get("data"), row.get("receipted_ms"), device, public)
            elif table == "log":
                _take_log(found, row.get("log_id"), row.get("next"), row.get("through"))
            else:
                rest.setdefault(table, []).append(row)
    return whole


def probe(conn: sqlite3.Connection, table: str, columns: list[str]) -> tuple[Iterator[Row], bool]:
    """The rows of `table` that can be read, around those that cannot; whether all could be."""
    wanted = ", ".join(columns)
    rows: dict[int, Row] = {}
    ranges, queries, is_whole = [(-ROWID_MAX, ROWID_MAX)], 0, True
    while ranges and queries < QUERIES_MAX:
        low, high = ranges.pop()
        queries += 1
        last = low - 1
        try:
            for row in conn.execute(
                f"select rowid, {wanted} from {table} where rowid between ? and ? order by rowid",  # noqa: S608
                [low, high],
            ):
                last = row[0]
                rows[last] = dict(zip(columns, row[1:], strict=True))
        except sqlite3.Error:
            is_whole = False
            low = max(low, last + 1)
            if low >= high:
                continue
            middle = (low + high) // 2
            ranges += [(middle + 1, high), (low, middle)]  # the lower one first: the older rows are at its beginning
    return iter(rows.values()), is_whole and not ranges


def _carve(
    source: Path,
    found: Found,
    rest: dict[str, list[Row]],
    device: str,
    public: ec.EllipticCurvePublicKey,
    unread: set[str],
) -> None:
    """What the pages say by themselves. Records verify; of drafts and notes the present pages are believed, not older ones."""
    data = what_is_left(source)
    wal = carving.read_wal(what_is_left(beside(source, "-wal")))
    pages = carving.pages_of(data) | dict(wal.committed)
    for row in carving.rows(pages):
        match row.values:
            case (_, str(), bytes() as signed, int(), receipted) if not isinstance(receipted, (str, bytes)):
                _take(found, signed, receipted, device, public)
            case (None, bytes() as log_id, int() as upcoming, int() as through, int(), *_) if len(log_id) == ID_BYTES:
                if found.log_id is None:
                    _take_log(found, log_id, upcoming, through)
            case _:
                for table in unread:
                    if all(_fits(row.values, _SHAPES[table])):
                        found_row = dict(zip((name for name, _ in _SHAPES[table]), row.values, strict=True))
                        if table == "press":
                            found_row["seq"] = row.rowid
                        rest.setdefault(table, []).append(found_row)
    later = pages | dict(wal.beyond)
    for number, page in reversed(wal.beyond):
        for row in carving.rows({number: page}, later):
            if len(row.values) == 5 and isinstance(row.values[2], bytes):
                _take(found, row.values[2], row.values[4], device, public)


def _fits(values: tuple[carving.Value, ...], shape: tuple[tuple[str, type | tuple[type, ...]], ...]) -> Iterator[bool]:
    """Whether the values may be a row of this shape; ids of ours are sixteen bytes."""
    yield len(values) == len(shape)
    for value, (name, kind) in zip(values, shape, strict=True):
        is_id = name in ("note_id", "encounter", "emergency", "boot")
        yield isinstance(value, kind) and (not is_id or (isinstance(value, bytes) and len(value) == ID_BYTES))


def _take(found: Found, data: object, receipted: object, device: str, public: ec.EllipticCurvePublicKey) -> None:
    if not isinstance(data, bytes):
        return
    try:
        record = open_record(data, device, public)
    except Malformed:
        return
    if found.log_id is None:
        found.log_id = record.log_id
    if record.log_id != found.log_id or record.seq in found.held:
        return
    found.held[record.seq] = record, data
    if receipted is None:
        found.unreceipted.add(record.seq)


def _take_log(found: Found, log_id: object, upcoming: object, through: object) -> None:
    if (
        not (isinstance(log_id, bytes) and isinstance(upcoming, int) and isinstance(through, int))
        or len(log_id) != ID_BYTES
    ):
        return
    if found.log_id not in (None, log_id) or not 0 <= through < upcoming < ROWID_MAX:
        return
    found.log_id, found.next, found.through = log_id, upcoming, through


def _add_older(found: Found, older: Found) -> None:
    """What the damaged file has lost and its copy still has. What the copy owed may have been receipted since; the hub
    takes it once."""
    if older.log_id is None or found.log_id not in (None, older.log_id):
        return
    found.log_id = older.log_id
    found.next = max(found.next, older.next)
    found.through = max(found.through, older.through)
    for seq, (record, data) in older.held.items():
        if seq > found.through:
            found.held.setdefault(seq, (record, data))


def _without_finished(found: Found, rest: dict[str, list[Row]]) -> None:
    """An older page or copy may still have the draft of a note that is final."""
    final = {row.get("note_id") for row in rest.get("note", ())}
    drafts = [row for row in rest.get("draft", ()) if row.get("note_id") not in final]
    drafts.sort(key=lambda row: row["saved_ms"] if isinstance(row.get("saved_ms"), int) else 0, reverse=True)  # type: ignore[arg-type,return-value]
    rest["draft"] = drafts


def _bound(found: Found) -> None:
    highest = max(found.held, default=0)
    found.next = max(found.next, highest + 1)
    found.through = min(found.through, found.next - 1)


@contextmanager
def _connect(path: Path) -> Iterator[sqlite3.Connection]:
    with read_only(path, what_is_left) as conn:
        conn.execute("pragma writable_schema = 1")  # a schema of which one line is broken is read for the others
        yield conn
