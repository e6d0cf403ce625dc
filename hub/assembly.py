"""One hub put together: build, start, wait, stop in reverse."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path
from random import SystemRandom
from threading import Event, Timer

import click
import sdnotify
import structlog
from cryptography.hazmat.primitives.asymmetric import ec
from flask import Flask
from msgspec import Struct
from sqlalchemy import Engine

from hub import (
    audit,
    audit_check,
    backup,
    cautions,
    closures,
    control,
    desired,
    intake,
    nightly,
    positions,
    presence,
    store,
    tokens,
)
from hub.arrivals import Marks, Wanted
from hub.backup import BackupParts
from hub.board import VIEWERS_MAX, Board
from hub.broker import Broker
from hub.building import CURRENT
from hub.by_road import ranked_by
from hub.ca import Ca, Service, ensure_tls, open_ca, renew_crl
from hub.control import Deeds
from hub.downlink import Downlink, DownlinkParts
from hub.engine import Engine as RoadEngine
from hub.enroll import DeviceApiParts, device_api_server
from hub.intake import IntakeParts
from hub.link import Link, LinkSettings
from hub.pipes import Pipes
from hub.positions import Position, Positions
from hub.presence import Presence
from hub.roads import Ring, Roads, Spot
from hub.roads import Route as RoadRoute
from hub.routes import RoutesParts, Ways
from hub.settings import (
    KEYS_FOLDER,
    MAPS_FOLDER,
    SETTINGS_FILE,
    TLS_FOLDER,
    Settings,
    SettingsError,
    load,
)
from hub.snapshot import Eta
from hub.valhalla import ROADS_FOLDER, find_programs
from hub.web.app import LOOPBACK, ConsoleParts, create_console
from hub.web.listening import Listening
from serving.beats import Beats
from serving.server import Server, http_server, https_server
from wire.keys import (
    ROOT_CERTIFICATE,
    NoteKeyList,
    open_note_keys,
    open_statement,
)
from wire.live import HubPresence, sign_hub_presence

CONSOLE_THREADS = VIEWERS_MAX + 16  # every open page holds one for its stream
CONSOLE_BODY_BYTES_MAX = 1024 * 1024  # read and thrown away; the app says no from 64 kB on
STOP_S_MAX = 2.6  # then the process ends as it is; everything that was promised is on the disk
MAINTENANCE_S = 600.0
BEAT_S = 5.0
HUNG_S_MAX = 25.0  # a database that is locked answers after some seconds; what lasts longer is no answer

_log = structlog.get_logger("hub")


class _Base(Struct, frozen=True, kw_only=True):
    """What every part of a hub rests on."""

    home: Path
    settings: Settings
    engine: Engine
    ca: Ca
    roads: Roads
    listening: Listening
    beats: Beats


class _Told(Struct, frozen=True):
    """Who hears of what came."""

    board: Board
    downlink: Downlink
    ways: Ways

    def moved(self, position: Position) -> None:
        self.ways.moved(position)  # first: the board tells when it will be there
        self.board.moved(position)

    def changed(self) -> None:
        self.board.changed()
        self.ways.changed()

    def poke(self, device: str | None) -> None:
        self.downlink.poke(device)

    def born(self, device: str) -> None:
        self.downlink.born(device)

    def wanted(self, wanted: Wanted) -> None:
        self.downlink.wanted(wanted)


class _Hub(Struct, frozen=True, kw_only=True):
    """Everything between the broker and the browsers, put together and not started."""

    link: Link
    told: _Told
    intake: IntakeParts
    servers: tuple[Server, ...]


def run(home: Path, stop: Event) -> tuple[str, ...]:
    """Run the hub in `home` until `stop`; what went wrong while it ran. SettingsError when it cannot begin."""
    settings = load(home)
    pipes = Pipes(stop)
    threading.excepthook = pipes.died
    with ExitStack() as stack:
        engine = store.open_store(home)
        stack.callback(engine.dispose)
        require_ports(settings)
        ensure_tls(home, settings)
        ca = open_ca(home, settings)
        broker = Broker(home, settings, lambda line: _log.warning("broker", said=line))
        maintain = partial(_maintain, home, ca, engine, broker)
        maintain()
        broker.start()
        stack.callback(broker.stop)
        base = _Base(
            home=home,
            settings=settings,
            engine=engine,
            ca=ca,
            roads=_start_roads(home, settings, stack),
            listening=Listening(),
            beats=Beats(),
        )
        _start_keeping(base, pipes, stack)
        hub = _put_together(base)
        _start(hub, pipes, stack)
        click.echo(
            f"ready console={_console_url(settings)} api=https://{settings.device_api.name}:{settings.device_api.port} "
            f"broker={settings.broker.name}:{settings.broker.port}"
        )
        sys.stdout.flush()
        _watch(maintain, partial(hub.told.poke, None), base.beats, pipes)
        _end_late()
        _log.info("stopping")
    return pipes.failures


def road_programs(home: Path, settings: Settings) -> Path | None:
    """Where hub.toml says that the road engine is; None: in one of the usual places."""
    return home / settings.roads.engine if settings.roads.engine else None


# --- starting and watching --------------------------------------------------------------------------------------------


def _start_roads(home: Path, settings: Settings, stack: ExitStack) -> Roads:
    """Road times, when there are roads and a program for them; nothing waits for either."""
    engine = RoadEngine(
        home,
        home / MAPS_FOLDER / CURRENT / ROADS_FOLDER,
        partial(find_programs, road_programs(home, settings)),
        lambda line: _log.warning("roads", said=line),
    )
    roads = Roads(engine.where)
    stack.callback(roads.close)
    engine.start()
    stack.callback(engine.stop)
    return roads


def _start_keeping(base: _Base, pipes: Pipes, stack: ExitStack) -> None:
    """Backups: one each night, and whenever a command asks; and what commands do to tokens meanwhile."""
    stopping = Event()

    def keep_tokens(asking: tokens.Asking, by: str) -> tokens.Kept:
        with base.engine.begin() as connection:
            kept = tokens.do(connection, asking, by, _now_ms())
        if isinstance(asking, tokens.Revoking):
            base.listening.cut(asking.name)
        return kept

    parts = BackupParts(
        engine=base.engine,
        home=base.home,
        settings=base.settings,
        now_ms=_now_ms,
        stopping=stopping,
        only=threading.Lock(),
    )
    deeds = Deeds(make=partial(backup.make, parts), keep=keep_tokens, check=partial(audit_check.check, base.engine))
    for thread in (
        pipes.start("nightly", lambda: nightly.run(parts, lambda: datetime.now().astimezone())),
        pipes.start("control", lambda: control.serve(base.home, deeds, stopping)),
    ):
        stack.callback(thread.join, 1.0)
    stack.callback(stopping.set)


def _start(hub: _Hub, pipes: Pipes, stack: ExitStack) -> None:
    """Start what was put together; the servers are to be stopped first, the threads joined last."""
    stopping = Event()
    hub.told.board.start()
    for thread in (
        pipes.start("intake", lambda: intake.run(hub.intake, stopping)),
        pipes.start("downlink", hub.told.downlink.run),
        pipes.start("routes", hub.told.ways.run),
        pipes.start("link", hub.link.run),
    ):
        stack.callback(thread.join, 1.0)
    for end in (hub.link.stop, hub.told.downlink.stop, hub.told.ways.stop, stopping.set):
        stack.callback(end)
    for server in hub.servers:
        server.prepare()
        pipes.start("server", server.serve)
    stack.callback(hub.told.board.stop)
    for server in hub.servers:
        stack.callback(server.stop)


def _watch(maintain: Callable[[], None], poke: Callable[[], None], beats: Beats, pipes: Pipes) -> None:
    """Until the end; the watchdog of systemd is fed while every pipe goes round. `poke`: terminals should hold something else."""
    systemd = sdnotify.SystemdNotifier()
    systemd.notify("READY=1")
    maintain_s = time.monotonic() + MAINTENANCE_S
    while not pipes.stopped(BEAT_S):
        if (hung := beats.hung()) is not None:
            _log.error("a pipe hangs", pipe=hung)
            pipes.fail(hung)
            continue
        systemd.notify("WATCHDOG=1")
        if time.monotonic() >= maintain_s:
            maintain()
            poke()
            maintain_s = time.monotonic() + MAINTENANCE_S
    systemd.notify("STOPPING=1")


def _maintain(home: Path, ca: Ca, engine: Engine, broker: Broker) -> None:
    with engine.begin() as connection:
        is_written = renew_crl(home, ca, connection, _now_s())
        closures.expire(connection, _now_ms())
        cautions.expire(connection, _now_ms())
        audit.mark(connection)
    if is_written:
        broker.reload()


def _end_late() -> None:
    """End the process soon, whatever still hangs: nothing that was promised waits in memory."""
    late = Timer(STOP_S_MAX, os._exit, (0,))
    late.daemon = True
    late.start()


# --- putting together -------------------------------------------------------------------------------------------------


def _put_together(base: _Base) -> _Hub:
    with base.engine.begin() as connection:
        here = Presence(presence.last_births(connection))
        known = Positions(positions.kept(connection))
        epoch = store.epoch(connection)

    def eta_of(unit: str) -> Eta | None:
        return ways.eta(unit)

    board = Board(base.engine, known, _now_ms, agency=base.settings.agency, link_of=here.state, eta_of=eta_of)

    def says_down() -> None:
        here.all_gone(_now_ms())
        board.changed()

    def changed() -> None:
        board.changed()
        downlink.poke(None)
        ways.changed()

    link = Link(
        _link_settings(base.home, base.settings),
        _presence(base.settings, here, base.ca.snapshot_key, epoch),
        says_down,
        SystemRandom(),
        base.beats.of("link", HUNG_S_MAX),
    )
    downlink = _downlink(base, link, here)
    ways = _ways(base, known, downlink, board)
    told = _Told(board, downlink, ways)
    marks = Marks()
    parts = IntakeParts(
        engine=base.engine,
        link=link,
        snapshot_key=base.ca.snapshot_key,
        note_keys=_note_keys(base.ca),
        marks=marks,
        positions=known,
        presence=here,
        told=told,
        now_ms=_now_ms,
        beat=base.beats.of("intake", HUNG_S_MAX),
    )
    console = ConsoleParts(
        engine=base.engine,
        board=board,
        positions=known,
        agency=base.settings.agency,
        maps_dir=base.home,
        changed=changed,
        now_ms=_now_ms,
        secure_cookies=base.settings.console.is_tls,
        link_of=here.state,
        dropped=lambda: marks.dropped,
        rules=base.settings.ranking,
        by_road=partial(ranked_by, base.roads, time.monotonic),
        reach=base.roads.cover,
        hosts=LOOPBACK | frozenset(base.settings.console.names),
        listening=base.listening,
    )
    api = DeviceApiParts(engine=base.engine, ca=base.ca, settings=base.settings, changed=changed, now_ms=_now_ms)
    servers = (
        _console_server(base.home, base.settings, create_console(console)),
        device_api_server(api, base.home),
    )
    return _Hub(link=link, told=told, intake=parts, servers=servers)


def _downlink(base: _Base, link: Link, here: Presence) -> Downlink:
    ca = base.ca
    return Downlink(
        DownlinkParts(
            engine=base.engine,
            publish=link.publish,
            connected=here.connected,
            snapshot_key=ca.snapshot_key,
            vouched=desired.Vouched(agency=base.settings.agency, note_keys=ca.note_keys, key_statement=ca.statement),
            beat=base.beats.of("downlink", HUNG_S_MAX),
        )
    )


def _ways(base: _Base, known: Positions, downlink: Downlink, board: Board) -> Ways:
    return Ways(
        RoutesParts(
            engine=base.engine,
            ask=partial(_way, base.roads),
            position=known.get,
            closed=partial(_closed, base.engine),
            now_ms=_now_ms,
            poke=downlink.poke,
            moved=board.moved,
            beat=base.beats.of("routes", HUNG_S_MAX),
        )
    )


def _closed(engine: Engine) -> tuple[Ring, ...]:
    """What no way may lead through now."""
    with engine.begin() as connection:
        return closures.closed(connection, _now_ms())


def _way(roads: Roads, a: Spot, b: Spot, closed: Sequence[Ring], heading_deg: float | None) -> RoadRoute | None:
    return roads.route(a, b, closed, heading_deg=heading_deg)


def _console_server(home: Path, settings: Settings, app: Flask) -> Server:
    console = settings.console
    if console.certificate is not None and console.key is not None:
        return https_server(
            console.host,
            console.port,
            app,
            home / console.certificate,
            home / console.key,
            threads=CONSOLE_THREADS,
            body_bytes_max=CONSOLE_BODY_BYTES_MAX,
        )
    return http_server(console.host, console.port, app, threads=CONSOLE_THREADS, body_bytes_max=CONSOLE_BODY_BYTES_MAX)


def _presence(
    settings: Settings, here: Presence, key: ec.EllipticCurvePrivateKey, epoch: int
) -> Callable[[bool], bytes]:
    def signed(is_here: bool) -> bytes:
        spread_s = here.spread_s(settings.state_spread_s)
        return sign_hub_presence(
            HubPresence(v=1, is_here=is_here, epoch=epoch, spread_s=spread_s, wall_ms=_now_ms()), key
        )

    return signed


def _link_settings(home: Path, settings: Settings) -> LinkSettings:
    tls = home / TLS_FOLDER
    host = settings.broker.host
    return LinkSettings(
        host="127.0.0.1" if host in ("0.0.0.0", "::") else host,  # noqa: S104  # read, not bound
        port=settings.broker.port,
        ca=home / KEYS_FOLDER / ROOT_CERTIFICATE,
        certificate=tls / f"{Service.INGEST}.crt",
        key=tls / f"{Service.INGEST}.key",
    )


def _note_keys(ca: Ca) -> NoteKeyList:
    root = ca.root.public_key()
    assert isinstance(root, ec.EllipticCurvePublicKey)  # `open_ca` verified with it
    return open_note_keys(ca.note_keys, open_statement(ca.statement, root))


def require_ports(settings: Settings) -> None:
    """SettingsError naming the first port that something else uses."""
    for section, host, port in (
        ("console", settings.console.host, settings.console.port),
        ("device_api", settings.device_api.host, settings.device_api.port),
        ("broker", settings.broker.host, settings.broker.port),
    ):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as wrong:
                raise SettingsError(
                    f"port {port} on {host} for [{section}] cannot be used ({wrong.strerror}); end what uses it, "
                    f"or change port under [{section}] in {SETTINGS_FILE}"
                ) from None


def _console_url(settings: Settings) -> str:
    scheme = "https" if settings.console.is_tls else "http"
    return f"{scheme}://{settings.console.host}:{settings.console.port}"


def _now_ms() -> int:
    return int(time.time() * 1000)


def _now_s() -> int:
    return int(time.time())
