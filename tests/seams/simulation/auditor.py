"""The auditor: reads copies of the stores and what observers wrote down, and says what was lost, doubled or changed.

It shares no code with the programs: its own SQL, its own reading of MessagePack, its own verifying. The letters are
those of the invariants (docs: nothing is lost): a saved and gone, b twice, c other bytes, d out of order or a hole, e let
go too early or believed without a receipt, f fixes lost and not counted, g beyond a bound, h the two ends differ when all
is well.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from itertools import accumulate
from pathlib import Path
from typing import Protocol

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from msgspec import Struct

KEPT_S = 72 * 3600
VERIFY_EVERY = 16  # every signature of what nobody called saved, and every so many of the rest: verifying is the cost
INBOX_MAX = 1024
FINDINGS_MAX = 20
FIXES_AT_RISK = 12  # ten seconds, and one at either end
OLD_S = 20.0  # a position is told every ten seconds, of a fix that may be five seconds old, over a link of two
DRIVEN_LON, DRIVEN_LAT, DRIVEN_STEP = -80.0, -80.0, 0.00001  # how a place says in which second it was read
QUARANTINED_IF_ROTTED = ("wrong signature", "malformed", "changed by its board's disk or memory")


class SavedRecord(Protocol):
    """What a screen called saved."""

    device: str
    log: str
    log_id: bytes
    seq: int
    data: bytes


class ReceiptHeard(Protocol):
    """What reached a terminal, and whether it is known to have been taken."""

    device: str
    at_s: float
    payload: bytes
    is_sure: bool
    believes: Mapping[bytes, tuple[int, int]]


class Drive(Protocol):
    """The fixes of one life of a terminal's program: see the terminal's."""

    device: str
    boot: bytes
    read: Sequence[int]
    safe: int
    met_full: bool


class Rotted(Protocol):
    """A record that its own disk has changed."""

    device: str
    log_id: bytes
    seq: int
    before: bytes
    after: bytes


class Board(Struct, frozen=True, kw_only=True):
    """One terminal's files. `logs`: by name; `contradicted`: receipts it took for another board's; `was_full`: its disk took
    no more for a while."""

    device: str
    logs: Mapping[str, Path]
    inbox_max_seen: int
    refused: int
    contradicted: int
    was_full: bool
    is_driving: bool


class Evidence(Struct, frozen=True, kw_only=True):
    """Everything the auditor is given. `publics`, `hub_public`: P-256 points, uncompressed; `is_healed`: every fault is over and there was time to recover;
    `shown`: by device, the latitude on the map; `is_garbled`: somebody changes bytes on the way; `is_late`: the word of
    a hub may arrive when that hub has been restored from a backup, and is refused then; `scratch`: a folder for copies."""

    hub: Path
    boards: Sequence[Board]
    saved: Sequence[SavedRecord]
    receipts: Sequence[ReceiptHeard]
    drives: Sequence[Drive]
    rotted: Sequence[Rotted]
    shown: Mapping[str, float]
    publics: Mapping[str, bytes]
    hub_public: bytes
    now_s: float
    is_healed: bool
    is_garbled: bool
    is_late: bool
    scratch: Path


class _Log(Struct):
    """A log as its terminal has it."""

    device: str
    name: str
    log_id: bytes
    upcoming: int
    through: int
    epoch: int
    rows: dict[int, bytes]
    let_go: int  # copies up to here went early, because the disk was full; -1 where it never was
    pieces: list[tuple[bytes, bytes]]  # stamp and fixes that no record carries yet


class _Hub(Struct):
    """What the hub has."""

    rows: dict[tuple[str, bytes], list[tuple[int, bytes]]]
    through: dict[tuple[str, bytes], int]
    gaps: dict[tuple[str, bytes], list[tuple[int, int]]]
    conflicts: list[tuple[str, bytes]]
    quarantine: dict[str, int]
    desired: dict[tuple[str, str], tuple[int, int, int, int]]
    epoch: int


def audit(evidence: Evidence) -> list[str]:
    """What is wrong, a sentence each; nothing when all holds."""
    copies = _Copies(evidence.scratch)
    try:
        return _audited(evidence, copies)
    finally:
        copies.close()


def _audited(evidence: Evidence, copies: _Copies) -> list[str]:
    hub = _read_hub(evidence, copies)
    logs = [log for board in evidence.boards for log in _read_board(copies, board)]
    found: list[str] = []
    for check in (
        _twice(hub),
        _order(hub),
        _bytes(evidence, hub, logs),
        _saved(evidence, hub, logs),
        _belief(evidence, hub, logs),
        _bounds(evidence),
        _twins(evidence, copies),
        _fixes(evidence, hub, logs) if evidence.is_healed else (),
        _ends_agree(evidence, copies, hub, logs) if evidence.is_healed else (),
    ):
        for finding in check:
            found.append(finding)
            if len(found) == FINDINGS_MAX:
                return found
    return found


def _twice(hub: _Hub) -> Iterable[str]:
    for (device, log_id), rows in hub.rows.items():
        seqs = [seq for seq, _ in rows]
        if len(set(seqs)) != len(seqs):
            yield f"b: {device} {log_id.hex()[:8]} has numbers twice at the hub"
        if len({sha256(data).digest() for _, data in rows}) != len(rows):
            yield f"b: {device} {log_id.hex()[:8]} has one record under two numbers at the hub"


def _order(hub: _Hub) -> Iterable[str]:
    for key in hub.through.keys() | hub.rows.keys():
        device, log_id = key
        seqs = [seq for seq, _ in hub.rows.get(key, [])]
        name = f"{device} {log_id.hex()[:8]}"
        if seqs != sorted(seqs):
            yield f"d: {name} was taken out of order"
        holes = {seq for first, last in hub.gaps.get(key, []) for seq in range(first, last + 1)}
        if holes & set(seqs):
            yield f"d: {name} has records inside a recorded gap"
        expected = set(range(1, hub.through.get(key, 0) + 1)) - holes
        if expected != set(seqs):
            missing, beyond = sorted(expected - set(seqs)), sorted(set(seqs) - expected)
            yield f"d: {name} says through {hub.through.get(key)}: missing {missing[:5]}, beyond {beyond[:5]}"


def _bytes(evidence: Evidence, hub: _Hub, logs: Sequence[_Log]) -> Iterable[str]:
    saved = {(record.device, record.log_id, record.seq): record.data for record in evidence.saved}
    kept = {(log.device, log.log_id, seq): data for log in logs for seq, data in log.rows.items()}
    full = {board.device for board in evidence.boards if board.was_full}
    for (device, log_id), rows in hub.rows.items():
        for seq, data in rows:
            key = device, log_id, seq
            name = f"{device} {log_id.hex()[:8]} {seq}"
            rotted = [one for one in evidence.rotted if (one.device, one.log_id, one.seq) == key]
            is_known = any(one.before == data or _stands_in(data, one) for one in rotted)
            is_known = is_known or (device in full and key in saved and _is_thinned(saved[key], data))
            if saved.get(key, data) != data and not is_known:
                yield f"c: {name} at the hub is not what was called saved"
            if kept.get(key, data) != data and not rotted:
                yield f"c: {name} at the hub is not what the terminal has"
            if (key not in saved or rotted or seq % VERIFY_EVERY == 0) and not _is_genuine(
                evidence, device, log_id, seq, data
            ):
                yield f"c: {name} at the hub has a signature or a number that is not its own"
    for device, data in hub.conflicts:
        fields = _fields(data)
        if not any((one.device, one.log_id, one.seq) == tuple(fields[1:4]) for one in evidence.rotted):
            yield f"c: {device} {fields[2].hex()[:8]} {fields[3]} came with other bytes than the hub has"
    for why, count in hub.quarantine.items():
        if evidence.rotted and why in QUARANTINED_IF_ROTTED:
            continue
        if why != "unknown kind or unreadable body" and not evidence.is_garbled:
            yield f"c: {count} times {why!r} and nobody garbled anything"


def _is_genuine(evidence: Evidence, device: str, log_id: bytes, seq: int, data: bytes) -> bool:
    payload, signed = msgspec.msgpack.decode(data)
    fields = msgspec.msgpack.decode(payload)
    return fields[1:4] == [device, log_id, seq] and _verifies(
        evidence.publics[device], b"tandem-record-v1", payload, signed
    )


def _fields(data: bytes) -> list:  # type: ignore[type-arg]
    return msgspec.msgpack.decode(msgspec.msgpack.decode(data)[0])  # type: ignore[no-any-return]


def _stands_in(data: bytes, rotted: Rotted) -> bool:
    """Whether `data`, which is genuine, says of itself that it is there in place of what the disk made of a record."""
    fields = _fields(data)
    if fields[4] != "damaged":
        return False
    fact = msgspec.msgpack.decode(fields[6])
    return bool(fact["sha256"] == sha256(rotted.after).digest() and rotted.after.startswith(fact["found"]))


def _is_thinned(before: bytes, after: bytes) -> bool:
    """Whether `after` is what `before` was, less some fixes, each of them counted."""
    if not after:
        return False
    was, now = _fields(before), _fields(after)
    if was[:6] != now[:6] or now[4] != "trail":
        return False
    (points, dropped), (left, counted) = _points(was[6]), _points(now[6])
    return set(left) <= set(points) and len(points) + dropped == len(left) + counted


def _points(body: bytes) -> tuple[list[int], int]:
    """When each fix of a trail was read, and how many are counted as dropped."""
    columns = msgspec.msgpack.decode(body)
    return list(accumulate(accumulate(columns[1]))), columns[6]


@lru_cache(maxsize=2**16)  # several audits of one run look at the same receipts
def _verifies(point: bytes, context: bytes, payload: bytes, signed: bytes) -> bool:
    half = len(signed) // 2
    der = encode_dss_signature(int.from_bytes(signed[:half], "big"), int.from_bytes(signed[half:], "big"))
    try:
        _key(point).verify(der, context + b"\0" + payload, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


@lru_cache(maxsize=64)
def _key(point: bytes) -> ec.EllipticCurvePublicKey:
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)


def _saved(evidence: Evidence, hub: _Hub, logs: Sequence[_Log]) -> Iterable[str]:
    at_hub = {(device, log_id, seq): data for (device, log_id), rows in hub.rows.items() for seq, data in rows}
    kept = {(log.device, log.log_id, seq, data) for log in logs for seq, data in log.rows.items()}
    covered = _first_covered(evidence)
    gaps = {(*key, seq) for key, ranges in hub.gaps.items() for first, last in ranges for seq in range(first, last + 1)}
    logs_of = {(log.device, log.log_id): log for log in logs}
    rotted = {(one.device, one.log_id, one.seq): one for one in evidence.rotted}
    for record in evidence.saved:
        key = record.device, record.log_id, record.seq
        if at_hub.get(key) == record.data or (*key, record.data) in kept:
            continue
        log = logs_of.get(key[:2])
        if key in rotted and (key in at_hub or (log is not None and record.seq in log.rows)):
            continue  # `_bytes` looks at what is there now
        if (
            log is not None
            and log.let_go >= 0
            and _is_thinned(record.data, at_hub.get(key, log.rows.get(record.seq, b"")))
        ):
            continue
        name = f"{record.device} {record.log} {record.seq}"
        since_s = covered(*key)
        if since_s is None:
            yield f"a: {name} was called saved and is nowhere, and no receipt ever covered it"
        elif evidence.now_s - since_s < KEPT_S and not (log is not None and record.seq <= log.let_go):
            hours = (evidence.now_s - since_s) / 3600
            yield f"e: {name} was let go {hours:.1f} h after its receipt, and the hub has lost it"
        elif evidence.is_healed and key not in gaps:
            yield f"d: {name} is nowhere and the hub has not recorded the gap"
    for log in logs:
        yield from _let_go(evidence, log, covered)


def _let_go(evidence: Evidence, log: _Log, covered: _Covered) -> Iterable[str]:
    """Everything below the next number is still there, or was receipted 72 hours ago."""
    for seq in range(1, log.upcoming):
        if seq in log.rows:
            continue
        since_s = covered(log.device, log.log_id, seq)
        if since_s is None:
            yield f"e: {log.device} {log.name} {seq} was let go without a receipt"
        elif evidence.now_s - since_s < KEPT_S and seq > log.let_go:
            hours = (evidence.now_s - since_s) / 3600
            yield f"e: {log.device} {log.name} {seq} was let go {hours:.1f} h after its receipt"


class _Covered(Protocol):
    def __call__(self, device: str, log_id: bytes, seq: int) -> float | None: ...


def _first_covered(evidence: Evidence) -> _Covered:
    """When a receipt that covers a record first reached its terminal; None when none has."""
    steps: dict[tuple[str, bytes], list[tuple[int, float]]] = {}
    for told in _receipts(evidence):
        known = steps.setdefault((told.device, told.log_id), [])
        if not known or told.through > known[-1][0]:
            known.append((told.through, told.heard.at_s))

    def covered(device: str, log_id: bytes, seq: int) -> float | None:
        return next((at_s for through, at_s in steps.get((device, log_id), []) if through >= seq), None)

    return covered


def _belief(evidence: Evidence, hub: _Hub, logs: Sequence[_Log]) -> Iterable[str]:
    """A terminal believes the highest receipt of the highest epoch that it was told, and nothing else."""
    may: dict[tuple[str, bytes], set[tuple[int, int]]] = {}
    for told in _receipts(evidence):
        key = told.device, told.log_id
        states = may.setdefault(key, {(0, 0)})
        moved = {max(state, (told.epoch, told.through)) for state in states}
        may[key] = moved if told.heard.is_sure else states | moved
        believed = told.heard.believes.get(told.log_id)
        if believed is not None and believed not in may[key]:
            yield (
                f"e: {told.device} {told.log_id.hex()[:8]} believed {believed} when told"
                f" {(told.epoch, told.through)} after {sorted(states)}"
            )
            return  # everything after it follows from it
    for log in logs:
        name = f"{log.device} {log.name}"
        believed = (log.epoch, log.through)
        allowed = may.get((log.device, log.log_id), {(0, 0)})
        if believed not in allowed:
            yield f"e: {name} believes {believed} and was told {sorted(allowed)}"
        held = hub.through.get((log.device, log.log_id), 0)
        if log.epoch == hub.epoch and log.through > held:
            yield f"e: {name} believes that the hub holds {log.through}, and it holds {held}"


class _Told(Struct, frozen=True):
    """A genuine receipt, read."""

    device: str
    log_id: bytes
    through: int
    epoch: int
    heard: ReceiptHeard


def _receipts(evidence: Evidence) -> Iterable[_Told]:
    for heard in evidence.receipts:
        try:
            payload, signed = msgspec.msgpack.decode(heard.payload)
            _, device, log_id, through, epoch, *_ = msgspec.msgpack.decode(payload)
            if evidence.is_garbled and not _verifies(evidence.hub_public, b"tandem-receipt-v1", payload, signed):
                continue
        except (msgspec.DecodeError, ValueError, TypeError):
            continue
        yield _Told(device, log_id, through, epoch, heard)


def _bounds(evidence: Evidence) -> Iterable[str]:
    for board in evidence.boards:
        if board.inbox_max_seen >= INBOX_MAX:
            yield f"g: {board.device} had {board.inbox_max_seen} notices waiting"
        if board.refused and not evidence.is_garbled and not evidence.is_late:
            yield f"c: {board.device} refused {board.refused} messages and nobody garbled anything"


def _twins(evidence: Evidence, copies: _Copies) -> Iterable[str]:
    """Nobody takes one board for two."""
    for device, why in copies.rows(evidence.hub, "select device, why from twin"):
        yield f"c: the hub takes {device} for two boards: {why}"
    for board in evidence.boards:
        if board.contradicted:
            yield f"c: {board.device} took {board.contradicted} receipts for another board's"


def _fixes(evidence: Evidence, hub: _Hub, logs: Sequence[_Log]) -> Iterable[str]:
    """Every fix that was ever on a disk is in a record or in a piece, or it is counted as dropped."""
    for device in sorted({drive.device for drive in evidence.drives if drive.read}):
        drives = [drive for drive in evidence.drives if drive.device == device]
        offered = {(drive.boot, at) for drive in drives for at in drive.read}
        found, dropped = _told_fixes(evidence, hub, logs, device)
        if len(set(found)) != len(found):
            yield f"f: {device} has fixes twice"
        if not set(found) <= offered:
            yield f"f: {device} has {len(set(found) - offered)} fixes that no receiver has said"
        counted = len(found) + dropped
        if counted > len(offered):
            yield f"f: {device} read {len(offered)} fixes and accounts for {counted}"
        safe = sum(drive.safe for drive in drives)
        has_gap = any(key[0] == device for key in hub.gaps)
        if counted < safe and not has_gap:
            yield f"f: {device} had {safe} fixes on its disk: {len(found)} are there and {dropped} counted as dropped"
        for drive in drives:
            if len(drive.read) - drive.safe > FIXES_AT_RISK and not drive.met_full:
                yield f"f: {device} had {len(drive.read) - drive.safe} fixes in memory only"


def _told_fixes(
    evidence: Evidence, hub: _Hub, logs: Sequence[_Log], device: str
) -> tuple[list[tuple[bytes, int]], int]:
    """The fixes of what a receiver said that are kept anywhere, by boot and time, and how many are counted as dropped."""
    records = {(log_id, seq): data for (of, log_id), rows in hub.rows.items() if of == device for seq, data in rows}
    pieces: list[tuple[bytes, bytes]] = []
    for log in logs:
        if log.device == device and log.name == "trail":
            records = {(log.log_id, seq): data for seq, data in log.rows.items()} | records
            pieces += [(msgspec.msgpack.decode(stamp)[0], points) for stamp, points in log.pieces]
    for one in reversed(evidence.rotted):  # what it was at first
        if one.device == device and (one.log_id, one.seq) in records:
            records[one.log_id, one.seq] = one.before
    for data in records.values():
        fields = _fields(data)
        if fields[4] == "trail":
            pieces.append((fields[5][0], fields[6]))
    found: list[tuple[bytes, int]] = []
    dropped = 0
    for boot, points in pieces:
        columns = msgspec.msgpack.decode(points)
        if isinstance(columns, list) and (not columns[3] or columns[3][0] == DRIVEN_LON * 1e6):
            times, counted = _points(points)
            dropped += counted
            found += [(boot, at) for at in times]
    return found, dropped


def _ends_agree(evidence: Evidence, copies: _Copies, hub: _Hub, logs: Sequence[_Log]) -> Iterable[str]:
    for log in logs:
        name = f"{log.device} {log.name}"
        held = hub.through.get((log.device, log.log_id), 0)
        if (log.epoch, log.through, log.upcoming) != (hub.epoch, held, held + 1):
            yield (
                f"h: {name} counts to {log.upcoming - 1} and believes {(log.epoch, log.through)};"
                f" the hub holds {held} in epoch {hub.epoch}"
            )
    for device, count in copies.rows(
        evidence.hub, "select device, count(*) from device_order where done_ms is null group by device"
    ):
        yield f"h: {device} has {count} orders that it has not answered"
    for board in evidence.boards:
        shown = evidence.shown.get(board.device)
        if board.is_driving:
            age_s = None if shown is None else evidence.now_s - (shown - DRIVEN_LAT) / DRIVEN_STEP
            if age_s is None or age_s > OLD_S:
                yield f"h: {board.device} is shown where it was {age_s} s ago"
        ledger = board.logs["ledger"]
        for name, value in copies.rows(ledger, "select name, value from fact where name like 'again:%'"):
            yield f"h: {board.device} still has {name} to say from {value} on"
        held_here = {row[0]: row[1:] for row in copies.rows(ledger, "select section, epoch, n from held")}
        for (device, section), (epoch, n, held_epoch, held_n) in hub.desired.items():
            if device != board.device:
                continue
            if held_here.get(section) != (epoch, n) or (held_epoch, held_n) != (epoch, n):
                yield (
                    f"h: {device} {section}: the hub wants {(epoch, n)}, the terminal holds {held_here.get(section)},"
                    f" the hub believes {(held_epoch, held_n)}"
                )


def _read_board(copies: _Copies, board: Board) -> Iterable[_Log]:
    for name, path in board.logs.items():
        found = copies.rows(path, "select log_id, next, through, hub_epoch from log")
        if found:
            rows = {int(seq): bytes(data) for seq, data in copies.rows(path, "select seq, data from record")}
            log_id, upcoming, through, epoch = found[0]
            is_trail = name == "trail"
            let_go = copies.rows(path, "select let_go from log")[0][0] if is_trail and board.was_full else -1
            pieces = copies.rows(path, "select stamp, points from piece") if is_trail else []
            yield _Log(board.device, name, log_id, upcoming, through, epoch, rows, let_go, pieces)


def _read_hub(evidence: Evidence, copies: _Copies) -> _Hub:
    def look(sql: str) -> list[tuple]:  # type: ignore[type-arg]
        return copies.rows(evidence.hub, sql)

    rows: dict[tuple[str, bytes], list[tuple[int, bytes]]] = {}
    for device, log_id, seq, data in look("select device, log_id, seq, data from record order by id"):
        rows.setdefault((device, log_id), []).append((seq, data))
    gaps: dict[tuple[str, bytes], list[tuple[int, int]]] = {}
    for device, log_id, first, last in look("select device, log_id, first, last from gap"):
        gaps.setdefault((device, log_id), []).append((first, last))
    epoch = look("select value from hub_fact where name = 'epoch'")
    desired = look("select device, section, epoch, n, held_epoch, held_n from desired")
    conflict = "same number, other bytes"
    return _Hub(
        rows=rows,
        through={
            (device, log_id): through for device, log_id, through in look("select device, log_id, through from log")
        },
        gaps=gaps,
        conflicts=look(f"select device, data from quarantine where why = '{conflict}'"),
        quarantine=dict(look(f"select why, count(*) from quarantine where why <> '{conflict}' group by why")),
        desired={(device, section): (e, n, he, hn) for device, section, e, n, he, hn in desired},
        epoch=epoch[0][0] if epoch else 1,
    )


class _Copies:
    """Copies of the stores, each made once an audit: looking must not change what is looked at."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._open: dict[Path, sqlite3.Connection] = {}

    def rows(self, path: Path, sql: str) -> list[tuple]:  # type: ignore[type-arg]
        """The answer of a copy."""
        if path not in self._open:
            self._open[path] = sqlite3.connect(self._copied(path))
        return self._open[path].execute(sql).fetchall()

    def close(self) -> None:
        """Nobody looks any more."""
        for connection in self._open.values():
            connection.close()

    def _copied(self, path: Path) -> Path:
        copy = self._scratch / f"{len(self._open)}-{path.name}"
        for suffix in ("", "-wal", "-shm"):
            source = path.with_name(path.name + suffix)
            target = copy.with_name(copy.name + suffix)
            target.unlink(missing_ok=True)
            if source.exists() and suffix != "-shm":
                shutil.copy(source, target)
        return copy
