"""`tandem-edge`: one terminal, put together, started, watched, and stopped in reverse."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Event, Thread
from types import FrameType

import click
import sdnotify
import structlog
from msgspec import Struct
from sqlite_utils import Database

from edge import clock, clock_floor, desk, downlink, held, identity, schema, settings, store, uplink
from edge.cab import Cab
from edge.clock import Clock
from edge.clock_watch import ClockWatch
from edge.commands import HOME, Misuse, clock_floor_command, desk_commands, pin
from edge.downlink import Desk, Downlink
from edge.emergency import Emergency
from edge.identity import Identity
from edge.link import Link, Message, Notice
from edge.orders import Obeyed
from edge.outbox import LEDGER, TRAIL, Signer
from edge.policy import Cadence
from edge.screen.zone import Zone
from edge.settings import ReceiverSettings, Settings, SettingsError, TimeSettings
from edge.source import source_of
from edge.store import Store
from edge.tls import TlsFiles
from edge.tracker import DESK, NOT_FITTED, GpsState, Tracker
from edge.trail import TrailKeeper
from edge.twin import Twin
from edge.uplink import LiveSlot, Uplink
from firmware_bridge import pins
from firmware_bridge.pins import Board
from firmware_bridge.signals import Alert, EmergencyLamp, LinkLamp
from serving.server import http_server
from wire.state import Assignments, TerminalSettings
from wire.topics import Section

LEDGER_FILE = "ledger.db"
TRAIL_FILE = "trail.db"
SCREEN_THREADS = 6  # one page, its refreshes, and a second window; twice what may wait for a disk, for an emergency
BEAT_S = 5.0
UNSAVED_S_MAX = 5.0  # an emergency that the disk did not take has this long to be heard before the end
POWER_FAILING = "the vehicle's power is failing"
LAST_WORDS_S_MAX = 2.0  # a second of the five has passed when we know that power fails, and the trail wants two
JOIN_S = 1.0  # three pipes may be in the middle of something; all of them together stay below three seconds

log = structlog.get_logger()


@click.group()
def cli() -> None:
    """The terminal in a vehicle or on a clinician's desk."""


for command in (clock_floor_command, pin, desk_commands):
    cli.add_command(command)


@cli.command()
@HOME
def run(home: Path) -> None:
    """Run the terminal until SIGTERM or Ctrl-C."""
    ended = _Ended()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ended.by_signal)
    threading.excepthook = ended.by_thread
    os.umask(0o077)
    _log_to_stderr()
    try:
        _run(home, ended)
    except SettingsError as wrong:
        raise Misuse(str(wrong)) from None
    if ended.why:
        click.echo(f"The terminal ends because {ended.why}.", err=True)
        sys.exit(1)


class _Ended:
    """Whether the terminal shall end, and why it did if nobody asked it to."""

    def __init__(self) -> None:
        self.event = Event()
        self.why = ""

    def by_signal(self, number: int, frame: FrameType | None) -> None:
        self.event.set()

    def by_thread(self, args: threading.ExceptHookArgs) -> None:
        """A pipe that breaks takes the terminal with it: it starts again whole, and what was saved is still owed."""
        name = args.thread.name if args.thread else "a thread"
        if not self.event.is_set():
            log.error("thread_died", thread=name, exc_info=(args.exc_type, args.exc_value, args.exc_traceback))
        self.because(f"its part '{name}' failed: {args.exc_type.__name__}")

    def because(self, why: str) -> None:
        """The first reason counts; what follows it is only the fall."""
        if not self.event.is_set():
            self.why = why
        self.event.set()


class _Part(Struct, frozen=True):
    """A running thread and how to ask it to end."""

    thread: Thread
    stop: Callable[[], None]


class _Stores(Struct, frozen=True):
    ledger: Store
    trail: Store | None

    @property
    def by_name(self) -> dict[str, Store]:
        """Those sent first coming first."""
        return {LEDGER: self.ledger} | ({TRAIL: self.trail} if self.trail else {})

    def close(self) -> None:
        for opened in self.by_name.values():
            if opened.is_alive:
                opened.close()


def _run(home: Path, ended: _Ended) -> None:
    if not home.is_dir():
        raise SettingsError(f"{home} is not a folder: name the terminal's folder with --home.")
    chosen, who = settings.load(home), identity.load(home)
    if who.kind == "desk" and chosen.receiver is not None:
        raise SettingsError(
            f"{home / settings.SETTINGS_FILE} names a receiver, and a desk has none: remove [receiver]."
        )
    if who.kind == "desk" and chosen.pins is not None:
        raise SettingsError(f"{home / settings.SETTINGS_FILE} names pins, and a desk has none: remove [pins].")
    store.lock_home(home)
    board = None if chosen.pins is None else pins.open_board(chosen.pins, home)  # before there are threads
    stores = _open_stores(home, who, ended)
    parts: list[_Part] = []
    try:
        alarm = _start(parts, home, chosen, who, stores, board, ended)
        _watch(parts, stores, ended)
        _let_out(alarm, LAST_WORDS_S_MAX if ended.why == POWER_FAILING else UNSAVED_S_MAX)
    finally:
        ended.event.set()
        for part in reversed(parts):
            part.stop()
        for part in reversed(parts):
            part.thread.join(JOIN_S)
        stores.close()


