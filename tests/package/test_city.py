"""The synthetic city: the same seed is the same city, and one can drive from anywhere to anywhere in it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise
from pathlib import Path
from random import Random
from statistics import median

import osmium
import pytest

from demo.city import GENERATOR, CitySummary, draw_city
from demo.streets import Streets
from wire.distance import nearby_m

pytestmark = pytest.mark.xdist_group("drawn city")  # one worker draws the one they share

CELL_DEG = 0.002  # about 200 m: no leg of a street is longer

Point = tuple[float, float]
Leg = tuple[int, int, Point, Point]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, CitySummary]:
    path = tmp_path_factory.mktemp("city") / "city.osm.pbf"
    return path, draw_city(path, seed=7)


def ways(path: Path, key: str) -> Iterator[tuple[dict[str, str], list[tuple[int, Point]]]]:
    for way in osmium.FileProcessor(str(path)).with_locations().with_filter(osmium.filter.KeyFilter(key)):
        if isinstance(way, osmium.osm.Way):
            nodes = [(node.ref, (node.location.lon, node.location.lat)) for node in way.nodes]
            yield {tag.k: tag.v for tag in way.tags}, nodes


def ground_legs(path: Path) -> list[Leg]:
    """Every piece of street between two nodes that is neither bridge nor ramp nor footpath."""
    return [
        (a, b, here, there)
        for tags, nodes in ways(path, "highway")
        if "layer" not in tags and tags["highway"] != "footway"
        for (a, here), (b, there) in pairwise(nodes)
    ]


def cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    def side(p: Point, q: Point, r: Point) -> float:
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0


def cells(*points: Point) -> Iterator[tuple[int, int]]:
    xs = [int(x // CELL_DEG) for x, _ in points]
    ys = [int(y // CELL_DEG) for _, y in points]
    return ((x, y) for x in range(min(xs), max(xs) + 1) for y in range(min(ys), max(ys) + 1))


def by_cell(legs: list[Leg]) -> dict[tuple[int, int], list[Leg]]:
    found: dict[tuple[int, int], list[Leg]] = {}
    for leg in legs:
        for cell in cells(leg[2], leg[3]):
            found.setdefault(cell, []).append(leg)
    return found


def test_the_same_seed_gives_the_same_bytes(drawn: tuple[Path, CitySummary], tmp_path: Path) -> None:
    path, summary = drawn
    assert draw_city(tmp_path / "again.osm.pbf", seed=7) == summary
    assert (tmp_path / "again.osm.pbf").read_bytes() == path.read_bytes()


def test_another_seed_gives_another_city(drawn: tuple[Path, CitySummary], tmp_path: Path) -> None:
    draw_city(tmp_path / "other.osm.pbf", seed=8)
    assert (tmp_path / "other.osm.pbf").read_bytes() != drawn[0].read_bytes()


def test_the_file_says_who_drew_it_and_that_it_is_sorted(drawn: tuple[Path, CitySummary]) -> None:
    with osmium.io.Reader(str(drawn[0])) as reader:
        header = reader.header()
    assert header.get("generator") == GENERATOR
    assert header.get("sorting") == "Type_then_ID"
    assert header.box().valid()


def test_where_two_streets_cross_on_the_ground_they_share_a_node(drawn: tuple[Path, CitySummary]) -> None:
    for legs in by_cell(ground_legs(drawn[0])).values():
        for (a, b, here, there), (c, d, other_here, other_there) in combinations(legs, 2):
            if {a, b} & {c, d}:
                continue
            assert not cross(here, there, other_here, other_there), f"streets cross without a junction at {here}"


def test_no_building_stands_in_a_street(drawn: tuple[Path, CitySummary]) -> None:
    near = by_cell(ground_legs(drawn[0]))
    for tags, nodes in ways(drawn[0], "building"):
        for (_, here), (_, there) in pairwise(nodes):
            for cell in cells(here, there):
                for _, _, a, b in near.get(cell, ()):
                    assert not cross(here, there, a, b), f"{tags} stands in a street at {here}"


def test_anywhere_can_be_reached_from_anywhere_without_long_ways_around(drawn: tuple[Path, CitySummary]) -> None:
    streets = Streets.load(drawn[0])
    drivable = {ref for tags, nodes in ways(drawn[0], "highway") if tags["highway"] != "footway" for ref, _ in nodes}
    assert len(streets.lats) == len(drivable), "a part of the city cannot be driven to or out of"
    rng = Random(1)
    trips = [(streets.chosen(rng), streets.chosen(rng)) for _ in range(150)]
    assert median(detour(streets, start, goal) for start, goal in trips) < 1.5


def test_the_river_makes_the_straight_line_a_bad_judge(drawn: tuple[Path, CitySummary]) -> None:
    streets = Streets.load(drawn[0])
    (river,) = [nodes for tags, nodes in ways(drawn[0], "waterway") if tags["waterway"] == "river"]
    facing = [
        (streets.nearest(lat, lon - 0.0025), streets.nearest(lat, lon + 0.0025)) for _, (lon, lat) in river[40:-40:8]
    ]
    assert max(detour(streets, west, east) for west, east in facing) > 6


def detour(streets: Streets, start: int, goal: int) -> float:
    """How much longer the road is than the straight line."""
    points = [(streets.lats[at], streets.lons[at]) for at in streets.route(start, goal)]
    return sum(nearby_m(*a, *b) for a, b in pairwise(points)) / max(1.0, nearby_m(*points[0], *points[-1]))


def test_every_address_is_there_once_and_in_a_street_that_was_drawn(drawn: tuple[Path, CitySummary]) -> None:
    streets = {tags["name"] for tags, _ in ways(drawn[0], "highway") if "name" in tags}
    addresses = [(tags["addr:housenumber"], tags["addr:street"]) for tags, _ in ways(drawn[0], "addr:housenumber")]
    assert len(addresses) == len(set(addresses)) == drawn[1].houses
    lost = {street for _, street in addresses} - streets
    assert not lost, "a house in a street that the river took"
    arterials = {tags["name"] for tags, _ in ways(drawn[0], "highway") if tags["highway"] in ("primary", "secondary")}
    assert arterials <= {street for _, street in addresses}


def test_every_place_of_care_has_an_address(drawn: tuple[Path, CitySummary]) -> None:
    addressed = {tags["name"] for tags, _ in ways(drawn[0], "amenity") if "addr:housenumber" in tags}
    assert {place.name for place in drawn[1].places} <= addressed


def test_every_place_of_care_is_near_a_street(drawn: tuple[Path, CitySummary]) -> None:
    streets = Streets.load(drawn[0])
    assert {"hospital", "police", "fire_station", "clinic"} <= {place.kind for place in drawn[1].places}
    for place in drawn[1].places:
        stop = streets.nearest(place.lat, place.lon)
        assert nearby_m(place.lat, place.lon, streets.lats[stop], streets.lons[stop]) < 220, place.name
