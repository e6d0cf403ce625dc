"""tandem-hub: makes a hub's home, fills it, and runs it: build, start, wait, stop in reverse."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from random import SystemRandom
from threading import Event, Thread, Timer

import click
import msgspec
import sdnotify
import structlog
from cryptography.hazmat.primitives.asymmetric import ec
from flask import Flask
from msgspec import Struct
from sqlalchemy import Engine

from hub import (
    accounts,
    audit,
    backup,
    cautions,
    closures,
    control,
    desired,
    intake,
    maps,
    nightly,
    positions,
    presence,
    projections,
    roster,
    store,
    tokens,
)
from hub import restore as restoring
from hub.arrivals import Marks, Wanted
from hub.backup import BackupError, BackupParts, Made
from hub.board import VIEWERS_MAX, Board
from hub.broker import Broker
from hub.building import CURRENT
from hub.by_road import ranked_by
from hub.ca import Ca, Service, ensure_tls, open_ca, renew_crl
from hub.downlink import Downlink, DownlinkParts
from hub.engine import Engine as RoadEngine
from hub.enroll import DeviceApiParts, device_api_server
from hub.errors import Refused
from hub.link import Link, LinkSettings
from hub.maps import BBox, MapError
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
    BrokerSettings,
    Console,
    DeviceApi,
    Settings,
    SettingsError,
    load,
    parse,
    text_of,
)
from hub.snapshot import Eta
from hub.valhalla import ROADS_FOLDER, find_programs
from hub.web.app import LOOPBACK, ConsoleParts, create_console
from hub.web.listening import Listening
from serving.beats import Beats
from serving.server import Server, http_server, https_server
from wire.codec import Malformed, decode
from wire.keys import (
    BACKUP_PUBLIC,
    HUB_KEY_FILES,
    KEY_STATEMENT,
    ROOT_CERTIFICATE,
    KeyStatement,
    NoteKeyList,
    open_note_keys,
    open_statement,
)
from wire.live import HubPresence, sign_hub_presence
from wire.signature import payload_of

MISUSE = 2
CONSOLE_THREADS = VIEWERS_MAX + 16  # every open page holds one for its stream
CONSOLE_BODY_BYTES_MAX = 1024 * 1024  # read and thrown away; the app says no from 64 kB on
STOP_S_MAX = 2.6  # then the process ends as it is; everything that was promised is on the disk
MAINTENANCE_S = 3600.0
BEAT_S = 5.0
HUNG_S_MAX = 25.0  # a database that is locked answers after some seconds; what lasts longer is no answer

HOME = click.option(
    "--home", type=click.Path(path_type=Path), required=True, help="The folder of this hub: settings, keys, database."
)

_log = structlog.get_logger("hub")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tandem-mdt")
def cli() -> None:
    """The hub of an agency: dispatch, fleet, shelf of sealed notes."""


@cli.command()
@HOME
@click.option(
    "--keys", type=click.Path(path_type=Path), required=True, help="The folder `hub` that `tandem-fleet init` made."
)
@click.option("--agency", default=None, help="The agency's name; that of the keys when not said.")
@click.option("--console-port", type=int, default=Console().port, show_default=True)
@click.option("--api-port", type=int, default=DeviceApi().port, show_default=True)
@click.option("--broker-port", type=int, default=BrokerSettings().port, show_default=True)
def init(home: Path, keys: Path, agency: str | None, console_port: int, api_port: int, broker_port: int) -> None:
    """Make a hub's home: settings, keys from the bench, certificates, an empty database."""
    with _one_sentence():
        if (home / SETTINGS_FILE).exists():
            raise SettingsError(f"{home} is a hub's home already; choose another folder, or edit {SETTINGS_FILE}")
        settings = Settings(
            agency=agency or _agency_of(keys),
            console=Console(port=console_port),
            device_api=DeviceApi(port=api_port),
            broker=BrokerSettings(port=broker_port),
        )
        parse(text_of(settings))
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        _copy_keys(keys, home / KEYS_FOLDER)
        ensure_tls(home, settings)
        store.open_store(home).dispose()
        # Last, because it is what makes the folder a hub's home: an init that was cut is simply done again.
        (home / SETTINGS_FILE).write_text(text_of(settings), encoding="utf-8")
        click.echo(f"made the hub of {settings.agency} in {home}")


@cli.command()
@HOME
def serve(home: Path) -> None:
    """Run the hub until it is told to stop."""
    _log_to_stderr()
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with _one_sentence():
        failures = run(home, stop)
    if failures:
        sys.exit(1)


