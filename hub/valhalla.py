"""The road engine's programs, its configuration, and the graph of roads that it builds from a map extract.

Valhalla is an ordinary program beside the hub and not a library in it: what it does wrong ends it and not us. A graph
is built in a folder of its own and becomes the one in use only when everything succeeded; a failed build leaves the
graph of before untouched and nothing of itself behind. `hub.engine` runs what is built here.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import osmium
from msgspec import Struct

from hub.building import CURRENT, Busy, Say, alone, becoming, point_current_at, sha256_of, timed
from wire import typed

GRAPH_FILE = "graph.json"
TILES_FOLDER = "tiles"
ROADS_FOLDER = "roads"  # in the folder of a map: both become the ones in use in the same step
PLACES_TO_LOOK = (
    Path(__file__).resolve().parent.parent / "var" / "tools" / "valhalla",  # a checkout, where `make` put it
    Path("/opt/tandem/valhalla"),
)
HOW_TO_GET = "fetch it with scripts/road-engine"

# A motorway without a sign is taken for 105 km/h, and no sign for more than 140: so the fastest that anything drives on
# a graph is known, and it is told to the engine with every question (`top_speed`).
UNSIGNED_KPH, KPH_MAX = 105, 140
MPH = 1.609344

# The engine's own limits keep strangers of a public service modest. Nobody but the hub asks ours.
LOCATIONS_MAX = 1_000  # in one question; the client asks for fewer
PAIRS_MAX = 100_000
CLOSED_LENGTH_M_MAX = 2_000_000  # the ends of all closed areas together
CLOSED_CORNERS_MAX = 20_000
COVERED_MAX = 100  # from so many at once it says what is reached; by itself one
FAR_M_MAX = 5_000_000.0

Table = dict[str, object]


class RoadsError(ValueError):
    """Why there is no new graph of roads, in one sentence for the operator."""


class Programs(Struct, frozen=True, kw_only=True):
    """The programs of the road engine."""

    build: Path
    service: Path
    configure: Path


class Graph(Struct, frozen=True, kw_only=True):
    """What `graph.json` says of a graph: enough to name it beside a ranking and to make it again.

    `id` names its folder. `fastest_kph`: nothing drives faster on it. `sha256` is of the extract it was built from.
    """

    id: str
    source: str
    sha256: str
    engine: str
    made_at: datetime
    fastest_kph: int


def find_programs(folder: Path | None = None) -> Programs | None:
    """The programs in `folder`, else in the first of the usual places that has them; None when there are none."""
    for place in PLACES_TO_LOOK if folder is None else (folder,):
        inside = place.resolve() / "valhalla"  # they run in folders of their own, where no relative path leads
        found = Programs(
            build=inside / "bin" / "valhalla_build_tiles",
            service=inside / "bin" / "valhalla_service",
            configure=inside / "valhalla_build_config.py",
        )
        if all(program.is_file() for program in (found.build, found.service, found.configure)):
            return found
    return None


def version(programs: Programs) -> str:
    """The engine's name and version; RoadsError when it does not run."""
    try:
        said = subprocess.run([str(programs.build), "--version"], capture_output=True, text=True, check=False)
    except OSError:
        said = None
    found = re.search(r"\d+(\.\d+)+", said.stdout) if said is not None else None
    if found is None:
        raise RoadsError(f"{programs.build} does not run on this machine: {HOW_TO_GET}")
    return f"valhalla {found[0]}"


def current_graph(roads: Path) -> Graph | None:
    """The graph in use under `roads`; None when none was built; RoadsError when it is damaged."""
    described = roads / CURRENT / GRAPH_FILE
    try:
        return typed.json(described.read_bytes(), Graph)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, msgspec.DecodeError):
        raise RoadsError(f"the description of the roads {described} cannot be read: import the map again") from None


def tiles_of(roads: Path, graph: Graph) -> Path:
    """The folder of a graph's tiles."""
    return roads / graph.id / TILES_FOLDER


