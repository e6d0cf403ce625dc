"""The auditor: reads copies of the stores and what observers wrote down, and says what was lost, doubled or changed.

It shares no code with the programs: its own SQL, its own reading of MessagePack, its own verifying. The letters are
those of the invariants (docs: nothing is lost): a saved and gone, b twice, c other bytes, d out of order or a hole, e let
go too early or believed without a receipt, g beyond a bound, h the two ends differ when all is well.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
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


class Board(Struct, frozen=True, kw_only=True):
    """One terminal's files. `logs`: by name."""

    device: str
    logs: Mapping[str, Path]
    inbox_max_seen: int
    refused: int


class Evidence(Struct, frozen=True, kw_only=True):
    """Everything the auditor is given. `publics`, `hub_public`: P-256 points, uncompressed; `is_healed`: every fault is over and there was time to recover;
    `is_garbled`: somebody changes bytes on the way; `scratch`: a folder for copies."""

    hub: Path
    boards: Sequence[Board]
    saved: Sequence[SavedRecord]
    receipts: Sequence[ReceiptHeard]
    publics: Mapping[str, bytes]
    hub_public: bytes
    now_s: float
    is_healed: bool
    is_garbled: bool
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


class _Hub(Struct):
    """What the hub has."""

    rows: dict[tuple[str, bytes], list[tuple[int, bytes]]]
    through: dict[tuple[str, bytes], int]
    gaps: dict[tuple[str, bytes], list[tuple[int, int]]]
    quarantine: dict[str, int]
    desired: dict[tuple[str, str], tuple[int, int, int, int]]
    epoch: int


def audit(evidence: Evidence) -> list[str]:
    """What is wrong, a sentence each; nothing when all holds."""
    hub = _read_hub(evidence)
    logs = [log for board in evidence.boards for log in _read_board(evidence, board)]
    found: list[str] = []
    for check in (
        _twice(hub),
        _order(hub),
        _bytes(evidence, hub, logs),
        _saved(evidence, hub, logs),
        _belief(evidence, hub, logs),
        _bounds(evidence),
        _ends_agree(evidence, hub, logs) if evidence.is_healed else (),
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
    for (device, log_id), rows in hub.rows.items():
        for seq, data in rows:
            key = device, log_id, seq
            name = f"{device} {log_id.hex()[:8]} {seq}"
            if saved.get(key, data) != data:
                yield f"c: {name} at the hub is not what was called saved"
            if kept.get(key, data) != data:
                yield f"c: {name} at the hub is not what the terminal has"
            if (key not in saved or seq % VERIFY_EVERY == 0) and not _is_genuine(evidence, device, log_id, seq, data):
                yield f"c: {name} at the hub has a signature or a number that is not its own"
    conflicts = hub.quarantine.pop("same number, other bytes", 0)
    if conflicts:
        yield f"c: {conflicts} records came under a number that other bytes have"
    for why, count in hub.quarantine.items():
        if why != "unknown kind or unreadable body" and not evidence.is_garbled:
            yield f"c: {count} times {why!r} and nobody garbled anything"


def _is_genuine(evidence: Evidence, device: str, log_id: bytes, seq: int, data: bytes) -> bool:
    payload, signed = msgspec.msgpack.decode(data)
    fields = msgspec.msgpack.decode(payload)
    return fields[1:4] == [device, log_id, seq] and _verifies(
        evidence.publics[device], b"tandem-record-v1", payload, signed
    )


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
    for record in evidence.saved:
        key = record.device, record.log_id, record.seq
        if at_hub.get(key) == record.data or (*key, record.data) in kept:
            continue
        name = f"{record.device} {record.log} {record.seq}"
        since_s = covered(*key)
        if since_s is None:
            yield f"a: {name} was called saved and is nowhere, and no receipt ever covered it"
        elif evidence.now_s - since_s < KEPT_S:
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
        elif evidence.now_s - since_s < KEPT_S:
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
        if board.refused and not evidence.is_garbled:
            yield f"c: {board.device} refused {board.refused} messages and nobody garbled anything"


def _ends_agree(evidence: Evidence, hub: _Hub, logs: Sequence[_Log]) -> Iterable[str]:
    for log in logs:
        name = f"{log.device} {log.name}"
        held = hub.through.get((log.device, log.log_id), 0)
        if (log.epoch, log.through, log.upcoming) != (hub.epoch, held, held + 1):
            yield (
                f"h: {name} counts to {log.upcoming - 1} and believes {(log.epoch, log.through)};"
                f" the hub holds {held} in epoch {hub.epoch}"
            )
    for board in evidence.boards:
        held_here = {
            row[0]: row[1:] for row in _rows(evidence, board.logs["ledger"], "select section, epoch, n from held")
        }
        for (device, section), (epoch, n, held_epoch, held_n) in hub.desired.items():
            if device != board.device:
                continue
            if held_here.get(section) != (epoch, n) or (held_epoch, held_n) != (epoch, n):
                yield (
                    f"h: {device} {section}: the hub wants {(epoch, n)}, the terminal holds {held_here.get(section)},"
                    f" the hub believes {(held_epoch, held_n)}"
                )


def _read_board(evidence: Evidence, board: Board) -> Iterable[_Log]:
    for name, path in board.logs.items():
        found = _rows(evidence, path, "select log_id, next, through, hub_epoch from log")
        if found:
            rows = {int(seq): bytes(data) for seq, data in _rows(evidence, path, "select seq, data from record")}
            log_id, upcoming, through, epoch = found[0]
            yield _Log(board.device, name, log_id, upcoming, through, epoch, rows)


def _read_hub(evidence: Evidence) -> _Hub:
    rows: dict[tuple[str, bytes], list[tuple[int, bytes]]] = {}
    for device, log_id, seq, data in _rows(
        evidence, evidence.hub, "select device, log_id, seq, data from record order by id"
    ):
        rows.setdefault((device, log_id), []).append((seq, data))
    gaps: dict[tuple[str, bytes], list[tuple[int, int]]] = {}
    for device, log_id, first, last in _rows(evidence, evidence.hub, "select device, log_id, first, last from gap"):
        gaps.setdefault((device, log_id), []).append((first, last))
    logs = _rows(evidence, evidence.hub, "select device, log_id, through from log")
    epoch = _rows(evidence, evidence.hub, "select value from hub_fact where name = 'epoch'")
    desired = _rows(evidence, evidence.hub, "select device, section, epoch, n, held_epoch, held_n from desired")
    return _Hub(
        rows=rows,
        through={(device, log_id): through for device, log_id, through in logs},
        gaps=gaps,
        quarantine=dict(_rows(evidence, evidence.hub, "select why, count(*) from quarantine group by why")),
        desired={(device, section): (e, n, he, hn) for device, section, e, n, he, hn in desired},
        epoch=epoch[0][0] if epoch else 1,
    )


def _rows(evidence: Evidence, path: Path, sql: str) -> list[tuple]:  # type: ignore[type-arg]
    """The answer of a copy: looking must not change what is looked at."""
    copy = evidence.scratch / path.name
    for suffix in ("", "-wal"):
        source = path.with_name(path.name + suffix)
        target = copy.with_name(copy.name + suffix)
        target.unlink(missing_ok=True)
        if source.exists():
            shutil.copy(source, target)
    copy.with_name(copy.name + "-shm").unlink(missing_ok=True)
    connection = sqlite3.connect(copy)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()
