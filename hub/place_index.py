"""Makes the address index of a map: what can be typed for a place, from one .osm.pbf into one SQLite file.

Streets are what shares a name and lies together: two High Streets ten miles apart are two. A number belongs to the
nearest street of the name it gives. What `hub.places` reads is written here and nowhere else; nothing is guessed but the
numbers along an addr:interpolation line, and those are marked.
"""

from __future__ import annotations

import sqlite3
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import lru_cache
from itertools import pairwise
from math import floor
from pathlib import Path

import osmium
from msgspec import Struct

from hub import place_words
from hub.place_words import forms, leading, numbers_in
from wire.distance import nearby_m

FILE = "places.sqlite"
VERSION = "1"  # another one makes the index anew at the next import of the same file
TOLD_EVERY_S = 2.0
CELL_DEG = 0.01  # about a kilometer: streets of one name in touching cells are one street
SAME_PLACE_M = 150.0  # a hospital's node and its building are one hospital
INTERPOLATED_MAX = 400  # on one line: a longer one is a slip of a mapper
NAMES_KEPT_MAX = 20_000  # different street names of a large county
CODE_DEG = 1e6  # stored degrees are whole millionths: ten centimeters

Say = Callable[[str], None]
Point = tuple[float, float]  # lat, lon

SCHEMA = """
create table about (name text primary key, value text) without rowid;
-- streets first, so that a street's id is at most the number of streets; lat, lon: a point on it, near its middle
create table place (
    id integer primary key, kind text not null, name text not null, around text not null, address text,
    lat real not null, lon real not null,
    south real not null, west real not null, north real not null, east real not null
);
create index place_by_lat on place (lat, lon) where kind <> 'street';
create table crossing (
    one integer not null, other integer not null, around text not null, lat real not null, lon real not null
);
create table area (id integer primary key, around text not null unique);
create table number (
    street integer not null, key text not null, leading integer, label text not null,
    lat real not null, lon real not null, is_about integer not null, area integer not null
);
create table line (id integer primary key, street integer not null, points blob not null);
create virtual table line_box using rtree (id, south, north, west, east);
create virtual table named using fts5 (called, within, content='', detail=column, tokenize='ascii', prefix='1 2 3');
"""
INDEXES = """
create index crossing_by_one on crossing (one, other);
create index crossing_by_other on crossing (other);
create index crossing_by_lat on crossing (lat, lon);
create index number_by_street on number (street, key);
create index number_by_lat on number (lat, lon);
create index line_by_street on line (street);
"""

_TOWNS = {"city": 15_000.0, "town": 6_000.0, "village": 3_000.0, "hamlet": 1_500.0}  # how far a town's point speaks
_PARTS = {"suburb": 2_500.0, "quarter": 1_200.0, "neighbourhood": 900.0, "locality": 900.0}
_NAMES = ("alt_name", "short_name", "official_name", "loc_name", "old_name", "name:en", "alt_name_1", "name_1")
_NO_STREET = frozenset(
    ("proposed", "construction", "razed", "abandoned", "platform", "bus_stop", "rest_area", "services", "elevator")
)
_SIDES = frozenset(("n", "s", "e", "w", "ne", "nw", "se", "sw"))
_KINDS = (
    "healthcare",
    "amenity",
    "shop",
    "tourism",
    "leisure",
    "office",
    "historic",
    "aeroway",
    "man_made",
    "emergency",
)
_WORDS = {  # what OpenStreetMap calls it, where a dispatcher says otherwise
    "social_facility": "shelter", "doctors": "clinic", "centre": "center", "townhall": "town hall",
    "place_of_worship": "place of worship", "nature_reserve": "park", "recreation_ground": "park",
    "bus_station": "station", "ferry_terminal": "station", "sports_centre": "sports center",
    "community_centre": "community center", "arts_centre": "arts center", "theatre": "theater",
    "neighbourhood": "neighborhood", "halt": "station", "tram_stop": "stop", "bus_stop": "stop", "aerodrome": "airport",
}  # fmt: skip


