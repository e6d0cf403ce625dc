"""Routes as people have them (GeoJSON, GPX) and as programs send them (JSON lines), checked before anyone drives.

Nothing here reads files. `BadRoute` is one sentence for whoever wrote the route.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeGuard
from xml.etree import ElementTree

import msgspec
from msgspec import Struct

from firmware_bridge.drive import LatLon, Route
from wire import typed

POINTS_MAX = 100_000  # a day's track at one point a second; more is not a route
LIMIT_MPS_MAX = 70.0  # 252 km/h
NUMBER_MAX = 1e9
MPS_PER_KMH = 1 / 3.6


class BadRoute(ValueError):
    """A route that nobody can drive; the sentence says why."""


class Line(Struct, frozen=True, kw_only=True):
    """What a steering program may say: a route, or to hold."""

    route: list[list[float]] | None = None
    limits_mps: list[float] | None = None
    hold: bool = False


def from_file(data: bytes, usual_mps: float) -> Route:
    """The route in a GeoJSON or GPX file; `usual_mps` is driven where it says no speed."""
    if data.lstrip()[:1] == b"<":
        return _from_gpx(data, usual_mps)
    return _from_geojson(data, usual_mps)


def from_line(line: bytes, usual_mps: float) -> Route | None:
    """The route in one line of a steering program; None: it says to hold."""
    try:
        said = typed.json(line, Line)
    except msgspec.MsgspecError as wrong:
        raise BadRoute(f"This line is no route ({wrong}).") from None
    if said.hold and said.route is None:
        return None
    if said.hold or said.route is None:
        raise BadRoute('A line is {"route": [[lat, lon], ...], "limits_mps": [...]} or {"hold": true}.')
    limits = said.limits_mps if said.limits_mps is not None else [usual_mps] * (len(said.route) - 1)
    return _checked(said.route, limits)


def _from_geojson(data: bytes, usual_mps: float) -> Route:
    try:
        found = typed.json(data, object)
    except msgspec.MsgspecError as wrong:
        raise BadRoute(f"It is neither GeoJSON nor GPX ({wrong}).") from None
    lines = list(_line_strings(found, {}))
    if len(lines) != 1:
        raise BadRoute(f"A route is one GeoJSON LineString, and here are {len(lines)}.")
    coordinates, properties = lines[0]
    if not isinstance(coordinates, list) or not all(_are_numbers(place) and len(place) >= 2 for place in coordinates):
        raise BadRoute("A LineString's coordinates are [longitude, latitude] pairs.")
    speeds = properties.get("speed_kmh", usual_mps / MPS_PER_KMH)
    if not isinstance(speeds, list):
        speeds = [speeds] * (len(coordinates) - 1)
    if not _are_numbers(speeds):
        raise BadRoute('"speed_kmh" is a number, or a list with one number for each leg.')
    return _of_two(_checked([[lat, lon] for lon, lat, *_ in coordinates], [kmh * MPS_PER_KMH for kmh in speeds]))


def _line_strings(found: object, properties: dict[str, object]) -> Iterator[tuple[object, dict[str, object]]]:
    """(coordinates, properties of its feature) of each LineString in decoded GeoJSON, two levels deep at most."""
    if not isinstance(found, dict):
        return
    match found.get("type"):
        case "LineString":
            yield found.get("coordinates"), properties
        case "Feature":
            own = found.get("properties")
            yield from _line_strings(_plain(found.get("geometry")), own if isinstance(own, dict) else {})
        case "FeatureCollection":
            features = found.get("features")
            for feature in features if isinstance(features, list) else []:
                if isinstance(feature, dict) and feature.get("type") == "Feature":
                    yield from _line_strings(feature, {})


def _plain(geometry: object) -> object:
    """A geometry, and nothing that contains others."""
    return geometry if isinstance(geometry, dict) and geometry.get("type") == "LineString" else None


def _from_gpx(data: bytes, usual_mps: float) -> Route:
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:  # GPX has none; entities that contain entities fill a memory
        raise BadRoute("It declares its own entities, which GPX does not have.")
    try:
        root = ElementTree.fromstring(data)  # noqa: S314  # without a document type there are no entities to expand
    except ElementTree.ParseError as wrong:
        raise BadRoute(f"It is neither GeoJSON nor GPX ({wrong}).") from None
    marks = root.findall(".//{*}trkpt") or root.findall(".//{*}rtept")
    try:
        points = [[float(mark.attrib["lat"]), float(mark.attrib["lon"])] for mark in marks]
    except (KeyError, ValueError):
        raise BadRoute("A point of this GPX has no latitude and longitude.") from None
    if not points:
        raise BadRoute("This GPX has neither a track nor a route.")
    return _of_two(_checked(points, [usual_mps] * (len(points) - 1)))


def _checked(points: Sequence[Sequence[float]], limits_mps: Sequence[float]) -> Route:
    if not points:
        raise BadRoute("The route has no points.")
    if len(points) > POINTS_MAX:
        raise BadRoute(f"The route has {len(points)} points; {POINTS_MAX} is the most.")
    if len(limits_mps) != len(points) - 1:
        raise BadRoute(f"{len(points)} points make {len(points) - 1} legs, and there are {len(limits_mps)} speeds.")
    for number, limit_mps in enumerate(limits_mps, 1):
        if not 0 < limit_mps <= LIMIT_MPS_MAX:
            raise BadRoute(f"Leg {number} has a speed of {limit_mps:g} m/s; a vehicle drives up to {LIMIT_MPS_MAX:g}.")
    places = tuple(_place(number, point) for number, point in enumerate(points, 1))
    return Route(points=places, limits_mps=tuple(limits_mps))


def _place(number: int, point: Sequence[float]) -> LatLon:
    if len(point) != 2:
        raise BadRoute(f"Point {number} is not [latitude, longitude].")
    lat, lon = point
    if not (-90 <= lat <= 90 and -180 <= lon <= 180):  # NaN is not, either
        raise BadRoute(f"Point {number} is off the globe: latitude {lat:g}, longitude {lon:g}.")
    return lat, lon


def _of_two(route: Route) -> Route:
    if len(route.points) < 2:
        raise BadRoute("A route has two points at least.")
    return route


def _are_numbers(found: object) -> TypeGuard[list[float]]:
    """A list of numbers, none of them beyond what can be reckoned with (JSON's integers have no end)."""
    return isinstance(found, list) and all(
        isinstance(number, int | float) and not isinstance(number, bool) and abs(number) < NUMBER_MAX
        for number in found
    )
