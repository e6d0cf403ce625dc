"""The drivable streets of an .osm.pbf as a graph, and the quickest way through them.

Only the largest part in which every corner can reach every other is kept: a vehicle set down anywhere can be sent
anywhere. Good enough to move a demonstration fleet; the hub never sees it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from heapq import heappop, heappush
from itertools import pairwise
from pathlib import Path
from random import Random

import osmium
from msgspec import Struct

from wire.distance import nearby_m

MPS_PER_MPH = 0.44704
MPS_PER_KMH = 1 / 3.6
# What a careful driver does where no sign is mapped. Service roads and tracks are left out: nobody patrols them.
SPEED_MPS = {
    "motorway": 29.0, "motorway_link": 15.0, "trunk": 24.0, "trunk_link": 13.0, "primary": 17.0, "primary_link": 11.0,
    "secondary": 15.0, "secondary_link": 10.0, "tertiary": 13.0, "tertiary_link": 10.0, "unclassified": 11.0,
    "residential": 11.0, "living_street": 4.0, "road": 10.0,
}  # fmt: skip
FREEWAY = ("motorway", "motorway_link", "trunk_link")  # no place to stop


class Leg(Struct, frozen=True):
    """From one point of a street to the next, the way traffic may go."""

    to: int
    length_m: float
    speed_mps: float


class Streets(Struct, frozen=True, kw_only=True):
    """Points by index, and the legs that leave each; `stops` are the points where a vehicle may stand."""

    lats: tuple[float, ...]
    lons: tuple[float, ...]
    legs: tuple[tuple[Leg, ...], ...]
    stops: tuple[int, ...]
    top_speed_mps: float

    @classmethod
    def load(cls, path: Path) -> Streets:
        """The streets in `path`; ValueError when it has none or cannot be read."""
        return _connected(*_read(path))

    def nearest(self, lat: float, lon: float) -> int:
        """The stop closest to a place."""
        return min(self.stops, key=lambda at: nearby_m(lat, lon, self.lats[at], self.lons[at]))

    def chosen(self, rng: Random) -> int:
        """A stop by chance."""
        return self.stops[rng.randrange(len(self.stops))]

    def route(self, start: int, goal: int) -> list[int]:
        """The points of the quickest way, both ends included."""
        return _quickest(self, start, goal)


def _read(path: Path) -> tuple[dict[int, tuple[float, float]], dict[int, list[Leg]], set[int]]:
    """(place of each node, legs by OSM node id, nodes where one may stop)."""
    places: dict[int, tuple[float, float]] = {}
    legs: dict[int, list[Leg]] = {}
    stops: set[int] = set()
    try:
        ways = osmium.FileProcessor(str(path)).with_locations().with_filter(osmium.filter.KeyFilter("highway"))
        for way in ways:
            if not isinstance(way, osmium.osm.Way):
                continue
            tags = {tag.k: tag.v for tag in way.tags}
            speed_mps = _speed_mps(tags)
            if speed_mps is None:
                continue
            nodes = [node for node in way.nodes if node.location.valid()]
            places.update((node.ref, (node.location.lat, node.location.lon)) for node in nodes)
            refs = [node.ref for node in nodes]
            if tags["highway"] not in FREEWAY:
                stops.update(refs)
            for a, b in _directed(refs, tags):
                legs.setdefault(a, []).append(Leg(b, nearby_m(*places[a], *places[b]), speed_mps))
    except (RuntimeError, OSError) as error:
        raise ValueError(f"{path} cannot be read as OpenStreetMap data: give a whole .osm.pbf file") from error
    if not legs:
        raise ValueError(f"{path} has no streets to drive on")
    return places, legs, stops


def _speed_mps(tags: Mapping[str, str]) -> float | None:
    """What to drive on a way with these tags; None where nobody may drive."""
    usual = SPEED_MPS.get(tags["highway"])
    if usual is None or tags.get("area") == "yes":
        return None
    if any(tags.get(key) in ("no", "private") for key in ("access", "motor_vehicle", "vehicle")):
        return None
    number, _, unit = tags.get("maxspeed", "").partition(" ")
    if not number.isdecimal() or not 5 <= int(number) <= 130:
        return usual
    return int(number) * (MPS_PER_MPH if unit == "mph" else MPS_PER_KMH)


def _directed(refs: list[int], tags: Mapping[str, str]) -> Iterator[tuple[int, int]]:
    one_way = tags.get("oneway")
    implied = tags["highway"] in FREEWAY or tags.get("junction") == "roundabout"
    if one_way != "-1":
        yield from pairwise(refs)
    if one_way in ("-1", "no") or (one_way not in ("yes", "true", "1") and not implied):
        yield from pairwise(reversed(refs))


def _connected(places: dict[int, tuple[float, float]], legs: dict[int, list[Leg]], stops: set[int]) -> Streets:
    kept = _largest_strong_part(list(places), {at: [leg.to for leg in out] for at, out in legs.items()})
    index = {ref: i for i, ref in enumerate(sorted(kept))}
    out: list[tuple[Leg, ...]] = [()] * len(index)
    for ref, i in index.items():
        out[i] = tuple(Leg(index[leg.to], leg.length_m, leg.speed_mps) for leg in legs[ref] if leg.to in index)
    return Streets(
        lats=tuple(places[ref][0] for ref in index),
        lons=tuple(places[ref][1] for ref in index),
        legs=tuple(out),
        stops=tuple(index[ref] for ref in index if ref in stops),
        top_speed_mps=max(leg.speed_mps for legs_here in out for leg in legs_here),
    )


def _largest_strong_part(nodes: list[int], to: dict[int, list[int]]) -> set[int]:
    """Kosaraju's two walks: in the order in which one leaves nodes forward, collect what reaches them backward."""
    left: list[int] = []
    seen: set[int] = set()
    for start in nodes:
        if start in seen:
            continue
        seen.add(start)
        walk = [(start, iter(to.get(start, ())))]
        while walk:
            at, ahead = walk[-1]
            step = next((node for node in ahead if node not in seen), None)
            if step is None:
                left.append(at)
                walk.pop()
            else:
                seen.add(step)
                walk.append((step, iter(to.get(step, ()))))
    back: dict[int, list[int]] = {}
    for a, heads in to.items():
        for b in heads:
            back.setdefault(b, []).append(a)
    best: set[int] = set()
    taken: set[int] = set()
    for start in reversed(left):
        if start in taken:
            continue
        part, edge = {start}, [start]
        while edge:
            for node in back.get(edge.pop(), ()):
                if node not in taken and node not in part:
                    part.add(node)
                    edge.append(node)
        taken |= part
        best = max(best, part, key=len)
    return best


def _quickest(streets: Streets, start: int, goal: int) -> list[int]:
    """A*: the straight line at top speed never overestimates, so the first arrival is the quickest."""
    goal_lat, goal_lon = streets.lats[goal], streets.lons[goal]

    def at_best_s(at: int) -> float:
        return 0.99 * nearby_m(streets.lats[at], streets.lons[at], goal_lat, goal_lon) / streets.top_speed_mps

    spent_s = {start: 0.0}
    came_from: dict[int, int] = {}
    done: set[int] = set()
    frontier = [(at_best_s(start), start)]
    while frontier:
        _, at = heappop(frontier)
        if at == goal:
            break
        if at in done:
            continue
        done.add(at)
        for leg in streets.legs[at]:
            there_s = spent_s[at] + leg.length_m / leg.speed_mps
            if there_s < spent_s.get(leg.to, float("inf")):
                spent_s[leg.to] = there_s
                came_from[leg.to] = at
                heappush(frontier, (there_s + at_best_s(leg.to), leg.to))
    points = [goal]
    while points[-1] != start:
        points.append(came_from[points[-1]])
    return points[::-1]
