"""The address search and the words for a click, as the console asks for them. What is asked is kept nowhere."""

from __future__ import annotations

from math import isfinite
from pathlib import Path

from flask import Blueprint, Response, request
from msgspec import Struct

from hub.errors import Refused
from hub.maps import MapError, current_map
from hub.place_words import QUERY_CHARS_MAX
from hub.places import LIMIT_MAX, Place, Places, PlacesError, places_of
from hub.web import answers

NO_MAP = "No street map yet. Import one with: tandem-hub map import FILE.osm.pbf"


class Found(Struct, frozen=True, kw_only=True):
    """The likeliest first. `message` says why nothing can be found at all, and is null otherwise."""

    places: tuple[Place, ...]
    message: str | None = None


class Near(Struct, frozen=True, kw_only=True):
    """The words for a point; `place` is null where there is no map, and `message` then says so."""

    place: Place | None
    message: str | None = None


def place_views(maps_dir: Path) -> Blueprint:
    """GET /api/v1/places and /api/v1/places/near. `maps_dir` is what `hub.maps.current_map` takes."""
    views = Blueprint("places", __name__, url_prefix="/api/v1/places")

    @views.get("")
    def search() -> Response:
        query = request.args.get("q", "")[:QUERY_CHARS_MAX]
        near = _point() if "lat" in request.args or "lon" in request.args else None
        limit = _limit()
        try:
            return answers.json(Found(places=_imported(maps_dir).search(query, near, limit)))
        except PlacesError as wrong:
            return answers.json(Found(places=(), message=str(wrong)))

    @views.get("/near")
    def near() -> Response:
        lat, lon = _point()
        try:
            return answers.json(Near(place=_imported(maps_dir).reverse(lat, lon)))
        except PlacesError as wrong:
            return answers.json(Near(place=None, message=str(wrong)))

    return views


def _imported(maps_dir: Path) -> Places:
    try:
        found = current_map(maps_dir)
    except MapError:
        raise PlacesError("The street map cannot be read. Import it again.") from None
    if found is None:
        raise PlacesError(NO_MAP)
    return places_of(maps_dir, found.id)


def _point() -> tuple[float, float]:
    lat, lon = request.args.get("lat", type=float), request.args.get("lon", type=float)
    if lat is None or lon is None or not (isfinite(lat) and isfinite(lon)) or abs(lat) > 90 or abs(lon) > 180:
        raise Refused("malformed", "A point is lat and lon in degrees.")
    return lat, lon


def _limit() -> int:
    limit = request.args.get("limit", 10, type=int)
    if not 1 <= limit <= LIMIT_MAX:
        raise Refused("malformed", f"The limit is 1 to {LIMIT_MAX}.")
    return limit