@lru_cache(NAMES_KEPT_MAX)
def key(name: str) -> str:
    """See `place_words.key`: a thousand houses name one street."""
    return place_words.key(name)


class _Street(Struct):
    """Ways and numbers of one name that lie together."""

    name: str
    names: dict[str, None]
    lines: list[tuple[Point, ...]]
    numbers: dict[str, _House]
    towns: Counter[str]
    id: int = 0


class _Way(Struct, frozen=True):
    name: str
    names: tuple[str, ...]
    refs: tuple[int, ...]
    points: tuple[Point, ...]


class _House(Struct, frozen=True):
    """A house number as it is mapped. `label` is what its sign says, `key` what is compared."""

    street: str
    key: str
    label: str
    at: Point
    town: str
    is_about: bool


class _Named(Struct, frozen=True):
    kind: str
    name: str
    names: tuple[str, ...]
    at: Point
    edges: tuple[float, float, float, float]  # south, west, north, east
    town: str
    address: str | None


class _Area(Struct, frozen=True):
    name: str
    level: int
    rings: tuple[tuple[Point, ...], ...]
    edges: tuple[float, float, float, float]


class _Interpolated(Struct, frozen=True):
    """An addr:interpolation line: which numbers, between which nodes."""

    street: str
    step: int
    refs: tuple[int, ...]
    points: tuple[Point, ...]
    town: str


class _Read(Struct):
    """What was found in the file."""

    ways: list[_Way]
    houses: list[_House]
    named: list[_Named]
    towns: list[tuple[str, str, Point]]
    areas: list[_Area]
    lines: list[_Interpolated]
    node_numbers: dict[int, tuple[str, str, str]]  # node → number, street, town
    without_street: set[int]  # nodes, and buildings by numbers below zero


def build(osm: Path, into: Path, say: Say) -> None:
    """Write the index of `osm` to the folder `into`; ValueError with one sentence when that cannot be done."""
    try:
        read = _read(osm, say)
    except (RuntimeError, OSError):  # osmium's own words are for programmers
        raise ValueError(f"{osm.name} cannot be read as OpenStreetMap data: give a whole .osm.pbf file") from None
    read.houses += _interpolated(read)
    say(f"{len(read.houses)} house numbers, {len(read.ways)} pieces of street, {len(read.named)} named places")
    if read.without_street:
        say(f"{len(read.without_street)} house numbers name no street and were left out")
    file = into / FILE
    file.unlink(missing_ok=True)
    try:
        _fill(file, read, _streets(read), say)
    except sqlite3.Error as error:
        raise ValueError(f"the address index cannot be written ({error}): free some disk") from error


def is_empty(osm: Path) -> bool:
    """Whether this is a whole OpenStreetMap file with nothing in it."""
    try:
        return next(iter(osmium.FileProcessor(str(osm))), None) is None
    except (RuntimeError, OSError):
        return False


def _fill(file: Path, read: _Read, streets: list[_Street], say: Say) -> None:
    with closing(sqlite3.connect(file)) as db:
        # made from scratch in a folder that counts only when it is whole: no journal needed
        db.executescript("pragma journal_mode = off; pragma synchronous = off; pragma page_size = 4096;" + SCHEMA)
        _write(db, read, streets, say)
        db.executescript(INDEXES + "analyze;")
        db.commit()
        db.execute("vacuum")


# ---- reading -----------------------------------------------------------------------------------------------------


