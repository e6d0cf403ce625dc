"""The map of the hub: an OpenStreetMap extract in; static tiles, and whatever else is built of it, out.

An import builds in a folder of its own and becomes the map only when everything succeeded: a failed one leaves the map
of before untouched and nothing of itself behind. Sorting, cutting and drawing are done by osmium and tilemaker; what
else is made of the same streets is a row of `BUILDERS`.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from math import atan, degrees, pi, sinh
from pathlib import Path
from threading import Thread
from typing import IO

import msgspec
from msgspec import Struct
from pmtiles.convert import mbtiles_to_pmtiles
from pmtiles.reader import MmapSource, Reader

from hub import place_index, valhalla
from hub.building import CURRENT, Busy, Say, alone, becoming, point_current_at, sha256_of, timed
from hub.valhalla import ROADS_FOLDER, RoadsError
from wire import typed

BBox = tuple[float, float, float, float]  # west, south, east, north in degrees

STREETS_FILE = "streets.pmtiles"
ROADS = "roads"
RECIPE = Path(__file__).parent / "tiles"
SYNTHETIC_GENERATOR = "tandem-city"  # what the demo's city writes into the header of its file
SYNTHETIC_ATTRIBUTION = "Synthetic city, no real place"
OSM_ATTRIBUTION = "© OpenStreetMap contributors"
OSM_COPYRIGHT_URL = "https://www.openstreetmap.org/copyright"
ZOOM_MAX = 14  # of hub/tiles/tiles.json; the browser magnifies beyond
START_ZOOM = 12  # a city on a screen
LAT_MAX = 85.0  # the square web map ends there
TOLD_EVERY_S = 2.0  # a person wants to see that it goes on, not each tile
SAID_LINES_MAX = 40  # of a program's complaint: the first one says why


class MapError(ValueError):
    """Why there is no new map, in one sentence for the operator."""


class Builder(Struct, frozen=True, kw_only=True):
    """Something else that is made of the streets: `build(osm, into, say)` writes `file` (or a folder) into `into`.

    `osm` is sorted and cut. `say` takes "40 %", or a few words. Why it could not be done is a ValueError with one
    sentence. Another `version` makes it anew when the same file is imported again. `lacks` says in one sentence why this
    machine cannot build it at all: the map is made without it then, and says so.
    """

    name: str
    file: str
    version: str
    build: Callable[[Path, Path, Say], None]
    lacks: str | None = None


BUILDERS: tuple[Builder, ...] = (
    Builder(name="address index", file=place_index.FILE, version=place_index.VERSION, build=place_index.build),
)
"""What is built with nothing but what the hub is made of."""


class Part(Struct, frozen=True, kw_only=True):
    """One thing that a map has: its file or folder, how long it took to make, and its size."""

    name: str
    file: str
    seconds: float
    bytes: int


class MapInfo(Struct, frozen=True, kw_only=True):
    """What `map.json` says of a map: enough to show it, credit it and make it again.

    `id` names its folder under `maps/`; `bounds` is west, south, east, north; `center` is longitude, latitude of where
    the streets are densest; `sha256` is of the source file; `commands` are what was run on it; `parts` is what it has
    beside the description, and is empty in maps from before there was more than tiles; `without` is what it lacks and
    why, one sentence each.
    """

    id: str
    name: str
    source: str
    sha256: str
    imported_at: datetime
    bounds: BBox
    center: tuple[float, float]
    attribution: str
    attribution_url: str | None
    minzoom: int
    maxzoom: int
    commands: tuple[str, ...]
    parts: tuple[Part, ...] = ()
    without: tuple[str, ...] = ()


def current_map(into: Path) -> MapInfo | None:
    """The map in use under `into`; None when none was imported; MapError when it is damaged."""
    described = into / "maps" / CURRENT / "map.json"
    try:
        return typed.json(described.read_bytes(), MapInfo)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise MapError(f"the map description {described} cannot be read ({error}): import the map again") from error


def streets_file(into: Path, info: MapInfo) -> Path:
    """The PMTiles file of a map."""
    return into / "maps" / info.id / STREETS_FILE


def road_graph(programs: Path | None = None) -> Builder:
    """The roads of a map, by the road engine in `programs`, else in one of the usual places."""
    found = valhalla.find_programs(programs)
    if found is None:
        return _no_roads(f"the road engine is not here: {valhalla.HOW_TO_GET}, then import the map again")
    try:
        version = valhalla.version(found)
    except RoadsError as wrong:
        return _no_roads(f"{wrong}, then import the map again")

    def build(osm: Path, into: Path, say: Say) -> None:
        valhalla.build_graph(found, osm, into / ROADS_FOLDER, say)

    return Builder(name=ROADS, file=ROADS_FOLDER, version=version, build=build)


def import_map(osm: Path, into: Path, bbox: BBox | None, say: Say, builders: tuple[Builder, ...] = BUILDERS) -> MapInfo:
    """Make `osm` (.osm.pbf), cut to `bbox`, the map under `into`; MapError says why not."""
    _require_tools()
    _require_sane(bbox)
    extract = _look_at(osm, say)
    maps = into / "maps"
    try:
        with alone(maps):
            return _import(osm, maps, bbox, extract, builders, say)
    except Busy:
        raise MapError("another map import is running here: wait for it to end") from None
    except OSError as error:
        raise MapError(f"the map cannot be written under {into}: {error.strerror or error}") from error


def _no_roads(why: str) -> Builder:
    lacks = f"the map is made without roads, so rankings go by straight line: {why}"
    return Builder(name=ROADS, file=ROADS_FOLDER, version="", build=lambda _osm, _into, _say: None, lacks=lacks)


class _Extract(Struct, frozen=True):
    """What we know of a source file; `is_ready` means that tilemaker can read it as it is."""

    sha256: str
    is_ready: bool
    is_synthetic: bool
    bounds: BBox


class _Count(Struct, frozen=True):
    nodes: int
    ways: int


class _File(Struct, frozen=True):
    format: str


class _FileHeader(Struct, frozen=True):
    boxes: tuple[BBox, ...]
    option: dict[str, str]


class _FileData(Struct, frozen=True):
    bbox: BBox
    objects_ordered: bool
    count: _Count


class _FileInfo(Struct, frozen=True):
    """What `osmium fileinfo --extended --json` prints, as far as we ask."""

    file: _File
    header: _FileHeader
    data: _FileData


def _import(
    osm: Path, maps: Path, bbox: BBox | None, extract: _Extract, builders: tuple[Builder, ...], say: Say
) -> MapInfo:
    able = tuple(builder for builder in builders if builder.lacks is None)
    without = tuple(builder.lacks for builder in builders if builder.lacks is not None)
    for lack in without:
        say(lack)
    id_ = _id_of(extract.sha256, bbox, able)
    info = _made_before(maps / id_, able)
    if info is not None:
        say(f"{osm.name} was imported before and has not changed; it is the map now")
    else:
        with becoming(maps / id_) as building:
            info = _build(osm, building, bbox, extract, id_, able, without, say)
        say(f"{osm.name} is the map now")
    point_current_at(maps, id_)
    return info


def _build(
    osm: Path,
    building: Path,
    bbox: BBox | None,
    extract: _Extract,
    id_: str,
    builders: tuple[Builder, ...],
    without: tuple[str, ...],
    say: Say,
) -> MapInfo:
    commands: list[str] = []
    steps = _Steps(say, (not extract.is_ready) + (bbox is not None) + 2 + len(builders))
    source = osm.resolve()
    if not extract.is_ready:
        sort = ["osmium", "sort", "--progress", str(source), "-o", "sorted.osm.pbf"]
        source = _step(steps, commands, "sorting", building, sort)
    if bbox:
        box = ",".join(map(str, bbox))
        cut = ["osmium", "extract", "--progress", "--bbox", box, "--set-bounds", str(source), "-o", "cut.osm.pbf"]
        source = _step(steps, commands, "cutting", building, cut)
    recipe = ["--config", str(RECIPE / "tiles.json"), "--process", str(RECIPE / "tiles.lua")]
    draw = ["tilemaker", "--input", str(source), *recipe, "--output", "streets.mbtiles"]
    began = time.monotonic()
    tiles = _step(steps, commands, "drawing the tiles", building, draw)
    bounds = bbox or extract.bounds
    attribution = SYNTHETIC_ATTRIBUTION if extract.is_synthetic else OSM_ATTRIBUTION
    url = None if extract.is_synthetic else OSM_COPYRIGHT_URL
    name = osm.name.removesuffix(".pbf").removesuffix(".osm")
    _require_streets(tiles, osm, bbox)
    center = _densest(tiles, ZOOM_MAX)
    _describe(tiles, name, bounds, center, attribution, url)
    commands.append(f"pmtiles-convert streets.mbtiles {STREETS_FILE}")
    with steps.next("packing"):
        mbtiles_to_pmtiles(str(tiles), str(building / STREETS_FILE), None)  # type: ignore[no-untyped-call]
    parts = [_part("vector tiles", building / STREETS_FILE, began)]
    parts += [_built(builder, source, building, steps, commands) for builder in builders]
    for left_over in building.glob("*.osm.pbf"):
        left_over.unlink()
    tiles.unlink()
    minzoom, maxzoom = _zooms(building / STREETS_FILE)
    info = MapInfo(
        id=id_,
        name=name,
        source=osm.name,
        sha256=extract.sha256,
        imported_at=datetime.now(UTC).replace(microsecond=0),
        bounds=bounds,
        center=center,
        attribution=attribution,
        attribution_url=url,
        minzoom=minzoom,
        maxzoom=maxzoom,
        commands=tuple(commands),
        parts=tuple(parts),
        without=without,
    )
    (building / "map.json").write_bytes(msgspec.json.format(msgspec.json.encode(info), indent=2) + b"\n")
    return info


def _built(builder: Builder, source: Path, building: Path, steps: _Steps, commands: list[str]) -> Part:
    commands.append(f"tandem-hub: {builder.name}, version {builder.version}")
    began = time.monotonic()
    with steps.next(builder.name) as tell:
        try:
            builder.build(source, building, tell)
        except (ValueError, RuntimeError) as error:
            raise MapError(f"{builder.name} failed: {error}") from error
    made = building / builder.file
    if not made.exists():
        raise MapError(f"{builder.name} failed: it left no {builder.file}")
    return _part(builder.name, made, began)


def _part(name: str, made: Path, began_s: float) -> Part:
    files = [made] if made.is_file() else [file for file in made.rglob("*") if file.is_file()]
    took_s = round(time.monotonic() - began_s, 1)
    return Part(name=name, file=made.name, seconds=took_s, bytes=sum(file.stat().st_size for file in files))


# ---- refusals ----------------------------------------------------------------------------------------------------


def _require_tools() -> None:
    if not (shutil.which("tilemaker") and shutil.which("osmium")):
        raise MapError(
            "a map import needs two programs: run sudo apt-get install --no-install-recommends tilemaker osmium-tool"
        )


def _require_sane(bbox: BBox | None) -> None:
    if bbox is None:
        return
    west, south, east, north = bbox
    if not (-180 <= west < east <= 180 and -LAT_MAX <= south < north <= LAT_MAX):
        raise MapError("the box must be WEST,SOUTH,EAST,NORTH in degrees, for example -83.11,39.90,-82.83,40.04")


def _look_at(osm: Path, say: Say) -> _Extract:
    """Read the whole file once: a torn download is found here and not after minutes of drawing."""
    if not osm.is_file():
        raise MapError(f"there is no file {osm}")
    with timed(say, "reading the file"):
        looked = subprocess.run(
            ["osmium", "fileinfo", "--extended", "--json", "--no-progress", str(osm.resolve())],
            capture_output=True,
            check=False,
        )
    try:
        said = typed.json(looked.stdout, _FileInfo)
    except msgspec.DecodeError:
        if place_index.is_empty(osm):  # osmium's program fails at one
            raise MapError(f"{osm.name} has no streets") from None
        # its own words are for programmers: "invalid blob size"
        raise MapError(f"{osm.name} cannot be read as OpenStreetMap data: give a whole .osm.pbf file") from None
    if said.data.count.nodes == 0 or said.data.count.ways == 0:
        raise MapError(f"{osm.name} has no streets")
    return _Extract(
        sha256=sha256_of(osm),
        is_ready=said.file.format == "PBF" and said.data.objects_ordered,
        is_synthetic=said.header.option.get("generator") == SYNTHETIC_GENERATOR,
        bounds=said.header.boxes[0] if said.header.boxes else said.data.bbox,
    )


def _require_streets(tiles: Path, osm: Path, bbox: BBox | None) -> None:
    with closing(sqlite3.connect(tiles)) as db:
        (count,) = db.execute("select count(*) from tiles").fetchone()
    if count == 0:
        raise MapError(f"{osm.name} has no streets" + (" inside the box: check its four numbers" if bbox else ""))


# ---- steps -------------------------------------------------------------------------------------------------------


class _Steps:
    """Says which of how many steps is on, how far it is, and how long it took."""

    def __init__(self, say: Say, total: int) -> None:
        self._say, self._total, self._count = say, total, 0

    @contextmanager
    def next(self, what: str) -> Iterator[Say]:
        """Around one step; gives what takes "40 %" from it."""
        self._count += 1
        named = f"{what} ({self._count} of {self._total})"
        with timed(self._say, named):
            yield lambda words: self._say(f"{named}: {words}")


def _step(steps: _Steps, commands: list[str], what: str, building: Path, command: list[str]) -> Path:
    """Run one program in `building`; the file it wrote is its last argument."""
    shown = [word for word in command if word != "--progress"]
    commands.append(" ".join(Path(word).name if word.startswith("/") else word for word in shown))
    with steps.next(what) as tell:
        code, lines = _run(command, building, tell)
    made = building / command[-1]
    if code == 0 and made.is_file():
        return made
    raise MapError(f"{what} failed, {command[0]} said: {lines[0] if lines else f'exit code {code}'}")


def _run(command: list[str], building: Path, tell: Say) -> tuple[int, list[str]]:
    """(exit code, the first lines it complained with), telling the percent that it prints meanwhile."""
    pipe = subprocess.PIPE
    complained: list[str] = []
    chatted: list[str] = []
    with subprocess.Popen(command, cwd=building, stdout=pipe, stderr=pipe, text=True, errors="replace") as child:
        assert child.stdout is not None
        assert child.stderr is not None
        percent = _Percent(tell)
        beside = Thread(target=_listen, args=(child.stderr, percent, complained), daemon=True)
        beside.start()
        _listen(child.stdout, percent, chatted)
        beside.join()
    return child.returncode, complained + chatted


def _listen(stream: IO[str], percent: _Percent, kept: list[str]) -> None:
    for line in stream:  # universal newlines: a carriage return ends a line too
        said = line.strip()
        if said and not percent.heard(said) and len(kept) < SAID_LINES_MAX:
            kept.append(said)


class _Percent:
    """How far a program is, by what it prints: "40%", "Block 3/17", "writing tile 5 of 288"."""

    _SAID = re.compile(
        r"\b(?P<percent>[0-9]{1,3})\s?%|Block (?P<block>\d+)/(?P<blocks>\d+)|tile (?P<tile>\d+) of (?P<tiles>\d+)"
    )

    def __init__(self, tell: Say) -> None:
        self._tell, self._told_s, self._told = tell, time.monotonic(), 0

    def heard(self, line: str) -> bool:
        """Whether the line was about progress; it is told when some time has passed."""
        found = self._SAID.search(line)
        if found is None:
            return False
        share = self._share(found)
        # tilemaker reads from several threads, and the count of one may be behind that of another
        if share > self._told and time.monotonic() - self._told_s > TOLD_EVERY_S:
            self._told_s, self._told = time.monotonic(), share
            self._tell(f"{share} %")
        return True

    def _share(self, found: re.Match[str]) -> int:
        if found["percent"]:
            return min(100, int(found["percent"]))
        if found["block"]:  # reading is about half of the drawing
            return 50 * int(found["block"]) // max(1, int(found["blocks"]))
        return 50 + 50 * int(found["tile"]) // max(1, int(found["tiles"]))


def _id_of(sha256: str, bbox: BBox | None, builders: tuple[Builder, ...]) -> str:
    """Another source, box, recipe or builder is another map, with an address of its own for the browser."""
    digest = hashlib.sha256(f"{sha256} {bbox}".encode())
    for part in ("tiles.json", "tiles.lua"):
        digest.update((RECIPE / part).read_bytes())
    for builder in builders:
        digest.update(f"{builder.name} {builder.version}\n".encode())
    return digest.hexdigest()[:12]


def _made_before(folder: Path, builders: tuple[Builder, ...]) -> MapInfo | None:
    try:
        info = typed.json((folder / "map.json").read_bytes(), MapInfo)
        _zooms(folder / STREETS_FILE)
    except Exception:
        return None  # whatever is wrong with it, it is made again
    return info if all((folder / builder.file).exists() for builder in builders) else None


def _densest(tiles: Path, zoom: int) -> tuple[float, float]:
    """Longitude and latitude of the middle of what is drawn, by bytes: where the city is, not where the file ends."""
    with closing(sqlite3.connect(tiles)) as db:
        sizes = db.execute(
            "select tile_column, tile_row, length(tile_data) from tiles where zoom_level = ?", [zoom]
        ).fetchall()
    column = _median(sorted((column, size) for column, _, size in sizes)) + 0.5
    row = _median(sorted((row, size) for _, row, size in sizes)) + 0.5  # rows count from the south in MBTiles
    across = 1 << zoom
    return round(column / across * 360 - 180, 5), round(degrees(atan(sinh(pi * (2 * row / across - 1)))), 5)


def _median(weighted: list[tuple[int, int]]) -> int:
    half = sum(weight for _, weight in weighted) / 2
    passed = 0
    for value, weight in weighted:
        passed += weight
        if passed >= half:
            return value
    raise AssertionError("no tiles: refused earlier")


def _describe(
    tiles: Path, name: str, bounds: BBox, center: tuple[float, float], attribution: str, url: str | None
) -> None:
    """Tell the tile file what the browser reads from it: where to ask for tiles, and whom to credit."""
    credit = f'<a href="{url}" target="_blank" rel="noopener">{attribution}</a>' if url else attribution
    said = {
        "name": name,
        "bounds": ",".join(f"{edge:.6f}" for edge in bounds),  # tilemaker says 0, 0 where the header has no box
        "center": f"{center[0]},{center[1]},{START_ZOOM}",
        "attribution": credit,
    }
    with closing(sqlite3.connect(tiles)) as db, db:
        for key, value in said.items():
            db.execute("delete from metadata where name = ?", [key])
            db.execute("insert into metadata (name, value) values (?, ?)", [key, value])


def _zooms(streets: Path) -> tuple[int, int]:
    """First and last zoom of a tile file that can be read."""
    with streets.open("rb") as file:
        header = Reader(MmapSource(file)).header()  # type: ignore[no-untyped-call]  # typed only in name
    return header["min_zoom"], header["max_zoom"]
