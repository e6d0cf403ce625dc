"""Distances on the ground, and where something is believed to be by now."""

from __future__ import annotations

from math import asin, atan2, cos, degrees, hypot, radians, sin, sqrt

EARTH_RADIUS_M = 6_371_008.8  # IUGG mean radius; the ellipsoid differs by 0.5 % at most
DEAD_RECKONING_S_MAX = 30.0  # nobody drives straight on for longer; the belief stands still after that


def distance_m(lat_a: float, lon_a: float, lat_b: float, lon_b: float) -> float:
    """Great-circle meters between two places given in degrees."""
    half_lat = sin(radians(lat_b - lat_a) / 2)
    half_lon = sin(radians(lon_b - lon_a) / 2)
    square = half_lat**2 + cos(radians(lat_a)) * cos(radians(lat_b)) * half_lon**2
    return 2 * EARTH_RADIUS_M * asin(min(1.0, sqrt(square)))


def bearing_deg(lat_a: float, lon_a: float, lat_b: float, lon_b: float) -> float:
    """Initial course from a to b, degrees from true north in [0, 360)."""
    delta = radians(lon_b - lon_a)
    east = sin(delta) * cos(radians(lat_b))
    north = cos(radians(lat_a)) * sin(radians(lat_b)) - sin(radians(lat_a)) * cos(radians(lat_b)) * cos(delta)
    return degrees(atan2(east, north)) % 360 % 360.0  # the second: -1e-17 % 360 is 360.0


def moved(lat: float, lon: float, heading_deg: float, by_m: float) -> tuple[float, float]:
    """The place `by_m` meters away along `heading_deg`, as (lat, lon) degrees.

    Flat-earth steps: exact to centimeters over the kilometer that dead reckoning may cover.
    """
    north_m = by_m * cos(radians(heading_deg))
    east_m = by_m * sin(radians(heading_deg))
    lat_moved = max(-90.0, min(90.0, lat + degrees(north_m / EARTH_RADIUS_M)))
    shrink = max(1e-9, cos(radians(lat)))
    lon_moved = (lon + degrees(east_m / (EARTH_RADIUS_M * shrink)) + 180) % 360 - 180
    return lat_moved, lon_moved


def believed(
    lat: float, lon: float, speed_mps: float | None, heading_deg: float | None, age_s: float
) -> tuple[float, float]:
    """Where a reader of a fix this old believes the vehicle to be: moved on by speed and heading.

    The terminal and the map use this one rule, so that the terminal knows how wrong the map is.
    """
    if speed_mps is None or heading_deg is None:
        return lat, lon
    return moved(lat, lon, heading_deg, speed_mps * max(0.0, min(age_s, DEAD_RECKONING_S_MAX)))


def nearby_m(lat_a: float, lon_a: float, lat_b: float, lon_b: float) -> float:
    """Like `distance_m` for places less than some kilometers apart, at a third of the cost."""
    east = radians((lon_b - lon_a + 180) % 360 - 180) * cos(radians((lat_a + lat_b) / 2))
    return EARTH_RADIUS_M * hypot(radians(lat_b - lat_a), east)