@cli.group()
def account() -> None:
    """People who sign in at the console."""


@account.command("add")
@click.argument("name")
@click.option("--role", required=True, help=f"One of: {', '.join(accounts.Role)}.")
@click.option("--full-name", default=None, help="The person's name, as others see it.")
@click.option("--password-stdin", is_flag=True, help="Read the password from the first line of standard input.")
@HOME
def account_add(name: str, role: str, full_name: str | None, password_stdin: bool, home: Path) -> None:
    """Add an account; prints the password unless you give one."""
    password = sys.stdin.readline().rstrip("\n") if password_stdin else None
    with _one_sentence(), _opened(home) as engine, engine.begin() as connection:
        made = accounts.add(connection, name, role, _now_ms(), full_name=full_name, password=password)
    if password is None:
        click.echo(made)


@cli.group("tokens")
def tokens_group() -> None:
    """Programs that ask this hub over HTTP, also while it runs."""


@tokens_group.command("add")
@click.argument("name")
@click.option("--role", required=True, help=f"One of: {', '.join(tokens.TokenRole)}.")
@click.option("--days", type=int, default=tokens.DAYS, show_default=True, help=f"At most {tokens.DAYS_MAX}.")
@click.option("--cji", is_flag=True, help="A dispatch system that your agency lets see police records.")
@HOME
def tokens_add(name: str, role: str, days: int, cji: bool, home: Path) -> None:
    """Make a token and print it: this once."""
    with _one_sentence():
        kept = _keep_tokens(home, tokens.Adding(name=name, role=role, days=days, has_cji=cji))
    click.echo(kept.shown)


@tokens_group.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@HOME
def tokens_list(as_json: bool, home: Path) -> None:
    """Who there is, until when, and when it asked last."""
    with _one_sentence():
        kept = _keep_tokens(home, tokens.Listing())
    if as_json:
        click.echo(msgspec.json.encode(kept.tokens))
        return
    for line in tokens.lines(kept.tokens, _now_ms()):
        click.echo(line)


@tokens_group.command("revoke")
@click.argument("name")
@HOME
def tokens_revoke(name: str, home: Path) -> None:
    """Let it open nothing any more, from now on; its open streams end."""
    with _one_sentence():
        kept = _keep_tokens(home, tokens.Revoking(name=name))
    click.echo(f"revoked {name}" if kept.is_new else f"{name} was revoked before")


def _keep_tokens(home: Path, asking: tokens.Asking) -> tokens.Kept:
    """Through the hub that runs, which alone may have its database open; while none does, here."""
    load(home)
    if (kept := control.ask_tokens(home, asking)) is not None:
        return kept
    with _opened(home) as engine, engine.begin() as connection:
        return tokens.do(connection, asking, backup.user_name(os.geteuid()), _now_ms())


@cli.group("roster")
def roster_group() -> None:
    """Units, people, and who may sign on where."""


@roster_group.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@HOME
def roster_import(file: Path, home: Path) -> None:
    """Write the roster in FILE (TOML) into the database."""
    with _one_sentence():
        settings, read = load(home), roster.read(file)
        with _opened(home) as engine, engine.begin() as connection:
            roster.load(connection, read, settings.agency, _now_ms())
        click.echo(f"{len(read.unit)} units, {len(read.staff)} people")


@cli.group("map")
def map_group() -> None:
    """The map of the console: streets, addresses."""


@map_group.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--bbox", default=None, help="Only this part: west,south,east,north in degrees.")
@HOME
def map_import(file: Path, bbox: str | None, home: Path) -> None:
    """Make FILE (.osm.pbf) the map: its tiles, its address index and its roads, all or nothing."""
    with _one_sentence():
        made_of = (*maps.BUILDERS, maps.road_graph(_road_programs(home, load(home))))
        maps.import_map(file, home, None if bbox is None else _bbox(bbox), click.echo, made_of)


@cli.command()
@HOME
def rebuild(home: Path) -> None:
    """Fold all records again into units, assignments and the shelf."""
    with _one_sentence(), _opened(home) as engine, engine.begin() as connection:
        count = projections.rebuild(connection)
        audit.append(connection, _now_ms(), "hub", None, "rebuilt", None, audit.OK)
    click.echo(f"folded {count} records")