def _read(osm: Path, say: Say) -> _Read:
    read = _Read(ways=[], houses=[], named=[], towns=[], areas=[], lines=[], node_numbers={}, without_street=set())
    relations = osmium.filter.TagFilter(("type", "multipolygon"), ("type", "boundary"))
    wanted = osmium.filter.KeyFilter("addr:housenumber", "addr:interpolation", "name", "ref")
    told_s = time.monotonic()
    items = osmium.FileProcessor(str(osm)).with_locations().with_areas(relations).with_filter(wanted)
    for count, item in enumerate(items, 1):
        if isinstance(item, osmium.osm.Area) and item.from_way():
            continue  # every closed way comes a second time so
        tags = {tag.k: tag.v for tag in item.tags}
        if isinstance(item, osmium.osm.Node):
            if item.location.valid():
                _take_node(read, item.id, (item.location.lat, item.location.lon), tags)
        elif isinstance(item, osmium.osm.Way):
            placed = [
                (node.ref, (node.location.lat, node.location.lon)) for node in item.nodes if node.location.valid()
            ]
            if placed:
                _take_way(read, tags, tuple(ref for ref, _ in placed), tuple(point for _, point in placed))
        elif isinstance(item, osmium.osm.Area):
            rings = tuple(tuple((node.lat, node.lon) for node in ring) for ring in item.outer_rings())
            if rings:
                _take_area(read, tags, rings)
        if time.monotonic() - told_s > TOLD_EVERY_S:
            told_s = time.monotonic()
            say(f"{count} entries read")
    return read


def _take_node(read: _Read, id_: int, at: Point, tags: dict[str, str]) -> None:
    place, name = tags.get("place", ""), tags.get("name")
    if name and (place in _TOWNS or place in _PARTS):
        read.towns.append((place, name, at))
    _take_house(read, at, tags, id_)
    _take_named(read, tags, at, (at[0], at[1], at[0], at[1]))


def _take_way(read: _Read, tags: dict[str, str], refs: tuple[int, ...], points: tuple[Point, ...]) -> None:
    if "addr:interpolation" in tags:
        step = {"even": 2, "odd": 2, "all": 1}.get(tags["addr:interpolation"], 0)
        if step:
            street = tags.get("addr:street", "")
            read.lines.append(_Interpolated(street, step, refs, points, tags.get("addr:city", "")))
        return
    if "highway" in tags and tags.get("area") != "yes":
        if tags["highway"] in _NO_STREET:
            return
        link = tags["highway"].endswith("_link")
        said = [tags[each] for each in ("name", *_NAMES) if each in tags]
        refs_too = [] if link else [tags.get("ref", "")]
        names = tuple(name for many in said + refs_too for each in many.split(";") if (name := each.strip()))
        if names and len(points) > 1:
            read.ways.append(_Way(names[0], names, refs, points))
        return
    middle = _middle(points)
    _take_house(read, middle, tags, None)
    _take_named(read, tags, middle, _edges(points))


def _take_area(read: _Read, tags: dict[str, str], rings: tuple[tuple[Point, ...], ...]) -> None:
    every = [point for ring in rings for point in ring]
    level = tags.get("admin_level", "")
    if tags.get("boundary") == "administrative":
        if tags.get("name") and level in ("7", "8", "9", "10"):
            read.areas.append(_Area(tags["name"], int(level), rings, _edges(every)))
        return
    middle = _middle(max(rings, key=len))
    _take_house(read, middle, tags, None)
    _take_named(read, tags, middle, _edges(every))


def _take_house(read: _Read, at: Point, tags: dict[str, str], node: int | None) -> None:
    label = tags.get("addr:housenumber", "")
    if not label:
        return
    street, town = tags.get("addr:street") or tags.get("addr:place", ""), tags.get("addr:city", "")
    if node is not None:
        read.node_numbers[node] = (label, street, town)
    if not street:
        read.without_street.add(node if node is not None else -1 - len(read.without_street))
        return
    read.houses += [_House(street, each, label, at, town, is_about=False) for each in numbers_in(label)]


def _take_named(read: _Read, tags: dict[str, str], at: Point, edges: tuple[float, float, float, float]) -> None:
    name, kind = tags.get("name"), _kind(tags)
    if not (name and kind):
        return
    house, street = tags.get("addr:housenumber"), tags.get("addr:street")
    names = (name, *(tags[each] for each in _NAMES if each in tags), kind)
    address = f"{house} {street}" if house and street else None
    read.named.append(_Named(kind, name, names, at, edges, tags.get("addr:city", ""), address))


