"""What the hub asks of the road engine: times, a way, what is within reach; each with an answer or a word by a deadline.

The law: whoever asks waits no longer than it said, whatever the engine does. `None` for a place means that no road leads
there, which is an answer; RoadsDown means that there is none, and the caller goes on by straight line. Questions go by
POST and reasons name no place, so that no coordinates come into any log.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec
from msgspec import Struct

from hub.engine import Endpoint
from hub.rank import Travel
from hub.rings import Ring as Ring
from hub.rings import Spot as Spot
from hub.road_link import Answer, Call, RoadLink
from hub.road_link import RoadsDown as RoadsDown
from wire import typed

WAIT_S = 0.2  # a dispatcher has seconds; a list by straight line now is better than one by road later
WAY_WAIT_S, REACH_WAIT_S = 1.0, 2.0  # a way goes to the terminal after the assignment; an area is a look at the map
CHUNK = 12  # sources in one question: alone each costs the engine 5.5 ms in it, in one of 200 it costs 9
SNAP_M = 1_000  # farther from any road than this, a place is not on the map
MINUTES_MAX = 4  # sizes of area in one question
COVER_MAX = 60  # from so many at once: 0.3 s for an answer that a fleet of any size gets
DENOISE = 0.05  # of the largest area: with 1, the engine's own, only the largest of several is told
GENERALIZE_M = 30.0  # an area's edge finer than a house lot is seen by nobody

T = TypeVar("T")

# What the engine says where there is no way: nothing in reach of an end (170, 171) or nothing open (442), no connection
# (443), or too far apart (154).
_NO_WAY = frozenset({154, 170, 171, 442, 443})


class OffTheRoads(RoadsDown):
    """The place that was asked for is on no road of this map: the engine runs, and cannot help."""


class Turn(Struct, frozen=True, kw_only=True):
    """One thing to do on the way: what in `words`, where as an index `at` into the line, and how far it then goes on.

    `kind` is the engine's number for it (1 start, 4 arrive, 10 right, 15 left …), which picks the arrow.
    """

    words: str
    kind: int
    streets: tuple[str, ...]
    at: int
    distance_m: float
    seconds: float


class Route(Struct, frozen=True, kw_only=True):
    """A way by road. `line` is an encoded polyline of six decimals; `wire.way.points_of` opens it."""

    line: str
    distance_m: float
    seconds: float
    turns: tuple[Turn, ...]


class Area(Struct, frozen=True, kw_only=True):
    """What is reached within `minutes`: closed rings of longitude and latitude, the outer one first, then its holes."""

    minutes: float
    rings: tuple[tuple[tuple[float, float], ...], ...]


class Cover(Struct, frozen=True, kw_only=True):
    """What several reach together. `on_roads`: of each that was asked for, whether it is on a road at all."""

    areas: tuple[Area, ...]
    on_roads: tuple[bool, ...]


class Roads:
    """The road engine that `where` names, None while there is none. Any thread may ask."""

    def __init__(self, where: Callable[[], Endpoint | None], monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._link = RoadLink(where, monotonic_s)

    @property
    def graph(self) -> str:
        """The build id of the roads that answer, for what is stored with a ranking; empty while none do."""
        endpoint = self._link.where()
        return "" if endpoint is None else endpoint.graph.id

    @property
    def fastest_mps(self) -> float | None:
        """No time is ever answered that would need a higher speed; None while none is."""
        endpoint = self._link.where()
        return None if endpoint is None else endpoint.graph.fastest_kph / 3.6

    def times(
        self, sources: Sequence[Spot], target: Spot, closed: Sequence[Ring] = (), wait_s: float = WAIT_S
    ) -> list[Travel | None]:
        """How each of `sources` gets to `target`, None where no way leads there.

        RoadsDown after `wait_s` at the latest; OffTheRoads when `target` is on no road, which is not about the sources.
        """
        chunks = [sources[first : first + CHUNK] for first in range(0, len(sources), CHUNK)]
        with self._link.asking(wait_s) as call:
            questions = [_matrix(call, chunk, target, closed) for chunk in chunks]
            found: list[Travel | None] = []
            for chunk, answer in zip(chunks, call.ask_all("sources_to_targets", questions), strict=True):
                found += _apart(call, chunk, target, closed) if _is_no_way(answer) else _travels(answer, len(chunk))
            return found

    def route(
        self,
        a: Spot,
        b: Spot,
        closed: Sequence[Ring] = (),
        wait_s: float = WAY_WAIT_S,
        *,
        heading_deg: float | None = None,
    ) -> Route | None:
        """The way from `a` to `b` with its turns, None where there is none; RoadsDown after `wait_s` at the latest.

        `heading_deg`: how who is at `a` drives, so that the way does not begin on the other carriageway.
        """
        with self._link.asking(wait_s) as call:
            start, end = _places([a, b])
            if heading_deg is not None:
                start["heading"] = round(heading_deg) % 360
            question = _question(call, closed, locations=[start, end], units="kilometers", language="en-US")
            answer = call.ask("route", question)
            return None if _is_no_way(answer) else _route(answer)

    def reach(
        self, spot: Spot, minutes: Sequence[int], closed: Sequence[Ring] = (), wait_s: float = REACH_WAIT_S
    ) -> tuple[Area, ...]:
        """What is reached from `spot` within each of `minutes` (MINUTES_MAX at most), the widest first.

        RoadsDown after `wait_s` at the latest; OffTheRoads when `spot` is on no road.
        """
        reached = self.cover([spot], minutes, closed, wait_s)
        if not all(reached.on_roads):
            raise OffTheRoads("The place is on no road of the map.")
        return reached.areas

    def cover(
        self, spots: Sequence[Spot], minutes: Sequence[int], closed: Sequence[Ring] = (), wait_s: float = REACH_WAIT_S
    ) -> Cover:
        """What is reached from the nearest of `spots` within each of `minutes`: one question, and one look at each road.

        RoadsDown after `wait_s` at the latest. Of more than COVER_MAX spots the first count.
        """
        asked = spots[:COVER_MAX]
        with self._link.asking(wait_s) as call:
            # From where there is no road it would answer with a diamond around the place.
            on_roads = _are_on_roads(call, asked) if asked else []
            kept = [spot for spot, is_on in zip(asked, on_roads, strict=True) if is_on]
            if not kept:
                return Cover(areas=(), on_roads=tuple(on_roads))
            question = _question(
                call,
                closed,
                locations=_places(kept),
                contours=[{"time": each} for each in sorted(minutes)[:MINUTES_MAX]],
                polygons=True,
                generalize=GENERALIZE_M,
                denoise=DENOISE,
            )
            answer = call.ask("isochrone", question)
            areas = () if _is_no_way(answer) else _areas(answer)
            return Cover(areas=areas, on_roads=tuple(on_roads))

    def close(self) -> None:
        """Let go of the engine."""
        self._link.close()


def geojson(areas: Sequence[Area]) -> bytes:
    """The areas as a GeoJSON collection of polygons, each with its `minutes`."""
    features = [
        {
            "type": "Feature",
            "properties": {"minutes": area.minutes},
            "geometry": {"type": "Polygon", "coordinates": area.rings},
        }
        for area in areas
    ]
    return msgspec.json.encode({"type": "FeatureCollection", "features": features})


# ---- questions ---------------------------------------------------------------------------------------------------


def _question(call: Call, closed: Sequence[Ring], **asked: object) -> bytes:
    options = {"auto": {"top_speed": call.graph.fastest_kph}}
    rings = [[(corner.lon, corner.lat) for corner in (*ring.corners, ring.corners[0])] for ring in closed]
    return msgspec.json.encode({"costing": "auto", "costing_options": options, "exclude_polygons": rings, **asked})


def _places(spots: Sequence[Spot]) -> list[dict[str, float]]:
    # By default it takes the nearest road within 35 km for the place.
    return [{"lat": spot.lat, "lon": spot.lon, "search_cutoff": SNAP_M} for spot in spots]


def _matrix(call: Call, sources: Sequence[Spot], target: Spot, closed: Sequence[Ring]) -> bytes:
    return _question(call, closed, sources=_places(sources), targets=_places([target]), verbose=False)


def _apart(call: Call, sources: Sequence[Spot], target: Spot, closed: Sequence[Ring]) -> list[Travel | None]:
    """The same as one question, when one place without a road has spoiled the answer for all."""
    *on_roads, is_target_on = _are_on_roads(call, [*sources, target])
    if not is_target_on:
        raise OffTheRoads("The place is on no road of the map.")
    kept = [source for source, is_on in zip(sources, on_roads, strict=True) if is_on]
    ways = iter(_halved(call, kept, target, closed))
    return [next(ways) if is_on else None for is_on in on_roads]


def _halved(call: Call, sources: Sequence[Spot], target: Spot, closed: Sequence[Ring]) -> list[Travel | None]:
    """As one question; where that fails, as two, until the one that no road connects stands alone."""
    if not sources:
        return []
    answer = call.ask("sources_to_targets", _matrix(call, sources, target, closed))
    if not _is_no_way(answer):
        return _travels(answer, len(sources))
    if len(sources) == 1:
        return [None]
    half = len(sources) // 2
    return [part for side in (sources[:half], sources[half:]) for part in _halved(call, side, target, closed)]


def _are_on_roads(call: Call, spots: Sequence[Spot]) -> list[bool]:
    answer = call.ask("locate", _question(call, (), locations=_places(spots), verbose=False))
    if _is_no_way(answer):
        return [False] * len(spots)
    located = _read(answer, list[_Located])
    _require(len(located) == len(spots))
    return [bool(each.edges) for each in located]


# ---- answers -----------------------------------------------------------------------------------------------------


class _Refusal(Struct, frozen=True):
    error_code: int = 0


class _Located(Struct, frozen=True):
    edges: list[msgspec.Raw] | None = None


class _Table(Struct, frozen=True):
    durations: list[list[float | None]]
    distances: list[list[float | None]]


class _Matrix(Struct, frozen=True):
    sources_to_targets: _Table


class _Maneuver(Struct, frozen=True):
    type: int
    instruction: str
    begin_shape_index: int
    length: float
    time: float
    street_names: tuple[str, ...] = ()


class _Leg(Struct, frozen=True):
    maneuvers: list[_Maneuver]
    shape: str


class _Summary(Struct, frozen=True):
    length: float
    time: float


class _Trip(Struct, frozen=True):
    legs: list[_Leg]
    summary: _Summary


class _Way(Struct, frozen=True):
    trip: _Trip


class _Contour(Struct, frozen=True):
    contour: float


class _Polygon(Struct, frozen=True, tag="Polygon"):
    coordinates: tuple[tuple[tuple[float, float], ...], ...]


class _Feature(Struct, frozen=True):
    properties: _Contour
    geometry: _Polygon


class _Contours(Struct, frozen=True):
    features: list[_Feature]


def _is_no_way(answer: Answer) -> bool:
    """Whether the engine says that no road leads there; RoadsDown when it refuses for another reason."""
    if answer.is_good:
        return False
    code = _read(answer, _Refusal).error_code
    if code in _NO_WAY:
        return True
    raise RoadsDown(f"The road engine refused the question (code {code}).")


def _travels(answer: Answer, count: int) -> list[Travel | None]:
    table = _read(answer, _Matrix).sources_to_targets
    _require(len(table.durations) == len(table.distances) == count)
    _require(all(len(row) == 1 for row in (*table.durations, *table.distances)))
    return [
        None if seconds is None or km is None else Travel(distance_m=km * 1000, seconds=seconds)
        for (seconds,), (km,) in zip(table.durations, table.distances, strict=True)
    ]


def _route(answer: Answer) -> Route:
    trip = _read(answer, _Way).trip
    _require(len(trip.legs) == 1)
    return Route(
        line=trip.legs[0].shape,
        distance_m=trip.summary.length * 1000,
        seconds=trip.summary.time,
        turns=tuple(
            Turn(
                words=turn.instruction,
                kind=turn.type,
                streets=turn.street_names,
                at=turn.begin_shape_index,
                distance_m=turn.length * 1000,
                seconds=turn.time,
            )
            for turn in trip.legs[0].maneuvers
        ),
    )


def _areas(answer: Answer) -> tuple[Area, ...]:
    found = _read(answer, _Contours).features
    areas = (Area(minutes=each.properties.contour, rings=each.geometry.coordinates) for each in found)
    return tuple(sorted(areas, key=lambda area: -area.minutes))


def _read(answer: Answer, type_: type[T]) -> T:
    try:
        return typed.json(answer.body, type_)
    except msgspec.DecodeError:  # its words would quote what stands there
        raise RoadsDown("The road engine answered what is no answer.") from None


def _require(is_so: bool) -> None:
    if not is_so:
        raise RoadsDown("The road engine answered something else.")
