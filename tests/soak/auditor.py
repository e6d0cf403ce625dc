"""Reads copies of terminal stores, of the hub's database and of what writers noted, and says what does not hold.

It shares no code with the programs: its own SQL, its own reading of MessagePack, its own verifying. The letters are the
invariants of docs/how-to/prove-nothing-is-lost.md: a saved and gone, b twice, c other bytes, d out of order or a hole,
e let go too early or believed without cause, f trail lost and not counted, g beyond a bound, h the two ends differ.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from hashlib import sha256
from itertools import accumulate
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key
from msgspec import Struct

from tests.soak.saved import Saved

OUTBOX_BYTES_MAX = 64 * 1024 * 1024
NAMED_MAX = 5  # of each kind of wrong that are named; the rest is counted
LOGS = ("ledger", "trail")

Key = tuple[str, bytes, int]  # device, log_id, seq


class Board(Struct, frozen=True, kw_only=True):
    """One terminal: its folder, and its public key as DER."""

    device: str
    home: Path
    public: bytes


class Evidence(Struct, frozen=True, kw_only=True):
    """`words`: the statuses in the order in which every crew presses them, round and round; `is_healed`: every fault is
    over and nothing should be owed any more; `had_room`: no disk was nearly full, so no copy had to give way before its
    72 hours; `scratch`: a folder for copies."""

    hub: Path
    boards: Sequence[Board]
    saved: Sequence[Saved]
    words: Sequence[str]
    is_healed: bool
    scratch: Path
    had_room: bool = True


class Verdict(Struct, frozen=True, kw_only=True):
    """`saved`: what the screens called saved; `lost` and `duplicated` of it; `broken`: a sentence for everything else
    that does not hold; `fixes`: how many positions the hub and the terminals hold, `dropped` those thinned away."""

    saved: int
    lost: tuple[str, ...]
    duplicated: tuple[str, ...]
    broken: tuple[str, ...]
    records: int
    fixes: int
    dropped: int

    @property
    def findings(self) -> tuple[str, ...]:
        """All of it in sentences, the first few of each kind."""
        return (*_few("a", self.lost), *_few("b", self.duplicated), *_few("", self.broken))


class _Stored(Struct, frozen=True):
    """A record as somebody holds it, read but not yet believed."""

    log_id: bytes
    seq: int
    data: bytes


class _Log(Struct, frozen=True, kw_only=True):
    """A log as its terminal has it."""

    device: str
    name: str
    log_id: bytes
    upcoming: int
    through: int
    epoch: int
    rows: Mapping[int, bytes]
    gave_way: int  # copies up to this number, which the hub has, because the disk was nearly full; 0: none


class _Hub(Struct, frozen=True, kw_only=True):
    """What the hub has; rows in the order in which it came to hold them."""

    rows: Mapping[str, Sequence[_Stored]]
    through: Mapping[tuple[str, bytes], int]
    gaps: Mapping[tuple[str, bytes], Sequence[tuple[int, int]]]
    quarantine: Mapping[str, int]
    desired: Mapping[tuple[str, str], tuple[int, int]]
    epoch: int


class _Said(Struct, frozen=True, kw_only=True):
    """What a record says, whoever holds it; one that was salvaged speaks with the words of the one inside it."""

    key: Key
    kind: str
    boot: bytes
    body: bytes


def audit(evidence: Evidence) -> Verdict:
    """What holds and what does not."""
    hub = _read_hub(evidence)
    logs = [log for board in evidence.boards for log in _read_board(evidence, board)]
    said = {board.device: list(_everything(board.device, hub, logs)) for board in evidence.boards}
    lost: list[str] = []
    doubled: list[str] = []
    for device, records in said.items():
        for_device = [entry for entry in evidence.saved if entry.device == device]
        _statuses(device, records, for_device, evidence.words, lost, doubled)
        _notes(device, records, for_device, lost, doubled)
    pieces = {board.device: _pieces(evidence, board) for board in evidence.boards}
    fixes, dropped, twice = _trail(said, pieces)
    broken = [
        *_rows_twice(hub),
        *_order(hub),
        *_bytes(evidence, hub, logs),
        *_kept(hub, logs, evidence.had_room),
        *twice,
        *_bounds(evidence),
        *(_ends_agree(evidence, hub, logs) if evidence.is_healed else ()),
    ]
    return Verdict(
        saved=len({(entry.device, entry.what, entry.word) for entry in evidence.saved if entry.is_sure}),
        lost=tuple(lost),
        duplicated=tuple(doubled),
        broken=tuple(broken),
        records=sum(len(rows) for rows in hub.rows.values()),
        fixes=fixes,
        dropped=dropped,
    )


def unsound(database: Path, scratch: Path) -> str | None:
    """What SQLite's own check says of a copy of `database`; None when it is sound."""
    try:
        (answer,) = rows_of(scratch, database, "pragma integrity_check")[0]
    except sqlite3.Error as wrong:
        return f"{database.parent.name}/{database.name} does not open: {wrong}"
    return None if answer == "ok" else f"{database.parent.name}/{database.name}: {answer}"


