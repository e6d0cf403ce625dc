"""A crew's emergency, from the press to a dispatcher's answer. It waits for nothing: no disk, no link, no other record.

The law: once pressed it is raised until dispatch has cleared it and had heard the last press, across restarts. Two threads, so
that a disk that hangs holds up only the second: `run` decides and sends, from memory alone; `keep` saves. What could not
be saved within two seconds goes out signed all the same, without a number.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable
from queue import Empty, Full, Queue
from threading import Lock

import structlog
from msgspec import Struct
from msgspec.structs import replace
from sqlite_utils import Database

from edge import emergency_kept
from edge.clock import Clock
from edge.emergency_state import NOTHING, Phase, Raised, View, hurry_again_s, is_heard, is_over, remembered, view_of
from edge.identity import Identity
from edge.link import Message, Notice, Sent, Subscribed
from edge.outbox import Signer
from edge.store import Saves, StoreGone
from serving.beats import ROUND_S_MAX
from wire import topics
from wire.codec import Malformed, decode, encode
from wire.facts import EmergencyFact
from wire.fix import Fix
from wire.ids import ID_BYTES
from wire.records import Alarm, sign_alarm
from wire.state import Emergencies, HeardPress, KnownEmergency, Version, open_snapshot, unseal
from wire.topics import Section, State, Up

SAVE_S_MAX = 2.0  # a crew in danger does not wait longer for a disk
SAVE_AGAIN_S = 5.0  # a disk that was full may have room again
LINK_S = 1.0  # how soon to try again without a link that says it is up
TELL_AGAIN_S = 5.0  # the broker took it and dispatch has not answered: a hub that starts needs about so long
INBOX_MAX = 256  # presses and nudges; nobody holds a button for 1.5 s that often before a thread wakes up
UNHEARD_MAX = 64  # presses in memory; the first tells that there is an emergency, and the log has those that were saved

log = structlog.get_logger()

Publish = Callable[[Up, bytes, int, bool], Sent | None]  # channel, payload, qos, retain


class _Pressed(Struct, frozen=True, kw_only=True):
    source: str
    at_mono_s: float
    is_drill: bool = False
    asks_clear: bool = False


class _Press(Struct, kw_only=True):
    """A press that dispatch has not answered. `record` once it is saved, `alarm` once that took too long."""

    fact: EmergencyFact
    boot: bytes
    due_s: float  # when it goes out unsaved
    record: bytes | None = None
    alarm: bytes | None = None
    sent: Sent | None = None
    sent_s: float | None = None

    @property
    def is_late(self) -> bool:
        """Whether it went out without being saved, and still is not."""
        return self.alarm is not None and self.record is None

    @property
    def data(self) -> bytes | None:
        return self.record or self.alarm


class _Kept(Struct, frozen=True):
    press: _Press
    data: bytes


class _NotKept(Struct, frozen=True):
    press: _Press


class _Heard(Struct, frozen=True):
    payload: bytes


class _Linked(Struct, frozen=True):
    pass


class _Look(Struct, frozen=True):
    pass


class _Stop(Struct, frozen=True):
    pass


_Event = _Pressed | _Kept | _NotKept | _Heard | _Linked | _Stop
_Job = _Press | _Look | _Stop


class Emergency:
    """The emergencies of one terminal. `press`, `ask_clear`, `phase`, `view`, `look`, `heard` and `noticed` may be called
    by any thread; none of them waits or raises.

    `last_fix`: the last fix there was and when it was read; `raised`: told whether a real one is raised; `saved`: a record is
    owed that was not before; `hurry`: the link is in the way, None when there is none, else for how long it shall have said nothing.
    """

    def __init__(
        self,
        store: Saves,
        identity: Identity,
        signer: Signer,
        clock: Clock,
        publish: Publish,
        *,
        last_fix: Callable[[], tuple[Fix, float] | None],
        raised: Callable[[bool], None],
        saved: Callable[[], None],
        save_s_max: float = SAVE_S_MAX,
        tell_again_s: float = TELL_AGAIN_S,
        hurry: Callable[[float | None], None] = lambda silent_s: None,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._hurry = hurry
        self._hurries, self._hurry_at_s = 0, 0.0
        self._beat = beat
        self._store = store
        self._identity = identity
        self._signer = signer
        self._clock = clock
        self._publish = publish
        self._last_fix = last_fix
        self._tell_raised = raised
        self._saved = saved
        self._save_s_max = save_s_max
        self._tell_again_s = tell_again_s
        self._topic = topics.text(State(signer.device, Section.EMERGENCY))
        self._inbox: Queue[_Event] = Queue(INBOX_MAX)
        self._jobs: Queue[_Job] = Queue(INBOX_MAX)
        self._counting = Lock()
        self._untaken = 0  # presses that `run` has not seen yet: raised all the same
        self._is_look_queued = False
        self._view = self._just_pressed = NOTHING
        self._version: Version | None = None
        self._known: dict[bytes, KnownEmergency] = {}
        self._unheard: list[_Press] = []
        begun = store.do(lambda db: emergency_kept.begin(db, identity.kem))
        self._aboard, self._raised = begun.aboard, {one.id: one for one in begun.raised}
        if begun.said is not None:
            self._version, self._known = begun.version, {one.id: one for one in begun.said.emergencies}
        self._unheard += [_Press(fact=one.fact, boot=one.boot, due_s=0.0, record=one.record) for one in begun.unheard]
        self._settle()

    # --- for everybody else

    def press(self, source: str, at_mono_s: float, drill: bool = False) -> None:
        """Somebody pressed, at `at_mono_s` of the clock. `drill`: to see whether it works; counts as a real press while a
        real one is raised."""
        with self._counting:
            self._just_pressed = View(phase=Phase.RAISED, is_drill=drill)
            self._untaken += 1
        self._put(_Pressed(source=source, at_mono_s=at_mono_s, is_drill=drill))

    def ask_clear(self, at_mono_s: float) -> None:
        """The crew asks dispatch to clear what is raised; nothing when nothing is."""
        self._put(_Pressed(source="screen", at_mono_s=at_mono_s, asks_clear=True))

    def phase(self) -> Phase:
        """How far it has come; RAISED from the moment of the press."""
        return self.view().phase

    def view(self) -> View:
        """The same with its times, for people."""
        view, pressed = self._view, self._just_pressed
        is_newer = view.phase is Phase.NONE or (view.is_drill and not pressed.is_drill)
        return pressed if self._untaken and is_newer else view

    def look(self) -> None:
        """Something was committed: who is aboard may have changed."""
        with self._counting:
            if self._is_look_queued:
                return
            self._is_look_queued = True
        try:
            self._jobs.put_nowait(_Look())
        except Full:
            self._is_look_queued = False

    def heard(self, message: Message) -> None:
        """Something came from the hub. Read here beside the downlink, which may be waiting for a disk that hangs."""
        if message.topic == self._topic:
            self._put(_Heard(message.payload))

    def noticed(self, notice: Notice) -> None:
        """The link said something."""
        if isinstance(notice, Subscribed):
            self._put(_Linked())

    def is_in_memory_only(self) -> bool:
        """Whether an end now would lose a press: it is neither saved nor heard."""
        return self._untaken > 0 or any(press.record is None for press in list(self._unheard))

    def stop(self) -> None:
        """`run` and `keep` return, as soon as each can."""
        for queue in (self._inbox, self._jobs):
            try:
                queue.put_nowait(_Stop())
            except Full:
                continue  # then the process ends without it

    # --- deciding and sending: memory only

    def run(self) -> None:
        """Send what is to be sent, until `stop`."""
        self._say_raised()
        while True:
            self._beat()
            self._send()
            try:
                event = self._inbox.get(timeout=self._wait_s())
            except Empty:
                continue
            if isinstance(event, _Stop):
                return
            self.step(event)

    def step(self, event: _Event) -> None:
        """One event."""
        match event:
            case _Pressed():
                self._take_press(event)
                with self._counting:
                    self._untaken -= not event.asks_clear
            case _Kept(press, data):
                press.record, press.sent, press.sent_s = data, None, None
                self._settle()
            case _NotKept(press):
                press.due_s = self._clock.mono_s()
            case _Heard(payload):
                self._hear(payload)
            case _Linked():
                for press in self._unheard:  # what an earlier connection had open may be lost
                    press.sent = press.sent_s = None
            case _:
                pass

    def _take_press(self, pressed: _Pressed) -> None:
        raised = self._the_raised(pressed)
        if raised is None:
            return
        now_s = self._clock.mono_s()
        mono_ms = max(0, int(min(pressed.at_mono_s, now_s) * 1000))
        read = self._last_fix()
        fact = EmergencyFact(
            id=raised.id,
            source=pressed.source,
            mono_ms=mono_ms,
            drill=raised.is_drill,
            fix=None if read is None else read[0],
            fix_age_ms=None if read is None else max(0, int((pressed.at_mono_s - read[1]) * 1000)),
            asks_clear=pressed.asks_clear,
            unit=self._aboard.unit,
            staff=self._aboard.staff,
            assignment=self._aboard.assignment,
            incident=self._aboard.incident,
        )
        if pressed.asks_clear:
            self._raised[raised.id] = replace(raised, is_asked=True)
        else:
            self._raised[raised.id] = replace(raised, newest=HeardPress(self._clock.boot, mono_ms))
        press = _Press(fact=fact, boot=self._clock.boot, due_s=now_s + self._save_s_max)
        if len(self._unheard) < UNHEARD_MAX:
            self._unheard.append(press)
        try:
            self._jobs.put_nowait(press)
        except Full:
            press.due_s = now_s  # the disk has hung for long: it goes out now
        log.info("emergency", emergency=fact.id.hex(), source=fact.source, drill=fact.drill, asks_clear=fact.asks_clear)
        self._settle()
        self._say_raised()

    def _the_raised(self, pressed: _Pressed) -> Raised | None:
        """The emergency that this press belongs to, a new one if there is none; None when there is none to clear."""
        real = next((one for one in self._raised.values() if not one.is_drill), None)
        if real is not None:
            return real
        drill = next((one for one in self._raised.values() if one.is_drill), None)
        if drill is not None and (pressed.is_drill or pressed.asks_clear):
            return drill
        if pressed.asks_clear:
            return None
        stamp = self._clock.stamp()
        ago_ms = int((self._clock.mono_s() - pressed.at_mono_s) * 1000)
        raised = Raised(
            id=secrets.token_bytes(ID_BYTES),
            is_drill=pressed.is_drill,
            raised_ms=None if stamp.wall_ms is None else stamp.wall_ms - ago_ms,
            newest=None,
        )
        self._raised[raised.id] = raised
        return raised

    def _hear(self, payload: bytes) -> None:
        try:
            version, said = self._opened(payload)
        except Malformed:
            return  # the downlink counts it
        if self._version is not None and version <= self._version:
            return
        self._version, self._known = version, {one.id: one for one in said.emergencies}
        for one in said.emergencies:
            if one.cleared_ms is None and one.id not in self._raised:
                # Raised by a program before this one that could not save it, or by a ledger that was lost.
                self._raised[one.id] = remembered(one)
        self._settle()
        self._say_raised()

    def _opened(self, payload: bytes) -> tuple[Version, Emergencies]:
        identity = self._identity
        snapshot = open_snapshot(payload, identity.device, Section.EMERGENCY, identity.snapshot_public)
        return snapshot.version, decode(unseal(snapshot, identity.kem), Emergencies)

    def _settle(self) -> None:
        """Let go of what was answered and what is over, and say how it stands."""
        self._unheard = [press for press in self._unheard if not is_heard(press.fact, press.boot, self._known)]
        for one in tuple(self._raised.values()):
            if is_over(one, self._known):
                del self._raised[one.id]
                self._unheard = [press for press in self._unheard if press.fact.id != one.id]
                log.info("emergency_cleared", emergency=one.id.hex())
        self._view = view_of(
            tuple(self._raised.values()), self._known, not any(press.is_late for press in self._unheard)
        )

    def _say_raised(self) -> None:
        """A test is no reason to send a position each second until somebody has time to clear it."""
        self._tell_raised(any(not one.is_drill for one in self._raised.values()))

    def _send(self) -> None:
        now_s = self._clock.mono_s()
        for press in self._unheard:
            if press.data is None and now_s >= press.due_s:
                press.alarm = self._signed(press.fact)
                self._settle()
                log.warning("emergency_not_saved", emergency=press.fact.id.hex())
            if press.data is None:
                continue
            if press.sent_s is not None and now_s - press.sent_s >= self._tell_again_s:
                self._hurry_link(now_s, now_s - press.sent_s)
            if not _is_due(press, now_s, self._tell_again_s):
                continue
            sent = self._publish(Up.ALARM, press.data, 1, False)
            if sent is None:
                self._hurry_link(now_s, None)
                return  # no link; the next one says so
            press.sent, press.sent_s = sent, now_s
        if not self._unheard:
            self._hurries, self._hurry_at_s = 0, 0.0

    def _hurry_link(self, now_s: float, silent_s: float | None) -> None:
        if now_s >= self._hurry_at_s:
            self._hurries += 1
            self._hurry_at_s = now_s + hurry_again_s(self._hurries)
            self._hurry(silent_s)

    def _signed(self, fact: EmergencyFact) -> bytes:
        alarm = Alarm(v=1, device=self._signer.device, stamp=self._clock.stamp(), body=encode(fact))
        return sign_alarm(alarm, self._signer.key)

    def _wait_s(self) -> float:
        now_s = self._clock.mono_s()
        times = [press.due_s - now_s for press in self._unheard if press.data is None]
        if any(press.data is not None for press in self._unheard):
            times.append(min(LINK_S, self._tell_again_s))
        return max(0.01, min(ROUND_S_MAX, *times)) if times else ROUND_S_MAX

    def _put(self, event: _Pressed | _Heard | _Linked) -> None:
        try:
            self._inbox.put_nowait(event)
        except Full:  # only when `run` hangs; the lamp says so
            log.error("emergency_inbox_full")

    # --- saving: may wait for the disk

    def keep(self) -> None:
        """Save each press, and learn who is aboard, until `stop`."""
        unkept: list[_Press] = []
        while True:
            try:
                job = self._jobs.get(timeout=SAVE_AGAIN_S if unkept else None)
            except Empty:
                job = None
            match job:
                case _Stop():
                    return
                case _Look():
                    with self._counting:
                        self._is_look_queued = False
                    self._learn()
                case _Press():
                    unkept.append(job)
            while unkept and self._is_kept(unkept[0]):
                del unkept[0]

    def _is_kept(self, press: _Press) -> bool:
        try:
            data = self._store.do(lambda db: self._append(db, press.fact))
        except (StoreGone, sqlite3.Error, OSError) as wrong:
            log.error("emergency_not_saved", emergency=press.fact.id.hex(), why=type(wrong).__name__)
            self._answer(_NotKept(press))
            return False
        log.info("emergency_saved", emergency=press.fact.id.hex())
        self._answer(_Kept(press, data))
        self._saved()
        return True

    def _answer(self, event: _Kept | _NotKept) -> None:
        try:
            self._inbox.put(event, timeout=SAVE_AGAIN_S)
        except Full:
            log.error("emergency_inbox_full")

    def _append(self, db: Database, fact: EmergencyFact) -> bytes:
        self._aboard = emergency_kept.aboard(db, self._identity.kem)
        return emergency_kept.append(db, self._signer, self._clock.stamp(), fact, self._aboard)

    def _learn(self) -> None:
        try:
            self._aboard = self._store.do(lambda db: emergency_kept.aboard(db, self._identity.kem))
        except (StoreGone, sqlite3.Error):
            return  # what was known before is better than nothing


def _is_due(press: _Press, now_s: float, again_s: float) -> bool:
    """Whether to tell it now: at once, then again when the broker has it and dispatch still has not answered."""
    if press.sent is None or press.sent_s is None:
        return True
    return press.sent.is_out() and now_s - press.sent_s >= again_s
