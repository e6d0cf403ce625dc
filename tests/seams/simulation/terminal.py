"""A terminal as a process on a board: the product's outbox, uplink and downlink, stepped instead of run.

The shell here stands for the product's link and store threads. What it decides itself is only what a board decides:
when it has power, and what its clock shows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from math import ceil
from pathlib import Path
from queue import Queue
from random import Random
from typing import TypeVar

from msgspec import Struct
from sqlite_utils import Database

from edge import answers, downlink, outbox, schema, uplink
from edge.clock import Clock
from edge.downlink import Downlink
from edge.identity import Identity
from edge.link import Acknowledged, Backoff, Closed, Message, Opened, Sent, Subscribed, pause_s
from edge.orders import Obeyed
from edge.outbox import LEDGER, TRAIL, Signer
from edge.room import Growth
from edge.store import is_full
from edge.trail import TrailKeeper
from edge.uplink import Event, LiveSlot, Uplink
from tests.seams.simulation.broker import Broker, Line
from tests.seams.simulation.disk import Disk, PowerCut
from tests.seams.simulation.faults import Fault, Provoked
from tests.seams.simulation.plants import Plant
from tests.seams.simulation.timeline import START_WALL_S, Timeline
from wire import topics
from wire.codec import Malformed
from wire.fix import Fix
from wire.stamp import ClockQuality
from wire.topics import Up, UpTopic

TICK_S = 5.0  # the product waits until something is due; looking more often changes nothing
CONNECT_S = 0.1
SOFTWARE = "simulated"
BACKOFF = Backoff()
DRIVEN_LON = -80.0  # nothing else is there
DRIVEN_LAT, DRIVEN_STEP = -80.0, 0.00001  # a place says in which second of the simulation it was read

T = TypeVar("T")


class Saved(Struct, frozen=True):
    """What the screen called saved."""

    device: str
    log: str
    log_id: bytes
    seq: int
    data: bytes


class HeardReceipt(Struct, frozen=True):
    """A receipt as it reached the terminal; `is_sure` false when the power went away while it was taken, or the disk took nothing. `believes`:
    epoch and number of each log right after, by what stands in the file."""

    device: str
    at_s: float
    payload: bytes
    is_sure: bool
    believes: dict[bytes, tuple[int, int]]


class Drive(Struct):
    """The fixes of one life of the program. `read`: when each was, on the clock of its boot; `safe`: so many of them were
    on the disk when it last took any; `met_full`: it had no room for a while."""

    device: str
    boot: bytes
    read: list[int] = []
    safe: int = 0
    met_full: bool = False


class Rotted(Struct, frozen=True):
    """A record that its own disk has changed: what it was and what it is."""

    device: str
    log_id: bytes
    seq: int
    before: bytes
    after: bytes


class Journal(Struct):
    """What an observer beside the boards wrote down; the auditor's evidence. `kept`: records of fixes."""

    saved: list[Saved] = []
    receipts: list[HeardReceipt] = []
    drives: list[Drive] = []
    rotted: list[Rotted] = []
    kept: int = 0

    @property
    def records(self) -> int:
        """How many were made."""
        return len(self.saved) + self.kept


class _Watched:
    """The trail's file as the keeper of fixes uses it; somebody notes how many it holds."""

    def __init__(self, disk: Disk, drive: Drive) -> None:
        self._disk = disk
        self._drive = drive

    def do(self, work: Callable[[Database], T]) -> T:
        """As the disk. The newest fix may or may not be among what was written."""
        value = self._disk.do(work)
        self._drive.safe = max(self._drive.safe, len(self._drive.read) - 1)
        return value


