"""What goes to the hub: the records that are owed, in order, and beside them the newest position.

Two threads that never wait for each other. `Uplink` owns when records are sent (the decisions are in `edge.sync`);
`LiveSlot` holds one position, the newest, and tells it as soon as it must be told.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from functools import partial
from queue import Empty, Queue
from random import Random
from threading import Condition, Lock

import structlog
from msgspec import Struct
from sqlite_utils import Database

from edge import again, outbox, poison, policy, thinning
from edge.ahead import Ahead
from edge.clock import Clock
from edge.link import Acknowledged, Closed, Notice, Opened, Sent, Subscribed
from edge.outbox import LEDGER, TRAIL, Numbers, Signer
from edge.policy import Cadence, Reported
from edge.store import Store, is_full
from edge.sync import ANSWER_S_MAX, NO_SUBSCRIBER, REFUSED, HubSaid, Sync, Want
from edge.twin import TAKEN_OVER, Twin
from serving.beats import ROUND_S_MAX
from wire.fix import Fix
from wire.live import Live, LogRange, Presence, as_told, sign_live, sign_presence
from wire.topics import Up

INBOX_MAX = 1024  # broker answers to 64 open messages, and a few words from the link and the hub
SWEEP_S = 60.0
BUSY_S = 0.25  # how soon to look again whether the socket has taken the last position

REASONS = {  # the broker's words as a person says them, and what to do where there is something
    NO_SUBSCRIBER: "the hub is not listening",
    0x87: "the broker does not let this terminal send: tell the fleet tech",
    0x97: "the broker is full: tell the fleet tech",
    poison.TOO_LARGE: "the broker takes only small records: tell the fleet tech",
}

log = structlog.get_logger()

Publish = Callable[[Up, bytes, int, bool], Sent | None]  # channel, payload, qos, retain


class LinkState(Struct, frozen=True, kw_only=True):
    """What the screen says of the link. `link`: "up" or "down"; `hub`: whether it listens; `unsent`: records of the
    ledger that the hub has not said it holds, the oldest of them stored at `oldest_ms`; `received_through_ms`: when the
    newest record that the hub holds was stored; `why`: what is in the way; `refused`: messages to this terminal that
    were forged or broken; `is_sending`: what is unsent can go now; `is_twin`: another board uses this terminal's
    identity. Times are Unix milliseconds of the board's clock, None when it was not set."""

    link: str
    hub: bool
    unsent: int
    oldest_ms: int | None
    received_through_ms: int | None
    why: str | None
    refused: int
    is_sending: bool = True
    is_twin: bool = False


class _Look(Struct, frozen=True):
    """Something was appended or receipted."""


class _Again(Struct, frozen=True):
    """Everything that is held shall be said again."""


class _Owing(Struct, frozen=True):
    """How much of the ledger is owed, the oldest stored at `oldest_ms` of the board's clock."""

    records: int
    oldest_ms: int | None


class _Stop(Struct, frozen=True):
    pass


Event = Notice | HubSaid | _Look | _Again | _Stop


def inbox() -> Queue[Event]:
    """Where the link and the hub's word arrive for `Uplink`."""
    return Queue(INBOX_MAX)


def farewell(signer: Signer, clock: Clock, software: str, session: int) -> bytes:
    """The signed word that `session` is over: the will, or our own goodbye."""
    return _presence(signer, clock, software, session, is_here=False, logs=())