# --- a, b: what screens called saved ----------------------------------------------------------------------------------


def _statuses(
    device: str,
    records: Iterable[_Said],
    saved: Sequence[Saved],
    words: Sequence[str],
    lost: list[str],
    doubled: list[str],
) -> None:
    """A crew repeats a press until it is answered, and a status that is set already makes no record: so the statuses
    held must be the round itself, each word once, and only the last one that was asked may be missing."""
    held = [str(_map(record.body)["status"]) for record in records if record.kind == "status"]
    # A word is "17:on_scene": the 18th press of this crew.
    sure = {int(entry.word.split(":")[0]) for entry in saved if entry.what == "status" and entry.is_sure}
    asked = {int(entry.word.split(":")[0]) for entry in saved if entry.what == "status"}
    due = 0
    for word in held:
        ahead = (words.index(word) - due) % len(words) if word in words else None
        if ahead is None:
            doubled.append(f"{device}: status {word!r}, which nobody pressed")
        elif ahead == len(words) - 1:
            doubled.append(f"{device}: press {due - 1} ({word}) is there twice")
        else:
            lost.extend(f"{device}: press {gone} ({words[gone % len(words)]})" for gone in range(due, due + ahead))
            due += ahead + 1
    lost.extend(f"{device}: press {gone} ({words[gone % len(words)]})" for gone in sorted(sure) if gone >= due)
    doubled.extend(f"{device}: press {number} was never asked for" for number in range(max(asked, default=-1) + 1, due))


def _notes(device: str, records: Iterable[_Said], saved: Sequence[Saved], lost: list[str], doubled: list[str]) -> None:
    held = Counter(_note_id(record.body).hex() for record in records if record.kind == "note")
    sure = {entry.word for entry in saved if entry.what == "note" and entry.is_sure}
    lost.extend(f"{device}: note {note}" for note in sorted(sure - held.keys()))
    doubled.extend(f"{device}: note {note} is there {count} times" for note, count in held.items() if count > 1)


def _everything(device: str, hub: _Hub, logs: Sequence[_Log]) -> Iterator[_Said]:
    """What the hub holds of a device in its order, then what the device still owes; each record once."""
    seen: set[Key] = set()
    owed = [
        _Stored(log.log_id, seq, data)
        for log in logs
        if log.device == device
        for seq, data in sorted(log.rows.items())
        if seq > log.through
    ]
    for stored in (*hub.rows.get(device, ()), *owed):
        said = _said(stored.data)
        if said is not None and said.key not in seen:
            seen.add(said.key)
            yield said