def _open_stores(home: Path, who: Identity, ended: _Ended) -> _Stores:
    ledger = Store(home / LEDGER_FILE, schema.LEDGER, died=ended.because)
    trail = Store(home / TRAIL_FILE, schema.TRAIL, died=ended.because) if who.kind == "vehicle" else None
    return _Stores(ledger, trail)


def _start(
    parts: list[_Part],
    home: Path,
    chosen: Settings,
    who: Identity,
    stores: _Stores,
    board: Board | None,
    ended: _Ended,
) -> Emergency:
    """Everything in the order in which it is needed; `parts` grows by what runs, so that a failure stops just that."""
    bounds = clock_floor.bounds(home, who.chain_path)
    now = Clock(clock.boot_id(), floor_ms=bounds.floor_ms, ceiling_ms=bounds.ceiling_ms)
    signer = Signer(who.device, who.key)
    chance = random.SystemRandom()  # two boards of one batch must not choose the same moments

    software = _software()
    notices, heard_of_hub = uplink.inbox(), downlink.inbox()

    def noticed(notice: Notice) -> None:
        alarm.noticed(notice)  # first: the queues beside it may be full while a disk hangs
        notices.put(notice)

    def heard(message: Message) -> None:
        alarm.heard(message)
        heard_of_hub.put(message)

    def stirred() -> None:
        up.wake()
        alarm.look()

    def ordered(obeyed: Obeyed) -> None:
        if obeyed.locks:
            zone.lock()
        if obeyed.resends:
            up.say_again()

    broker = Link(
        who.device,
        who.admission.broker,
        TlsFiles(chain=who.chain_path, key=who.key_path, root=who.root_path),
        next_session=lambda: stores.ledger.do(_next_session),
        farewell=lambda session: uplink.farewell(signer, now, software, session),
        noticed=noticed,
        heard=heard,
        chance=chance,
        certificates_at_s=now.certificates_at_s,
    )
    live = LiveSlot(signer, now, broker.publish)
    twin = Twin()
    up = Uplink(notices, stores.by_name, signer, now, broker.publish, live, software=software, chance=chance, twin=twin)
    alarm = Emergency(
        stores.ledger,
        who,
        signer,
        now,
        broker.publish,
        last_fix=live.last_fix,
        raised=live.emergency,
        saved=up.wake,
    )
    down = Downlink(
        heard_of_hub,
        stores.by_name,
        who,
        signer,
        now,
        hub_said=up.hub_said,
        spread=broker.spread,
        settings=lambda said: live.cadence(_cadence(said)),
        wake=stirred,
        refused=up.refused,
        desk=_desk(who),
        assigned=lambda said: None if cab is None else cab.assigned(said.assignments),
        ordered=ordered,
        contradicted=lambda: twin.contradicted(now.mono_s()),
    )
    said = stores.ledger.do(lambda db: held.content(db, who.kem, Section.SETTINGS, TerminalSettings))
    if said is not None:
        live.cadence(_cadence(said))

    _add(parts, "emergency", alarm.run, alarm.stop)
    _add(parts, "emergency-keep", alarm.keep, alarm.stop)
    _add(parts, "live", live.run, live.stop)
    _add(parts, "uplink", up.run, up.stop)
    watch = ClockWatch(now, stores.ledger, signer, home, up.wake)
    _add(parts, "clock", watch.run, watch.stop)
    gps_state = _start_tracker(parts, home, chosen.receiver, chosen.time, stores, signer, now, live, up)
    zone = Zone(now.mono_s)
    known = stores.ledger.do(lambda db: held.content(db, who.kem, Section.ASSIGNMENTS, Assignments))
    cab = _start_cab(parts, board, up, alarm, gps_state, zone, known, ended)
    _add(parts, "downlink", down.run, down.stop)  # after the cab, which rings for what it hears
    _add(parts, "link", broker.run, broker.stop)
    _start_screen(parts, chosen, home, who, stores, signer, now, up, gps_state, alarm, stirred, cab, zone)
    return alarm


def _start_tracker(
    parts: list[_Part],
    home: Path,
    receiver: ReceiverSettings | None,
    timing: TimeSettings,
    stores: _Stores,
    signer: Signer,
    now: Clock,
    live: LiveSlot,
    up: Uplink,
) -> Callable[[], GpsState]:
    if stores.trail is None:
        return lambda: DESK
    if receiver is None:
        live.offer(None, now.mono_s())  # the hub shall know that it will not hear where this unit is
        return lambda: NOT_FITTED
    stop = Event()
    source = source_of(receiver, timing, home)
    tracker = Tracker(
        now,
        TrailKeeper(stores.trail, signer, now),
        live.offer,
        up.wake,
        is_emergency=live.is_emergency,
        counts=source.counts,
    )
    _add(parts, "tracker", lambda: tracker.run(source.readings(stop)), stop.set)
    return tracker.state


