"""The hub's commands, and what happens when one of its pipes breaks."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from threading import Event

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import select

from hub import main, schema, settings, store
from hub.assembly import require_ports
from hub.pipes import Pipes
from hub.settings import SettingsError
from tests.ports import free_port
from tests.terminal_fleet import TerminalFleet
from wire.keys import (
    FLEET_CA_CERTIFICATE,
    FLEET_CA_KEY,
    HUB_KEY_FILES,
    KEY_STATEMENT,
    NOTE_KEYS,
    ROOT_CERTIFICATE,
    SNAPSHOT_KEY,
)


def command(home: Path, *words: str, stdin: str = "") -> Result:
    return CliRunner().invoke(main.cli, [*words, "--home", str(home)], input=stdin)


def pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    folder, fleet = tmp_path / "keys", TerminalFleet()
    folder.mkdir()
    (folder / ROOT_CERTIFICATE).write_bytes(fleet.root.public_bytes(Encoding.PEM))
    (folder / FLEET_CA_CERTIFICATE).write_bytes(fleet.ca.public_bytes(Encoding.PEM))
    (folder / FLEET_CA_KEY).write_bytes(pem_of(fleet.ca_key))
    (folder / SNAPSHOT_KEY).write_bytes(pem_of(fleet.snapshot))
    (folder / KEY_STATEMENT).write_bytes(fleet.statement())
    (folder / NOTE_KEYS).write_bytes(fleet.note_keys())
    return folder


@pytest.fixture
def home(tmp_path: Path, keys: Path) -> Path:
    made = command(tmp_path / "hub", "init", "--keys", str(keys))
    assert made.exit_code == 0, made.output
    return tmp_path / "hub"


def test_a_home_is_made_closed_to_others_with_all_keys_and_settings(home: Path) -> None:
    assert settings.load(home).agency == "Lakeshore CARE"
    assert {file.name for file in (home / "keys").iterdir()} == set(HUB_KEY_FILES)
    assert [path.stat().st_mode & 0o777 for path in (home, home / "keys", home / "hub.db")] == [0o700, 0o700, 0o600]
    assert all(file.stat().st_mode & 0o077 == 0 for file in (home / "keys").iterdir())


def test_a_home_is_not_made_twice(home: Path, keys: Path) -> None:
    again = command(home, "init", "--keys", str(keys))
    assert (again.exit_code, again.stderr.count("\n")) == (2, 1)
    assert "is a hub's home already" in again.stderr


@pytest.mark.parametrize("name", HUB_KEY_FILES)
def test_a_home_is_not_made_of_incomplete_keys(tmp_path: Path, keys: Path, name: str) -> None:
    (keys / name).unlink()
    refused = command(tmp_path / "hub", "init", "--keys", str(keys))
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert name in refused.stderr
    assert not (tmp_path / "hub" / "hub.toml").exists()


def test_an_account_gets_a_password_that_no_person_chose_unless_given_one(home: Path) -> None:
    made = command(home, "account", "add", "dee", "--role", "dispatcher")
    assert (made.exit_code, len(made.stdout.strip())) == (0, 19)
    given = command(home, "account", "add", "bo", "--role", "supervisor", "--password-stdin", stdin="a long secret\n")
    assert (given.exit_code, given.stdout) == (0, "")
    wrong = command(home, "account", "add", "cy", "--role", "king")
    assert (wrong.exit_code, wrong.stderr.count("\n")) == (2, 1)


def test_a_roster_is_imported_and_an_empty_hub_rebuilt(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "roster.toml"
    file.write_text('[[unit]]\nunit = "u1"\ncall_sign = "CARE-1"\nkind = "vehicle"\n')
    assert command(home, "roster", "import", str(file)).stdout == "1 units, 0 people\n"
    assert command(home, "rebuild").stdout == "folded 0 records\n"
    engine = store.open_store(home)
    with engine.begin() as connection:
        row = connection.execute(select(schema.unit)).one()
        told = list(connection.execute(select(schema.audit.c.what)).scalars())
    engine.dispose()
    assert (row.call_sign, row.agency) == ("CARE-1", "Lakeshore CARE")
    assert told == ["roster_imported", "rebuilt"]


def test_a_command_beside_a_running_hub_is_refused(home: Path) -> None:
    engine = store.open_store(home)
    refused = command(home, "rebuild")
    engine.dispose()
    assert (refused.exit_code, refused.stderr) == (
        2,
        f"tandem-hub: another tandem-hub is using {home}; stop it first\n",
    )


@pytest.mark.parametrize("section", ["console", "device_api", "broker"])
def test_a_port_in_use_is_named_with_its_section(section: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ports = {"console": free_port(), "device_api": free_port(), "broker": free_port(), section: port}
        wanted = settings.parse(
            'agency = "L"\n' + "".join(f"[{name}]\nport = {number}\n" for name, number in ports.items())
        )
        with pytest.raises(SettingsError, match=rf"port {port} on 127\.0\.0\.1 for \[{section}\]"):
            require_ports(wanted)


def test_a_pipe_that_breaks_or_ends_ends_the_process() -> None:
    def broken() -> None:
        raise RuntimeError("anything")

    for name, run in (("broken", broken), ("ended", lambda: None)):
        stop = Event()
        pipes = Pipes(stop)
        pipes.start(name, run).join(5)
        assert (pipes.failures, stop.is_set()) == ((name,), True)


def test_a_pipe_that_ends_because_it_was_told_to_is_no_failure() -> None:
    told = Event()
    told.set()
    pipes = Pipes(told)
    pipes.start("told", lambda: None).join(5)
    assert pipes.failures == ()


def test_a_broken_thread_that_is_no_pipe_ends_the_process_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("anything")

    pipes = Pipes(Event())
    monkeypatch.setattr(threading, "excepthook", pipes.died)
    network = threading.Thread(target=broken, name="network")
    network.start()
    network.join(5)
    assert pipes.failures == ("network",)
