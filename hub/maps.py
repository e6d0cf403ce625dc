"""The street map of the hub: an OpenStreetMap extract in, one static tile file out.

An import builds in a folder of its own and becomes the map only when everything succeeded: a failed one leaves the map
of before untouched and nothing of itself behind. Sorting, cutting and drawing are done by osmium and tilemaker.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from math import atan, degrees, pi, sinh
from pathlib import Path

import msgspec
from msgspec import Struct
from pmtiles.convert import mbtiles_to_pmtiles
from pmtiles.reader import MmapSource, Reader

from wire import typed

BBox = tuple[float, float, float, float]  # west, south, east, north in degrees
Say = Callable[[str], None]

STREETS_FILE = "streets.pmtiles"
RECIPE = Path(__file__).parent / "tiles"
SYNTHETIC_GENERATOR = "tandem-city"  # what the demo's city writes into the header of its file
SYNTHETIC_ATTRIBUTION = "Synthetic city, no real place"
OSM_ATTRIBUTION = "© OpenStreetMap contributors"
OSM_COPYRIGHT_URL = "https://www.openstreetmap.org/copyright"
HASH_CHUNK_BYTES = 1 << 20
ZOOM_MAX = 14  # of hub/tiles/tiles.json; the browser magnifies beyond
START_ZOOM = 12  # a city on a screen
LAT_MAX = 85.0  # the square web map ends there


class MapError(ValueError):
    """Why there is no new map, in one sentence for the operator."""


class MapInfo(Struct, frozen=True, kw_only=True):
    """What `map.json` says of a map: enough to show it, credit it and make it again.

    `id` names its folder under `maps/`; `bounds` is west, south, east, north; `center` is longitude, latitude of where
    the streets are densest; `sha256` is of the source file; `commands` are what was run on it.
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


def current_map(into: Path) -> MapInfo | None:
    """The map in use under `into`; None when none was imported; MapError when it is damaged."""
    described = into / "maps" / "current" / "map.json"
    try:
        return typed.json(described.read_bytes(), MapInfo)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise MapError(f"the map description {described} cannot be read ({error}): import the map again") from error


def streets_file(into: Path, info: MapInfo) -> Path:
    """The PMTiles file of a map."""
    return into / "maps" / info.id / STREETS_FILE


def import_map(osm: Path, into: Path, bbox: BBox | None, say: Say) -> MapInfo:
    """Make `osm` (.osm.pbf), cut to `bbox`, the map under `into`; MapError says why not."""
    _require_tools()
    _require_sane(bbox)
    extract = _look_at(osm, say)
    try:
        with _alone(into / "maps") as maps:
            return _import(osm, maps, bbox, extract, say)
    except OSError as error:
        raise MapError(f"the map cannot be written under {into}: {error.strerror or error}") from error


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


def _import(osm: Path, maps: Path, bbox: BBox | None, extract: _Extract, say: Say) -> MapInfo:
    id_ = _id_of(extract.sha256, bbox)
    made_before = _made_before(maps / id_)
    if made_before:
        say(f"{osm.name} was imported before and has not changed; it is the map now")
        _point_current_at(maps, id_)
        return made_before
    building = Path(tempfile.mkdtemp(prefix=".building-", dir=maps))
    try:
        info = _build(osm, building, bbox, extract, id_, say)
        building.chmod(0o755)  # mkdtemp makes it private; a web process of another user serves it
        shutil.rmtree(maps / id_, ignore_errors=True)  # only a damaged one can be there
        building.rename(maps / id_)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    _point_current_at(maps, id_)
    say(f"{osm.name} is the map now")
    return info


