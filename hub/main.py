"""`tandem-hub`: the commands that make a hub's home, fill it, keep it, and run it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event

import click
import msgspec
from sqlalchemy import Engine

from hub import (
    accounts,
    audit,
    audit_check,
    backup,
    control,
    maps,
    projections,
    roster,
    store,
    tokens,
)
from hub import restore as restoring
from hub.assembly import road_programs, run
from hub.backup import BackupError, BackupParts, Made
from hub.ca import ensure_tls
from hub.errors import Refused
from hub.maps import BBox, MapError
from hub.settings import (
    KEYS_FOLDER,
    SETTINGS_FILE,
    BrokerSettings,
    Console,
    DeviceApi,
    Settings,
    SettingsError,
    load,
    parse,
    text_of,
)
from serving import logs
from wire.codec import Malformed, decode
from wire.keys import (
    BACKUP_PUBLIC,
    HUB_KEY_FILES,
    KEY_STATEMENT,
    KeyStatement,
)
from wire.signature import payload_of

MISUSE = 2

HOME = click.option(
    "--home", type=click.Path(path_type=Path), required=True, help="The folder of this hub: settings, keys, database."
)


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
    logs.to_stderr()
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


@cli.group("audit")
def audit_group() -> None:
    """Who did what, when; also while the hub runs."""


@audit_group.command("verify")
@click.option(
    "--head",
    "heads",
    multiple=True,
    metavar="EPOCH:LINE:HASH",
    help="What somebody else holds of it: a desk says it at /api/v1/desk/audit-head.",
)
@HOME
def audit_verify(heads: tuple[str, ...], home: Path) -> None:
    """Say whether a line was edited, taken out, moved, cut off or written anew; exit code 1 when one was."""
    with _one_sentence():
        load(home)
        held = tuple(audit_check.head_of(text) for text in heads)
        checked = control.ask_audit(home, held)
        if checked is None:
            with _opened(home) as engine:
                checked = audit_check.check(engine, held)
    for line in audit_check.lines(checked):
        click.echo(line)
    if checked.wrongs:
        sys.exit(1)


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
        made_of = (*maps.BUILDERS, maps.road_graph(road_programs(home, load(home))))
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


def _now_ms() -> int:
    return int(time.time() * 1000)
