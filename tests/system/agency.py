"""An agency's files, made once by the commands that people use and then copied: making takes half a minute each time."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec

from demo import fleet as made
from demo.fleet import CREWS, DESK, NOTEBOOK, Fleet
from demo.processes import Children
from hub.control import SOCKET
from wire.codec import decode, encode
from wire.enrollment import ENROLLED_FILE, IDENTITY_FOLDER, BrokerAddress, Enrolled

CREW = {call_sign: CREWS[call_sign] for call_sign in ("CARE-1", "CARE-2", DESK)}
_MADE = "made"


def make_once(folder: Path) -> Path:
    """The agency in `folder`, which several processes may share: the first makes it, the others wait."""
    folder.mkdir(exist_ok=True)
    home = folder / "home"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / _MADE).exists():
            shutil.rmtree(home, ignore_errors=True)
            children = Children(lambda _: None)
            try:
                made.make(home, CREW, None, made.chance_ports(len(CREW)), children, lambda _: None)
            finally:
                children.stop()
            (folder / _MADE).touch()
    return home


def copy(source: Path, home: Path) -> Fleet:
    """The same agency in `home`, at ports of its own. Nothing of it runs yet."""
    # A hub that was ended late leaves its socket, which is no file that can be copied.
    shutil.copytree(source, home, symlinks=True, ignore=shutil.ignore_patterns(SOCKET))
    before = made.load(home)
    assert before is not None
    ports = made.chance_ports(len(before.stations))
    _replace(home / "hub" / "hub.toml", _hub_ports(home / "hub" / "hub.toml", ports))
    stations = []
    for number, station in enumerate(before.stations):
        board = home / station.folder
        screen = f"http://localhost:{ports['screen'] + number}"
        words = {f"port = {made.port_of(station.screen)}": f"port = {ports['screen'] + number}"}
        if station.kind == "vehicle":
            words[str(made.receiver_port(source, station))] = str(made.receiver_port(home, station))
        _replace(board / "terminal.toml", words)
        to_broker(board / IDENTITY_FOLDER / ENROLLED_FILE, ports["broker"])
        stations.append(msgspec.structs.replace(station, screen=screen))
    fleet = msgspec.structs.replace(before, console=f"http://localhost:{ports['console']}", stations=tuple(stations))
    (home / NOTEBOOK).write_bytes(msgspec.json.encode(fleet))
    return fleet


def _hub_ports(settings: Path, ports: Mapping[str, int]) -> dict[str, str]:
    """Console, API and broker, in the order in which they stand there."""
    old = [line for line in settings.read_text().splitlines() if line.startswith("port = ")]
    return {line: f"port = {ports[name]}" for line, name in zip(old, ("console", "api", "broker"), strict=True)}


def _replace(file: Path, words: Mapping[str, str]) -> None:
    text = file.read_text()
    for old, new in words.items():
        assert text.count(old) == 1, f"{old!r} in {file}"
        text = text.replace(old, new)
    file.write_text(text)


def to_broker(file: Path, port: int) -> None:
    """The terminal whose enrollment is in `file` calls its broker at `port` from now on."""
    enrolled = decode(file.read_bytes(), Enrolled)
    broker = BrokerAddress(host=enrolled.admission.broker.host, port=port)
    admission = msgspec.structs.replace(enrolled.admission, broker=broker)
    file.write_bytes(encode(msgspec.structs.replace(enrolled, admission=admission)))