@cli.command("backup")
@HOME
@click.option("--out", type=click.Path(path_type=Path), help="The file; by default one in the folder of hub.toml.")
def backup_command(home: Path, out: Path | None) -> None:
    """Write everything that makes this hub come back to one file, also while it runs."""
    with _one_sentence():
        settings = load(home)
        if out is None:
            folder = home / settings.backup.folder
            with suppress(FileNotFoundError):
                folder.mkdir(mode=0o700, exist_ok=True)
            out = folder / backup.usual_name(_now_ms())
        file = out.absolute()
        made = control.ask_backup(home, file, click.echo) or _backup_here(home, settings, file)
        how = "sealed to the bench" if made.is_sealed else "not sealed: it holds the hub's keys, lock it away"
        click.echo(f"{made.path}: {made.size} bytes, {made.records} records, {made.took_s:.1f} s, {how}")


def _backup_here(home: Path, settings: Settings, file: Path) -> Made:
    """While no hub runs, this process is the one that may open the database."""
    with _opened(home) as engine:
        parts = BackupParts(
            engine=engine, home=home, settings=settings, now_ms=_now_ms, stopping=Event(), only=threading.Lock()
        )
        return backup.make(parts, file, backup.user_name(os.geteuid()), click.echo)


@cli.command()
@click.argument("file", type=click.Path(path_type=Path))
@HOME
def restore(file: Path, home: Path) -> None:
    """Make a home the hub in FILE. A hub that is there already is moved aside, not deleted."""
    with _one_sentence():
        restored = restoring.restore(file, home, backup.user_name(os.geteuid()), _now_ms(), click.echo)
        for line in restoring.what_next(restored, home):
            click.echo(line)


# --- running ----------------------------------------------------------------------------------------------------------


def run(home: Path, stop: Event) -> list[str]:
    """Run the hub in `home` until `stop`; what went wrong while it ran. SettingsError when it cannot begin."""
    settings = load(home)
    failures: list[str] = []

    def fail(name: str) -> None:
        failures.append(name)
        stop.set()

    threading.excepthook = end_with(fail, stop)
    with ExitStack() as stack:
        engine = store.open_store(home)
        stack.callback(engine.dispose)
        require_ports(settings)
        ensure_tls(home, settings)
        ca = open_ca(home, settings)
        with engine.begin() as connection:
            renew_crl(home, ca, connection, _now_s())
            cautions.expire(connection, _now_ms())
            closures.expire(connection, _now_ms())
        broker = Broker(home, settings, lambda line: _log.warning("broker", said=line))
        broker.start()
        stack.callback(broker.stop)
        roads = _start_roads(home, settings, stack)
        listening = Listening()
        _start_keeping(home, settings, engine, listening, stack, fail, stop)
        beats = Beats()
        for server in _start_pipes(home, settings, ca, engine, roads, listening, stack, fail, stop, beats):
            stack.callback(server.stop)
        click.echo(
            f"ready console={_console_url(settings)} api=https://{settings.device_api.name}:{settings.device_api.port} "
            f"broker={settings.broker.name}:{settings.broker.port}"
        )
        sys.stdout.flush()
        _watch(partial(_maintain, home, ca, engine, broker), beats, fail, stop)
        _end_late()
        _log.info("stopping")
    return failures


def _start_roads(home: Path, settings: Settings, stack: ExitStack) -> Roads:
    """Road times, when there are roads and a program for them; nothing waits for either."""
    engine = RoadEngine(
        home,
        home / MAPS_FOLDER / CURRENT / ROADS_FOLDER,
        partial(find_programs, _road_programs(home, settings)),
        lambda line: _log.warning("roads", said=line),
    )
    roads = Roads(engine.where)
    stack.callback(roads.close)
    engine.start()
    stack.callback(engine.stop)
    return roads


def _road_programs(home: Path, settings: Settings) -> Path | None:
    """Where hub.toml says that the road engine is; None: in one of the usual places."""
    return home / settings.roads.engine if settings.roads.engine else None


def _watch(maintain: Callable[[], None], beats: Beats, fail: Callable[[str], None], stop: Event) -> None:
    """Until `stop`; the watchdog of systemd is fed while every pipe goes round."""
    systemd = sdnotify.SystemdNotifier()
    systemd.notify("READY=1")
    maintain_s = time.monotonic() + MAINTENANCE_S
    while not stop.wait(BEAT_S):
        if (hung := beats.hung()) is not None:
            _log.error("a pipe hangs", pipe=hung)
            fail(hung)
            continue
        systemd.notify("WATCHDOG=1")
        if time.monotonic() >= maintain_s:
            maintain()
            maintain_s = time.monotonic() + MAINTENANCE_S
    systemd.notify("STOPPING=1")


