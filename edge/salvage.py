"""A damaged file is put aside, what can be read of it goes on in a new one, and the hub hears which numbers are lost.

The law: whatever a disk did, the terminal starts. Nothing is salvaged twice over or half: the new file takes its place whole,
after it is on the disk, and a power cut before that begins again from the file that was put aside. Nothing is given back that
was taken away: PIN tries and PINs are in files of their own and are not touched, and the key of a shift comes only from a row
that SQLite still reads, never from an older copy, where it may stand although it was destroyed at sign-off.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import NoneType

import structlog
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct
from sqlite_utils import Database

from edge import carving, copies, outbox
from edge.clock import Clock, boot_id
from edge.outbox import Signer
from edge.schema import Step
from edge.settings import SettingsError
from edge.store import SUSPECT, Damaged, Store, is_damage, open_file
from wire.codec import Malformed, decode, encode
from wire.facts import LedgerDamaged
from wire.ids import ID_BYTES
from wire.records import Kind, Record, open_record
from wire.stamp import Stamp

FOLDER = "damaged"
PUT_ASIDE_MAX = 3  # a card that breaks more often is replaced; the newest evidence is the one to look at
QUERIES_MAX = 4_000  # of one table; a file whose every page is bad is left after a second
ROWID_MAX = 2**48
RAM = Path("/dev/shm")  # noqa: S108  # a folder of our own is made in it, readable by us alone
_DISK = (
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PERM,
)
_RESCUED, _DONE = "rescued", "done"
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

log = structlog.get_logger()


class Rescued(Struct, frozen=True, kw_only=True):
    """What came of a damaged file, kept beside it. `log_id`: of the new log, of which the hub has to receipt everything
    through `through`; `records` were salvaged and `lost` could not be read; `at_ms`: wall time, for people."""

    log: str
    log_id: bytes
    through: int
    records: int
    lost: int
    damage: str
    at_ms: int


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
        aside = _unfinished(path) or _aside_if_damaged(path, steps)
        if aside is None:
            try:
                return _mended(opened(path, steps), mend)
            except Damaged:
                aside = _aside(path, "it does not open")
        _salvage(aside, path, steps, name, signer, stamp(), copies.newest(path, second))
    except OSError as wrong:
        raise SettingsError(f"{path} is damaged and cannot be salvaged: {wrong.strerror}.") from wrong
    except sqlite3.Error as wrong:
        raise SettingsError(f"{path} is damaged and cannot be salvaged: {wrong}.") from wrong
    return _mended(opened(path, steps), mend)


def _aside_if_damaged(path: Path, steps: tuple[Step, ...]) -> Path | None:
    damage = damage_of(path, steps)
    return None if damage is None else _aside(path, damage)


def _aside(path: Path, damage: str) -> Path:
    aside = _put_aside(path)
    log.error("file_damaged", file=path.name, damage=damage, kept=aside.name)
    _write(aside / "damage", damage.encode())
    return aside


def _mended(store: Store, mend: Callable[[Database], object]) -> Store:
    store.do(mend)
    return store


def damage_of(path: Path, steps: tuple[Step, ...]) -> str | None:
    """What is wrong with the file of `steps`, in plain words; None when nothing is. Reads all of it: see the decision for the cost."""
    if not path.exists():
        return None
    wal, suspect = _beside(path, "-wal"), _beside(path, SUSPECT)
    if wal.exists() and carving.read_wal(wal.read_bytes()).is_damaged:
        return "its journal is damaged"
    if path.stat().st_size == 0:
        return None  # the power went before anything was in it
    try:
        with _read_only(path, Path.read_bytes) as conn:
            check = "integrity_check" if suspect.exists() else "quick_check"
            said: str = conn.execute(f"pragma {check}(1)").fetchone()[0]
            if said != "ok":
                return "its pages do not fit together"
            wrong = _other_schema(conn, steps) or _nonsense(conn)
    except sqlite3.DatabaseError as broken:
        code = getattr(broken, "sqlite_errorcode", None)
        if code is not None and code & 0xFF in _DISK:
            return None  # whoever opens it says what it is: a disk that is gone or full is no damaged file
        if not is_damage(broken):
            return "it says what cannot be"
        return "it is not a database" if path.stat().st_size % 512 == 0 else "it is cut or overwritten"
    except OSError as unread:  # the same; or memory has no room, and the file is used unseen
        log.warning("file_not_checked", file=path.name, why=unread.strerror)
        return None
    if wrong is None:
        suspect.unlink(missing_ok=True)
    return wrong


def notice(home: Path) -> Rescued | None:
    """The newest damage that the hub has not yet receipted all of, or of which something is lost; for the screen."""
    found = [rescued for _, rescued in _kept(home)]
    return max(found, key=lambda one: one.at_ms, default=None)


def tidy(home: Path, logs: Mapping[str, Store]) -> None:
    """Let go of what was put aside once the hub holds all that was salvaged from it and nothing was lost. The rest stays
    until a person has looked at it, at most a few."""
    kept = _kept(home)
    for folder, rescued in kept:
        store = logs.get(rescued.log)
        if rescued.lost or store is None:
            continue
        now = store.do(outbox.numbers)
        if now.log_id == rescued.log_id and now.through >= rescued.through:
            log.info("damaged_file_let_go", file=folder.name)
            shutil.rmtree(folder)
    done = [folder for folder, _ in _kept(home)]
    for folder in done[:-PUT_ASIDE_MAX]:
        shutil.rmtree(folder)


def kept(home: Path) -> list[tuple[Path, Rescued]]:
    """What is put aside, the oldest first."""
    return _kept(home)


def clear(home: Path) -> int:
    """Let go of everything that was put aside and salvaged; how much there was."""
    found = _kept(home)
    for folder, _ in found:
        shutil.rmtree(folder)
    return len(found)


# --- aside ------------------------------------------------------------------------------------------------------------


def _unfinished(path: Path) -> Path | None:
    """A file that was put aside and whose salvage was cut short."""
    for folder in sorted((path.parent / FOLDER).glob(f"{path.stem}-*")):
        if folder.suffix != ".part" and not (folder / _DONE).exists():
            return folder
    return None


def _put_aside(path: Path) -> Path:
    """The folder in which the file now also stands, with its journal, whole: links cost no room on a full disk."""
    parent = path.parent / FOLDER
    parent.mkdir(mode=0o700, exist_ok=True)
    taken = [int(folder.name.rpartition("-")[2].split(".")[0]) for folder in parent.glob(f"{path.stem}-*")]
    day = time.strftime("%Y-%m-%d", time.gmtime())
    folder = parent / f"{path.stem}-{day}-{max(taken, default=0) + 1:04}"  # the number orders, a board's clock may not
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700)
    for source in (path, _beside(path, "-wal")):
        if source.exists():
            _link(source, part / source.name)
    _sync(part)
    part.rename(folder)
    _sync(parent)
    return folder


def _link(source: Path, to: Path) -> None:
    try:
        os.link(source, to)
    except OSError:  # a file system without links
        shutil.copyfile(source, to)
        _sync(to)


def _kept(home: Path) -> list[tuple[Path, Rescued]]:
    found: list[tuple[Path, Rescued]] = []
    for folder in sorted((home / FOLDER).glob("*-*"), key=lambda path: path.name.rpartition("-")[2]):
        with suppress(OSError, Malformed):
            if (folder / _DONE).exists():
                found.append((folder, decode((folder / _RESCUED).read_bytes(), Rescued)))
    return found


# --- the new file -----------------------------------------------------------------------------------------------------


def _salvage(
    aside: Path, path: Path, steps: tuple[Step, ...], name: str, signer: Signer, stamp: Stamp, copy: Path | None
) -> None:
    new = _beside(path, ".new")
    for leftover in (new, _beside(new, "-wal"), _beside(new, "-shm")):
        leftover.unlink(missing_ok=True)
    source = aside / path.name
    damage = _text(aside / "damage") or "it could not be read"
    found, rest = _read(source, copy, signer)
    db = open_file(new, steps)
    with closing(db.conn):
        db.execute("begin immediate")
        rescued = _fill(db, found, rest, name, signer, stamp, damage)
        db.execute("commit")
        db.conn.execute("pragma wal_checkpoint(truncate)")
    _sync(new)
    _write(aside / _RESCUED, encode(rescued))
    for old in ("-wal", "-shm", SUSPECT):  # of the damaged file: read together with the new one they would spoil it
        _beside(path, old).unlink(missing_ok=True)
    new.rename(path)
    _sync(path.parent)
    _write(aside / _DONE, b"")
    log.warning("file_salvaged", file=path.name, records=rescued.records, lost=rescued.lost)


def _fill(
    db: Database,
    found: Found,
    rest: Mapping[str, list[dict[str, carving.Value]]],
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


def _renumbered(
    table: str, row: dict[str, carving.Value], numbers: Mapping[int, int], presses: Mapping[int, int]
) -> dict[str, carving.Value] | None:
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


def _insert(db: Database, table: str, row: dict[str, carving.Value] | None) -> None:
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


# --- what can be read -------------------------------------------------------------------------------------------------


def _read(source: Path, copy: Path | None, signer: Signer) -> tuple[Found, dict[str, list[dict[str, carving.Value]]]]:
    public = signer.key.public_key()
    found = Found()
    rest: dict[str, list[dict[str, carving.Value]]] = {}
    unread: set[str] = set(_SHAPES)
    with suppress(sqlite3.Error), _connect(source) as conn:
        unread -= _read_rows(conn, found, rest, signer.device, public)
    _carve(source, found, rest, signer.device, public, unread)
    if copy is not None:
        older = Found()
        older_rest: dict[str, list[dict[str, carving.Value]]] = {}
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
    rest: dict[str, list[dict[str, carving.Value]]],
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


def probe(conn: sqlite3.Connection, table: str, columns: list[str]) -> tuple[Iterator[dict[str, carving.Value]], bool]:
    """The rows of `table` that can be read, around those that cannot; whether all could be."""
    wanted = ", ".join(columns)
    rows: dict[int, dict[str, carving.Value]] = {}
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
    rest: dict[str, list[dict[str, carving.Value]]],
    device: str,
    public: ec.EllipticCurvePublicKey,
    unread: set[str],
) -> None:
    """What the pages say by themselves. Records verify; of drafts and notes the present pages are believed, not older ones."""
    data = _bytes(source)
    wal = carving.read_wal(_bytes(_beside(source, "-wal")))
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


def _without_finished(found: Found, rest: dict[str, list[dict[str, carving.Value]]]) -> None:
    """An older page or copy may still have the draft of a note that is final."""
    final = {row.get("note_id") for row in rest.get("note", ())}
    drafts = [row for row in rest.get("draft", ()) if row.get("note_id") not in final]
    drafts.sort(key=lambda row: row["saved_ms"] if isinstance(row.get("saved_ms"), int) else 0, reverse=True)  # type: ignore[arg-type,return-value]
    rest["draft"] = drafts


def _bound(found: Found) -> None:
    highest = max(found.held, default=0)
    found.next = max(found.next, highest + 1)
    found.through = min(found.through, found.next - 1)


def _other_schema(conn: sqlite3.Connection, steps: tuple[Step, ...]) -> str | None:
    """What is wrong with what the file says of itself: its tables are not those that its steps make, though they read."""
    taken: int = conn.execute("pragma user_version").fetchone()[0]
    if taken > len(steps):  # a newer program's, unless everything but that number is ours
        is_ours = _tables(conn) == _tables_of(steps)
        return "its version is not the one of its tables" if is_ours else None
    return None if _tables(conn) == _tables_of(steps[:taken]) else "its tables are not the ones that were made"


def _tables_of(steps: tuple[Step, ...]) -> set[tuple[str, str]]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as made:
        for step in steps:
            made.executescript(step.sql)
        return _tables(made)


def _tables(conn: sqlite3.Connection) -> set[tuple[str, str]]:
    rows = conn.execute("select name, coalesce(sql, '') from sqlite_schema where name not like 'sqlite_stat%'")
    return {(name, "".join(sql.replace('"', "").split())) for name, sql in rows}


def _nonsense(conn: sqlite3.Connection) -> str | None:
    """What cannot be although every page reads: numbers that would be given twice."""
    row = conn.execute("select count(*) from sqlite_schema where name in ('log', 'record')").fetchone()
    if row[0] != 2:
        return None  # new, or not ours: opening says so
    for upcoming, through in conn.execute("select next, through from log"):
        highest = conn.execute("select coalesce(max(seq), 0) from record").fetchone()[0]
        if not (isinstance(upcoming, int) and isinstance(through, int) and 0 <= through < upcoming > highest):
            return "its numbers contradict each other"
    return None


@contextmanager
def _connect(path: Path) -> Iterator[sqlite3.Connection]:
    with _read_only(path, _bytes) as conn:
        conn.execute("pragma writable_schema = 1")  # a schema of which one line is broken is read for the others
        yield conn


@contextmanager
def _read_only(path: Path, read: Callable[[Path], bytes]) -> Iterator[sqlite3.Connection]:
    """The file and its journal as they are now, copied into memory by `read`: what is looked at is not changed, and SQLite
    maps nothing from a disk that may have no block behind it, which would end us (see `edge.store`)."""
    with TemporaryDirectory(dir=RAM if RAM.is_dir() else None, prefix="tandem-") as folder:
        copy = Path(folder, path.name)
        copy.write_bytes(read(path))
        if (wal := _beside(path, "-wal")).exists():
            _beside(copy, "-wal").write_bytes(read(wal))
        with closing(sqlite3.connect(f"file:{copy}?mode=ro", uri=True, isolation_level=None)) as conn:
            yield conn


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _bytes(path: Path) -> bytes:
    """What the disk still gives of a file; a part that cannot be read counts as zeros."""
    read = bytearray()
    with suppress(OSError), path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        while len(read) < size:
            try:
                part = os.pread(file.fileno(), carving.PAGE_BYTES, len(read))
            except OSError:
                part = b""
            read += part or bytes(min(carving.PAGE_BYTES, size - len(read)))
    return bytes(read)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