def _start_cab(
    parts: list[_Part],
    board: Board | None,
    up: Uplink,
    alarm: Emergency,
    gps_state: Callable[[], GpsState],
    zone: Zone,
    known: Assignments | None,
    ended: _Ended,
) -> Cab | None:
    if board is None:
        return None
    cab = Cab(
        board,
        press=alarm.press,
        phase=lambda: EmergencyLamp(alarm.phase()),
        link=lambda: LinkLamp(up.hears_us()),
        gps=lambda: gps_state().word,
        ignition=lambda is_on: None if is_on else zone.lock(),
        docked=lambda is_docked: None if is_docked else zone.lock(),
        power_failing=lambda: ended.because(POWER_FAILING),
        assignments=known.assignments if known is not None else (),
    )
    _add(parts, "cab", cab.run, cab.stop)
    _add(parts, "cab-tell", cab.tell, cab.stop_telling)
    return cab


def _start_screen(
    parts: list[_Part],
    chosen: Settings,
    home: Path,
    who: Identity,
    stores: _Stores,
    signer: Signer,
    now: Clock,
    up: Uplink,
    gps_state: Callable[[], GpsState],
    alarm: Emergency,
    stirred: Callable[[], None],
    cab: Cab | None,
    zone: Zone,
) -> None:
    # Flask costs 0.3 s and 30 MB: the receiver is being read by now.
    from edge.screen import guard
    from edge.screen.app import ScreenParts, create_screen

    app = create_screen(
        ScreenParts(
            identity=who,
            store=stores.ledger,
            signer=signer,
            clock=now,
            home=home,
            link_state=up.state,
            gps_state=gps_state,
            wake=stirred,
            emergency=alarm,
            pins_state=pins.no_pins if cab is None else cab.state,
            zone=zone,
            unsaved=(lambda: None) if cab is None else lambda: cab.alert(Alert.UNSAVED),
        )
    )
    host, port = chosen.screen.host, chosen.screen.port
    server = http_server(host, port, app, threads=SCREEN_THREADS, body_bytes_max=guard.BODY_BYTES_MAX)
    try:
        server.prepare()
    except OSError as wrong:
        raise SettingsError(
            f"the screen cannot listen on {host}:{port} ({_short(wrong)}): free the port or choose another one in "
            f"{home / settings.SETTINGS_FILE}."
        ) from None
    _add(parts, "screen", server.serve, server.stop)
    click.echo(f"ready screen=http://{f'[{host}]' if ':' in host else host}:{port}")
    sys.stdout.flush()


def _watch(parts: list[_Part], stores: _Stores, ended: _Ended) -> None:
    """Until the end; the watchdog of systemd is fed while everything lives."""
    systemd = sdnotify.SystemdNotifier()
    systemd.notify("READY=1")
    while True:
        dead = [part.thread.name for part in parts if not part.thread.is_alive()]
        dead += [name for name, opened in stores.by_name.items() if not opened.is_alive]
        if dead:
            ended.because(f"its part '{dead[0]}' has stopped")
        else:
            systemd.notify("WATCHDOG=1")
        if ended.event.wait(BEAT_S):
            systemd.notify("STOPPING=1")
            return


def _let_out(alarm: Emergency, for_s_max: float) -> None:
    """The end waits for an emergency that is in memory only: a disk that failed is one reason why we end."""
    until_s = time.monotonic() + for_s_max
    while alarm.is_in_memory_only() and time.monotonic() < until_s:
        time.sleep(0.05)


def _add(parts: list[_Part], name: str, work: Callable[[], None], stop: Callable[[], None]) -> None:
    thread = Thread(target=work, name=name, daemon=True)  # daemon: a pipe that hangs must not keep the process
    thread.start()
    parts.append(_Part(thread, stop))


def _desk(who: Identity) -> Desk | None:
    if who.kind != "desk":
        return None
    return Desk(keep=lambda db, delivery: desk.keep(db, who, delivery), wanted=desk.wanted)


def _cadence(said: TerminalSettings) -> Cadence:
    return Cadence(drift_m_max=said.drift_m_max, report_s_max=said.report_s_max)


def _next_session(db: Database) -> int:
    """Counts connections for as long as the ledger lives, so that no two of one boot are ever the same."""
    row: tuple[int] = db.execute(
        "insert into fact (name, value) values ('session', 1)"
        " on conflict (name) do update set value = value + 1 returning value"
    ).fetchone()
    return row[0]


def _software() -> str:
    try:
        return version("tandem-mdt")
    except PackageNotFoundError:
        return "unpackaged"


def _short(wrong: OSError) -> str:
    return wrong.strerror or str(wrong)


def _log_to_stderr() -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
