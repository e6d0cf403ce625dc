"""A plausible city that exists nowhere, so that a bare checkout has streets to drive on.

It is written as an ordinary .osm.pbf and goes through the same importer as any real extract. The same seed gives the
same bytes. Everything is drawn on a flat sheet in meters, east and north of the city center; the sheet is bent last, so
that topology cannot change. The file says in its header who drew it, and the map made from it says so to the reader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import groupby, pairwise, product
from math import atan2, cos, degrees, hypot, pi, radians, sin, sqrt
from pathlib import Path
from random import Random

import osmium
from msgspec import Struct
from osmium.osm.mutable import Node, Way

from wire.distance import EARTH_RADIUS_M

GENERATOR = "tandem-city"  # the importer reads it: no credit to OpenStreetMap for streets nobody mapped
CITY_NAME = "Alder Ford"
CENTER_LAT, CENTER_LON = 42.45, -101.35  # grassland in the Nebraska Sandhills, thirty miles from any town

BLOCK_M = 800.0
COLUMNS, ROWS = 12, 10
EAST_M, NORTH_M = COLUMNS * BLOCK_M / 2, ROWS * BLOCK_M / 2  # half the city, from its center
MARGIN_M = 1500.0  # country around it: roads, river and railway lead somewhere
SLOTS = 8  # a superblock has room for seven streets between two arterials, each slot with a name of its own

RIVER_HALF_M = 70.0
BANK_M = 112.0  # from the middle of the river to where the streets end: water, then a green strip
RING_EAST_M, RING_NORTH_M = 3900.0, 3000.0
CARRIAGEWAY_M = 14.0  # each way's distance from the middle of the freeway
RAMP_OUT_M, RAMP_ALONG_M = 115.0, 400.0
ARTERIAL_CORNER_M = 44.0  # the houses of a side street stand nearer to its corner
STEP_M = 10.0  # how finely a street feels for the river bank

GROUND, RAIL, SKY = 0, 1, 2  # same point and same level: same node, hence a junction

Tags = dict[str, str]
Point = tuple[float, float]

PRIMARY_NAMES = (
    "Commerce Avenue",
    "Capitol Avenue",
    "Lincoln Avenue",
    "Grand Boulevard",
    "Main Street",
    "Union Boulevard",
)
SECONDARY_NAMES = (
    "Mill Road", "Depot Street", "Orchard Road", "Prairie Road", "Harvest Road", "Quarry Road", "College Avenue",
    "Market Street", "Foundry Street", "Meadow Road", "Windmill Road", "Granite Road", "Ferry Road", "Station Road",
    "Chapel Road", "Ridge Road", "County Road", "Fairground Road", "Pioneer Road",
)  # fmt: skip
STREET_NAMES = (
    "Alder", "Ash", "Aspen", "Beech", "Birch", "Buckeye", "Butternut", "Catalpa", "Cedar", "Cherry", "Chestnut",
    "Cottonwood", "Cypress", "Dogwood", "Elder", "Elm", "Fir", "Hawthorn", "Hazel", "Hemlock", "Hickory", "Holly",
    "Ironwood", "Juniper", "Larch", "Laurel", "Linden", "Locust", "Magnolia", "Maple", "Mulberry", "Oak", "Olive",
    "Osage", "Pecan", "Pine", "Plum", "Poplar", "Redbud", "Sassafras", "Spruce", "Sumac", "Sycamore", "Tamarack",
    "Tupelo", "Walnut", "Willow", "Yew", "Abbott", "Baxter", "Calloway", "Dawson", "Ellison", "Fletcher", "Garner",
    "Hollis", "Ingram", "Jarvis", "Kendall", "Lambert", "Mercer", "Norwood", "Osborn", "Prescott", "Quincy", "Radcliff",
    "Sherman", "Thayer", "Upton", "Vance", "Whitman", "Yates", "Archer", "Bishop", "Carver", "Draper", "Everett",
    "Foster", "Gibson", "Harmon", "Irving", "Jennings", "Kirby", "Lowell", "Marsh", "Nelson", "Oakley", "Pruitt",
    "Reeves", "Sutton", "Tilden", "Underwood", "Vernon", "Warren", "Wheeler", "Winslow",
)  # fmt: skip
DISTRICTS = (
    ("Downtown", 0.3, -0.3), ("Old Mill", -2.1, -0.6), ("Northgate", 0.4, 2.3), ("Westbank", -3.5, 1.2),
    ("Elmwood", 2.6, 1.3), ("Eastfield", 4.0, -0.4), ("Southside", 0.6, -2.6), ("Quarry Hill", -3.2, -2.5),
    ("Garden Park", 2.8, -2.2), ("University", 1.7, 0.3), ("Depot", -0.4, -1.3), ("Prairie View", 3.6, 3.2),
    ("Fairgrounds", -3.9, 3.2), ("Granite Flats", 3.9, -3.3),
)  # fmt: skip
CARE = (  # what it is, its name, where (kilometers from the center), half its size in meters
    ("hospital", "Alder Ford General Hospital", 1.25, 0.95, 58.0),
    ("hospital", "St. Brigid Medical Center", -3.35, 0.42, 50.0),
    ("hospital", "Eastfield Hospital", 3.3, -1.15, 46.0),
    ("police", "Police Headquarters", 0.45, 0.42, 32.0),
    ("police", "Police District 2", -2.95, -1.2, 22.0),
    ("police", "Police District 3", 2.05, 2.02, 22.0),
    ("police", "Police District 4", 2.8, -2.82, 22.0),
    ("fire_station", "Fire Station 1", 0.38, -0.42, 24.0),
    ("fire_station", "Fire Station 2", -3.62, 1.98, 20.0),
    ("fire_station", "Fire Station 3", 2.02, 1.22, 20.0),
    ("fire_station", "Fire Station 4", -2.02, -2.02, 20.0),
    ("fire_station", "Fire Station 5", 3.62, -0.42, 20.0),
    ("fire_station", "Fire Station 6", 0.42, -2.82, 20.0),
    ("fire_station", "Fire Station 7", 0.42, 2.78, 20.0),
    ("clinic", "Crisis Stabilization Center", 1.02, -1.18, 26.0),
    ("clinic", "Northgate Clinic", 1.18, 2.02, 20.0),
    ("clinic", "Westbank Community Health", -2.82, 0.6, 20.0),
    ("clinic", "Southside Clinic", 1.22, -2.02, 20.0),
    ("clinic", "Elmwood Family Health", 2.82, 0.38, 20.0),
    ("clinic", "Quarry Hill Clinic", -3.62, -2.18, 20.0),
    ("social_facility", "Harbor House Shelter", -0.38, -0.98, 20.0),
    ("social_facility", "Open Door Family Shelter", 2.02, -0.98, 20.0),
    ("school", "Central High School", 0.6, 1.4, 44.0),
    ("school", "Westbank Elementary School", -3.5, -0.45, 34.0),
    ("school", "Elmwood Middle School", 2.98, 1.15, 36.0),
    ("school", "Southside Elementary School", -0.42, -3.58, 34.0),
    ("school", "Prairie View School", 2.78, 3.58, 34.0),
)  # fmt: skip
STATIONS = (  # by the railway, and by road: what, its name, where (kilometers from the center)
    ("railway", "station", "Alder Ford Station", 0.12, None),
    ("railway", "station", "Eastfield Station", 3.55, None),
    ("amenity", "bus_station", "Market Street Transit Center", 0.52, -0.12),
)
# Which arterials cross the water. So few that the nearest unit by air is often not the nearest by road.
BRIDGED_ROWS = (1, 5, 6, 9)
PRIMARY_COLUMNS, PRIMARY_ROWS = (2, 6, 10), (1, 5, 9)


class Place(Struct, frozen=True, kw_only=True):
    """Somewhere a unit may stand or be sent: `kind` is the amenity, as OpenStreetMap says it."""

    kind: str
    name: str
    lat: float
    lon: float


class CitySummary(Struct, frozen=True, kw_only=True):
    """What was drawn; `bounds` is west, south, east, north in degrees."""

    name: str
    seed: int
    nodes: int
    streets: int
    houses: int
    bounds: tuple[float, float, float, float]
    center_lat: float
    center_lon: float
    places: tuple[Place, ...]


def draw_city(path: Path, seed: int) -> CitySummary:
    """Write the city to `path` (.osm.pbf, overwritten); the same seed gives the same bytes."""
    sheet = _Sheet()
    rng = Random(seed)
    plan = _Plan(rng)
    _draw_country(sheet, rng)
    _draw_river(sheet)
    _draw_railway(sheet)
    joins = _draw_freeway(sheet)
    lots = _draw_care(sheet)
    crossings = _draw_blocks(sheet, plan, rng, lots)
    _draw_arterials(sheet, plan, crossings, joins)
    # a chance of its own: more houses move no street
    _draw_arterial_houses(sheet, plan, Random(f"{seed} arterial houses"), lots, crossings)
    sheet.forget_islands()
    _address_care(sheet)
    bounds = _bounds()
    sheet.write(path, bounds)
    return CitySummary(
        name=CITY_NAME,
        seed=seed,
        nodes=len(sheet.used()) + len(sheet.labels),
        streets=sum("highway" in tags for _, tags in sheet.ways),
        houses=sum("addr:housenumber" in tags for _, tags in sheet.ways),
        bounds=bounds,
        center_lat=_lat_lon(0, 0)[0],
        center_lon=_lat_lon(0, 0)[1],
        places=tuple(_place(kind, name, 1000 * x, 1000 * y) for kind, name, x, y, _ in CARE),
    )


class _Sheet:
    """Nodes and ways as they are drawn, in meters."""

    def __init__(self) -> None:
        self.ids: dict[tuple[float, float, int], int] = {}
        self.ways: list[tuple[list[int], Tags]] = []
        self.labels: list[tuple[Point, Tags]] = []

    def node(self, x: float, y: float, level: int = GROUND) -> int:
        return self.ids.setdefault((round(x, 1), round(y, 1), level), len(self.ids) + 1)

    def line(self, points: Iterable[Point], tags: Tags, level: int = GROUND) -> None:
        refs = [self.node(x, y, level) for x, y in points]
        self.way([ref for index, ref in enumerate(refs) if index == 0 or ref != refs[index - 1]], tags)

    def way(self, refs: list[int], tags: Tags) -> None:
        if len(refs) > 1:
            self.ways.append((refs, tags))

    def ring(self, points: list[Point], tags: Tags) -> None:
        self.line([*points, points[0]], tags)

    def forget_islands(self) -> None:
        """Drop streets that river, railway and freeway cut off from the rest: nobody could be sent there."""
        parent = list(range(len(self.ids) + 1))

        def root(of: int) -> int:
            while parent[of] != of:
                parent[of] = parent[parent[of]]
                of = parent[of]
            return of

        for refs, tags in self.ways:
            if "highway" in tags and tags["highway"] != "footway":
                for ref in refs[1:]:
                    parent[root(ref)] = root(refs[0])
        size: dict[int, int] = {}
        for ref in range(1, len(parent)):
            size[root(ref)] = size.get(root(ref), 0) + 1
        mainland = max(size, key=lambda of: size[of])
        self.ways = [
            (refs, tags)
            for refs, tags in self.ways
            if tags.get("highway", "footway") == "footway" or root(refs[0]) == mainland
        ]

    def used(self) -> set[int]:
        return {ref for refs, _ in self.ways for ref in refs}

    def write(self, path: Path, bounds: tuple[float, float, float, float]) -> None:
        header = osmium.io.Header()
        header.set("generator", GENERATOR)
        header.set("sorting", "Type_then_ID")  # nodes, then ways, ascending: nobody needs to sort it again
        header.add_box(osmium.osm.Box(*bounds))
        used = self.used()
        with osmium.SimpleWriter(str(path), header=header, overwrite=True) as out:
            for (x, y, _), ref in self.ids.items():
                if ref in used:
                    lat, lon = _lat_lon(x, y)
                    out.add_node(Node(id=ref, version=1, location=(lon, lat), tags={}))
            for ref, ((x, y), tags) in enumerate(self.labels, len(self.ids) + 1):
                lat, lon = _lat_lon(x, y)
                out.add_node(Node(id=ref, version=1, location=(lon, lat), tags=tags))
            for ref, (refs, tags) in enumerate(self.ways, 1):
                out.add_way(Way(id=ref, version=1, nodes=refs, tags=tags))


class _Plan:
    """What each superblock and each street is to be, decided once by the seed."""

    def __init__(self, rng: Random) -> None:
        self.names = list(STREET_NAMES)
        rng.shuffle(self.names)
        primary, secondary = list(PRIMARY_NAMES), list(SECONDARY_NAMES)
        rng.shuffle(secondary)
        self.column_names = [
            primary.pop() if column in PRIMARY_COLUMNS else secondary.pop() for column in range(COLUMNS + 1)
        ]
        self.row_names = [primary.pop() if row in PRIMARY_ROWS else secondary.pop() for row in range(ROWS + 1)]
        outer = [cell for cell in product(range(COLUMNS), range(ROWS)) if _remoteness(*cell) > 0.35]
        built = {(int((1000 * x + EAST_M) // BLOCK_M), int((1000 * y + NORTH_M) // BLOCK_M)) for _, _, x, y, _ in CARE}
        self.built: set[tuple[int, int]] = set()  # superblocks with houses, filled as they are drawn
        self.parks = set(rng.sample([cell for cell in outer if cell not in built], 9))


# ---- the shape of things ----------------------------------------------------------------------------------------


def _bent(x: float, y: float) -> Point:
    """Where a point of the flat sheet lies on the ground: no city is a chessboard."""
    return (
        x + 210 * sin(y / 2300 + 1) + 65 * sin(x / 1000 + y / 1400),
        y + 190 * sin(x / 2700) + 60 * cos(y / 1100 - x / 1800),
    )


def _lat_lon(x: float, y: float) -> tuple[float, float]:
    east, north = _bent(x, y)
    lat = CENTER_LAT + degrees(north / EARTH_RADIUS_M)
    return lat, CENTER_LON + degrees(east / (EARTH_RADIUS_M * cos(radians(CENTER_LAT))))


def _place(kind: str, name: str, x: float, y: float) -> Place:
    lat, lon = _lat_lon(x, y)
    return Place(kind=kind, name=name, lat=lat, lon=lon)


def _bounds() -> tuple[float, float, float, float]:
    half_x, half_y = EAST_M + MARGIN_M - 300, NORTH_M + MARGIN_M - 300
    north = degrees(half_y / EARTH_RADIUS_M)
    east = degrees(half_x / (EARTH_RADIUS_M * cos(radians(CENTER_LAT))))
    return (CENTER_LON - east, CENTER_LAT - north, CENTER_LON + east, CENTER_LAT + north)


def _remoteness(column: int, row: int) -> float:
    """0 in the center, 1 at the middle of an edge, more in the corners."""
    x = (column + 0.5) * BLOCK_M / EAST_M - 1
    y = (row + 0.5) * BLOCK_M / NORTH_M - 1
    return hypot(x, y)


def _river_x(y: float) -> float:
    return -1250 + 430 * sin(y / 1300 + 0.6) + 170 * sin(y / 560 + 2)


def _river_m(x: float, y: float) -> float:
    """Meters from the middle of the river, near it."""
    slope = (_river_x(y + 1) - _river_x(y - 1)) / 2
    return abs(x - _river_x(y)) / sqrt(1 + slope * slope)


def _rail_y(x: float) -> float:
    return -1830 + 230 * sin(x / 2100)


def _ring_m(x: float, y: float) -> float:
    """Meters outside (or, negative, inside) the middle of the freeway, near it."""
    radius = hypot(x / RING_EAST_M, y / RING_NORTH_M)
    if radius < 0.2:
        return -RING_NORTH_M
    bulge = _ring_bulge(atan2(y / RING_NORTH_M, x / RING_EAST_M))
    return (radius - bulge) * radius / hypot(x / RING_EAST_M**2, y / RING_NORTH_M**2)


def _ring_bulge(angle: float) -> float:
    """Nobody builds an ellipse: land was cheaper here than there."""
    return 1 + 0.035 * sin(3 * angle + 0.7) + 0.02 * sin(5 * angle)


def _ring_point(angle: float, out_m: float) -> Point:
    bulge = _ring_bulge(angle)
    return (RING_EAST_M * bulge + out_m) * cos(angle), (RING_NORTH_M * bulge + out_m) * sin(angle)


@cache
def _interchanges() -> tuple[tuple[float, str, float], ...]:
    """(angle on the ring, axis of the primary that passes under, its coordinate)."""
    found: list[tuple[float, str, float]] = []
    for index in range(3600):
        a, b = index * 2 * pi / 3600, (index + 1) * 2 * pi / 3600
        (ax, ay), (bx, by) = _ring_point(a, 0), _ring_point(b, 0)
        found += [((a + b) / 2, "x", x) for x in map(_column_x, PRIMARY_COLUMNS) if (ax - x) * (bx - x) < 0]
        found += [((a + b) / 2, "y", y) for y in map(_row_y, PRIMARY_ROWS) if (ay - y - 0.01) * (by - y - 0.01) < 0]
    return tuple(found)


@cache
def _interchange_points() -> tuple[Point, ...]:
    return tuple(_ring_point(angle, 0) for angle, _, _ in _interchanges())


def _northward(x: float) -> Callable[[float], Point]:
    """The line along which a street runs north, by how far north."""
    return lambda t: (x, t)


def _eastward(y: float) -> Callable[[float], Point]:
    return lambda t: (t, y)


def _column_x(column: int) -> float:
    return column * BLOCK_M - EAST_M


def _row_y(row: int) -> float:
    return row * BLOCK_M - NORTH_M


def _is_blocked(x: float, y: float) -> bool:
    """No local street and no house: water and its bank, the railway, the freeway and its ramps."""
    if _river_m(x, y) < BANK_M or abs(y - _rail_y(x)) < 24:
        return True
    off = abs(_ring_m(x, y))
    if off < 48:
        return True
    return off < RAMP_OUT_M + 20 and any(hypot(x - px, y - py) < RAMP_ALONG_M for px, py in _interchange_points())


# ---- country, water, rails ---------------------------------------------------------------------------------------


def _blob(x: float, y: float, radius_m: float, rng: Random) -> list[Point]:
    phase, lobes = rng.random() * 2 * pi, rng.randint(2, 4)
    return [
        (
            x + radius_m * (1 + 0.22 * sin(lobes * a + phase)) * 1.5 * cos(a),
            y + radius_m * (1 + 0.18 * cos((lobes + 1) * a)) * sin(a),
        )
        for a in (index * 2 * pi / 28 for index in range(28))
    ]


def _draw_country(sheet: _Sheet, rng: Random) -> None:
    """Woods and meadows outside, so that the city has an edge."""
    drawn = 0
    while drawn < 16:
        x = rng.uniform(-EAST_M - 900, EAST_M + 900)
        y = rng.uniform(-NORTH_M - 900, NORTH_M + 900)
        if (abs(x) < EAST_M + 420 and abs(y) < NORTH_M + 420) or _river_m(x, y) < 500:
            continue
        sheet.ring(_blob(x, y, rng.uniform(140, 260), rng), rng.choice([{"natural": "wood"}, {"landuse": "meadow"}]))
        drawn += 1
    for name, x_km, y_km in DISTRICTS:
        sheet.labels.append(((1000 * x_km, 1000 * y_km), {"place": "suburb", "name": name}))
    for key, value, name, x_km, north_km in STATIONS:
        at = (1000 * x_km, _rail_y(1000 * x_km) if north_km is None else 1000 * north_km)
        sheet.labels.append((at, {key: value, "name": name}))
    sheet.labels.append(((0, 250), {"place": "city", "name": CITY_NAME, "population": "148000"}))


def _draw_river(sheet: _Sheet) -> None:
    end = NORTH_M + MARGIN_M
    ys = [-end + index * 40 for index in range(int(2 * end / 40) + 1)]
    sheet.line([(_river_x(y), y) for y in reversed(ys)], {"waterway": "river", "name": "Alder River"})
    for first in range(0, len(ys) - 1, 20):
        piece = ys[first : first + 21]
        for inner, outer, tags in (
            (-RIVER_HALF_M, RIVER_HALF_M, {"natural": "water", "water": "river"}),
            (RIVER_HALF_M, BANK_M - 12, {"leisure": "park"}),
            (-BANK_M + 12, -RIVER_HALF_M, {"leisure": "park"}),
        ):
            if "leisure" in tags and abs(piece[0]) > NORTH_M:
                continue
            left = [_bank_point(y, inner) for y in piece]
            right = [_bank_point(y, outer) for y in reversed(piece)]
            sheet.ring(left + right, tags)


def _bank_point(y: float, out_m: float) -> Point:
    slope = (_river_x(y + 1) - _river_x(y - 1)) / 2
    length = sqrt(1 + slope * slope)
    return _river_x(y) + out_m / length, y - out_m * slope / length


def _draw_railway(sheet: _Sheet) -> None:
    end = EAST_M + MARGIN_M
    xs = [-end + index * 100 for index in range(int(2 * end / 100) + 1)]
    sheet.line([(x, _rail_y(x)) for x in xs], {"railway": "rail", "name": "Plains Line"}, RAIL)


# ---- freeway -----------------------------------------------------------------------------------------------------

FREEWAY: Tags = {
    "highway": "motorway", "oneway": "yes", "bridge": "yes", "layer": "2", "maxspeed": "65 mph", "lanes": "3",
    "name": "Alder Loop", "ref": "L 9",
}  # fmt: skip
RAMP: Tags = {"highway": "motorway_link", "oneway": "yes", "maxspeed": "35 mph", "layer": "1"}


def _draw_freeway(sheet: _Sheet) -> dict[tuple[str, float], list[float]]:
    """Two one-way circles above everything, and ramps; answers where the ramps meet each primary.

    Traffic keeps right: the outer circle runs counterclockwise, the inner one clockwise.
    """
    joins: dict[tuple[str, float], list[float]] = {}
    exits: list[float] = []
    for angle, axis, at in _interchanges():
        half = RAMP_ALONG_M / hypot(RING_EAST_M * sin(angle), RING_NORTH_M * cos(angle))
        exits += [(angle - half) % (2 * pi), (angle + half) % (2 * pi)]
        for side in (1, -1):
            join = _ramp_join(angle, axis, at, side)
            joins.setdefault((axis, at), []).append(join[1] if axis == "x" else join[0])
            off, on = (angle - side * half) % (2 * pi), (angle + side * half) % (2 * pi)
            _draw_ramp(sheet, off, join, side, leaves=True)
            _draw_ramp(sheet, on, join, side, leaves=False)
    angles = sorted({*exits, *(index * 2 * pi / 180 for index in range(180))})
    for side in (1, -1):
        refs = [sheet.node(*_ring_point(angle, side * CARRIAGEWAY_M), SKY) for angle in angles]
        cuts = sorted(angles.index(angle) for angle in exits)
        for first, last in pairwise([*cuts, cuts[0] + len(angles)]):
            piece = [refs[index % len(refs)] for index in range(first, last + 1)]
            sheet.way(piece if side > 0 else piece[::-1], FREEWAY)
    return joins


def _ramp_join(angle: float, axis: str, at: float, side: int) -> Point:
    """Where a ramp reaches the primary: on its line, RAMP_OUT_M beside the freeway."""
    x, y = _ring_point(angle, 0)
    outward = 1 if (y if axis == "x" else x) > 0 else -1
    for step in range(20, 600):
        along = (y if axis == "x" else x) + side * outward * step
        point = (at, along) if axis == "x" else (along, at)
        if side * _ring_m(*point) >= RAMP_OUT_M:
            return round(point[0], 1), round(point[1], 1)
    raise AssertionError("a primary runs along the freeway and never leaves it")


def _draw_ramp(sheet: _Sheet, angle: float, join: Point, side: int, leaves: bool) -> None:
    x, y = _ring_point(angle, side * CARRIAGEWAY_M)
    direction = side if leaves else -side  # along the circle, toward the primary
    ahead = _ring_point(angle + 0.001 * direction, side * CARRIAGEWAY_M)
    dx, dy = ahead[0] - x, ahead[1] - y
    reach = 0.62 * hypot(join[0] - x, join[1] - y) / hypot(dx, dy)
    bend = (x + reach * dx, y + reach * dy)
    refs = [sheet.node(x, y, SKY)]
    for index in range(1, 8):
        s = index / 8
        refs.append(
            sheet.node(
                (1 - s) ** 2 * x + 2 * s * (1 - s) * bend[0] + s * s * join[0],
                (1 - s) ** 2 * y + 2 * s * (1 - s) * bend[1] + s * s * join[1],
                SKY,
            )
        )
    refs.append(sheet.node(*join))
    sheet.way(refs if leaves else refs[::-1], RAMP)


# ---- arterials ---------------------------------------------------------------------------------------------------

Crossings = dict[tuple[str, float], set[float]]


def _draw_arterials(
    sheet: _Sheet, plan: _Plan, crossings: Crossings, joins: dict[tuple[str, float], list[float]]
) -> None:
    """Every arterial with all its crossings from both neighbors, so that each of them is one shared node."""
    for column in range(COLUMNS + 1):
        x, primary = _column_x(column), column in PRIMARY_COLUMNS
        stops = {*crossings.get(("x", x), ()), *joins.get(("x", x), ()), *(_row_y(row) for row in range(ROWS + 1))}
        end = NORTH_M + (MARGIN_M if primary else 0)
        _draw_arterial(sheet, _northward(x), stops, end, plan.column_names[column], primary, bridged=primary)
    for row in range(ROWS + 1):
        y, primary = _row_y(row), row in PRIMARY_ROWS
        columns = (_column_x(column) for column in range(COLUMNS + 1))
        stops = {*crossings.get(("y", y), ()), *joins.get(("y", y), ()), *columns}
        end = EAST_M + (MARGIN_M if primary else 0)
        bridged = row in BRIDGED_ROWS
        _draw_arterial(sheet, _eastward(y), stops, end, plan.row_names[row], primary, bridged)


def _draw_arterial(
    sheet: _Sheet, at: Callable[[float], Point], stops: set[float], end: float, name: str, primary: bool, bridged: bool
) -> None:
    tags = {"highway": "primary", "maxspeed": "40 mph"} if primary else {"highway": "secondary", "maxspeed": "35 mph"}
    tags["name"] = name

    def is_wet(t: float) -> bool:
        return _river_m(*at(t)) < RIVER_HALF_M + 12

    bends = {-end + index * 100 for index in range(int(2 * end / 100) + 1)}
    ts = sorted({*stops, *bends, *_changes(is_wet, -end, end), -end, end})
    for wet, steps in groupby(pairwise(ts), key=lambda step: is_wet((step[0] + step[1]) / 2)):
        piece = list(steps)
        if bridged or not wet:
            points = [at(piece[0][0]), *(at(last) for _, last in piece)]
            sheet.line(points, tags | {"bridge": "yes", "layer": "1"} if wet else tags)


def _changes(is_wet: Callable[[float], bool], first: float, last: float) -> Iterator[float]:
    """Where water begins or ends between `first` and `last`, to a centimeter."""
    for low in _steps(first, last):
        a, b = low, low + STEP_M
        if is_wet(a) == is_wet(b):
            continue
        while b - a > 0.01:
            middle = (a + b) / 2
            a, b = (middle, b) if is_wet(middle) == is_wet(a) else (a, middle)
        yield b


def _steps(first: float, last: float) -> Iterator[float]:
    for index in range(int((last - first) / STEP_M)):
        yield first + index * STEP_M


# ---- superblocks -------------------------------------------------------------------------------------------------


class _Lot(Struct, frozen=True):
    """Ground that is taken, in meters."""

    west: float
    south: float
    east: float
    north: float

    def holds(self, x: float, y: float) -> bool:
        return self.west <= x <= self.east and self.south <= y <= self.north


def _draw_care(sheet: _Sheet) -> list[_Lot]:
    lots: list[_Lot] = []
    for kind, name, x_km, y_km, half_m in CARE:
        x, y = 1000 * x_km, 1000 * y_km
        tags = {"building": "yes", "amenity": kind, "name": name}
        notch = half_m * 0.35
        sheet.ring(
            [
                (x - half_m, y - half_m * 0.7),
                (x + half_m, y - half_m * 0.7),
                (x + half_m, y + half_m * 0.7),
                (x + notch, y + half_m * 0.7),
                (x + notch, y + half_m * 0.3),
                (x - notch, y + half_m * 0.3),
                (x - notch, y + half_m * 0.7),
                (x - half_m, y + half_m * 0.7),
            ],
            tags,
        )
        lots.append(_Lot(x - half_m - 14, y - half_m * 0.7 - 14, x + half_m + 14, y + half_m * 0.7 + 14))
    return lots


def _draw_blocks(sheet: _Sheet, plan: _Plan, rng: Random, lots: list[_Lot]) -> Crossings:
    crossings: Crossings = {}
    for column, row in product(range(COLUMNS), range(ROWS)):
        if (column, row) in plan.parks:
            _draw_park(sheet, column, row, rng)
        elif _remoteness(column, row) < 1.22 or rng.random() < 0.3:
            _draw_block(sheet, plan, rng, lots, column, row, crossings)
            plan.built.add((column, row))
    return crossings


def _draw_park(sheet: _Sheet, column: int, row: int, rng: Random) -> None:
    west, south, inset = _column_x(column), _row_y(row), 26.0
    east, north = west + BLOCK_M - inset, south + BLOCK_M - inset
    west, south = west + inset, south + inset
    name = (
        rng.choice(["Memorial", "Founders", "Prairie", "Lakeside", "Heritage", "Veterans", "Orchard", "Sunset"])
        + " Park"
    )
    sheet.ring([(west, south), (east, south), (east, north), (west, north)], {"leisure": "park", "name": name})
    middle_x, middle_y = (west + east) / 2, (south + north) / 2
    if _is_blocked(middle_x, middle_y) or abs(_ring_m(middle_x, middle_y)) < 420 or _river_m(middle_x, middle_y) < 420:
        return
    pond = _blob(middle_x + rng.uniform(-90, 90), middle_y + rng.uniform(-90, 90), rng.uniform(60, 110), rng)
    sheet.ring(pond, {"natural": "water", "water": "pond"})
    walk = [(middle_x + 1.45 * (x - middle_x) * 1.1, middle_y + 1.5 * (y - middle_y)) for x, y in pond]
    sheet.ring(walk, {"highway": "footway"})


def _streets_in(column: int, row: int, rng: Random) -> tuple[int, int]:
    """How many streets run (north, east) in a superblock: dense in the middle, sparse outside."""
    remote = _remoteness(column, row)
    if remote < 0.3:
        return 7, 7
    if remote < 0.62:
        return rng.randint(5, 7), rng.randint(3, 5)
    if remote < 0.95:
        return rng.randint(4, 6), rng.randint(2, 4)
    return rng.randint(1, 4), rng.randint(1, 3)


def _draw_block(
    sheet: _Sheet, plan: _Plan, rng: Random, lots: list[_Lot], column: int, row: int, crossings: Crossings
) -> None:
    west, south = _column_x(column), _row_y(row)
    east, north = west + BLOCK_M, south + BLOCK_M
    north_count, east_count = _streets_in(column, row, rng)
    xs = [round(west + BLOCK_M * (index + 1) / (north_count + 1), 1) for index in range(north_count)]
    ys = [round(south + BLOCK_M * (index + 1) / (east_count + 1), 1) for index in range(east_count)]
    downtown = _remoteness(column, row) < 0.3

    lots_here = [lot for lot in lots if lot.west < east and lot.east > west and lot.south < north and lot.north > south]

    def blocked(x: float, y: float) -> bool:
        return any(lot.holds(x, y) for lot in lots_here) or _is_blocked(x, y)

    for index, x in enumerate(xs):
        # outside the center some streets do not reach the arterial: fewer junctions on it, as planners like
        first = ys[0] if not downtown and rng.random() < 0.3 else south
        name = _north_name(plan, column, x - west, row)
        for run in _runs(_northward(x), [t for t in (south, *ys, north) if t >= first], blocked):
            _note_ends(run, south, north, x, "y", crossings)
            one_way = downtown and (run[0], run[-1]) == (south, north)  # a dead end must be two-way
            _draw_local(sheet, [(x, t) for t in run], name, one_way, index % 2 == 0)
            if not downtown:
                _draw_houses(sheet, rng, [(x, t) for t in run], name, 31.0, blocked, ys)
    for index, y in enumerate(ys):
        name = _east_name(row, y - south, column)
        for run in _runs(_eastward(y), [west, *xs, east], blocked):
            _note_ends(run, west, east, y, "x", crossings)
            one_way = downtown and (run[0], run[-1]) == (west, east)
            _draw_local(sheet, [(t, y) for t in run], name, one_way, index % 2 == 0)
            if not downtown:
                _draw_houses(sheet, rng, [(t, y) for t in run], name, 15.0, blocked, xs)
    if downtown:
        _draw_towers(sheet, plan, rng, column, row, [west, *xs, east], [south, *ys, north], blocked)


def _note_ends(run: list[float], low: float, high: float, at: float, axis: str, crossings: Crossings) -> None:
    """Tell the arterials at both ends where this street meets them."""
    for end in (low, high):
        if end in (run[0], run[-1]):
            crossings.setdefault((axis, end), set()).add(at)


def _runs(
    at: Callable[[float], Point], stops: list[float], blocked: Callable[[float, float], bool]
) -> Iterator[list[float]]:
    """The pieces of a street that are left between the obstacles, each with the crossings on it."""
    ts = sorted({*stops, *(t + STEP_M for t in _steps(stops[0], stops[-1]))})
    run: list[float] = []
    for t in [*ts, None]:
        if t is not None and not blocked(*at(t)):
            run.append(t)
            continue
        if run and run[-1] - run[0] >= 40:
            keep = [t for t in run if t in stops or t in (run[0], run[-1])]
            if any(t in stops for t in keep):
                yield keep
        run = []


def _draw_local(sheet: _Sheet, points: list[Point], name: str, one_way: bool, forward: bool) -> None:
    tags = {"highway": "residential", "maxspeed": "25 mph", "name": name}
    if one_way:
        tags["oneway"] = "yes"
    sheet.line(points if forward else points[::-1], tags)


def _north_name(plan: _Plan, column: int, from_west: float, row: int) -> str:
    slot = column * SLOTS + round(from_west / BLOCK_M * SLOTS)
    side = "South" if row < ROWS // 2 else "North"
    return f"{side} {plan.names[slot % len(plan.names)]} {('Avenue', 'Street', 'Lane')[slot % 3]}"


def _east_name(row: int, from_south: float, column: int) -> str:
    number = row * SLOTS + round(from_south / BLOCK_M * SLOTS)
    side = "West" if column < COLUMNS // 2 else "East"
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{side} {number}{ending} Street"


# ---- houses ------------------------------------------------------------------------------------------------------


def _number(along_m: float, left: bool) -> int:
    """Hundreds from the base line, a hundred to a block, even on one side."""
    blocks, rest = divmod(abs(along_m), 100)
    return int(blocks) * 100 + 2 * int(rest / 2) + (1 if left else 2)


def _draw_houses(
    sheet: _Sheet,
    rng: Random,
    street: list[Point],
    name: str,
    from_corner_m: float,
    blocked: Callable[[float, float], bool],
    cross_streets: list[float],
) -> None:
    runs_north = street[0][0] == street[-1][0]
    low, high = (street[0][1], street[-1][1]) if runs_north else (street[0][0], street[-1][0])
    corners = [low, high, *cross_streets]
    t = low + from_corner_m
    while t < high - 8:
        near = min(abs(t - corner) for corner in corners)
        if near < from_corner_m:
            t += from_corner_m - near + 1
            continue
        for left in (True, False):
            if rng.random() < 0.06:
                continue  # a garden
            off = (19 + rng.random() * 3) * (-1 if left else 1)
            x, y = (street[0][0] + off, t) if runs_north else (t, street[0][1] + off)
            wide, deep = 5 + rng.random() * 2.5, 4.5 + rng.random() * 2.5
            dx, dy = (deep, wide) if runs_north else (wide, deep)
            if blocked(x, y):
                continue
            sheet.ring(
                [(x - dx, y - dy), (x + dx, y - dy), (x + dx, y + dy), (x - dx, y + dy)],
                {"building": "house", "addr:housenumber": str(_number(t, left)), "addr:street": name},
            )
        t += 21 + rng.random() * 7


def _draw_arterial_houses(sheet: _Sheet, plan: _Plan, rng: Random, lots: list[_Lot], crossings: Crossings) -> None:
    """Along each arterial, outside the center and away from its corners; no town leaves its main roads empty."""
    for axis, lines, blocks in (("x", COLUMNS, ROWS), ("y", ROWS, COLUMNS)):
        for line, block, left in product(range(lines + 1), range(blocks), (True, False)):
            # west of a street that runs north, and north of one that runs east, is its left
            beside = line - left if axis == "x" else line - (not left)
            cell = (beside, block) if axis == "x" else (block, beside)
            if cell not in plan.built or _remoteness(*cell) < 0.3:
                continue
            at = _column_x(line) if axis == "x" else _row_y(line)
            low = _row_y(block) if axis == "x" else _column_x(block)
            name = (plan.column_names if axis == "x" else plan.row_names)[line]
            corners = [low, low + BLOCK_M, *crossings.get((axis, at), ())]
            _draw_frontage(sheet, rng, lots, axis, at, low, left, name, corners)


def _draw_frontage(
    sheet: _Sheet,
    rng: Random,
    lots: list[_Lot],
    axis: str,
    at: float,
    low: float,
    left: bool,
    name: str,
    corners: list[float],
) -> None:
    """Houses along one side of an arterial, from `low` for one superblock."""
    t = low + ARTERIAL_CORNER_M
    while t < low + BLOCK_M - ARTERIAL_CORNER_M:
        off, half, step = 23 + rng.random() * 2, 5.5 + rng.random() * 2, 34 + rng.random() * 22
        away = off if left == (axis == "y") else -off
        x, y = (at + away, t) if axis == "x" else (t, at + away)
        ring = [(x - half, y - half), (x + half, y - half), (x + half, y + half), (x - half, y + half)]
        is_free = not any(_is_blocked(*point) or any(lot.holds(*point) for lot in lots) for point in ring)
        if is_free and min(abs(t - corner) for corner in corners) >= ARTERIAL_CORNER_M:
            tags = {"building": "commercial", "addr:housenumber": _arterial_number(t, axis, left), "addr:street": name}
            sheet.ring(ring, tags)
        t += step


def _arterial_number(along_m: float, axis: str, left: bool) -> str:
    """An arterial has no north and south in its name: its numbers begin at one end of the city, so each is there once."""
    return str(_number(along_m + (NORTH_M if axis == "x" else EAST_M) + MARGIN_M, left))


def _address_care(sheet: _Sheet) -> None:
    """Hospitals, stations and shelters get a number in the nearest street that was drawn."""
    where = {ref: (x, y) for (x, y, _), ref in sheet.ids.items()}
    streets = [
        (tags["name"], where[a], where[b])
        for refs, tags in sheet.ways
        if tags.get("highway") in ("residential", "primary", "secondary") and "bridge" not in tags
        for a, b in pairwise(refs)
    ]
    arterials = {*PRIMARY_NAMES, *SECONDARY_NAMES}
    places = {name: (1000 * x_km, 1000 * y_km) for _, name, x_km, y_km, _ in CARE}
    for _, tags in sheet.ways:
        if tags.get("name") not in places or "amenity" not in tags:
            continue
        x, y = places[tags["name"]]
        street, a, b = min(streets, key=lambda one: (_off_m((x, y), one[1], one[2]), one))
        runs_north = abs(b[1] - a[1]) > abs(b[0] - a[0])
        along, left = (y, x < a[0]) if runs_north else (x, y > a[1])
        axis = "x" if runs_north else "y"
        tags["addr:housenumber"] = (
            _arterial_number(along, axis, left) if street in arterials else str(_number(along, left))
        )
        tags["addr:street"] = street


def _off_m(point: Point, a: Point, b: Point) -> float:
    """Meters from a point to a straight piece of street."""
    (x, y), length = point, hypot(b[0] - a[0], b[1] - a[1])
    if length == 0:
        return hypot(x - a[0], y - a[1])
    share = ((x - a[0]) * (b[0] - a[0]) + (y - a[1]) * (b[1] - a[1])) / length**2
    share = max(0.0, min(1.0, share))
    return hypot(x - a[0] - share * (b[0] - a[0]), y - a[1] - share * (b[1] - a[1]))


def _draw_towers(
    sheet: _Sheet,
    plan: _Plan,
    rng: Random,
    column: int,
    row: int,
    xs: list[float],
    ys: list[float],
    blocked: Callable[[float, float], bool],
) -> None:
    """Four large buildings to a downtown block, with the number of the street on their west."""
    for (west, east), (south, north) in product(pairwise(xs), pairwise(ys)):
        is_arterial = west == xs[0]
        name = plan.column_names[column] if is_arterial else _north_name(plan, column, west - xs[0], row)
        quarter_x, quarter_y = (east - west) / 4, (north - south) / 4
        for i, j in product((1, 3), (1, 3)):
            x, y = west + quarter_x * i, south + quarter_y * j
            dx, dy = (quarter_x - 7) * rng.uniform(0.55, 1), (quarter_y - 7) * rng.uniform(0.55, 1)
            if rng.random() < 0.1 or any(blocked(x + sx * dx, y + sy * dy) for sx, sy in product((-1, 1), (-1, 1))):
                continue
            number = _arterial_number(y, "x", i == 1) if is_arterial else str(_number(y, i == 1))
            sheet.ring(
                [(x - dx, y - dy), (x + dx, y - dy), (x + dx, y + dy), (x - dx, y + dy)],
                {"building": "commercial", "addr:housenumber": number, "addr:street": name},
            )
