"""Where the units are, as GeoJSON (RFC 7946): for a map that is not ours.

It is never cached and has no ETag: the ages in it go on while nothing arrives, so no two answers are the same, and a
position that a cache kept would look younger than it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec
from flask import Blueprint, Response
from msgspec import Struct

from hub import labels
from hub.board import Board
from hub.freshness import age_s, freshness
from hub.labels import Labels
from hub.position import Position
from hub.positions import Positions
from hub.snapshot import UnitView
from hub.web.access import signed_in
from wire.packet import Label

MEDIA_TYPE = "application/geo+json"
DEGREE_DIGITS = 7  # a centimeter; more is noise, and bytes


class Point(Struct, frozen=True, kw_only=True):
    """Longitude before latitude, degrees of WGS 84."""

    type: Literal["Point"] = "Point"
    coordinates: tuple[float, float]


class UnitProperties(Struct, frozen=True, kw_only=True):
    """A unit beside its place. `freshness`: live, aging, stale or lost, by `age_s`, the seconds since the receiver said
    this place; null where there has never been one. `has_fix`: false when the terminal says that it has none now, and
    the place is the last it had. `heading_deg`: from true north; `is_in_emergency`: null for who may not know."""

    unit: str
    call_sign: str
    agency: str
    kind: str
    status: str
    status_label: str
    status_ms: int
    presence: str
    freshness: str
    age_s: float | None
    has_fix: bool
    heading_deg: float | None
    speed_mps: float | None
    is_in_emergency: bool | None


class UnitFeature(Struct, frozen=True, kw_only=True):
    """A unit; one that has never had a place is there without."""

    type: Literal["Feature"] = "Feature"
    id: str
    geometry: Point | None
    properties: UnitProperties


class UnitFeatures(Struct, frozen=True, kw_only=True):
    """Every unit, by call sign, at the hub's time `now_ms`."""

    type: Literal["FeatureCollection"] = "FeatureCollection"
    now_ms: int
    features: tuple[UnitFeature, ...]


def geojson_views(board: Board, positions: Positions, now_ms: Callable[[], int]) -> Blueprint:
    """GET /api/v1/units.geojson."""
    views = Blueprint("geojson", __name__, url_prefix="/api/v1")

    @views.get("/units.geojson")
    def units() -> Response:
        session = signed_in()
        may = labels.of_role(session.role, has_cji=session.has_cji)
        known = {position.unit: position for position in positions.all()}
        whole = features(board.picture().units, known, now_ms(), may)
        return Response(msgspec.json.encode(whole), mimetype=MEDIA_TYPE)

    return views


def features(units: tuple[UnitView, ...], known: dict[str, Position], now_ms: int, may: Labels) -> UnitFeatures:
    """The units at this moment, for somebody who may know so much."""
    return UnitFeatures(now_ms=now_ms, features=tuple(_feature(one, known.get(one.unit), now_ms, may) for one in units))


def _feature(one: UnitView, position: Position | None, now_ms: int, may: Labels) -> UnitFeature:
    fix = None if position is None else position.fix
    age = None if position is None or fix is None else round(age_s(position, now_ms), 1)
    place = None if fix is None else (round(fix.lon, DEGREE_DIGITS), round(fix.lat, DEGREE_DIGITS))
    return UnitFeature(
        id=one.unit,
        geometry=None if place is None else Point(coordinates=place),
        properties=UnitProperties(
            unit=one.unit,
            call_sign=one.call_sign,
            agency=one.agency,
            kind=one.kind,
            status=one.status,
            status_label=one.status_label,
            status_ms=one.status_ms,
            presence=one.presence,
            freshness=freshness(position, now_ms),
            age_s=None if age is None or age < 0 else age,  # negative: the hub's clock was set back, and nobody knows
            has_fix=position is not None and position.has_fix,
            heading_deg=None if fix is None else fix.heading_deg,
            speed_mps=None if fix is None else fix.speed_mps,
            is_in_emergency=one.is_in_emergency if Label.SAFETY in may else None,
        ),
    )
