"""The street map, from this machine: a description and one tile file that browsers read in ranges."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response, send_from_directory
from msgspec import Struct

from hub.errors import Refused
from hub.maps import BBox, MapError, MapInfo, current_map, streets_file
from hub.web import answers

CACHE_S = 86_400  # the address holds the map's id: another map is another address


class Streets(Struct, frozen=True, kw_only=True):
    """What a page needs to draw the map. Without one, `tiles` is null and `message` says how to get one."""

    tiles: str | None
    message: str | None = None
    name: str | None = None
    bounds: BBox | None = None
    center: tuple[float, float] | None = None
    attribution: str | None = None
    attribution_url: str | None = None


def street_views(maps_dir: Path) -> Blueprint:
    """GET under /map. `maps_dir` is what `hub.maps.current_map` takes."""
    views = Blueprint("streets", __name__, url_prefix="/map")

    @views.get("/info.json")
    def info() -> Response:
        return answers.json(_described(maps_dir))

    @views.get("/tiles.pmtiles")
    def current() -> Response:
        return _file(maps_dir, _imported(maps_dir), 0)

    @views.get("/<map_id>/streets.pmtiles")
    def tiles(map_id: str) -> Response:
        imported = _imported(maps_dir)
        if imported.id != map_id:
            raise Refused("not_found", "That map was replaced. Load the page again.")
        return _file(maps_dir, imported, CACHE_S)

    return views


def _described(maps_dir: Path) -> Streets:
    try:
        found = current_map(maps_dir)
    except MapError as wrong:
        return Streets(tiles=None, message=f"The street map cannot be read: {wrong}.")
    if found is None:
        return Streets(tiles=None, message="No street map yet. Import one with: tandem-hub map import FILE.osm.pbf")
    return Streets(
        tiles=f"/map/{found.id}/streets.pmtiles",
        name=found.name,
        bounds=found.bounds,
        center=found.center,
        attribution=found.attribution,
        attribution_url=found.attribution_url,
    )


def _imported(maps_dir: Path) -> MapInfo:
    try:
        found = current_map(maps_dir)
    except MapError:
        found = None
    if found is None:
        raise Refused("not_found", "No street map was imported.")
    return found


def _file(maps_dir: Path, imported: MapInfo, max_age_s: int) -> Response:
    file = streets_file(maps_dir, imported).resolve()
    return send_from_directory(file.parent, file.name, conditional=True, max_age=max_age_s)