def _kind(tags: dict[str, str]) -> str | None:
    """The word for what this is; None for what nobody is sent to."""
    if tags.get("place") in _TOWNS or tags.get("place") in _PARTS:
        return _word(tags["place"])
    if tags.get("railway") in ("station", "halt", "tram_stop"):
        return _word(tags["railway"])
    if tags.get("public_transport") == "station":
        return "station"
    if tags.get("highway") == "bus_stop" or "shelter_type" in tags:
        return "stop"  # keeps out the rain and is nobody's bed for the night
    for each in _KINDS:
        if tags.get(each) not in (None, "no"):
            return _word(tags[each]) if tags[each] != "yes" else _word(each)
    if tags.get("landuse") in ("cemetery", "recreation_ground", "retail", "commercial", "industrial", "residential"):
        return _word(tags["landuse"])
    return _building(tags.get("building"))


def _building(value: str | None) -> str | None:
    if value in (None, "no"):
        return None
    return "building" if value in ("yes", "roof") else _word(str(value))


def _word(value: str) -> str:
    return _WORDS.get(value, value.partition(";")[0].replace("_", " "))


def _interpolated(read: _Read) -> Iterator[_House]:
    """The numbers between two that are mapped, spread evenly along the line, as OpenStreetMap means them."""
    known = {(house.street, house.key) for house in read.houses}
    for line in read.lines:
        stops = [index for index, ref in enumerate(line.refs) if ref in read.node_numbers]
        for a, b in pairwise(stops):
            first, street, town = read.node_numbers[line.refs[a]]
            last, other_street, _ = read.node_numbers[line.refs[b]]
            street = line.street or street or other_street
            low, high = leading(first), leading(last)
            if not street or low is None or high is None:
                continue
            stretch = line.points[a : b + 1]
            for index, label in ((a, first), (b, last)):
                if not read.node_numbers[line.refs[index]][1] and (street, label) not in known:
                    read.without_street.discard(line.refs[index])
                    known.add((street, label))  # its own node names no street, the line does
                    yield from (
                        _House(street, each, label, line.points[index], town or line.town, is_about=False)
                        for each in numbers_in(label)
                    )
            between = range(min(low, high) + line.step, max(low, high), line.step)
            for number in between[:INTERPOLATED_MAX]:
                share = (number - low) / (high - low)
                yield _House(street, str(number), str(number), _along(stretch, share), town or line.town, is_about=True)


def _along(points: Sequence[Point], share: float) -> Point:
    """The point after this share of a line's length."""
    lengths = [nearby_m(*a, *b) for a, b in pairwise(points)]
    left = share * sum(lengths)
    for (a, b), length in zip(pairwise(points), lengths, strict=True):
        if left <= length and length > 0:
            part = left / length
            return a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part
        left -= length
    return points[-1]


# ---- streets -----------------------------------------------------------------------------------------------------


class _Joined:
    """Cells that belong together, by union and find."""

    def __init__(self) -> None:
        self.parent: dict[tuple[int, int], tuple[int, int]] = {}

    def root(self, of: tuple[int, int]) -> tuple[int, int]:
        self.parent.setdefault(of, of)
        while self.parent[of] != of:
            self.parent[of] = self.parent[self.parent[of]]
            of = self.parent[of]
        return of

    def join(self, a: tuple[int, int], b: tuple[int, int]) -> None:
        one, other = self.root(a), self.root(b)
        self.parent[max(one, other)] = min(one, other)


