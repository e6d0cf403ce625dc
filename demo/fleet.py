"""The demonstration fleet: six vehicles and a desk, with keys of their own, enrolled the way any board is.

Everything is made by the real commands. What a person would write down (passwords, PINs, a passphrase) is kept in
`demo.json` in the demo's own folder, readable by its owner alone: that file is what makes this a demonstration.
"""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from demo.processes import Child, Children, run
from wire import typed

AGENCY = "Lakeshore CARE"
CITY_SEED = 7
NOTEBOOK = "demo.json"
UNITS = ("CARE-1", "CARE-2", "CARE-3", "CARE-4", "CARE-5", "CARE-6")
DESK = "DESK-1"
PORTS = {"console": 8080, "api": 8443, "broker": 8883, "screen": 8101}


class Person(Struct, frozen=True, kw_only=True):
    """Somebody of the demonstration; named after a tree, because nobody is."""

    staff: str
    name: str
    role: str
    skills: tuple[str, ...]
    languages: tuple[str, ...]


CREWS: dict[str, Person] = {
    "CARE-1": Person(
        staff="s-ash", name="Ash", role="specialist", skills=("clinician", "youth"), languages=("eng", "spa")
    ),
    "CARE-2": Person(staff="s-birch", name="Birch", role="specialist", skills=("clinician",), languages=("eng",)),
    "CARE-3": Person(
        staff="s-cedar", name="Cedar", role="specialist", skills=("social_worker", "peer"), languages=("eng", "spa")
    ),
    "CARE-4": Person(
        staff="s-elm", name="Elm", role="specialist", skills=("clinician", "nurse"), languages=("eng", "vie")
    ),
    "CARE-5": Person(staff="s-fir", name="Fir", role="specialist", skills=("paramedic",), languages=("eng",)),
    "CARE-6": Person(
        staff="s-hazel", name="Hazel", role="specialist", skills=("clinician", "sud"), languages=("eng", "ase")
    ),
    DESK: Person(staff="s-maple", name="Maple", role="clinician", skills=("clinician",), languages=("eng", "spa")),
}


class Login(Struct, frozen=True, kw_only=True):
    """A console account."""

    account: str
    password: str
    role: str


class Station(Struct, frozen=True, kw_only=True):
    """One terminal of the demo. `pin` opens its clinical zone; a desk also has the clinician's `passphrase`."""

    call_sign: str
    kind: str
    device: str
    folder: str
    screen: str
    staff: str
    pin: str
    passphrase: str | None = None


class Fleet(Struct, frozen=True, kw_only=True):
    """The whole demonstration as it was made: addresses, sign-ins, terminals."""

    console: str
    map: str
    logins: tuple[Login, ...]
    stations: tuple[Station, ...]

    def login(self, role: str) -> Login:
        """The account with this role."""
        return next(login for login in self.logins if login.role == role)

    def station(self, call_sign: str) -> Station:
        """The terminal of this unit."""
        return next(station for station in self.stations if station.call_sign == call_sign)


def load(home: Path) -> Fleet | None:
    """The fleet that an earlier start made; None when there is none, or it was not finished."""
    notebook = home / NOTEBOOK
    return typed.json(notebook.read_bytes(), Fleet) if notebook.exists() else None


def make(
    home: Path,
    crews: Mapping[str, Person],
    city: Path | None,
    ports: Mapping[str, int],
    children: Children,
    say: Callable[[str], None],
) -> Fleet:
    """Make a fleet for `crews` in `home` (an empty or missing folder), leaving its hub running among `children`.

    `city` is an OpenStreetMap extract; without one the console has no streets to draw. `ports`: see `free_ports`.
    """
    hub = home / "hub"
    fleet_home = home / "fleet"
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o700)

    say("Making the agency's keys")
    passphrase = _secret_file(home / "fleet.passphrase")
    run("tandem-fleet", "init", "--home", str(fleet_home), "--agency", AGENCY, "--passphrase-file", str(passphrase))

    say("Making the hub")
    run(
        *("tandem-hub", "init", "--home", str(hub), "--keys", str(fleet_home / "hub"), "--agency", AGENCY),
        *("--console-port", str(ports["console"]), "--api-port", str(ports["api"])),
        *("--broker-port", str(ports["broker"])),
    )
    roster = home / "roster.toml"
    roster.write_text(_roster(crews))
    run("tandem-hub", "roster", "import", str(roster), "--home", str(hub))
    logins = tuple(
        _account(hub, account, role)
        for account, role in (("dispatch", "dispatcher"), ("supervisor", "supervisor"), ("tech", "fleet_tech"))
    )
    if city:
        say(f"Building the map from {city.name} (half a minute)")
        run("tandem-hub", "map", "import", str(city), "--home", str(hub))

    say("Starting the hub")
    children.start(hub_process(home))
    api = f"https://localhost:{ports['api']}"
    tech = next(login for login in logins if login.role == "fleet_tech")
    stations = []
    for number, (call_sign, person) in enumerate(crews.items()):
        say(f"Enrolling {call_sign} ({number + 1} of {len(crews)})")
        screen_port = ports["screen"] + number
        stations.append(_enroll(home, fleet_home, api, tech, call_sign, person, screen_port, passphrase))
    fleet = Fleet(
        console=f"http://localhost:{ports['console']}",
        map=str(city.resolve()) if city else "",
        logins=logins,
        stations=tuple(stations),
    )
    notebook = home / NOTEBOOK
    notebook.touch(mode=0o600)
    notebook.write_bytes(msgspec.json.format(msgspec.json.encode(fleet)))
    return fleet