def build_graph(programs: Programs, osm: Path, roads: Path, say: Say) -> Graph:
    """Make the roads of `osm` (.osm.pbf) the graph in use under `roads`; RoadsError says why not."""
    is_sorted = _require_readable(osm)
    try:
        with alone(roads):
            graph = _build(programs, osm, roads.resolve(), is_sorted, say)  # the builder runs in a folder within
            point_current_at(roads, graph.id)
            return graph
    except Busy:
        raise RoadsError("the roads are being built by another import: wait for it to end") from None
    except OSError as wrong:
        raise RoadsError(f"the roads cannot be written under {roads}: {wrong.strerror or wrong}") from wrong


def configuration(programs: Programs, tiles: Path, port: int) -> bytes:
    """The engine's configuration: these tiles, this port of the loopback, no log; RoadsError when it is damaged."""
    command = [sys.executable, "-I", str(programs.configure), "--mjolnir-tile-dir", str(tiles)]
    made = subprocess.run([*command, "--mjolnir-timezone", "", "--mjolnir-admin", ""], capture_output=True, check=False)
    try:
        settings = typed.json(made.stdout, Table)
        _make_ours(settings, port)
    except (msgspec.DecodeError, KeyError):
        raise RoadsError(f"the road engine in {programs.configure.parent} is damaged: {HOW_TO_GET}") from None
    return msgspec.json.encode(settings)


def _make_ours(settings: Table, port: int) -> None:
    for part in ("loki", "thor", "odin", "meili"):
        # 3.9.1 keeps these within its process; a version that does not must not share them with others of this machine.
        _in(settings, part, "service")["proxy"] = f"ipc://{part}"
    _in(settings, "httpd", "service").update(
        listen=f"tcp://127.0.0.1:{port}",  # by default every interface
        loopback="ipc://loopback",
        interrupt="ipc://interrupt",
    )
    for absent in ("tile_extract", "traffic_extract", "admin", "timezone", "landmarks", "transit_dir"):
        _in(settings, "mjolnir").pop(absent, None)
    # Its faster algorithm answers a matrix 13 % wrong in the median.
    _in(settings, "thor")["source_to_target_algorithm"] = "costmatrix"
    # By its own limits it leaves small streets too early for a city: 4 of 117 times in Columbus were those of a way
    # that is not the best. With these none is, and they cost nothing there.
    _in(settings, "thor", "costmatrix", "hierarchy_limits").update(
        max_up_transitions={"1": 1_600, "2": 1_600},
        expand_within_distance={"0": 1e8, "1": 20_000.0, "2": 20_000.0},
    )
    _in(settings, "logging")["type"] = ""
    limits = _in(settings, "service_limits")
    limits["max_exclude_polygons_length"] = CLOSED_LENGTH_M_MAX
    limits["max_exclude_polygons_vertices"] = CLOSED_CORNERS_MAX
    _in(limits, "isochrone")["max_locations"] = COVERED_MAX
    _in(limits, "auto").update(
        max_locations=LOCATIONS_MAX,
        max_matrix_location_pairs=PAIRS_MAX,
        max_matrix_distance=FAR_M_MAX,  # who is too far away is told "no way", and does not spoil the others' answer
    )


def _in(settings: Table, *names: str) -> Table:
    for name in names:
        inner = settings[name]
        if not isinstance(inner, dict):
            raise KeyError(name)
        settings = inner
    return settings


# ---- building ----------------------------------------------------------------------------------------------------


class _FileData(Struct, frozen=True):
    objects_ordered: bool


class _File(Struct, frozen=True):
    format: str


class _FileInfo(Struct, frozen=True):
    """What `osmium fileinfo --extended --json` prints, as far as we ask."""

    file: _File
    data: _FileData


def _require_readable(osm: Path) -> bool:
    """Whether the builder can read `osm` as it is; RoadsError when nobody can."""
    if shutil.which("osmium") is None:
        raise RoadsError("roads need one more program: run sudo apt-get install --no-install-recommends osmium-tool")
    if not osm.is_file():
        raise RoadsError(f"there is no file {osm}")
    command = ["osmium", "fileinfo", "--extended", "--json", "--no-progress", str(osm.resolve())]
    looked = subprocess.run(command, capture_output=True, check=False)
    try:
        said = typed.json(looked.stdout, _FileInfo)
    except msgspec.DecodeError:
        raise RoadsError(f"{osm.name} cannot be read as OpenStreetMap data: give a whole .osm.pbf file") from None
    return said.file.format == "PBF" and said.data.objects_ordered