def _streets(read: _Read) -> list[_Street]:
    """Every street with its pieces and its numbers."""
    ways: dict[str, list[_Way]] = {}
    for way in read.ways:
        ways.setdefault(key(way.name), []).append(way)
    houses: dict[str, list[_House]] = {}
    for house in read.houses:
        houses.setdefault(key(house.street), []).append(house)
    found: list[_Street] = []
    for name in sorted(ways.keys() | houses.keys()):
        if name:
            found += _of_one_name(ways.get(name, []), houses.get(name, []))
    for id_, street in enumerate(found, 1):
        street.id = id_
    return found


def _of_one_name(ways: list[_Way], houses: list[_House]) -> list[_Street]:
    joined = _Joined()
    for way in ways:
        cells = [_cell(point) for point in way.points]
        joined.root(cells[0])
        for a, b in pairwise(cells):
            joined.join(a, b)
    by_way = set(joined.parent)
    _touch(joined, by_way)
    lone = [house for house in houses if not _has_way_near(house.at, by_way)]
    own = {_cell(house.at) for house in lone}
    _touch(joined, own)
    streets: dict[tuple[int, int], _Street] = {}
    for way in sorted(ways, key=lambda one: (one.name, one.refs)):
        street = streets.setdefault(joined.root(_cell(way.points[0])), _Street(way.name, {}, [], {}, Counter()))
        street.names |= dict.fromkeys(way.names)
        street.lines.append(way.points)
    _name_by_most(streets, ways, joined)
    # those with a sign of their own first: what is surveyed stands before what is about
    for house in sorted(houses, key=lambda one: (one.is_about, one.label, one.at)):
        root = joined.root(_nearest_cell(house.at, by_way) or _cell(house.at))
        street = streets.setdefault(root, _Street(house.street, {house.street: None}, [], {}, Counter()))
        street.numbers.setdefault(house.key, house)
        if house.town:
            street.towns[house.town] += 1
    return [streets[root] for root in sorted(streets)]


def _name_by_most(streets: dict[tuple[int, int], _Street], ways: list[_Way], joined: _Joined) -> None:
    """A street is called what most of its pieces are called."""
    counts: dict[tuple[int, int], Counter[str]] = {}
    for way in ways:
        counts.setdefault(joined.root(_cell(way.points[0])), Counter())[way.name] += 1
    for root, names in counts.items():
        streets[root].name = min(names, key=lambda name: (-names[name], -len(name), name))


def _cell(point: Point) -> tuple[int, int]:
    return floor(point[0] / CELL_DEG), floor(point[1] / CELL_DEG)


def _around(cell: tuple[int, int]) -> Iterator[tuple[int, int]]:
    return ((cell[0] + up, cell[1] + right) for up in (-1, 0, 1) for right in (-1, 0, 1))


def _touch(joined: _Joined, cells: set[tuple[int, int]]) -> None:
    for cell in sorted(cells):
        for beside in _around(cell):
            if beside in cells:
                joined.join(cell, beside)


def _has_way_near(at: Point, cells: set[tuple[int, int]]) -> bool:
    return _nearest_cell(at, cells) is not None


def _nearest_cell(at: Point, cells: set[tuple[int, int]]) -> tuple[int, int] | None:
    """The cell of the street that a house is on: its own or the nearest beside it."""
    here = _cell(at)
    if here in cells:
        return here
    beside = [cell for cell in _around(here) if cell in cells]
    return min(beside, key=lambda cell: (nearby_m(*at, *_center(cell)), cell), default=None)


def _center(cell: tuple[int, int]) -> Point:
    return (cell[0] + 0.5) * CELL_DEG, (cell[1] + 0.5) * CELL_DEG