def hub_process(home: Path) -> Child:
    """The hub of the fleet in `home`, not yet started."""
    return Child("hub", ["tandem-hub", "serve", "--home", str(home / "hub")], home / "logs" / "hub.log")


def terminal_process(home: Path, station: Station) -> Child:
    """One terminal of the fleet in `home`, not yet started."""
    name = station.call_sign
    return Child(name, ["tandem-edge", "run", "--home", str(home / station.folder)], home / "logs" / f"{name}.log")


def receiver_port(home: Path, station: Station) -> Path:
    """Where the station finds its receiver: a link to a pseudo-terminal."""
    return home / station.folder / "receiver"


def _enroll(
    home: Path,
    fleet_home: Path,
    api: str,
    tech: Login,
    call_sign: str,
    person: Person,
    screen_port: int,
    passphrase: Path,
) -> Station:
    kind = "desk" if person.role == "clinician" else "vehicle"
    folder = call_sign.lower()
    board = home / folder
    board.mkdir(exist_ok=True)
    bundle = home / f"{folder}.bundle"
    password = home / "tech.password"
    to_hub = (
        *("--hub", api, "--root", str(fleet_home / "hub" / "root.crt")),
        *("--account", tech.account, "--password-file", str(password)),
    )
    password.touch(mode=0o600)
    password.write_text(tech.password)
    run("tandem-fleet", "device", "add", "--unit", call_sign, "--kind", kind, *to_hub, "--out", str(bundle))
    booted = run("tandem-fleet", "first-boot", "--bundle", str(bundle), "--home", str(board))
    bundle.unlink()
    (board / "terminal.toml").write_text(_terminal_settings(board, kind, screen_port))
    pin = run("tandem-edge", "pin", "issue", "--staff", person.staff, "--home", str(board)).answer.split()[-1]
    secret = None
    if kind == "desk":
        secret = secrets.token_urlsafe(12)
        grant = home / "clinical.grant"
        said = run(
            *("tandem-fleet", "keys", "grant", "--home", str(fleet_home), "--passphrase-file", str(passphrase)),
            *("--desk", booted.answer, "--staff", person.staff, *to_hub, "--out", str(grant)),
            *("--words", _desk_words(booted.told)),
        )
        code = said.answer.split()[-1]
        run("tandem-edge", "desk", "accept", str(grant), "--home", str(board), stdin=f"{code}\n{secret}\n")
        grant.unlink()
    password.unlink()
    return Station(
        call_sign=call_sign,
        kind=kind,
        device=booted.answer,
        folder=folder,
        screen=f"http://localhost:{screen_port}",
        staff=person.staff,
        pin=pin,
        passphrase=secret,
    )


def _desk_words(told: str) -> str:
    """The four words that the desk showed at its first boot: what the custodian there reads aloud."""
    return next(line.rpartition(":")[2].strip() for line in told.splitlines() if "four words" in line)


def _secret_file(path: Path) -> Path:
    path.touch(mode=0o600)
    path.write_text(secrets.token_urlsafe(18))
    return path


def _account(hub: Path, account: str, role: str) -> Login:
    said = run("tandem-hub", "account", "add", account, "--role", role, "--home", str(hub))
    return Login(account=account, password=said.answer.split()[-1], role=role)


def _terminal_settings(board: Path, kind: str, screen_port: int) -> str:
    receiver = f'[receiver]\nport = "{board / "receiver"}"\nbaud = 9600\n\n' if kind == "vehicle" else ""
    disk = "[disk]\nreserve_mb = 1\n\n"  # a whole fleet on one disk would keep gigabytes from everybody
    return f'{receiver}{disk}[screen]\nhost = "127.0.0.1"\nport = {screen_port}\n'


def _roster(crews: Mapping[str, Person]) -> str:
    lines = []
    for call_sign, person in crews.items():
        unit = call_sign.lower()
        kind = "desk" if person.role == "clinician" else "vehicle"
        lines += [
            f'[[unit]]\nunit = "{unit}"\ncall_sign = "{call_sign}"\nkind = "{kind}"\n',
            f'[[staff]]\nstaff = "{person.staff}"\nname = "{person.name}"\nrole = "{person.role}"',
            f"skills = {json.dumps(person.skills)}\nlanguages = {json.dumps(person.languages)}\n",
            f'[[duty]]\nunit = "{unit}"\nstaff = ["{person.staff}"]\n',
        ]
    return "\n".join(lines)


def free_ports(screens: int, usual: Mapping[str, int] = PORTS) -> dict[str, int]:
    """The `usual` ports, or the next free ones: the screens need as many in a row as there are terminals."""
    return {name: _first_free(first, screens if name == "screen" else 1) for name, first in usual.items()}


def _first_free(usual: int, in_a_row: int) -> int:
    for first in range(usual, usual + 2000, max(10, in_a_row)):
        if all(_is_free(port) for port in range(first, first + in_a_row)):
            return first
    raise OSError(f"no free port from {usual} on")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def chance_ports(screens: int) -> dict[str, int]:
    """Free ports that two fleets made at the same moment will hardly both choose."""
    while True:
        first = 10_000 + secrets.randbelow(20_000)
        if all(_is_free(port) for port in range(first, first + 3 + screens)):
            return {"console": first, "api": first + 1, "broker": first + 2, "screen": first + 3}


def port_of(address: str) -> int:
    """The port in an address of ours."""
    return int(address.rsplit(":", 1)[1])


def taken_ports(fleet: Fleet) -> Sequence[int]:
    """Which of the fleet's web ports somebody else uses at the moment."""
    addresses = (fleet.console, *(station.screen for station in fleet.stations))
    return [port for port in map(port_of, addresses) if not _is_free(port)]
