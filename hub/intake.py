"""The pipe from the link to the store: all that came in one transaction, then receipts, then the broker's due."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from threading import Event
from time import monotonic
from typing import Protocol

import structlog
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct
from sqlalchemy import Engine

from hub import ingest, positions, store
from hub.arrivals import Arrival, Marks, Taken, Wanted
from hub.link import Received
from hub.positions import Position, Positions
from hub.presence import Presence
from wire import records
from wire.keys import NoteKeyList
from wire.topics import Receipts, Topic

WAIT_S = 0.2  # for the first of a batch; also how soon a stop is seen
KEEP_POSITIONS_S = 10.0  # they are for the next start; each write costs the disk a sync
SAY_REFUSED_S = 10.0
AGAIN_S = 1.0  # after the database failed
VERIFIERS = min(4, os.cpu_count() or 1)  # verifying lets go of the interpreter, so the link is heard all the while


class FromBroker(Protocol):
    """What the pipe needs of the link."""

    def receive(self, wait_s: float) -> list[Received]: ...

    def publish(self, topic: Topic, payload: bytes) -> bool: ...

    def acknowledge(self, received: Received) -> None: ...

    def drop(self) -> None: ...


class Told(Protocol):
    """Who wants to know what came: the board, and the pipe down."""

    def moved(self, position: Position) -> None: ...

    def changed(self) -> None: ...

    def poke(self, device: str | None) -> None: ...

    def born(self, device: str) -> None: ...

    def wanted(self, wanted: Wanted) -> None: ...


class IntakeParts(Struct, frozen=True, kw_only=True):
    """What the pipe is made of."""

    engine: Engine
    link: FromBroker
    snapshot_key: ec.EllipticCurvePrivateKey
    note_keys: NoteKeyList
    marks: Marks
    positions: Positions
    presence: Presence
    told: Told
    now_ms: Callable[[], int]
    beat: Callable[[], None] = lambda: None


def run(parts: IntakeParts, stopping: Event) -> None:
    """Take what comes until `stopping`."""
    with ThreadPoolExecutor(VERIFIERS, "verifier") as verifiers:
        _run(parts, stopping, verifiers)


def _run(parts: IntakeParts, stopping: Event, verifiers: Executor) -> None:
    kept_s = said_s = monotonic()
    refused = 0
    while not stopping.is_set():
        parts.beat()
        batch = parts.link.receive(WAIT_S)
        if batch:
            try:
                taken = _take(parts, batch, verifiers)
            except store.FAILS as wrong:
                # Locked, full or gone: no receipt and no acknowledgement, so nobody lets go of anything.
                _log.error("the database does not take records", why=store.why(wrong))
                parts.link.drop()
                stopping.wait(AGAIN_S)
                continue
            _tell(parts, taken)
            _answer(parts, taken, batch)
            refused += taken.refused
        now_s = monotonic()
        if refused and now_s - said_s > SAY_REFUSED_S:
            _log.warning("refused what came", messages=refused)
            refused, said_s = 0, now_s
        if now_s - kept_s > KEEP_POSITIONS_S:
            keep_positions(parts)
            kept_s = now_s
    keep_positions(parts)


def keep_positions(parts: IntakeParts) -> None:
    """Write down the positions that moved since the last time."""
    moved = parts.positions.unkept()
    if not moved:
        return
    try:
        with parts.engine.begin() as connection:
            positions.keep(connection, moved)
    except store.FAILS as wrong:  # nobody was promised that these last
        _log.error("the database does not take positions", why=store.why(wrong))


_log = structlog.get_logger("hub.intake")


def _take(parts: IntakeParts, batch: list[Received], verifiers: Executor) -> Taken:
    return ingest.take(
        parts.engine,
        (Arrival(topic=received.topic, payload=received.payload) for received in batch),
        parts.now_ms(),
        note_keys=parts.note_keys,
        marks=parts.marks,
        verifiers=verifiers,
    )


def _tell(parts: IntakeParts, taken: Taken) -> None:
    """The map first: it is what somebody is looking at."""
    for position in taken.positions:
        parts.told.moved(parts.positions.put(position))
    now_ms = parts.now_ms()
    is_news = [parts.presence.here(device, now_ms) for device in taken.here]
    is_news += [parts.presence.gone(device, now_ms) for device in taken.gone]
    is_news += [parts.presence.owes(said, now_ms) for said in taken.owes]
    if taken.changed or taken.refused or any(is_news):
        parts.told.changed()
    for device in taken.births:
        parts.told.born(device)
    for device in taken.affected:
        parts.told.poke(device)
    for wanted in taken.wanted:
        parts.told.wanted(wanted)


def _answer(parts: IntakeParts, taken: Taken, batch: list[Received]) -> None:
    """The receipts; the broker's due when all went out. Else the connection is over, and the next one brings them again."""
    is_told = True
    for receipt in taken.receipts:
        signed = records.sign_receipt(receipt, parts.snapshot_key)
        is_told = parts.link.publish(Receipts(receipt.device), signed) and is_told
    for received in batch if is_told else ():
        parts.link.acknowledge(received)
