"""The bench's own commands, as processes, against a hub's API and a real broker: from nothing to a terminal that speaks."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from hub.broker import Broker
from hub.ca import Service
from provisioning import grants
from tests.hub_on_disk import PASSPHRASE, PASSWORD, Site, hire, open_site
from tests.patience import PATIENCE_S
from tests.system.test_broker import Client, Home
from wire import signature
from wire.codec import decode
from wire.enrollment import IDENTITY_FOLDER, KEM_KEY_FILE
from wire.keys import HUB_KEY_FILES, ClinicalGrant
from wire.words import four_words

pytestmark = pytest.mark.system
ROOT = Path(__file__).parent.parent.parent


def fleet(*argv: str | Path) -> subprocess.CompletedProcess[str]:
    """`tandem-fleet` with these arguments."""
    command = [
        sys.executable,
        "-c",
        "from provisioning.main import cli; cli(prog_name='tandem-fleet')",
        *map(str, argv),
    ]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=PATIENCE_S)


def done(*argv: str | Path) -> str:
    ended = fleet(*argv)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def refused(*argv: str | Path) -> str:
    """The one sentence of a command that ends with 2."""
    ended = fleet(*argv)
    assert ended.returncode == 2, (ended.returncode, ended.stderr)
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    assert ended.stderr.startswith("Error: ")
    return ended.stderr.strip()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    now_s = int(time.time())
    with open_site(tmp_path_factory.mktemp("site"), now_s) as opened:
        hire(opened.engine, now_s)
        yield opened


@pytest.fixture(scope="module")
def secrets_at_hand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "password").write_text(PASSWORD + "\n")
    (folder / "wrong").write_text("a wrong password\n")
    (folder / "passphrase").write_bytes(PASSPHRASE + b"\n")
    return folder


@pytest.fixture
def at_hub(site: Site, secrets_at_hand: Path) -> tuple[str | Path, ...]:
    return (
        *("--hub", site.url, "--root", site.root),
        *("--account", "tech", "--password-file", secrets_at_hand / "password"),
    )


def test_the_commands_make_a_terminal_that_the_broker_lets_in(
    site: Site, at_hub: tuple[str | Path, ...], secrets_at_hand: Path, tmp_path: Path
) -> None:
    bundle, board, desk_board = tmp_path / "care-1.bundle", tmp_path / "care-1", tmp_path / "desk-1"
    qr = tmp_path / "care-1.svg"
    began_s = time.monotonic()
    device = done("device", "add", "--unit", "CARE-1", "--kind", "vehicle", *at_hub, "--out", bundle, "--qr", qr)
    assert bundle.stat().st_mode & 0o777 == 0o600
    assert qr.read_text().startswith("<?xml")
    assert done("first-boot", "--bundle", bundle, "--home", board) == device
    assert done("first-boot", "--bundle", bundle, "--home", board) == device  # nothing breaks when it is run again
    print(f"device add to identity: {time.monotonic() - began_s:.1f} s of three processes")

    broker = Broker(site.home, site.settings, print)
    broker.start()
    try:
        home = Home(path=site.home, folder=tmp_path, settings=site.settings, ca=site.ca, broker=broker, said=[])
        identity = board / IDENTITY_FOLDER
        terminal = Client(home, (identity / "device.crt", identity / "device.key"))
        hub = Client(home, home.service(Service.INGEST))
        assert hub.connects()
        hub.subscribe("tandem/v1/+/up/#")
        assert terminal.connects()
        terminal.say(f"tandem/v1/{device}/up/log", b"first words")
        assert hub.heard.get(timeout=PATIENCE_S) == (f"tandem/v1/{device}/up/log", b"first words")
        terminal.close()
        hub.close()
    finally:
        broker.stop()

    # A desk, and the clinical key for its clinician, compared by the words that the desk itself shows.
    desk_bundle = tmp_path / "desk.bundle"
    desk = done("device", "add", "--unit", "DESK-1", "--kind", "desk", *at_hub, "--out", desk_bundle)
    booted = fleet("first-boot", "--bundle", desk_bundle, "--home", desk_board)
    words = booted.stderr.strip().splitlines()[-1].partition("key: ")[2]
    listed = json.loads(done("device", "list", "--json", *at_hub))
    assert {(row["device"], row["state"]) for row in listed} == {(device, "enrolled"), (desk, "enrolled")}
    assert json.loads(done("device", "show", desk, "--json", *at_hub))["words"] == words
    key = signature.public_der(_private(desk_board / IDENTITY_FOLDER / KEM_KEY_FILE).public_key())
    assert words == " ".join(four_words(sha256(key).digest()))
    granting = (
        *("keys", "grant", "--home", site.fleet, "--passphrase-file", secrets_at_hand / "passphrase"),
        *("--staff", "s-7", *at_hub, "--out", tmp_path / "grant"),
    )
    assert "not show the same key" in refused(*granting, "--desk", desk, "--words", "cloud valley tunnel bacon")
    assert "for desks only" in refused(*granting, "--desk", device)
    assert not (tmp_path / "grant").exists()
    code = done(*granting, "--desk", desk, "--words", words)
    assert len(code) == grants.CODE_LENGTH
    granted = decode((tmp_path / "grant").read_bytes(), ClinicalGrant)
    assert (granted.desk, granted.staff, granted.epoch) == (desk, "s-7", 1)
    assert words in fleet(*granting, "--desk", desk, "--out", tmp_path / "second").stderr


def test_init_makes_a_fleet_once(secrets_at_hand: Path, tmp_path: Path) -> None:
    home = tmp_path / "fleet"
    making = ("init", "--home", home, "--agency", "Hillside CARE", "--passphrase-file", secrets_at_hand / "passphrase")
    done(*making)
    assert {path.name for path in (home / "hub").iterdir()} == set(HUB_KEY_FILES)
    assert "not empty" in refused(*making)


def test_every_slip_is_one_sentence_and_changes_nothing(
    site: Site, at_hub: tuple[str | Path, ...], secrets_at_hand: Path, tmp_path: Path
) -> None:
    out = tmp_path / "bundle"
    add = ("device", "add", "--kind", "vehicle", "--out", out)
    before = len(site.audited())
    assert "did you mean CARE-2?" in refused(*add, "--unit", "CARE-22", *at_hub)
    assert "is a vehicle, not a desk" in refused(
        "device", "add", "--kind", "desk", "--unit", "CARE-2", "--out", out, *at_hub
    )
    assert len(site.audited()) == before
    wrong = ("--account", "tech", "--password-file", secrets_at_hand / "wrong")
    assert "do not go together" in refused(*add, "--unit", "CARE-2", *at_hub, *wrong)
    assert "cannot be reached" in refused(*add, "--unit", "CARE-2", *at_hub, "--hub", "https://localhost:1")
    assert "not the URL of a hub" in refused(*add, "--unit", "CARE-2", *at_hub, "--hub", "localhost:8443")
    assert "root certificate" in refused(*add, "--unit", "CARE-2", *at_hub, "--root", secrets_at_hand / "password")
    assert "cannot be read" in refused(*add, "--unit", "CARE-2", *at_hub, "--password-file", tmp_path / "none")
    assert "no device t-none" in refused("device", "show", "t-none", *at_hub)
    assert not out.exists()
    (tmp_path / "rubbish").write_bytes(b"rubbish")
    assert "E4" in refused("first-boot", "--bundle", tmp_path / "rubbish", "--home", tmp_path / "board")
    assert "cannot be read" in refused("first-boot", "--bundle", tmp_path / "none", "--home", tmp_path / "board")
    (tmp_path / "short").write_text("short\n")
    init = ("init", "--home", tmp_path / "fleet", "--agency", "A", "--passphrase-file", tmp_path / "short")
    assert "12 characters" in refused(*init)
    assert not (tmp_path / "fleet").exists()


def _private(path: Path) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key
