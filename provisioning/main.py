"""tandem-fleet: what a fleet tech and a key custodian do. Nouns, then verbs; answers on stdout, explanations on stderr."""

from __future__ import annotations

import platform
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import click
import msgspec

from provisioning import ceremony, grants, hub_backup
from provisioning.ceremony import clinical_key_file, make_fleet, write_fleet
from provisioning.errors import CannotDo
from provisioning.files import write_new
from provisioning.first_boot import SOFTWARE
from provisioning.first_boot import first_boot as take_first_boot
from provisioning.fleet import Hub, hub_from
from provisioning.keyfile import open_pem, read_passphrase
from wire.codec import Malformed
from wire.enrollment import Facts
from wire.ids import name as staff_id
from wire.signature import public_from
from wire.words import four_words

BUNDLE_BYTES_MAX = 4096  # a bundle is about 240 bytes; a longer file is another file
PATH = click.Path(path_type=Path)

F = TypeVar("F", bound=Callable[..., None])


def _at_hub(command: F) -> F:
    """The options that say which hub, and as whom."""
    for option in (
        click.option("--password-file", type=PATH, required=True, help="Its first line is the password."),
        click.option(
            "--account", required=True, help="Your sign-in name at the hub: a fleet tech's or a supervisor's."
        ),
        click.option("--hub", "url", required=True, help="The hub's address, as https://hub.example.org:8443"),
    ):
        command = option(command)
    return command