def _maintain(home: Path, ca: Ca, engine: Engine, broker: Broker) -> None:
    with engine.begin() as connection:
        is_written = renew_crl(home, ca, connection, _now_s())
        closures.expire(connection, _now_ms())
        cautions.expire(connection, _now_ms())  # boards and terminals hear of it with the next change of anything
    if is_written:
        broker.reload()


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


def _start_keeping(
    home: Path,
    settings: Settings,
    engine: Engine,
    listening: Listening,
    stack: ExitStack,
    fail: Callable[[str], None],
    stop: Event,
) -> None:
    """Backups: one each night, and whenever a command asks; and what commands do to tokens meanwhile."""
    stopping = Event()

    def keep_tokens(asking: tokens.Asking, by: str) -> tokens.Kept:
        with engine.begin() as connection:
            kept = tokens.do(connection, asking, by, _now_ms())
        if isinstance(asking, tokens.Revoking):
            listening.cut(asking.name)
        return kept

    parts = BackupParts(
        engine=engine, home=home, settings=settings, now_ms=_now_ms, stopping=stopping, only=threading.Lock()
    )
    for thread in (
        pipe("nightly", lambda: nightly.run(parts, lambda: datetime.now().astimezone()), fail, stop),
        pipe("control", lambda: control.serve(home, partial(backup.make, parts), keep_tokens, stopping), fail, stop),
    ):
        stack.callback(thread.join, 1.0)
    stack.callback(stopping.set)


def _start_pipes(
    home: Path,
    settings: Settings,
    ca: Ca,
    engine: Engine,
    roads: Roads,
    listening: Listening,
    stack: ExitStack,
    fail: Callable[[str], None],
    stop: Event,
    beats: Beats,
) -> list[Server]:
    """Start everything between the broker and the browsers; the servers, which are to be stopped first."""
    with engine.begin() as connection:
        here = Presence(presence.last_births(connection))
        known = Positions(positions.kept(connection))
        epoch = store.epoch(connection)

    def eta_of(unit: str) -> Eta | None:
        return ways.eta(unit)

    board = Board(engine, known, _now_ms, agency=settings.agency, link_of=here.state, eta_of=eta_of)

    def says_down() -> None:
        here.all_gone(_now_ms())
        board.changed()

    link = Link(
        _link_settings(home, settings),
        _presence(settings, here, ca.snapshot_key, epoch),
        says_down,
        SystemRandom(),
        beats.of("link", HUNG_S_MAX),
    )
    vouched = desired.Vouched(agency=settings.agency, note_keys=ca.note_keys, key_statement=ca.statement)
    downlink = Downlink(
        DownlinkParts(
            engine=engine,
            publish=link.publish,
            connected=here.connected,
            snapshot_key=ca.snapshot_key,
            vouched=vouched,
            beat=beats.of("downlink", HUNG_S_MAX),
        )
    )
    ways = Ways(
        RoutesParts(
            engine=engine,
            ask=partial(_way, roads),
            position=known.get,
            closed=partial(_closed, engine),
            now_ms=_now_ms,
            poke=downlink.poke,
            moved=board.moved,
            beat=beats.of("routes", HUNG_S_MAX),
        )
    )
    marks = Marks()
    parts = intake.IntakeParts(
        engine=engine,
        link=link,
        snapshot_key=ca.snapshot_key,
        note_keys=_note_keys(ca),
        marks=marks,
        positions=known,
        presence=here,
        told=_Told(board, downlink, ways),
        now_ms=_now_ms,
        beat=beats.of("intake", HUNG_S_MAX),
    )

    def changed() -> None:
        board.changed()
        downlink.poke(None)
        ways.changed()

    console = ConsoleParts(
        engine=engine,
        board=board,
        positions=known,
        agency=settings.agency,
        maps_dir=home,
        changed=changed,
        now_ms=_now_ms,
        secure_cookies=settings.console.is_tls,
        link_of=here.state,
        dropped=lambda: marks.dropped,
        rules=settings.ranking,
        by_road=partial(ranked_by, roads, time.monotonic),
        reach=roads.cover,
        hosts=LOOPBACK | frozenset(settings.console.names),
        listening=listening,
    )
    api = DeviceApiParts(engine=engine, ca=ca, settings=settings, changed=changed, now_ms=_now_ms)
    servers = [_console_server(home, settings, create_console(console)), device_api_server(api, home)]
    board.start()
    stopping = Event()
    for thread in (
        pipe("intake", lambda: intake.run(parts, stopping), fail, stop),
        pipe("downlink", downlink.run, fail, stop),
        pipe("routes", ways.run, fail, stop),
        pipe("link", link.run, fail, stop),
    ):
        stack.callback(thread.join, 1.0)
    stack.callback(link.stop)
    stack.callback(downlink.stop)
    stack.callback(ways.stop)
    stack.callback(stopping.set)
    for server in servers:
        server.prepare()
        pipe("server", server.serve, fail, stop)
    stack.callback(board.stop)
    return servers