class Terminal:
    """One board. `journal` outlives it; `plant` is a bug put in on purpose, mostly none."""

    def __init__(
        self,
        who: Identity,
        home: Path,
        timeline: Timeline,
        broker: Broker,
        chance: Random,
        journal: Journal,
        provoked: Provoked,
        plant: Plant,
        went_dark: Callable[[Terminal, bool], None],
        *,
        has_receiver: bool,
    ) -> None:
        self.who = who
        self.device = who.device
        self.home = home
        self._timeline = timeline
        self._broker = broker
        self._chance = chance
        self._journal = journal
        self._provoked = provoked
        self._plant = plant
        self.has_receiver = has_receiver
        self._went_dark = went_dark
        home.mkdir(exist_ok=True)
        tables = {LEDGER: schema.LEDGER, TRAIL: schema.TRAIL}
        self.disks = {log: Disk(self.path(log), steps, chance, lies=plant.disk_lies) for log, steps in tables.items()}
        self.is_on = False
        self.is_link_blocked = False
        self.refused = 0
        self.contradicted = 0
        self.was_full = False
        self._growth = Growth.GROWS
        self._has_no_room = False
        self.inbox_max_seen = 0
        self.wall_skew_s = 0.0
        self._session = 0
        self._failures = 0
        self._life = 0  # acts planned in an earlier one are void
        self._line: Line | None = None
        self._up_s: float | None = None
        self._mid = 0
        self._carried: dict[int, bytes] = {}  # by mid, what the broker has not answered
        self.power_on()

    # --- power

    def power_on(self) -> None:
        """A new boot."""
        self._boot, self._booted_s = self._chance.randbytes(16), self._timeline.now_s
        self._start()

    def power_off(self) -> None:
        """The ignition key, while nothing is being written."""
        if self.is_on:
            self._without_power(is_inside=False)

    def power_off_at_next_commit(self, log: str) -> None:
        """The ignition key, in the middle of whatever `log` commits next."""
        if self.is_on:
            self.disks[log].cut_at_next_commit()

    def kill(self) -> None:
        """The program dies and systemd starts it again in the same boot."""
        if not self.is_on:
            return
        self._end()
        for disk in self.disks.values():
            disk.close()
            disk.reopen()
        self._start(is_reopened=True)

    def clock_is_off(self, by_s: float) -> None:
        """The wall clock jumps to being off by so much; a thread that runs sees it soon."""
        self.wall_skew_s = by_s
        self._powered(lambda: self._step(None))

    def disk_is_full(self, growth: Growth | None) -> None:
        """The disk takes no more, and this is what the terminal makes of it; None: it has room again."""
        self._growth = growth or Growth.GROWS
        self.was_full = self.was_full or growth is not None
        self._drive.met_full = self._drive.met_full or growth is not None
        for disk in self.disks.values():
            disk.fill(growth is not None)

    def rot(self, log: str) -> None:
        """The disk changes one byte of a record that is owed."""
        if not self.is_on:
            return
        disk = self.disks[log]
        now = disk.look(outbox.numbers)
        if not now.unsent:
            return
        seq = self._chance.randrange(now.lowest_owed, now.next)
        before, after = disk.rot(seq, self._chance)
        self._journal.rotted.append(Rotted(self.device, now.log_id, seq, before, after))
        self._provoked.note(Fault.BIT_ROT)

    # --- the crew

    def save(self, log: str, kind: str, body: bytes) -> None:
        """What the crew does: the screen says saved once this has returned."""
        if not self.is_on:
            return

        def work() -> None:
            try:
                made = self._plant.append(self.disks[log], self.signer, self.clock, kind, body)
            except sqlite3.Error as wrong:
                self._must_be_full(wrong)
                return  # the screen says that it is not saved
            self._journal.saved += [Saved(self.device, log, *one) for one in made]
            self.uplink.wake()

        self._powered(work)

    def path(self, log: str) -> Path:
        """Where a log's file is."""
        return self.home / f"{log}.db"

    @property
    def owes_nothing(self) -> bool:
        """Whether it believes that the hub has everything."""
        return self.is_on and all(disk.look(outbox.numbers).unsent == 0 for disk in self.disks.values())

    # --- its end of the line

    def acknowledged(self, line: Line, mid: int, reason: int) -> None:
        """From the broker."""
        if line is self._line:
            payload = self._carried.pop(mid, b"")
            self._powered(lambda: self._answered(payload, mid, reason))

    def heard(self, line: Line, topic: str, payload: bytes) -> None:
        """From the broker."""
        if line is self._line:
            self._has_no_room = False
            is_over = self._powered(lambda: self._take(topic, payload))
            if topic.endswith("/receipt"):
                self._journal.receipts.append(
                    HeardReceipt(
                        self.device,
                        self._timeline.now_s,
                        payload,
                        is_sure=not is_over and not self._has_no_room,
                        believes={} if is_over else self._believes(),
                    )
                )

    def closed(self, line: Line, is_everyone: bool) -> None:
        """From the broker, or from a link that fell silent."""
        if line is self._line:
            self._line = None
            self._carried.clear()
            up_s = 0.0 if self._up_s is None else self._timeline.now_s - self._up_s
            was_up, self._up_s = self._up_s is not None, None
            self._powered(lambda: self._step(Closed("cut")))
            self._failures = 0 if up_s >= BACKOFF.healthy_s else self._failures + 1
            self._come_back(self._spread_s if is_everyone and was_up else None)

    # --- inside

    def _start(self, *, is_reopened: bool = False) -> None:
        if not is_reopened and self._life > 0:
            for disk in self.disks.values():
                disk.reopen()
        self._life += 1
        self.is_on = True
        self._failures = 0
        self._spread_s = 0.0
        self.clock = Clock(
            self._boot,
            mono_s=lambda: self._timeline.now_s - self._booted_s,
            wall_s=lambda: START_WALL_S + self._timeline.now_s + self.wall_skew_s,
            quality=lambda: ClockQuality.NTP,
        )
        self.signer = Signer(self.device, self.who.key)
        self._notices: Queue[Event] = uplink.inbox()
        self._live = LiveSlot(self.signer, self.clock, self._publish)
        self._drive = Drive(self.device, self._boot, met_full=self._growth is not Growth.GROWS)
        self._drive.met_full = self._drive.met_full or self.disks[TRAIL].is_full
        self._journal.drives.append(self._drive)
        self._next_fix_s = ceil(self._timeline.now_s)
        heard: Queue[Message | None] = downlink.inbox()
        stores = self._plant.stores(self.disks)

        def build() -> None:
            self.uplink = Uplink(
                self._notices,
                stores,
                self.signer,
                self.clock,
                self._publish,
                self._live,
                software=SOFTWARE,
                chance=self._chance,
                spoiled=lambda db, kind: answers.owe_again(db, self.who.kem, self.signer, self.clock.stamp(), kind),
            )
            self.downlink = Downlink(
                heard,
                stores,
                self.who,
                self.signer,
                self.clock,
                hub_said=self.uplink.hub_said,
                spread=self._spread,
                settings=lambda _: None,
                wake=self.uplink.wake,
                refused=self._count_refused,
                desk=None,
                ordered=self._ordered,
                contradicted=self._contradicted,
            )
            watched = _Watched(self._plant.stores(self.disks)[TRAIL], self._drive)
            self._keeper = TrailKeeper(
                watched,  # type: ignore[arg-type]  # the rest of a store nobody asks for
                self.signer,
                self.clock,
                growth=lambda: self._growth,
            )
            self._keeper.flush()  # what an earlier run had collected
            self.uplink.wake()

        self._powered(build)
        self._later(self._chance.uniform(0.5, 1.5), self._connect)
        self._later(TICK_S, self._tick)

    def _end(self) -> None:
        self._life += 1
        self.is_on = False
        if self._line is not None:
            line, self._line = self._line, None
            self._broker.hang_up(line)
        self._up_s = None
        self._carried.clear()

    def _without_power(self, *, is_inside: bool) -> None:
        self._end()
        for disk in self.disks.values():
            if disk.is_open:
                disk.lose_power()
        self._went_dark(self, is_inside)

    def _powered(self, work: Callable[[], None]) -> bool:
        """Do `work` and what follows from it; whether the power went away meanwhile."""
        if not self.is_on:
            return True
        try:
            work()
            while not self._notices.empty():
                self.inbox_max_seen = max(self.inbox_max_seen, self._notices.qsize())
                self._step(self._notices.get())
        except PowerCut:
            self._without_power(is_inside=True)
            return True
        return False

    def _tick(self) -> None:
        self._powered(self._time_passes)
        self._later(TICK_S, self._tick)

    def _time_passes(self) -> None:
        self._plant.tick(self.disks, self.clock)
        if self.has_receiver:
            self._read_fixes()
        self._step(None)
        self._live.step()

    def _read_fixes(self) -> None:
        """What the receiver has said since the last time, a fix a second; a vehicle that was parked begins anew."""
        now_s = self._timeline.now_s
        first_s = max(self._next_fix_s, int(now_s) - int(TICK_S))
        for second in range(first_s, int(now_s) + 1):
            self._next_fix_s = second + 1
            read_s = second - self._booted_s
            fix = Fix(lat=place_of(self._plant.second_told(second)), lon=DRIVEN_LON, speed_mps=1.1, heading_deg=0.0)
            self._drive.read.append(int(read_s * 1000))
            if self._growth is not Growth.GROWS:
                self._provoked.note(Fault.DISK_FULL)
            if self._keeper.add(fix, read_s):
                self._journal.kept += 1
                self.uplink.wake()
            self._live.offer(fix, read_s)

    def _step(self, event: Event | None) -> None:
        """As the product's own loop: a disk that is full ends nothing."""
        try:
            self.uplink.step(event)
        except sqlite3.Error as wrong:
            self._must_be_full(wrong)

    def _must_be_full(self, wrong: sqlite3.Error) -> None:
        if not is_full(wrong):
            raise wrong
        self._provoked.note(Fault.DISK_FULL)

    def _ordered(self, obeyed: Obeyed) -> None:
        if obeyed.resends:
            self.uplink.say_again()

    def _contradicted(self) -> None:
        self.contradicted += 1

    def _believes(self) -> dict[bytes, tuple[int, int]]:
        found = [
            disk.look(lambda db: db.execute("select log_id, hub_epoch, through from log").fetchone())
            for disk in self.disks.values()
        ]
        return {log_id: (epoch, through) for log_id, epoch, through in found}

    def _answered(self, payload: bytes, mid: int, reason: int) -> None:
        self._plant.puback(self.disks, payload, reason)
        self._step(Acknowledged(mid, reason))

    def _connect(self) -> None:
        if self.is_link_blocked or not self._broker.is_running:
            self._failures += 1
            self._come_back(None)
            return
        self._session += 1
        will = uplink.farewell(self.signer, self.clock, SOFTWARE, self._session)
        line = self._broker.connect(self, will)
        assert line is not None
        self._line = line
        self._powered(lambda: self._step(Opened(self._session)))
        self._later(CONNECT_S, lambda: self._subscribed(line))

    def _subscribed(self, line: Line) -> None:
        if line is not self._line:
            return
        self._up_s = self._timeline.now_s
        if self._chance.random() < 0.5:  # what is retained may be looked at before the answer to SUBSCRIBE
            self._broker.subscribed(line)
            self._later(self._chance.uniform(0.0, 0.1), lambda: self._is_subscribed(line))
        else:
            self._is_subscribed(line)
            self._broker.subscribed(line)

    def _is_subscribed(self, line: Line) -> None:
        if line is self._line:
            self._powered(lambda: self._step(Subscribed()))

    def _come_back(self, spread_s: float | None) -> None:
        if self.is_on:
            self._later(pause_s(BACKOFF, self._failures, spread_s, self._chance), self._connect)

    def _take(self, topic: str, payload: bytes) -> None:
        try:
            self.downlink.take(Message(topic, payload))
        except Malformed:
            self._count_refused()
            return
        except sqlite3.Error as wrong:
            self._must_be_full(wrong)  # the hub says it again
            self._has_no_room = True
            return
        self._plant.heard(self.disks, topic, payload)

    def _publish(self, channel: Up, payload: bytes, qos: int, retain: bool) -> Sent | None:
        line = self._line
        if line is None or not line.is_up:
            return None
        self._mid += 1
        if channel == Up.LOG:
            self._carried[self._mid] = payload
        self._broker.publish(line, topics.text(UpTopic(self.device, channel)), payload, qos, self._mid, retain)
        return Sent(self._mid, lambda: True)

    def _spread(self, spread_s: float) -> None:
        self._spread_s = spread_s

    def _count_refused(self) -> None:
        self.refused += 1

    def _later(self, wait_s: float, act: Callable[[], None]) -> None:
        life = self._life
        self._timeline.later(wait_s, lambda: act() if life == self._life and self.is_on else None)


def place_of(second: int) -> float:
    """The latitude of whoever drives in this second of the simulation."""
    return DRIVEN_LAT + second * DRIVEN_STEP