def _said(data: bytes) -> _Said | None:
    """What the record in `data` says; None when it is no record at all."""
    try:
        payload, _ = msgspec.msgpack.decode(data)
        _, device, log_id, seq, kind, stamp, body = msgspec.msgpack.decode(payload)[:7]
    except (msgspec.DecodeError, ValueError, TypeError):
        return None
    if kind == "salvaged":
        return _said(body)
    return _Said(key=(device, log_id, seq), kind=kind, boot=stamp[0], body=body)


def _note_id(body: bytes) -> bytes:
    """note = [body, signer, sig]; its body = [header, …]; its header = [v, kind, note_id, …]."""
    outer = msgspec.msgpack.decode(body)
    inner = msgspec.msgpack.decode(outer[0])
    header = msgspec.msgpack.decode(inner[0])
    return bytes(header[2])


def _map(body: bytes) -> dict[str, object]:
    decoded = msgspec.msgpack.decode(body)
    return decoded if isinstance(decoded, dict) else {}


# --- b, c, d: the hub's rows ------------------------------------------------------------------------------------------


def _rows_twice(hub: _Hub) -> Iterable[str]:
    for device, rows in hub.rows.items():
        numbers = Counter((row.log_id, row.seq) for row in rows)
        for (log_id, seq), count in numbers.items():
            if count > 1:
                yield f"b: {device} {_short(log_id)} {seq} is at the hub {count} times"
        for count in Counter(sha256(row.data).digest() for row in rows).values():
            if count > 1:
                yield f"b: {device} has one record under {count} numbers at the hub"


def _order(hub: _Hub) -> Iterable[str]:
    seqs: dict[tuple[str, bytes], list[int]] = {}
    for device, rows in hub.rows.items():
        for row in rows:
            seqs.setdefault((device, row.log_id), []).append(row.seq)
    for key in hub.through.keys() | seqs.keys():
        name = f"{key[0]} {_short(key[1])}"
        held = seqs.get(key, [])
        if held != sorted(held):
            yield f"d: {name} was taken out of order"
        holes = {seq for first, last in hub.gaps.get(key, ()) for seq in range(first, last + 1)}
        expected = set(range(1, hub.through.get(key, 0) + 1)) - holes
        if missing := sorted(expected - set(held)):
            yield f"d: {name} is receipted through {hub.through.get(key)}, and {len(missing)} are missing: {missing[:5]}"
        if beyond := sorted(set(held) - expected):
            yield f"d: {name} is receipted through {hub.through.get(key)}, and holds {beyond[:5]} beside it"


def _bytes(evidence: Evidence, hub: _Hub, logs: Sequence[_Log]) -> Iterable[str]:
    keys = {board.device: _public(board.public) for board in evidence.boards}
    kept = {(log.device, log.log_id, seq): data for log in logs for seq, data in log.rows.items()}
    for device, rows in hub.rows.items():
        for row in rows:
            name = f"{device} {_short(row.log_id)} {row.seq}"
            if kept.get((device, row.log_id, row.seq), row.data) != row.data:
                yield f"c: {name} at the hub is not what the terminal has"
            if device in keys and not _is_genuine(keys[device], (device, row.log_id, row.seq), row.data):
                yield f"c: {name} at the hub has a signature or a number that is not its own"
    for log in logs:
        for seq, data in log.rows.items():
            if seq > log.through and not _is_genuine(keys[log.device], (log.device, log.log_id, seq), data):
                yield f"c: {log.device} {log.name} {seq} is owed, and its signature or number is not its own"
    if conflicts := hub.quarantine.get("same number, other bytes", 0):
        yield f"c: {conflicts} records came under a number that other bytes have"


def _is_genuine(key: ec.EllipticCurvePublicKey, name: Key, data: bytes) -> bool:
    try:
        payload, signed = msgspec.msgpack.decode(data)
        fields = msgspec.msgpack.decode(payload)
        half = len(signed) // 2
        der = encode_dss_signature(int.from_bytes(signed[:half], "big"), int.from_bytes(signed[half:], "big"))
        key.verify(der, b"tandem-record-v1\0" + payload, ec.ECDSA(SHA256()))
    except (msgspec.DecodeError, ValueError, TypeError, InvalidSignature):
        return False
    return tuple(fields[1:4]) == name