def _crossings(read: _Read, streets: list[_Street]) -> list[tuple[int, int, Point]]:
    """Where two streets of different names share a node; a double carriageway's corners are one crossing."""
    by_line = {line: street.id for street in streets for line in street.lines}
    bare = [_bare(street.name) for street in streets]
    on: dict[int, dict[int, Point]] = {}
    for way in read.ways:
        street = by_line[way.points]
        for ref, point in zip(way.refs, way.points, strict=True):
            on.setdefault(ref, {})[street] = point
    found: list[tuple[int, int, Point]] = []
    kept: dict[tuple[int, int], list[Point]] = {}
    for ref in sorted(ref for ref, many in on.items() if len(many) > 1):
        many = on[ref]
        ids = sorted(many)
        for index, one in enumerate(ids):
            for other in ids[index + 1 :]:
                if bare[one - 1] == bare[other - 1]:
                    continue  # where North High Street becomes South High Street nobody crosses anything
                near = kept.setdefault((one, other), [])
                if all(nearby_m(*many[one], *point) > 60 for point in near):
                    near.append(many[one])
                    found.append((one, other, many[one]))
    return found


def _bare(name: str) -> str:
    return " ".join(word for word in key(name).split() if word not in _SIDES)


# ---- where it is -------------------------------------------------------------------------------------------------


class _Where:
    """The neighborhood and the town of a point."""

    def __init__(self, read: _Read) -> None:
        self._areas = sorted(read.areas, key=lambda area: (-area.level, area.name))
        self._towns = read.towns
        self._asked: dict[Point, tuple[str, str]] = {}

    def of(self, at: Point, town: str) -> str:
        """ "Old Mill, Alder Ford"; `town` is what the addresses say themselves."""
        block = round(at[0], 3), round(at[1], 3)  # a hundred meters: every crossing asks, and few answers differ
        if block not in self._asked:
            self._asked[block] = self._inside(block, (9, 10)) or self._near(block, _PARTS), self._town(block)
        part, usual = self._asked[block]
        return ", ".join(dict.fromkeys(word for word in (part, town or usual) if word))

    def _town(self, at: Point) -> str:
        return self._inside(at, (7, 8)) or self._near(at, _TOWNS)

    def _inside(self, at: Point, levels: tuple[int, ...]) -> str:
        return next((a.name for a in self._areas if a.level in levels and _is_in(at, a)), "")

    def _near(self, at: Point, reach_m: dict[str, float]) -> str:
        near = [
            (nearby_m(*at, *point) / reach_m[kind], name)
            for kind, name, point in self._towns
            if kind in reach_m and abs(point[0] - at[0]) < 0.2
        ]
        share, name = min(near, default=(2.0, ""))
        return name if share <= 1 else ""


def _is_in(at: Point, area: _Area) -> bool:
    south, west, north, east = area.edges
    if not (south <= at[0] <= north and west <= at[1] <= east):
        return False
    inside = False
    for ring in area.rings:
        for (a_lat, a_lon), (b_lat, b_lon) in pairwise((*ring, ring[0])):
            if (a_lat > at[0]) != (b_lat > at[0]):
                inside ^= at[1] < a_lon + (at[0] - a_lat) * (b_lon - a_lon) / (b_lat - a_lat)
    return inside


def _middle(points: Sequence[Point]) -> Point:
    south, west, north, east = _edges(points)
    return (south + north) / 2, (west + east) / 2


def _edges(points: Iterable[Point]) -> tuple[float, float, float, float]:
    lats, lons = zip(*points, strict=True)
    return min(lats), min(lons), max(lats), max(lons)


# ---- writing -----------------------------------------------------------------------------------------------------


def encoded(word: str) -> str:
    """A word as FTS5 keeps it: letters and digits of ASCII only, and a prefix stays a prefix."""
    return "".join(one if one.isascii() and one.isalnum() else f"zq{ord(one):x}z" for one in word)


def packed(points: Iterable[Point]) -> bytes:
    """A line as it is stored; see `hub.places`."""
    codes = array("i", (round(value * CODE_DEG) for point in points for value in point))
    return codes.tobytes()