def _closed(engine: Engine) -> tuple[Ring, ...]:
    """What no way may lead through now."""
    with engine.begin() as connection:
        return closures.closed(connection, _now_ms())


def _way(roads: Roads, a: Spot, b: Spot, closed: Sequence[Ring], heading_deg: float | None) -> RoadRoute | None:
    return roads.route(a, b, closed, heading_deg=heading_deg)


def pipe(name: str, run_it: Callable[[], None], fail: Callable[[str], None], stop: Event) -> Thread:
    """A thread without which the hub is none: when it ends before it was told to, the process ends."""

    def guarded() -> None:
        try:
            run_it()
        except Exception:  # whatever it is, it is written down, and systemd starts the hub anew
            _log.exception("a pipe broke", pipe=name)
            fail(name)
            return
        if not stop.is_set():
            _log.error("a pipe ended", pipe=name)
            fail(name)

    thread = Thread(target=guarded, name=name, daemon=True)
    thread.start()
    return thread


def end_with(fail: Callable[[str], None], stop: Event) -> Callable[[threading.ExceptHookArgs], None]:
    """What a thread that is not a pipe of ours, as the MQTT client's, says when it breaks: the process ends too.

    Without this a broken network thread leaves a hub that looks well and hears nobody.
    """

    def died(broken: threading.ExceptHookArgs) -> None:
        name = broken.thread.name if broken.thread else "a thread"
        _log.error("a thread broke", thread=name, exc_info=(broken.exc_type, broken.exc_value, broken.exc_traceback))
        if not stop.is_set():
            fail(name)

    return died


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


def _end_late() -> None:
    """End the process soon, whatever still hangs: nothing that was promised waits in memory."""
    late = Timer(STOP_S_MAX, os._exit, (0,))
    late.daemon = True
    late.start()


def _console_url(settings: Settings) -> str:
    scheme = "https" if settings.console.is_tls else "http"
    return f"{scheme}://{settings.console.host}:{settings.console.port}"


# --- the command line -------------------------------------------------------------------------------------------------


@contextmanager
def _one_sentence() -> Iterator[None]:
    """What the operator did wrong, as one sentence and exit code 2."""
    try:
        yield
    except (SettingsError, MapError, BackupError) as wrong:
        click.echo(f"tandem-hub: {wrong}", err=True)
        sys.exit(MISUSE)
    except Refused as refused:
        click.echo(f"tandem-hub: {refused.sentence}", err=True)
        sys.exit(MISUSE)
    except PermissionError as wrong:
        click.echo(f"tandem-hub: {wrong.filename} may not be used by this user; run it as the hub's owner", err=True)
        sys.exit(MISUSE)


@contextmanager
def _opened(home: Path) -> Iterator[Engine]:
    load(home)
    engine = store.open_store(home)
    try:
        yield engine
    finally:
        engine.dispose()


def _copy_keys(keys: Path, into: Path) -> None:
    missing = [name for name in HUB_KEY_FILES if not (keys / name).is_file()]
    if missing:
        raise SettingsError(f"{keys} lacks {', '.join(missing)}; give the folder `hub` that `tandem-fleet init` made")
    into.mkdir(mode=0o700, exist_ok=True)
    for name in (*HUB_KEY_FILES, *([BACKUP_PUBLIC] if (keys / BACKUP_PUBLIC).is_file() else [])):
        shutil.copyfile(keys / name, into / name)
        (into / name).chmod(0o600)


def _agency_of(keys: Path) -> str:
    """The agency that the key statement names; checked against the root when the hub's certificates are made."""
    try:
        return decode(payload_of((keys / KEY_STATEMENT).read_bytes()), KeyStatement).agency
    except (OSError, Malformed):
        raise SettingsError(
            f"{keys} has no {KEY_STATEMENT}; give the folder `hub` that `tandem-fleet init` made"
        ) from None


def _bbox(text: str) -> BBox:
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        raise SettingsError("--bbox is west,south,east,north in degrees, as -83.2,39.8,-82.8,40.1") from None
    return west, south, east, north


def _log_to_stderr() -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")


def _now_ms() -> int:
    return int(time.time() * 1000)


def _now_s() -> int:
    return int(time.time())