def _build(programs: Programs, osm: Path, roads: Path, is_sorted: bool, say: Say) -> Graph:
    sha256, engine = sha256_of(osm), version(programs)
    id_ = hashlib.sha256(f"{sha256} {engine}".encode()).hexdigest()[:12]
    if (before := _made_before(roads / id_)) is not None:
        say(f"the roads of {osm.name} were built before and have not changed")
        return before
    _require_streets(osm)
    with becoming(roads / id_) as building:
        source = osm.resolve() if is_sorted else _sorted(osm, building, say)
        with timed(say, "building the roads"):
            _build_tiles(programs, source, osm.name, building)
        graph = Graph(
            id=id_,
            source=osm.name,
            sha256=sha256,
            engine=engine,
            made_at=datetime.now(UTC).replace(microsecond=0),
            fastest_kph=_fastest_kph(source),
        )
        if not is_sorted:
            source.unlink()
        (building / GRAPH_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(graph), indent=2) + b"\n")
    return graph


def _require_streets(osm: Path) -> None:
    streets = osmium.FileProcessor(str(osm), osmium.osm.WAY).with_filter(osmium.filter.KeyFilter("highway"))
    if next(iter(streets), None) is None:
        raise RoadsError(f"{osm.name} has no streets to drive on")


def _build_tiles(programs: Programs, source: Path, name: str, building: Path) -> None:
    tiles, settings = building / TILES_FOLDER, building / "settings.json"
    tiles.mkdir()
    settings.write_bytes(configuration(programs, tiles, port=0))
    command = [str(programs.build), "-c", str(settings), str(source)]
    done = subprocess.run(command, cwd=building, capture_output=True, text=True, errors="replace", check=False)
    settings.unlink()
    if done.returncode:
        raise RoadsError(f"the roads of {name} could not be built, the builder said: {_why(done.stderr)}")
    if next(tiles.glob("2/**/*.gph"), None) is None:
        raise RoadsError(f"{name} has no streets to drive on")


def _why(said: str) -> str:
    """The line of a program's last words that says what was wrong."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    what = [line.removeprefix("what():").strip() for line in lines if line.startswith("what():")]
    return (what or lines or ["nothing; is there enough memory?"])[-1]


def _sorted(osm: Path, building: Path, say: Say) -> Path:
    """`osm` in the order without which the builder ends."""
    made = building / "sorted.osm.pbf"
    with timed(say, "sorting"):
        command = ["osmium", "sort", "--no-progress", str(osm.resolve()), "-o", str(made)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise RoadsError(f"{osm.name} could not be sorted, osmium said: {_why(done.stderr)}")
    return made


_SIGN = re.compile(r"(\d+(?:\.\d+)?)\s*(mph)?")


def _fastest_kph(source: Path) -> int:
    """What no vehicle exceeds on these roads."""
    signs = osmium.FileProcessor(str(source), osmium.osm.WAY).with_filter(osmium.filter.KeyFilter("maxspeed"))
    found = (
        _kph(way.tags.get(key) or "") for way in signs for key in ("maxspeed", "maxspeed:forward", "maxspeed:backward")
    )
    return min(KPH_MAX, max((UNSIGNED_KPH, *found)))


def _kph(sign: str) -> int:
    """A sign's speed, rounded up; 0 where it says none."""
    read = _SIGN.fullmatch(sign.strip())
    return 0 if read is None else int(float(read[1]) * (MPH if read[2] else 1.0)) + 1


def _made_before(folder: Path) -> Graph | None:
    try:
        return typed.json((folder / GRAPH_FILE).read_bytes(), Graph)
    except (OSError, msgspec.DecodeError):
        return None  # whatever is wrong with it, it is made again