# --- e, f, g, h -------------------------------------------------------------------------------------------------------


def _kept(hub: _Hub, logs: Sequence[_Log], had_room: bool) -> Iterable[str]:
    """No run lasts 72 hours: whatever a terminal ever numbered it still has, and it believes no more than the hub said.

    On a disk that was nearly full it may have given up what the hub holds, through a number that it has written down.
    """
    for log in logs:
        name = f"{log.device} {log.name}"
        first = 1 if had_room else 1 + min(log.gave_way, log.through)
        if missing := [seq for seq in range(first, log.upcoming) if seq not in log.rows]:
            yield f"e: {name} has let go of {len(missing)} records within 72 hours: {missing[:5]}"
        if beyond := [seq for seq in log.rows if not 1 <= seq < log.upcoming]:
            yield f"d: {name} counts to {log.upcoming - 1} and holds {beyond[:5]}"
        held = hub.through.get((log.device, log.log_id), 0)
        if log.epoch == hub.epoch and log.through > held:
            yield f"e: {name} believes that the hub holds {log.through}, and it holds {held}"


def _trail(
    said: Mapping[str, Sequence[_Said]], pieces: Mapping[str, Sequence[tuple[bytes, bytes]]]
) -> tuple[int, int, list[str]]:
    """How many fixes there are, how many were thinned away, and which are there twice. What a terminal has written down
    and not yet made a record of stands in `pieces`, as boot and body."""
    fixes = dropped = 0
    twice: list[str] = []
    for device, records in said.items():
        seen: set[tuple[bytes, int]] = set()
        told = [(record.boot, record.body, f"record {record.key[2]}") for record in records if record.kind == "trail"]
        told += [(boot, body, "a piece") for boot, body in pieces[device]]
        for boot, body, where in told:
            columns = msgspec.msgpack.decode(body)
            steps = accumulate(columns[1]) if columns[0] >= 2 else columns[1]  # version 2: differences of differences
            moments = {(boot, at) for at in accumulate(steps)}
            if again := seen & moments:
                twice.append(f"b: {device} tells {len(again)} fixes twice, again in {where}")
            seen |= moments
            fixes += len(moments)
            dropped += int(columns[-1]) if isinstance(columns[-1], int) else 0
    return fixes, dropped, twice


def _pieces(evidence: Evidence, board: Board) -> list[tuple[bytes, bytes]]:
    path = board.home / "trail.db"
    try:
        found = rows_of(evidence.scratch, path, "select stamp, points from piece") if path.exists() else []
    except sqlite3.OperationalError:  # a release that has no pieces
        return []
    return [(msgspec.msgpack.decode(stamp)[0], points) for stamp, points in found]


def _bounds(evidence: Evidence) -> Iterable[str]:
    for board in evidence.boards:
        size = sum(
            file.stat().st_size
            for log in LOGS
            for suffix in ("", "-wal")
            if (file := board.home / f"{log}.db{suffix}").exists()
        )
        if size > OUTBOX_BYTES_MAX:
            yield f"g: the stores of {board.device} take {size / 2**20:.0f} MB"


def _ends_agree(evidence: Evidence, hub: _Hub, logs: Sequence[_Log]) -> Iterable[str]:
    for log in logs:
        if log.name == "trail":  # grows by itself; what is owed of it at the end is no fault
            continue
        held = hub.through.get((log.device, log.log_id), 0)
        if (log.epoch, log.through, log.upcoming) != (hub.epoch, held, held + 1):
            yield (
                f"h: {log.device} {log.name} counts to {log.upcoming - 1} and believes {(log.epoch, log.through)}; "
                f"the hub holds {held} in epoch {hub.epoch}"
            )
    for board in evidence.boards:
        held_here = {
            str(row[0]): (row[1], row[2])
            for row in rows_of(evidence.scratch, board.home / "ledger.db", "select section, epoch, n from held")
        }
        for (device, section), wanted in hub.desired.items():
            if device == board.device and held_here.get(section) != wanted:
                yield f"h: {device} {section}: the hub wants {wanted}, the terminal holds {held_here.get(section)}"


