"""OSRM on the same streets, for comparison: its files are made, its server answers tables. scripts/osrm-engine fetches it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import msgspec
from msgspec import Struct

from bench.city import until
from bench.talk import ended
from demo.fleet import chance_ports

TOOLS = Path(__file__).parent.parent / "var" / "tools" / "osrm" / "osrm"
PLACES_MAX = 1_000
KEPT_S = 3600  # it closes what was silent for 5 s, and connecting again is not what is measured
STEPS = (
    ("osrm-extract", "-p", str(TOOLS / "share" / "profiles" / "car.lua")),
    ("osrm-partition",),
    ("osrm-customize",),
)

Place = tuple[float, float]


class Made(Struct, frozen=True, kw_only=True):
    """OSRM's files of a city."""

    base: Path
    seconds: float
    bytes: int


class _Table(Struct, frozen=True):
    durations: list[list[float | None]]


def is_here() -> bool:
    """Whether it was fetched."""
    return (TOOLS / "bin" / "osrm-routed").is_file()


def make(osm: Path, folder: Path) -> Made:
    """OSRM's files of `osm`, in `folder`, as its manual makes them for its default answers by multi-level Dijkstra."""
    folder.mkdir()
    source = folder / "city.osm.pbf"
    source.symlink_to(osm)
    began_s = time.monotonic()
    for program, *options in STEPS:
        of = source if program == "osrm-extract" else folder / "city.osrm"
        subprocess.run([str(TOOLS / "bin" / program), *options, str(of)], check=True, capture_output=True)
    size = sum(file.stat().st_size for file in folder.glob("city.osrm*"))
    return Made(base=folder / "city.osrm", seconds=time.monotonic() - began_s, bytes=size)


class Osrm:
    """Its server at a port of the loopback; one connection is kept."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=30)

    def times(self, sources: Sequence[Place], target: Place) -> list[float | None]:
        """Seconds of each of `sources` to `target`."""
        places = ";".join(f"{lon:.6f},{lat:.6f}" for lat, lon in (target, *sources))
        which = ";".join(str(number) for number in range(1, len(sources) + 1))
        path = f"/table/v1/driving/{places}?destinations=0&sources={which}"
        try:
            body = self._get(path)
        except ConnectionError:  # its server ends each connection after 512 questions, without a word
            self._connection.close()
            body = self._get(path)
        return [seconds for (seconds,) in msgspec.json.decode(body, type=_Table).durations]

    def is_up(self) -> bool:
        """Whether it answers."""
        try:
            self._get("/")
        except OSError:
            self._connection.close()
            return False
        return True

    def _get(self, path: str) -> bytes:
        self._connection.request("GET", path)
        return self._connection.getresponse().read()


@contextmanager
def serving(made: Made) -> Iterator[Osrm]:
    """OSRM's server on these files, with as many threads as the road engine has."""
    port = chance_ports(0)["broker"]
    command = [str(TOOLS / "bin" / "osrm-routed"), "-a", "MLD", "-i", "127.0.0.1", "-p", str(port), "-l", "NONE"]
    command += ["--keepalive-timeout", str(KEPT_S)]
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "--", *command, "--max-table-size", str(PLACES_MAX), str(made.base)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    server = Osrm(port)
    try:
        until(server.is_up, "OSRM's server does not answer")
        yield server
    finally:
        ended(process)