def _write(db: sqlite3.Connection, read: _Read, streets: list[_Street], say: Say) -> None:
    where = _Where(read)
    named = list(_without_twins(read.named))
    rows = _Rows(db, len(streets) + len(named), say)
    for street in streets:
        _write_street(db, rows, where, street)
    for each in named:
        around = where.of(each.at, each.town)
        searched = f"{around} {each.address or ''}"  # a hotel on High Street is no High Street
        rows.add(each.kind, each.name, around, each.address, each.at, each.edges, each.names, searched)
    crossings = [(one, other, where.of(at, ""), *at) for one, other, at in _crossings(read, streets)]
    db.executemany("insert into crossing values (?, ?, ?, ?, ?)", crossings)
    counts = {
        "streets": len(streets),
        "numbers": sum(len(street.numbers) for street in streets),
        "crossings": len(crossings),
        "named": len(named),
    }
    db.executemany("insert into about values (?, ?)", [("version", VERSION), *counts.items()])
    say(", ".join(f"{count} {what}" for what, count in counts.items()))


def _write_street(db: sqlite3.Connection, rows: _Rows, where: _Where, street: _Street) -> None:
    every = [point for line in street.lines for point in line] or [house.at for house in street.numbers.values()]
    edges = _edges(every)
    center = _middle(every)
    at = min(every, key=lambda point: (nearby_m(*center, *point), point))
    town = street.towns.most_common(1)[0][0] if street.towns else ""
    # a long street runs through many neighborhoods: it is found by each, and shown with that of its middle
    through = dict.fromkeys(where.of(point, town) for point in every[:: max(1, len(every) // 12)])
    around = where.of(at, town)
    searched = " ".join((around, *through, *street.towns))
    id_ = rows.add("street", street.name, around, None, at, edges, street.names, searched)
    assert id_ == street.id
    db.executemany(
        "insert into number values (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                id_,
                number,
                leading(number),
                one.label,
                *one.at,
                one.is_about,
                rows.area(where.of(one.at, one.town or town)),
            )
            for number, one in sorted(street.numbers.items())
        ],
    )
    for line in street.lines:
        south, west, north, east = _edges(line)
        of = db.execute("insert into line (street, points) values (?, ?)", (id_, packed(line))).lastrowid
        db.execute("insert into line_box values (?, ?, ?, ?, ?)", (of, south, north, west, east))


class _Rows:
    """Writes places and the words under which they are found; tells the percent."""

    def __init__(self, db: sqlite3.Connection, total: int, say: Say) -> None:
        self._db, self._total, self._say = db, total, say
        self._count, self._told_s = 0, time.monotonic()
        self._areas: dict[str, int] = {}

    def area(self, around: str) -> int:
        """The number of a neighborhood: thousands of houses share its words."""
        if around not in self._areas:
            self._areas[around] = len(self._areas) + 1
            self._db.execute("insert into area values (?, ?)", (self._areas[around], around))
        return self._areas[around]

    def add(
        self,
        kind: str,
        name: str,
        around: str,
        address: str | None,
        at: Point,
        edges: tuple[float, float, float, float],
        names: Iterable[str],
        searched: str,
    ) -> int:
        self._count += 1
        self._db.execute(
            "insert into place values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (self._count, kind, name, around, address, *at, *edges),
        )
        self._db.execute(
            "insert into named (rowid, called, within) values (?, ?, ?)",
            (self._count, " ".join(map(encoded, forms(names))), " ".join(map(encoded, forms([searched])))),
        )
        if time.monotonic() - self._told_s > TOLD_EVERY_S:
            self._told_s = time.monotonic()
            self._say(f"{100 * self._count // max(1, self._total)} %")
        return self._count


def _without_twins(named: list[_Named]) -> Iterator[_Named]:
    """Each place once, the larger drawing of it first."""
    kept: dict[str, list[_Named]] = {}
    for each in sorted(named, key=lambda one: (one.edges[0] - one.edges[2], one.name, one.at)):
        same = kept.setdefault(key(each.name), [])
        if all(nearby_m(*each.at, *other.at) > SAME_PLACE_M or other.kind != each.kind for other in same):
            same.append(each)
            yield each
