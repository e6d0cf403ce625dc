"""One terminal put together, in two halves: what a crew relies on at once, and what saves.

The crew's half (emergency, position, lamps, link, screen) runs from the start to the end. The saving half is there while
the disk takes writes; when it does not, the lifeboat's two pipes take its place and the crew's half goes on.
"""

from __future__ import annotations

import errno
import os
import random
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from queue import Empty, Queue
from threading import Event, Thread

import click
import structlog
from msgspec import Struct
from sqlite_utils import Database

from edge import (
    answers,
    clock,
    clock_floor,
    desk,
    downlink,
    evidence,
    held,
    lifeboat,
    salvage,
    schema,
    settings,
    store,
    uplink,
)
from edge.cab import Cab
from edge.clock import Clock
from edge.clock_watch import ClockWatch
from edge.copies import CopyKeeper
from edge.disk import DiskRoom, DiskWatch
from edge.downlink import Desk, Downlink
from edge.emergency import Emergency
from edge.identity import Identity
from edge.lifeboat import Heard, Ledger, TrailAfloat
from edge.link import Link, Message, Notice
from edge.orders import Obeyed
from edge.outbox import LEDGER, TRAIL, Signer, numbers
from edge.policy import Cadence
from edge.route import Guide
from edge.screen.zone import Zone
from edge.settings import Settings, SettingsError
from edge.source import source_of
from edge.store import Store
from edge.tls import TlsFiles
from edge.tracker import DESK, NOT_FITTED, GpsState, Tracker
from edge.trail import TrailKeeper
from edge.twin import Twin
from edge.uplink import LinkState, LiveSlot, Uplink
from firmware_bridge import pins
from firmware_bridge.pins import Board
from firmware_bridge.signals import Alert, EmergencyLamp, LinkLamp
from serving.beats import Beats
from serving.server import http_server
from wire.codec import Malformed
from wire.fix import Fix
from wire.state import Assignments, Routes, TerminalSettings
from wire.topics import Section

LEDGER_FILE = "ledger.db"
TRAIL_FILE = "trail.db"
SCREEN_THREADS = 6  # one page, its refreshes, and a second window; twice what may wait for a disk, for an emergency
POWER_FAILING = "the vehicle's power is failing"
LINK_HUNG_S_MAX = 150.0  # a name that nobody resolves, a handshake that nobody answers: each takes its time
TRACKER_HUNG_S_MAX = 60.0  # trying the speeds of a silent port is slow, and no reason to start again
JOIN_S = 1.0  # three pipes may be in the middle of something; all of them together stay below three seconds

log = structlog.get_logger()


class Part(Struct, frozen=True):
    """A running thread and how to ask it to end."""

    thread: Thread
    stop: Callable[[], None]


class _Asked(Event):
    """What a reader of a receiver asks, each time round, whether it shall stop; whoever asks is alive."""

    def __init__(self, beat: Callable[[], None]) -> None:
        super().__init__()
        self._beat = beat

    def is_set(self) -> bool:
        self._beat()
        return super().is_set()


class Stores(Struct, frozen=True):
    """The files that are open, and the lock on their folder."""

    ledger: Store
    trail: Store | None
    lock: int

    @property
    def by_name(self) -> dict[str, Store]:
        """Those sent first coming first."""
        return {LEDGER: self.ledger} | ({TRAIL: self.trail} if self.trail else {})

    def close(self) -> None:
        """Everything asked before this is done."""
        for opened in self.by_name.values():
            if opened.is_alive:
                opened.close()
        os.close(self.lock)

    def let_go(self) -> None:
        """The disk has failed: whatever still hangs there is not waited for, and the folder is anybody's."""
        for opened in self.by_name.values():
            opened.abandon()
        os.close(self.lock)  # or nobody could unmount what has to be mounted anew

    @property
    def busy_s(self) -> float:
        """For how long the disk has not answered."""
        return max(opened.busy_s() for opened in self.by_name.values())


class Ends(Struct, frozen=True):
    """Whom to tell: the terminal shall end for a reason that is given; the disk has failed."""

    because: Callable[[str], None]
    not_saving: Callable[[BaseException], None]


