"""PostGIS in a cluster of its own, on a socket in a temporary folder: who is nearest by air, asked as its manual says.

`psql` stays open and times each statement itself, so nothing of ours lies between the question and the answer.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.talk import ended, line, poke, started

PROGRAMS = Path("/usr/lib/postgresql")  # Debian keeps them off the PATH, a folder for each version
EXTENSION = Path("/usr/share/postgresql")
SETTINGS = (
    "listen_addresses=",
    "fsync=off",
    "full_page_writes=off",
    "unix_socket_directories={folder}",
    "log_min_messages=panic",
)
OWNER = "bench"
END = "-- end"
_TIME = re.compile(r"Time: ([\d.]+) ms")

Place = tuple[float, float]


def programs() -> Path | None:
    """Where a PostgreSQL with PostGIS is; None when there is none."""
    for version in sorted(PROGRAMS.glob("*/bin/postgres"), reverse=True):
        if (EXTENSION / version.parent.parent.name / "extension" / "postgis.control").is_file():
            return version.parent
    return None


class PostGis:
    """The server, through `psql`."""

    def __init__(self, psql: subprocess.Popen[str]) -> None:
        self._psql = psql

    def put(self, places: Mapping[str, Place]) -> None:
        """Where the units are from now on."""
        rows = ",".join(f"('{unit}', {_point(place)})" for unit, place in places.items())
        self._ask(f"truncate unit; insert into unit values {rows}; analyze unit;")

    def nearest(self, to: Place, among: Sequence[str], count: int) -> tuple[list[str], float]:
        """The nearest of `among`, and after how many milliseconds `psql` had the answer."""
        wanted = ",".join(f"'{unit}'" for unit in among)
        said = self._ask(
            f"select unit from unit where unit in ({wanted}) order by place <-> {_point(to)} limit {count};"
        )
        times = [float(found[1]) for row in said if (found := _TIME.match(row))]
        return [row for row in said if not _TIME.match(row)], sum(times)

    def _ask(self, sql: str) -> list[str]:
        poke(self._psql, f"{sql}\n\\echo {END}")
        said: list[str] = []
        while (row := line(self._psql).rstrip("\n")) != END:
            said.append(row)
        return said


@contextmanager
def serving(bin_: Path) -> Iterator[PostGis]:
    """A fresh cluster with one table of units, indexed by place."""
    folder = Path(tempfile.mkdtemp(prefix="postgis-"))
    as_other = _as_other(folder)
    data = folder / "data"
    subprocess.run(
        [
            *as_other,
            str(bin_ / "initdb"),
            "-D",
            str(data),
            "-U",
            OWNER,
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        ],
        check=True,
        capture_output=True,
        cwd=folder,
    )
    options = [part for setting in SETTINGS for part in ("-c", setting.format(folder=folder))]
    server = started([*as_other, str(bin_ / "postgres"), "-D", str(data), *options])
    psql = None
    try:
        _await(bin_, folder)
        psql = started(_psql(bin_, folder, as_other))
        poke(psql, "create extension postgis; create table unit (unit text primary key, place geography(point));")
        poke(psql, "create index on unit using gist (place);\n\\timing on")
        yield PostGis(psql)
    finally:
        if psql is not None:
            ended(psql)
        server.terminate()
        server.wait()
        shutil.rmtree(folder)


def _psql(bin_: Path, folder: Path, as_other: Sequence[str]) -> list[str]:
    return [
        *as_other,
        str(bin_ / "psql"),
        "-XqAt",
        "-v",
        "ON_ERROR_STOP=1",
        "-h",
        str(folder),
        "-U",
        OWNER,
        "-d",
        "postgres",
    ]


def _await(bin_: Path, folder: Path) -> None:
    ask = [str(bin_ / "pg_isready"), "-q", "-h", str(folder), "-U", OWNER, "-d", "postgres", "-t", "30"]
    for _ in range(300):
        if subprocess.run(ask).returncode == 0:
            return
        subprocess.run(["sleep", "0.1"])
    raise RuntimeError("PostgreSQL does not start")


def _as_other(folder: Path) -> list[str]:
    """PostgreSQL refuses to run as root; as root it runs as the user of Debian's package."""
    folder.chmod(0o755)
    if os.geteuid():
        return []
    other = pwd.getpwnam("postgres")
    os.chown(folder, other.pw_uid, other.pw_gid)
    return ["setpriv", "--reuid", str(other.pw_uid), "--regid", str(other.pw_gid), "--clear-groups", "--"]


def _point(place: Place) -> str:
    return f"'POINT({place[1]:.6f} {place[0]:.6f})'::geography"