class LiveSlot:
    """The newest position of this terminal, and what the hub was last told of it."""

    def __init__(self, signer: Signer, clock: Clock, publish: Publish, beat: Callable[[], None] = lambda: None) -> None:
        self._beat = beat
        self._signer = signer
        self._clock = clock
        self._publish = publish
        self._changed = Condition()
        self._newest: tuple[Fix | None, float] | None = None
        self._told: Reported | None = None
        self._sent: Sent | None = None
        self._last_fix: tuple[Fix, float] | None = None
        self._cadence = Cadence()
        self._is_emergency = False
        self._is_open = False
        self._is_stopping = False
        self._owing = _Owing(0, None)

    def owes(self, records: int, oldest_ms: int | None) -> None:
        """How much the hub does not have yet: told with the next position, and no reason to tell one."""
        self._owing = _Owing(records, oldest_ms)

    @property
    def is_telling(self) -> bool:
        """Whether there is a receiver here: then the hub hears of this terminal every few seconds anyway."""
        return self._newest is not None

    def offer(self, fix: Fix | None, read_s: float) -> None:
        """The newest reading, in place of the one before; `fix` None: there is no position."""
        with self._changed:
            self._newest = fix, read_s
            if fix is not None:
                self._last_fix = fix, read_s
            self._changed.notify()

    def last_fix(self) -> tuple[Fix, float] | None:
        """The last position there was, and when it was read."""
        with self._changed:
            return self._last_fix

    def emergency(self, is_raised: bool) -> None:
        """Whether the crew is in danger: then the position is told at once, and each second."""
        with self._changed:
            self._is_emergency = is_raised
            self._changed.notify()

    def is_emergency(self) -> bool:
        """Whether the crew is in danger."""
        return self._is_emergency

    def open(self, is_open: bool) -> None:
        """Whether somebody listens. What was told to a listener before counts for nothing."""
        with self._changed:
            if is_open == self._is_open:
                return
            self._told = self._sent = None
            self._is_open = is_open
            self._changed.notify()

    def cadence(self, cadence: Cadence) -> None:
        """The agency's bounds."""
        with self._changed:
            self._cadence = cadence
            self._changed.notify()

    def stop(self) -> None:
        """`run` returns."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify()

    def run(self) -> None:
        """Tell what must be told, as soon as it must, until `stop`."""
        while True:
            with self._changed:
                while self._due() is None and not self._is_stopping:
                    self._beat()
                    wait_s = self._wait_s()
                    self._changed.wait(ROUND_S_MAX if wait_s is None else min(ROUND_S_MAX, wait_s))
                if self._is_stopping:
                    return
            self._beat()
            self.step()

    def step(self) -> None:
        """Tell what must be told now, if anything must."""
        with self._changed:
            due = self._due()
        if due is not None:
            self._tell(*due)

    def _due(self) -> tuple[Fix | None, float, str] | None:
        if not self._is_open or self._newest is None or self._is_busy():
            return None
        fix, read_s = self._newest
        now_s = self._clock.mono_s()
        reason = policy.reason_to_report(self._told, fix, read_s, now_s, self._cadence, self._is_emergency)
        return None if reason is None else (fix, read_s, reason)

    def _is_busy(self) -> bool:
        """The last one still waits for the socket: a second behind it would only be older when it arrives."""
        return self._sent is not None and not self._sent.is_out()

    def _wait_s(self) -> float | None:
        if not self._is_open or self._newest is None:
            return None
        if self._is_busy():
            return BUSY_S
        if self._is_emergency and self._newest[0] is not None and self._told is not None:
            return max(0.01, policy.due_again_s(self._told) - self._clock.mono_s())
        if self._newest[0] is None and self._told is not None:  # no reading will come to wake us
            return max(0.01, self._told.sent_s + self._cadence.report_s_max - self._clock.mono_s())
        return None

    def _tell(self, fix: Fix | None, read_s: float, reason: str) -> None:
        now_s = self._clock.mono_s()
        fix = None if fix is None else as_told(fix)
        live = Live(
            v=2,
            device=self._signer.device,
            boot=self._clock.boot,
            mono_ms=self._clock.next_ms(),
            age_ms=max(0, int((now_s - read_s) * 1000)),
            fix=fix,
            reason=reason,
            owed=self._owing.records,
            owed_ms=self._owed_ms(),
        )
        sent = self._publish(Up.LIVE, sign_live(live, self._signer.key), 0, False)
        with self._changed:
            if sent is None:
                self._is_open = False  # the connection has just ended; the next one opens again
                return
            self._told = Reported(fix=fix, read_s=read_s, sent_s=now_s, reason=reason)
            self._sent = sent

    def _owed_ms(self) -> int | None:
        oldest_ms = self._owing.oldest_ms
        return None if oldest_ms is None else max(0, self._clock.wall_ms() - oldest_ms)


class Uplink:
    """The records of this terminal on their way. `logs`: a store by name, those sent first coming first; `inbox`:
    where the link tells of itself; `spoiled`: told, inside the transaction, of which kind a record was that the disk
    has changed."""

    def __init__(
        self,
        inbox: Queue[Event],
        logs: Mapping[str, Store],
        signer: Signer,
        clock: Clock,
        publish: Publish,
        live: LiveSlot,
        *,
        software: str,
        chance: Random,
        spoiled: Callable[[Database, str], None] = lambda db, kind: None,
        twin: Twin | None = None,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._beat = beat
        self._spoiled = spoiled
        self._twin = twin or Twin()
        self._packet_bytes_max: int | None = None
        self._again = logs[LEDGER].do(again.cursors) if LEDGER in logs else {}  # none while nothing is saved
        self._again_upto = LEDGER, 1
        self._said_again: dict[int, int] = {}  # by mid, a number of the batch that is on its way once more
        self._again_by_s = 0.0  # by when the broker will have answered for all of them
        self._logs = logs
        self._ahead = {
            name: Ahead(store, thinning.hand_out if name == TRAIL else outbox.read) for name, store in logs.items()
        }
        self._signer = signer
        self._clock = clock
        self._publish = publish
        self._live = live
        self._software = software
        self._sync = Sync(tuple(logs), chance)
        self._inbox = inbox
        self._mids: dict[int, tuple[str, int]] = {}
        self._session = 0
        self._is_up = False
        self._hub: HubSaid | None = None
        self._why: str | None = "not connected yet"
        self._refused = 0
        self._counting = Lock()
        self._is_look_queued = False
        self._sweep_s = 0.0
        self._kept_base_ms = {
            name: store.do(outbox.last_receipted_ms) - clock.mono_ms() for name, store in logs.items()
        }

    def hub_said(self, said: HubSaid) -> None:
        """From the downlink, verified."""
        self._inbox.put(said)

    def wake(self) -> None:
        """Something was appended or receipted: look now. Any thread; never waits."""
        with self._counting:
            if self._is_look_queued:
                return
            self._is_look_queued = True
        self._inbox.put(_Look())

    def say_again(self) -> None:
        """The hub wants everything that is held once more; what `edge.again` keeps says from where."""
        self._inbox.put(_Again())

    def refused(self) -> None:
        """Something was said to this terminal that is forged or broken."""
        with self._counting:
            self._refused += 1

    def stop(self) -> None:
        """`run` returns."""
        self._inbox.put(_Stop())

    def state(self) -> LinkState:
        """For the screen. Reads the ledger."""

        def read(db: Database) -> tuple[Numbers, int | None, int | None]:
            numbers = outbox.numbers(db)
            return numbers, outbox.stored_ms(db, numbers.lowest_owed), outbox.stored_ms(db, numbers.lowest_owed - 1)

        numbers, oldest_ms, through_ms = self._logs[LEDGER].do(read)
        return LinkState(
            link="up" if self._is_up else "down",
            hub=self._is_up and self._hub is not None and self._hub.is_here,
            unsent=numbers.unsent,
            oldest_ms=oldest_ms,
            received_through_ms=through_ms,
            why=self._in_the_way(),
            refused=self._refused,
            is_sending=self._is_up and self._sync.refused is None,
            is_twin=self._twin.is_here(self._clock.mono_s()),
        )

    def hears_us(self) -> str:
        """For a lamp, which waits for no disk: "up" (the hub listens), "away" (only the broker does) or "down"."""
        hub = self._hub
        if not self._is_up:
            return "down"
        return "up" if hub is not None and hub.is_here else "away"

    def run(self) -> None:
        """Send what is owed until `stop`."""
        self._look()
        while True:
            self._beat()
            try:
                event = self._inbox.get(timeout=min(ROUND_S_MAX, self._wait_s()))
            except Empty:
                event = None
            while event is not None and not isinstance(event, _Stop) and not self._inbox.empty():
                self._take(event)  # what came together is answered together: one look into the store for all of it
                event = self._inbox.get()
            if isinstance(event, _Stop):
                return
            try:
                self.step(event)
            except sqlite3.Error as wrong:  # full: what is owed stays owed, and is tried again with the next event
                if not is_full(wrong):
                    raise
                log.error("uplink_disk_full")

    def step(self, event: Event | None) -> None:
        """One event, or None when only time has passed, and what is to be sent after it."""
        self._take(event)
        self._sync.tick(self._clock.mono_s())
        self._send()
        self._live.open(self._sync.is_flowing)  # after the birth: the hub knows then whose positions these are
        self._sweep()

    def _take(self, event: Event | None) -> None:
        match event:
            case Opened(session, packet_bytes_max):
                self._session = session
                self._packet_bytes_max = packet_bytes_max
                self._down()
            case Subscribed():
                self._is_up, self._why = True, None
                log.info("link_up", session=self._session)
                self._sync.connected()
            case Closed(why, reason):
                self._down()
                if reason == TAKEN_OVER:
                    self._twin.evicted(self._clock.mono_s())
                if why != self._why:  # said once, not with every attempt
                    log.warning("link_down", why=why)
                self._why = why
            case Acknowledged(mid, reason):
                self._answered(mid, reason)
            case HubSaid():
                is_other_life = self._is_other_life(event)
                if self._hub is not None and event.is_here and not self._live.is_telling:
                    self._sync.bear_again()
                self._sync.hub(event, is_other_life)
                self._hub = event
                if is_other_life:
                    self._live.open(False)
            case _Look():
                with self._counting:
                    self._is_look_queued = False
                self._look()
            case _Again():
                self._again = self._logs[LEDGER].do(again.cursors) if LEDGER in self._logs else {}
            case _:
                pass

    def _is_other_life(self, said: HubSaid) -> bool:
        """The hub was away and is back, or is another one, on this same connection: it shall have a fresh birth."""
        before = self._hub
        return before is not None and said.is_here and (before.epoch, before.is_here) != (said.epoch, True)

    def _down(self) -> None:
        self._is_up = False
        self._hub = None
        self._mids.clear()
        self._said_again.clear()
        self._sync.gone()
        self._live.open(False)

    def _look(self) -> None:
        for name, store in self._logs.items():
            numbers, oldest_ms = store.do(_standing)
            self._sync.log_at(
                name,
                numbers.lowest_owed,
                numbers.next,
                numbers.hub_epoch,
                self._clock.mono_s(),
                is_cut_off=numbers.is_cut_off,
            )
            if name == LEDGER:
                self._live.owes(numbers.unsent, oldest_ms)

    def _send(self) -> None:
        if self._sync.is_birth_due and not self._bear():
            return
        while (want := self._sync.want(self._clock.mono_s())) is not None:
            if not self._send_records(want):
                return
        self._send_again()

    def _bear(self) -> bool:
        """Whether the birth was handed over."""
        logs = tuple(
            store.do(partial(outbox.log_range, name=name, signer=self._signer)) for name, store in self._logs.items()
        )
        birth = _presence(self._signer, self._clock, self._software, self._session, is_here=True, logs=logs)
        sent = self._publish(Up.PRESENCE, birth, 1, True)
        if sent is None:
            return False
        self._sync.born(self._clock.mono_s())
        return True

    def _send_records(self, want: Want) -> bool:
        """Whether to go on."""
        owed = self._ahead[want.log].take(want.first, want.records_max, want.bytes_max)
        if not owed or owed[0].seq != want.first:
            self._ahead[want.log].forget()
            self._look()
            return self._sync.want(self._clock.mono_s()) != want
        is_doubted = self._sync.is_doubted(want.log)
        for record in owed:
            if (is_doubted and self._is_damaged(want.log, record.seq)) or (
                not poison.fits(record, self._packet_bytes_max)
                and self._steps_aside(want.log, record.seq, poison.TOO_LARGE)
            ):
                return True  # what stands there now is read anew
            sent = self._publish(Up.LOG, record.data, 1, False)
            if sent is None:
                return False  # the connection has ended; the link will say so
            self._mids[sent.mid] = want.log, record.seq
            self._sync.sent(want.log, record.seq, len(record.data), self._clock.mono_s())
        return True

    def _answered(self, mid: int, reason: int) -> None:
        """The broker's answer: to a record that is owed, or to one that is said again."""
        if self._said_again.pop(mid, None) is not None:
            if reason < REFUSED and not self._said_again:
                self._batch_said_again()
            return
        owed = self._mids.pop(mid, None)
        if owed is None:
            return
        if reason in poison.ITS_OWN_FAULT and self._steps_aside(*owed, reason):
            self._sync.changed(*owed)
        else:
            self._sync.acknowledged(*owed, reason, self._clock.mono_s())

    def _is_damaged(self, name: str, seq: int) -> bool:
        """Whether what no receipt comes for is not what was signed, and therefore never will be taken."""
        stamp = self._clock.stamp()

        def replace(db: Database) -> bool:
            spoiled = poison.replace_damaged(db, self._signer, stamp, seq)
            if spoiled is not None:
                self._spoiled(db, spoiled)
            return spoiled is not None

        is_damaged = self._logs[name].do(replace)
        if is_damaged:
            self._ahead[name].forget()
            log.error("record_damaged", log=name, seq=seq)
            self._look()  # what it said may be owed anew
        return is_damaged

    def _steps_aside(self, name: str, seq: int, reason: int) -> bool:
        is_aside = self._logs[name].do(lambda db: poison.step_aside(db, self._signer, seq, reason))
        if is_aside:
            self._ahead[name].forget()
            log.error("record_refused", log=name, seq=seq, reason=reason)
            self._look()  # what it said is owed anew
        return is_aside

    def _send_again(self) -> None:
        """The next batch of what is said again, when nothing else is on its way."""
        if self._clock.mono_s() >= self._again_by_s:
            self._said_again.clear()  # an answer was eaten on a living connection: this batch once more
        while self._again and self._sync.is_idle and not self._said_again:
            name, cursor = next(iter(self._again.items()))
            store = self._logs.get(name)
            batch = store.do(partial(again.batch, cursor=cursor)) if store is not None else ()
            if not batch:
                del self._again[name]
                self._logs[LEDGER].do(partial(again.keep, log=name, cursor=None))
                continue
            self._again_upto = name, batch[-1].seq + 1
            self._again_by_s = self._clock.mono_s() + ANSWER_S_MAX
            for record in batch:
                sent = self._publish(Up.LOG, record.data, 1, False)
                if sent is None:
                    return
                self._said_again[sent.mid] = record.seq

    def _batch_said_again(self) -> None:
        name, cursor = self._again_upto
        self._again[name] = cursor
        self._logs[LEDGER].do(partial(again.keep, log=name, cursor=cursor))

    def _wait_s(self) -> float:
        due_s = self._sync.wait_s(self._clock.mono_s())
        return SWEEP_S if due_s is None else min(SWEEP_S, due_s)

    def _sweep(self) -> None:
        now_s = self._clock.mono_s()
        if now_s < self._sweep_s:
            return
        self._sweep_s = now_s + SWEEP_S
        for name, store in self._logs.items():
            store.do(partial(outbox.sweep, now_ms=self._kept_base_ms[name] + self._clock.mono_ms()))

    def _in_the_way(self) -> str | None:
        if not self._is_up:
            return self._why
        if self._hub is None or not self._hub.is_here:
            return "the hub is away"
        refused = self._sync.refused
        if refused is None:
            return None
        return REASONS.get(refused, f"the broker does not take our records (reason {refused:#04x})")


def _standing(db: Database) -> tuple[Numbers, int | None]:
    """Where a log stands, and when the oldest that is owed was stored."""
    numbers = outbox.numbers(db)
    return numbers, outbox.stored_ms(db, numbers.lowest_owed) if numbers.unsent else None


def _presence(
    signer: Signer, clock: Clock, software: str, session: int, *, is_here: bool, logs: tuple[LogRange, ...]
) -> bytes:
    presence = Presence(
        v=1,
        device=signer.device,
        boot=clock.boot,
        session=session,
        mono_ms=clock.next_ms(),
        is_here=is_here,
        software=software,
        logs=logs,
    )
    return sign_presence(presence, signer.key)
