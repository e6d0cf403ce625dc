"""The pipe from the store to the terminals: whole sections on every birth and change, notes for desks that asked.

A snapshot that is lost is sent again, because what a terminal says it holds is compared with what it should hold.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition
from time import monotonic

import structlog
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct
from sqlalchemy import Engine, select

from hub import desired, schema, shelf, store
from hub.arrivals import Wanted
from hub.desired import Kept, Vouched
from wire import signature, state
from wire.topics import SealedNotes, State, Topic

LOOK_S = 5.0
AGAIN_S_MIN, AGAIN_S_MAX = 30.0, 600.0
AFTER_FAILURE_S = 1.0
WANTED_MAX = 1000  # answers owed to desks; a desk that asks for more asks again at its next birth

_log = structlog.get_logger("hub.downlink")


class DownlinkParts(Struct, frozen=True, kw_only=True):
    """What the pipe is made of. `publish` answers whether the message is on its way; `look_s`: how often unconfirmed
    snapshots are looked for; `again_s`: after how long one is sent again, then twice as late."""

    engine: Engine
    publish: Callable[[Topic, bytes], bool]
    connected: Callable[[], frozenset[str]]
    snapshot_key: ec.EllipticCurvePrivateKey
    vouched: Vouched
    look_s: float = LOOK_S
    again_s: float = AGAIN_S_MIN
    beat: Callable[[], None] = lambda: None


class _Sent(Struct, kw_only=True):
    version: state.Version
    at_s: float
    wait_s: float


class _Asked(Struct, frozen=True, kw_only=True):
    born: frozenset[str]
    changed: frozenset[str]
    wanted: tuple[tuple[str, bytes], ...]


class Downlink:
    """One thread runs `run`; any thread pokes. What is asked for twice before it is done is done once."""

    def __init__(self, parts: DownlinkParts) -> None:
        self._parts = parts
        self._condition = Condition()
        self._is_stopping = False
        self._is_all = False
        self._changed: set[str] = set()
        self._born: set[str] = set()
        self._wanted: dict[tuple[str, bytes], None] = {}
        self._sent: dict[tuple[str, str], _Sent] = {}  # by device and section: as many as the fleet has

    def poke(self, device: str | None) -> None:
        """Something changed for `device`, or for nobody knows whom."""
        with self._condition:
            if device is None:
                self._is_all = True
            else:
                self._changed.add(device)
            self._condition.notify()

    def born(self, device: str) -> None:
        """`device` begins anew: it wants every section, whatever it had."""
        with self._condition:
            self._born.add(device)
            self._condition.notify()

    def wanted(self, wanted: Wanted) -> None:
        """A desk asks for notes."""
        with self._condition:
            for note_id in wanted.note_ids:
                if len(self._wanted) < WANTED_MAX:
                    self._wanted[wanted.device, note_id] = None
            self._condition.notify()

    def stop(self) -> None:
        """End `run`."""
        with self._condition:
            self._is_stopping = True
            self._condition.notify()

    def run(self) -> None:
        """Send what was asked for, until `stop`."""
        while (asked := self._next()) is not None:
            self._parts.beat()
            try:
                self._answer(asked)
            except store.FAILS as wrong:
                _log.error("the database does not answer", why=store.why(wrong))
                self._ask_again(asked)

    def _next(self) -> _Asked | None:
        """What was asked for since the last time, waiting a while for the first; None when it is time to stop."""
        with self._condition:
            if not (self._is_stopping or self._is_all or self._changed or self._born or self._wanted):
                self._condition.wait(self._parts.look_s)
            if self._is_stopping:
                return None
            changed = self._changed | (self._parts.connected() if self._is_all else frozenset())
            asked = _Asked(born=frozenset(self._born), changed=frozenset(changed), wanted=tuple(self._wanted))
            self._is_all = False
            self._changed.clear()
            self._born.clear()
            self._wanted.clear()
            return asked

    def _ask_again(self, asked: _Asked) -> None:
        with self._condition:
            self._born |= asked.born
            self._changed |= asked.changed
            self._wanted.update(dict.fromkeys(asked.wanted))
            if not self._is_stopping:
                self._condition.wait(AFTER_FAILURE_S)

    def _answer(self, asked: _Asked) -> None:
        for device in sorted(asked.born):
            self._send(device, is_birth=True)
        for device in sorted((asked.changed - asked.born) & self._parts.connected()):
            self._send(device, is_birth=False)
        for device, note_id in asked.wanted:
            self._deliver(device, note_id)
        self._send_unconfirmed()

    def _send(self, device: str, *, is_birth: bool) -> None:
        self._parts.beat()  # for each: a thousand that are born at once, each behind a batch of records, is no hanging
        with self._parts.engine.begin() as connection:
            kem = connection.execute(
                select(schema.device.c.kem_public).where(schema.device.c.device == device)
            ).scalar()
            kept = desired.refresh(connection, device, self._parts.vouched)
        if kem is None:
            return
        for section in kept:
            if is_birth or section.is_new:
                self._publish(device, section, signature.public_from(kem))

    def _publish(self, device: str, kept: Kept, kem: ec.EllipticCurvePublicKey) -> None:
        data = state.seal_snapshot(device, kept.section, kept.version, kept.content, kem, self._parts.snapshot_key)
        is_out = self._parts.publish(State(device, kept.section), data)
        before = self._sent.get((device, kept.section))
        wait_s = self._parts.again_s
        if before is not None and before.version == kept.version:
            wait_s = min(2 * before.wait_s, AGAIN_S_MAX)
        self._sent[device, kept.section] = _Sent(
            version=kept.version, at_s=monotonic() if is_out else 0.0, wait_s=wait_s
        )

    def _send_unconfirmed(self) -> None:
        """Send again what terminals that are here have not said to hold."""
        now_s, here = monotonic(), self._parts.connected()
        due = {
            (device, section)
            for (device, section), sent in self._sent.items()
            if device in here and now_s - sent.at_s > sent.wait_s
        }
        if not due:
            return
        table = schema.desired
        with self._parts.engine.begin() as connection:
            rows = connection.execute(
                select(table, schema.device.c.kem_public)
                .join(schema.device, schema.device.c.device == table.c.device)
                .where((table.c.held_epoch != table.c.epoch) | (table.c.held_n != table.c.n))
                .where(table.c.device.in_({device for device, _ in due}))
            ).all()
        unconfirmed = {(row.device, row.section): row for row in rows}
        for key in due:
            row = unconfirmed.get(key)
            if row is None:
                del self._sent[key]
                continue
            version = state.Version(row.epoch, row.n)
            kept = Kept(section=row.section, version=version, content=row.content, is_new=False)
            self._parts.beat()
            _log.info("sending again", device=row.device, section=row.section, n=row.n)
            self._publish(row.device, kept, signature.public_from(row.kem_public))

    def _deliver(self, device: str, note_id: bytes) -> None:
        self._parts.beat()
        with self._parts.engine.begin() as connection:
            delivery = shelf.delivery(connection, device, note_id)
        if delivery is not None:
            self._parts.publish(SealedNotes(device), state.sign_delivery(delivery, self._parts.snapshot_key))