def open_stores(home: Path, who: Identity, disk: DiskRoom, failed: Callable[[BaseException], None]) -> Stores:
    """The files of `home`, locked and open. SettingsError when they cannot be used; `failed` when they fail later."""

    def opened(path: Path, steps: tuple[schema.Step, ...]) -> Store:
        return Store(path, steps, died=failed, spare=disk.give)

    lock = store.lock_home(home)
    ledger, signer = None, Signer(who.device, who.key)
    try:
        lifeboat.read_from_disk(home / LEDGER_FILE, home / TRAIL_FILE)
        ledger = salvage.open_store(
            home / LEDGER_FILE,
            schema.LEDGER,
            LEDGER,
            signer,
            opened=opened,
            second=settings.load(home).copies.place,
            mend=lambda db: held.drop_unreadable(db, who.kem),
        )
        trail = None
        if who.kind == "vehicle":
            trail = salvage.open_store(home / TRAIL_FILE, schema.TRAIL, TRAIL, signer, opened=opened)
    except BaseException:
        if ledger is not None:
            ledger.close()
        os.close(lock)
        raise
    return Stores(ledger, trail, lock)


class Terminal:
    """One terminal's threads. Made, started, switched and stopped by one thread."""

    def __init__(
        self, home: Path, chosen: Settings, who: Identity, disk: DiskRoom, board: Board | None, ends: Ends
    ) -> None:
        self.beats = Beats()
        self.stores: Stores | None = None
        self._home = home
        self._chosen = chosen
        self._who = who
        self._disk = disk
        self._board = board
        self._ends = ends
        bounds = clock_floor.bounds(home, who.chain_path)
        self._now = Clock(clock.boot_id(), floor_ms=bounds.floor_ms, ceiling_ms=bounds.ceiling_ms)
        self._signer = Signer(who.device, who.key)
        self._chance = random.SystemRandom()  # two boards of one batch must not choose the same moments
        self._software = _software()
        self._crew: list[Part] = []
        self._hands: list[Part] = []  # those that save, or the lifeboat's
        self._trail = TrailAfloat()
        self._cab: Cab | None = None
        self._twin = Twin()
        self._zone = Zone(self._now.mono_s)
        self._notices: Queue[uplink.Event] = uplink.inbox()
        self._heard_of_hub: Queue[Message | None] = downlink.inbox()

    @property
    def is_in_memory_only(self) -> bool:
        """Whether an end now would lose an emergency."""
        return self._alarm.is_in_memory_only()

    @property
    def parts(self) -> tuple[Part, ...]:
        """All that must be running."""
        return (*self._crew, *self._hands)

    def hung_disk(self) -> BaseException | None:
        """What to call it when the disk does not answer; None while it does, or nobody asks it."""
        is_hung = self.stores is not None and self.stores.busy_s > lifeboat.HUNG_S_MAX
        return TimeoutError(errno.EIO, "the disk does not answer") if is_hung else None

    def start(self, ledger: Ledger, stores: Stores | None) -> None:
        """Everything in the order in which it is needed; without `stores` nothing is saved until `refloat`."""
        self.ledger, self.stores = ledger, stores
        who, now, signer = self._who, self._now, self._signer
        self._link = Link(
            who.device,
            who.admission.broker,
            TlsFiles(chain=who.chain_path, key=who.key_path, root=who.root_path),
            next_session=now.next_ms,  # of the clock of this boot: to connect, no disk is asked
            farewell=lambda session: uplink.farewell(signer, now, self._software, session),
            noticed=self._noticed,
            heard=self._heard,
            chance=self._chance,
            certificates_at_s=now.certificates_at_s,
            beat=self.beats.of("link", LINK_HUNG_S_MAX),
        )
        self._live = LiveSlot(signer, now, self._link.publish, self.beats.of("live"))
        self._alarm = Emergency(
            ledger,
            who,
            signer,
            now,
            self._link.publish,
            last_fix=self._live.last_fix,
            raised=self._live.emergency,
            saved=self._appended,
            hurry=self._link.hurry,
            beat=self.beats.of("emergency"),
        )
        said = ledger.do(lambda db: held.content(db, who.kem, Section.SETTINGS, TerminalSettings))
        if said is not None:
            self._live.cadence(_cadence(said))
        self._guide = Guide(ledger.do(self._kept_routes))
        self._make_hands()
        _add(self._crew, "emergency", self._alarm.run, self._alarm.stop)
        _add(self._crew, "emergency-keep", self._alarm.keep, self._alarm.stop)
        _add(self._crew, "live", self._live.run, self._live.stop)
        gps_state = self._start_tracker()
        known = ledger.do(lambda db: held.content(db, who.kem, Section.ASSIGNMENTS, Assignments))
        self._start_cab(gps_state, known)
        self._start_hands()  # after the cab, which rings for what the hub says
        _add(self._crew, "link", self._link.run, self._link.stop)
        self._start_screen(gps_state)

    def sink(self, wrong: BaseException) -> None:
        """The disk has failed: nothing is saved from now on, and everybody is told so."""
        self.ledger.sink(lifeboat.in_words(wrong))
        stores, self.stores = self.stores, None
        self._trail.keep(None)
        if stores is not None:
            stores.let_go()
        self._change_hands()

    def refloat(self, stores: Stores) -> None:
        """The disk takes writes again: so does the terminal, and what was owed before is sent."""
        self.stores = stores
        self.ledger.float(stores.ledger)
        self._change_hands()

    def stop(self) -> None:
        """Everything, in reverse."""
        _stop([*self._crew, *self._hands])
        if self.stores is not None:
            self.stores.close()

    # --- who talks with the hub

    def _noticed(self, notice: Notice) -> None:
        self._alarm.noticed(notice)  # first: the queues beside it may be full while a disk hangs
        self._notices.put(notice)

    def _heard(self, message: Message) -> None:
        self._alarm.heard(message)
        self._heard_of_hub.put(message)

    def _appended(self) -> None:
        self._up.wake()  # whichever it is now

    def _stirred(self) -> None:
        self._up.wake()
        self._alarm.look()

    def _change_hands(self) -> None:
        """Other pipes in place of those that talk with the hub, on a connection of their own: each begins with a birth."""
        old, self._hands = self._hands, []
        notices, heard = self._notices, self._heard_of_hub
        self._notices, self._heard_of_hub = uplink.inbox(), downlink.inbox()
        self._make_hands()
        _stop(old)
        for queue in (notices, heard):
            _drain(queue)  # whoever waits for room in there waits for nobody
        self._start_hands()
        self._link.renew("the disk")

    def _make_hands(self) -> None:
        stores = self.stores
        # Nothing that was not saved has a number, and what was saved cannot be read now: the lifeboat sends no log.
        logs = {} if stores is None else stores.by_name
        self._up = Uplink(
            self._notices,
            logs,
            self._signer,
            self._now,
            self._link.publish,
            self._live,
            software=self._software,
            chance=self._chance,
            spoiled=lambda db, kind: answers.owe_again(db, self._who.kem, self._signer, self._now.stamp(), kind),
            twin=self._twin,
            beat=self.beats.of("uplink"),
        )
        self._down = Downlink(
            self._heard_of_hub,
            {LEDGER: Heard(self.ledger)} if stores is None else logs | {LEDGER: self.ledger},
            self._who,
            self._signer,
            self._now,
            hub_said=self._up.hub_said,
            spread=self._link.spread,
            settings=lambda said: self._live.cadence(_cadence(said)),
            wake=self._stirred,
            refused=self._up.refused,
            desk=self._desk(),
            assigned=self._assigned,
            routed=self._guide.routed,
            ordered=self._ordered,
            contradicted=lambda: self._twin.contradicted(self._now.mono_s()),
            contested=lambda: self._twin.contested(self._now.mono_s()),
            beat=self.beats.of("downlink"),
        )

    def _start_hands(self) -> None:
        up, down, stores = self._up, self._down, self.stores
        _add(self._hands, "uplink", up.run, up.stop)
        _add(self._hands, "downlink", down.run, down.stop)
        if stores is None:
            self.beats.forget("clock")
            self.beats.forget("disk")
            return
        beat = self.beats.of("clock")
        watch = ClockWatch(self._now, self.ledger, self._signer, self._home, up.wake, beat)
        _add(self._hands, "clock", watch.run, watch.stop)
        copies = CopyKeeper(
            stores.ledger,
            self._home,
            self._chosen.copies.place,
            self._now,
            tidied=lambda: evidence.tidy(self._home, stores.by_name),
        )
        _add(self._hands, "copies", copies.run, copies.stop)
        room = DiskWatch(self._disk, self.ledger, self._signer, self._now, up.wake, self.beats.of("disk"))
        _add(self._hands, "disk", room.run, room.stop)
        if stores.trail is not None:
            keeper = TrailKeeper(stores.trail, self._signer, self._now, growth=lambda: self._disk.look().growth)
            self._trail.keep(keeper)

    def _assigned(self, said: Assignments) -> None:
        if self._cab is not None:
            self._cab.assigned(said.assignments)

    def _ordered(self, obeyed: Obeyed) -> None:
        if obeyed.locks:
            self._zone.lock()
        if obeyed.resends:
            self._up.say_again()

    def _desk(self) -> Desk | None:
        if self._who.kind != "desk":
            return None
        if self.stores is None:
            return Desk(keep=lambda db, delivery: False, wanted=lambda db, shelf: ())
        return Desk(keep=lambda db, delivery: desk.keep(db, self._who, delivery), wanted=desk.wanted)

    # --- the crew's half

    def _start_tracker(self) -> Callable[[], GpsState]:
        if self._who.kind != "vehicle":
            return lambda: DESK
        receiver = self._chosen.receiver
        if receiver is None:
            self._live.offer(None, self._now.mono_s())  # the hub shall know that it will not hear where this unit is
            return lambda: NOT_FITTED
        stop = _Asked(self.beats.of("tracker", TRACKER_HUNG_S_MAX))
        source = source_of(receiver, self._chosen.time, self._home)
        tracker = Tracker(
            self._now,
            self._trail,
            self._offer,
            self._appended,
            is_emergency=self._live.is_emergency,
            counts=source.counts,
        )
        _add(self._crew, "tracker", lambda: tracker.run(source.readings(stop)), stop.set)
        return tracker.state

    def _offer(self, fix: Fix | None, mono_s: float) -> None:
        self._live.offer(fix, mono_s)  # first: dispatch shall know where we are before we know where to turn
        self._guide.offer(fix, mono_s)

    def _kept_routes(self, db: Database) -> Routes | None:
        try:
            return held.content(db, self._who.kem, Section.ROUTES, Routes)
        except Malformed:
            return None  # of another release; the hub says it again

    def _start_cab(self, gps_state: Callable[[], GpsState], known: Assignments | None) -> None:
        if self._board is None:
            return
        cab = Cab(
            self._board,
            press=self._alarm.press,
            phase=lambda: EmergencyLamp(self._alarm.phase()),
            link=lambda: LinkLamp(self._up.hears_us()),
            gps=lambda: gps_state().word,
            ignition=lambda is_on: None if is_on else self._zone.lock(),
            docked=lambda is_docked: None if is_docked else self._zone.lock(),
            power_failing=lambda: self._ends.because(POWER_FAILING),
            assignments=known.assignments if known is not None else (),
            beat=self.beats.of("cab"),
        )
        _add(self._crew, "cab", cab.run, cab.stop)
        _add(self._crew, "cab-tell", cab.tell, cab.stop_telling)
        self._cab = cab

    def _start_screen(self, gps_state: Callable[[], GpsState]) -> None:
        # Flask costs 0.3 s and 30 MB: the receiver is being read by now.
        from edge.screen import guard
        from edge.screen.app import ScreenParts, create_screen

        cab = self._cab
        app = create_screen(
            ScreenParts(
                identity=self._who,
                store=self.ledger,
                signer=self._signer,
                clock=self._now,
                home=self._home,
                link_state=self._link_state,
                gps_state=gps_state,
                wake=self._stirred,
                emergency=self._alarm,
                pins_state=pins.no_pins if cab is None else cab.state,
                zone=self._zone,
                unsaved=(lambda: None) if cab is None else lambda: cab.alert(Alert.UNSAVED),
                not_saving=lambda: self.ledger.why,
                room=self._disk.state,
                guide=self._guide,
            )
        )
        host, port = self._chosen.screen.host, self._chosen.screen.port
        server = http_server(host, port, app, threads=SCREEN_THREADS, body_bytes_max=guard.BODY_BYTES_MAX)
        try:
            server.prepare()
        except OSError as wrong:
            raise SettingsError(
                f"the screen cannot listen on {host}:{port} ({wrong.strerror or wrong}): free the port or choose another "
                f"one in {self._home / settings.SETTINGS_FILE}."
            ) from None
        _add(self._crew, "screen", server.serve, server.stop)
        click.echo(f"ready screen=http://{f'[{host}]' if ':' in host else host}:{port}")
        sys.stdout.flush()

    def _link_state(self) -> LinkState:
        if self.stores is not None:
            return self._up.state()
        heard = self._up.hears_us()
        log_at = self.ledger.do(numbers)
        return LinkState(
            link="down" if heard == "down" else "up",
            hub=heard == "up",
            unsent=log_at.next - 1 - log_at.through,
            oldest_ms=None,
            received_through_ms=None,
            why=None,
            refused=0,
        )


def _stop(parts: list[Part]) -> None:
    for part in reversed(parts):
        part.stop()
    for part in reversed(parts):
        part.thread.join(JOIN_S)


def _drain(queue: Queue[uplink.Event] | Queue[Message | None]) -> None:
    with suppress(Empty):
        while True:
            queue.get_nowait()


def _add(parts: list[Part], name: str, work: Callable[[], None], stop: Callable[[], None]) -> None:
    thread = Thread(target=work, name=name, daemon=True)  # daemon: a pipe that hangs must not keep the process
    thread.start()
    parts.append(Part(thread, stop))


def _cadence(said: TerminalSettings) -> Cadence:
    return Cadence(drift_m_max=said.drift_m_max, report_s_max=said.report_s_max)


def _software() -> str:
    try:
        return version("tandem-mdt")
    except PackageNotFoundError:
        return "unpackaged"