# --- reading ----------------------------------------------------------------------------------------------------------


def _read_board(evidence: Evidence, board: Board) -> Iterator[_Log]:
    for name in LOGS:
        path = board.home / f"{name}.db"
        if not path.exists():
            continue
        found = rows_of(evidence.scratch, path, "select log_id, next, through, hub_epoch from log")
        if found:
            log_id, upcoming, through, epoch = found[0]
            rows = {
                int(seq): bytes(data) for seq, data in rows_of(evidence.scratch, path, "select seq, data from record")
            }
            yield _Log(
                device=board.device,
                name=name,
                log_id=log_id,
                upcoming=upcoming,
                through=through,
                epoch=epoch,
                rows=rows,
                gave_way=_gave_way(evidence, path, name),
            )


def _gave_way(evidence: Evidence, path: Path, name: str) -> int:
    sql = "select let_go from log" if name == "trail" else "select value from fact where name = 'copies_let_go'"
    try:
        found = rows_of(evidence.scratch, path, sql)
    except sqlite3.OperationalError:  # a release that never gives way has no place to say so
        return 0
    return int(found[0][0] or 0) if found else 0


def _read_hub(evidence: Evidence) -> _Hub:
    def ask(sql: str) -> list[tuple]:  # type: ignore[type-arg]
        return rows_of(evidence.scratch, evidence.hub, sql)

    rows: dict[str, list[_Stored]] = {}
    for device, log_id, seq, data in ask("select device, log_id, seq, data from record order by id"):
        rows.setdefault(device, []).append(_Stored(log_id, seq, data))
    gaps: dict[tuple[str, bytes], list[tuple[int, int]]] = {}
    for device, log_id, first, last in ask("select device, log_id, first, last from gap"):
        gaps.setdefault((device, log_id), []).append((first, last))
    epoch = ask("select value from hub_fact where name = 'epoch'")
    return _Hub(
        rows=rows,
        through={(device, log_id): n for device, log_id, n in ask("select device, log_id, through from log")},
        gaps=gaps,
        quarantine=dict(ask("select why, count(*) from quarantine group by why")),
        desired={(device, name): (e, n) for device, name, e, n in ask("select device, section, epoch, n from desired")},
        epoch=epoch[0][0] if epoch else 1,
    )


def rows_of(scratch: Path, path: Path, sql: str) -> list[tuple]:  # type: ignore[type-arg]
    """The answer of a copy: looking must not change what is looked at."""
    copy = scratch / f"copy-{path.name}"
    for suffix in ("-shm", "-wal", ""):
        source, target = (whole.with_name(whole.name + suffix) for whole in (path, copy))
        target.unlink(missing_ok=True)
        if source.exists() and suffix != "-shm":
            shutil.copy(source, target)
    with closing(sqlite3.connect(copy)) as connection:
        return connection.execute(sql).fetchall()


def _public(der: bytes) -> ec.EllipticCurvePublicKey:
    key = load_der_public_key(der)
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return key


def _short(log_id: bytes) -> str:
    return log_id.hex()[:8]


def _few(letter: str, sentences: Sequence[str]) -> Iterator[str]:
    prefix = f"{letter}: " if letter else ""
    yield from (prefix + sentence for sentence in sentences[:NAMED_MAX])
    if len(sentences) > NAMED_MAX:
        yield f"{prefix}and {len(sentences) - NAMED_MAX} more"