def _build(osm: Path, building: Path, bbox: BBox | None, extract: _Extract, id_: str, say: Say) -> MapInfo:
    commands: list[str] = []
    source = osm.resolve()
    if not extract.is_ready:
        source = _step(say, commands, "sorting", building, ["osmium", "sort", str(source), "-o", "sorted.osm.pbf"])
    if bbox:
        box = ",".join(map(str, bbox))
        cut = ["osmium", "extract", "--bbox", box, "--set-bounds", str(source), "-o", "cut.osm.pbf"]
        source = _step(say, commands, "cutting", building, cut)
    recipe = ["--config", str(RECIPE / "tiles.json"), "--process", str(RECIPE / "tiles.lua")]
    draw = ["tilemaker", "--input", str(source), *recipe, "--output", "streets.mbtiles"]
    tiles = _step(say, commands, "drawing the tiles", building, draw)
    bounds = bbox or extract.bounds
    attribution = SYNTHETIC_ATTRIBUTION if extract.is_synthetic else OSM_ATTRIBUTION
    url = None if extract.is_synthetic else OSM_COPYRIGHT_URL
    name = osm.name.removesuffix(".pbf").removesuffix(".osm")
    _require_streets(tiles, osm, bbox)
    center = _densest(tiles, ZOOM_MAX)
    _describe(tiles, name, bounds, center, attribution, url)
    commands.append(f"pmtiles-convert streets.mbtiles {STREETS_FILE}")
    with _timed(say, "packing"):
        mbtiles_to_pmtiles(str(tiles), str(building / STREETS_FILE), None)  # type: ignore[no-untyped-call]
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
    )
    (building / "map.json").write_bytes(msgspec.json.format(msgspec.json.encode(info), indent=2) + b"\n")
    for kept in building.iterdir():
        _reach_disk(kept)
    return info


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
    with _timed(say, "reading the file"):
        looked = subprocess.run(
            ["osmium", "fileinfo", "--extended", "--json", "--no-progress", str(osm.resolve())],
            capture_output=True,
            check=False,
        )
    try:
        said = typed.json(looked.stdout, _FileInfo)
    except msgspec.DecodeError:  # osmium's own words are for programmers: "invalid blob size"
        raise MapError(f"{osm.name} cannot be read as OpenStreetMap data: give a whole .osm.pbf file") from None
    if said.data.count.nodes == 0 or said.data.count.ways == 0:
        raise MapError(f"{osm.name} has no streets")
    return _Extract(
        sha256=_sha256(osm),
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


@contextmanager
def _alone(maps: Path) -> Iterator[Path]:
    """One import at a time; what a killed one left behind is swept away."""
    maps.mkdir(parents=True, exist_ok=True)
    with (maps / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MapError("another map import is running here: wait for it to end") from None
        for stale in maps.glob(".building-*"):
            shutil.rmtree(stale, ignore_errors=True)
        yield maps


@contextmanager
def _timed(say: Say, what: str) -> Iterator[None]:
    say(f"{what} …")
    began = time.monotonic()
    yield
    say(f"{what}: {time.monotonic() - began:.1f} s")


def _step(say: Say, commands: list[str], what: str, building: Path, command: list[str]) -> Path:
    """Run one program in `building`; the file it wrote is its last argument."""
    commands.append(" ".join(Path(word).name if word.startswith("/") else word for word in command))
    with _timed(say, what):
        done = subprocess.run(command, cwd=building, capture_output=True, text=True, errors="replace", check=False)
    made = building / command[-1]
    if done.returncode == 0 and made.is_file():
        return made
    lines = [line for line in (done.stderr + "\n" + done.stdout).replace("\r", "\n").splitlines() if line.strip()]
    why = lines[0].strip() if lines else f"exit code {done.returncode}"
    raise MapError(f"{what} failed, {command[0]} said: {why}")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(HASH_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _id_of(sha256: str, bbox: BBox | None) -> str:
    """Another source, box or recipe is another map, with an address of its own for the browser."""
    digest = hashlib.sha256(f"{sha256} {bbox}".encode())
    for part in ("tiles.json", "tiles.lua"):
        digest.update((RECIPE / part).read_bytes())
    return digest.hexdigest()[:12]


def _made_before(folder: Path) -> MapInfo | None:
    try:
        info = typed.json((folder / "map.json").read_bytes(), MapInfo)
        _zooms(folder / STREETS_FILE)
    except Exception:
        return None  # whatever is wrong with it, it is made again
    return info


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


def _reach_disk(path: Path) -> None:
    """A map that is current after a power cut must be whole."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _point_current_at(maps: Path, id_: str) -> None:
    fresh = maps / ".current-new"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(id_)
    fresh.replace(maps / "current")