ROOT = click.option("--root", type=PATH, required=True, help="root.crt, the only thing this hub is believed by.")
JSON = click.option("--json", "as_json", is_flag=True, help="For programs.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Make the keys of a fleet, and make blank boards its terminals."""


@cli.command()
@click.option("--home", type=PATH, required=True, help="A new folder, best on a medium that is locked away afterwards.")
@click.option("--agency", required=True, help="The agency's name, as people say it.")
@click.option("--passphrase-file", type=PATH, required=True, help="Its first line closes every key that stays here.")
def init(home: Path, agency: str, passphrase_file: Path) -> None:
    """Make the keys of a new fleet, once."""
    files = make_fleet(agency, read_passphrase(passphrase_file), int(time.time()))
    write_fleet(home, files)
    _say(f"The keys of {agency} are in {home}.")
    _say(
        f"  {ceremony.ROOT_KEY}          the agency root, 20 years. Lock it away: it is needed when other keys change."
    )
    _say(f"  {ceremony.ROOT_CERTIFICATE}          what everybody believes. Not a secret.")
    _say(
        "  hub/              for the hub, all of it and nothing else: tandem-hub init --home HUB --keys "
        + str(home / "hub")
    )
    _say("  supervisor/       the wipe key. It destroys what a lost board holds, and never goes to the hub.")
    _say("  custodian/        who may read notes: the list's key, the clinical key of epoch 1, break-glass.")
    _say(
        "Print the three break-glass shares, give them to three people, and destroy the files: any two open every note."
    )
    _say("Root, custodian and supervisor keys open with the passphrase only. It cannot be recovered.")


@cli.group()
def device() -> None:
    """Boards: add one for a unit, and see those there are."""


@device.command()
@click.option("--unit", required=True, help="The unit's call sign, or its id.")
@click.option("--kind", type=click.Choice(["vehicle", "desk"]), required=True)
@click.option(
    "--out", type=PATH, required=True, help="Where the bundle goes: carry it to the board, once, within 24 hours."
)
@click.option("--qr", type=PATH, help="The same as a QR code, SVG.")
@ROOT
@_at_hub
def add(
    unit: str, kind: str, out: Path, qr: Path | None, root: Path, url: str, account: str, password_file: Path
) -> None:
    """Make the bundle with which one board becomes the terminal of a unit; prints the device id."""
    for path in (out, qr):
        if path is not None and path.exists():
            raise CannotDo(f"{path} is there already; a bundle is used once: choose a new file")
    added = hub_from(url, root, account, password_file).add(unit, kind)
    _write(out, added.bundle)
    if qr is not None:
        _write(qr, _qr_svg(added.bundle))
    _say(f"{added.device} will be the terminal of {added.call_sign}: on the board, until {_when(added.exp_s * 1000)}:")
    _say(f"  tandem-fleet first-boot --bundle {out} --home HOME")
    _say("Whoever holds the bundle can become this device: keep it out of mail and pictures.")
    click.echo(added.device)


@device.command("list")
@JSON
@ROOT
@_at_hub
def list_(as_json: bool, root: Path, url: str, account: str, password_file: Path) -> None:
    """Every device, newest first."""
    entries = hub_from(url, root, account, password_file).devices()
    if as_json:
        click.echo(msgspec.json.encode(entries))
        return
    for entry in entries:
        click.echo(f"{entry.device}  {entry.state:8}  {entry.kind:7}  {entry.call_sign}")


@device.command()
@click.argument("device_id")
@JSON
@ROOT
@_at_hub
def show(device_id: str, as_json: bool, root: Path, url: str, account: str, password_file: Path) -> None:
    """One device, with the four words of its key."""
    entry = hub_from(url, root, account, password_file).device(device_id)
    words = None if entry.kem_public is None else _words(entry.kem_public)
    fields: dict[str, object] = {**msgspec.to_builtins(entry), "words": words}
    if as_json:
        click.echo(msgspec.json.encode(fields))
        return
    for name, value in fields.items():
        shown = _when(value) if name.endswith("_ms") and isinstance(value, int) else value
        click.echo(f"{name.removesuffix('_ms'):12} {'–' if shown is None else shown}")


@cli.command("first-boot")
@click.option("--bundle", "bundle_file", type=PATH, required=True, help="What `tandem-fleet device add` made.")
@click.option("--home", type=PATH, required=True, help="The terminal's folder.")
def first_boot(bundle_file: Path, home: Path) -> None:
    """Make this blank board the device its bundle names; run it again after any interruption. Prints the device id."""
    try:
        with bundle_file.open("rb") as file:
            data = file.read(BUNDLE_BYTES_MAX)
    except OSError as wrong:
        raise CannotDo(f"The bundle {bundle_file} cannot be read ({wrong.strerror}).") from None
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        arrived = take_first_boot(data, home, _facts(), _say)
    except OSError as wrong:
        raise CannotDo(
            f"{wrong.filename or home} cannot be written ({wrong.strerror}): is the disk full?", "E11"
        ) from None
    _say(f"This board is now {arrived.device}, a {arrived.kind}. Destroy the bundle.")
    if arrived.kind == "desk":
        _say(f"The four words of this desk's key: {_words(arrived.kem_public)}")
    click.echo(arrived.device)


@cli.group()
def keys() -> None:
    """The agency's keys, at the bench of their custodian."""


@keys.command()
@click.option("--home", type=PATH, required=True, help="The folder that `tandem-fleet init` made.")
@click.option("--passphrase-file", type=PATH, required=True)
@click.option("--desk", required=True, help="The device id of the desk.")
@click.option("--staff", required=True, help="The id of the clinician, as in the roster.")
@click.option("--out", type=PATH, required=True, help="Where the grant goes: carry it to the desk.")
@click.option("--words", help="The four words that the desk shows; refused when the hub's differ.")
@click.option("--root", type=PATH, help="root.crt; by default the one in --home.")
@_at_hub
def grant(
    home: Path,
    passphrase_file: Path,
    desk: str,
    staff: str,
    out: Path,
    words: str | None,
    root: Path | None,
    url: str,
    account: str,
    password_file: Path,
) -> None:
    """Give the clinical key to one clinician at one desk; prints the code to say to them aloud."""
    _refuse_staff(staff)
    if out.exists():
        raise CannotDo(f"{out} is there already: choose a new file")
    hub = hub_from(url, root or home / ceremony.ROOT_CERTIFICATE, account, password_file)
    kem = _desk_key(hub, desk)
    _compare(_words(kem), words, desk)
    epoch = _newest_epoch(home)
    private = open_pem(home / clinical_key_file(epoch), read_passphrase(passphrase_file))
    code = grants.new_code()
    _write(out, grants.grant(private, epoch, desk, staff, public_from(kem), code))
    _say(f"The clinical key of epoch {epoch} for {staff} at {desk} is in {out}. At the desk:")
    _say(f"  tandem-edge desk accept {out} --home HOME")
    _say("Say this code to the clinician; do not write it beside the grant:")
    click.echo(code)


@cli.group()
def backup() -> None:
    """Backups of the hub that only this bench opens."""


@backup.command("key")
@click.option("--home", type=PATH, required=True, help="The folder that `tandem-fleet init` made.")
@click.option("--passphrase-file", type=PATH, required=True)
def backup_key(home: Path, passphrase_file: Path) -> None:
    """Make the key to which the hub seals its backups from now on, once."""
    public = hub_backup.make_key(home, read_passphrase(passphrase_file))
    _say(
        f"The key is {home / hub_backup.BACKUP_KEY}. Without it no backup opens: copy it wherever you copy the root key."
    )
    _say(f"Copy its public half to the hub's folder keys: {public}")
    click.echo(public)


@backup.command("open")
@click.argument("file", type=PATH)
@click.option("--home", type=PATH, required=True, help="The folder that `tandem-fleet init` made.")
@click.option("--passphrase-file", type=PATH, required=True)
@click.option("--out", type=PATH, required=True, help="Where the opened backup goes.")
def backup_open(file: Path, home: Path, passphrase_file: Path, out: Path) -> None:
    """Open a sealed backup, to restore it."""
    hub_backup.open_backup(file, home, read_passphrase(passphrase_file), out)
    _say(f"{out} holds the hub's keys and names of people. Restore it: tandem-hub restore {out} --home HUB")
    _say("Then destroy it; the sealed one stays.")
    click.echo(out)


def _refuse_staff(staff: str) -> None:
    try:
        staff_id(staff)
    except Malformed as wrong:
        raise CannotDo(f"--staff {staff!r}: {wrong}") from None


def _desk_key(hub: Hub, desk: str) -> bytes:
    entry = hub.device(desk)
    if entry.kind != "desk":
        raise CannotDo(f"{desk} is a {entry.kind}: clinical keys are for desks only")
    if entry.kem_public is None or entry.state == "revoked":
        raise CannotDo(f"{desk} is {entry.state}: enroll the desk first")
    return entry.kem_public


def _compare(ours: str, theirs: str | None, desk: str) -> None:
    """Nothing when the desk shows the same words; CannotDo otherwise: the hub may have shown us a key of its own.

    Words that were not given are for the person who says the code: without it a grant to a wrong key opens nothing.
    """
    if theirs is not None and re.sub(r"[\s,-]+", " ", theirs.strip().lower()) != ours:
        raise CannotDo(f"the desk and the hub do not show the same key for {desk}: stop, and tell the fleet's owner")
    if theirs is None:
        _say(f"The hub says that the four words of {desk} are: {ours}")
        _say("Compare them with those on the desk's own screen BEFORE you say the code. If they differ, say nothing.")


def _newest_epoch(home: Path) -> int:
    names = [re.fullmatch(r"clinical-(\d+)\.key", path.name) for path in (home / ceremony.CUSTODIAN).glob("*.key")]
    epochs = [int(name[1]) for name in names if name is not None]
    if not epochs:
        raise CannotDo(f"{home} holds no clinical key: is --home the folder that `tandem-fleet init` made?")
    return max(epochs)


def _facts() -> Facts:
    return Facts(
        serial=_said("/proc/device-tree/serial-number") or "unknown",
        model=_said("/proc/device-tree/model") or platform.machine(),
        tier="T0",
        software=SOFTWARE,
    )


def _said(path: str) -> str:
    try:
        return Path(path).read_text("ascii", "replace").strip("\0\n ")[:128]
    except OSError:
        return ""


def _qr_svg(bundle: bytes) -> bytes:
    try:
        import segno
    except ImportError:
        raise CannotDo("--qr needs the extra `fleet`: pip install 'tandem-mdt[fleet]'") from None
    out = BytesIO()
    segno.make_qr(bundle, error="m").save(out, kind="svg", scale=8, xmldecl=True)
    return out.getvalue()


def _words(public: bytes) -> str:
    return " ".join(four_words(sha256(public).digest()))


def _write(path: Path, data: bytes) -> None:
    try:
        write_new(path, data)
    except OSError as wrong:
        raise CannotDo(f"{path} cannot be written ({wrong.strerror})") from None


def _when(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _say(text: str) -> None:
    click.echo(text, err=True)
