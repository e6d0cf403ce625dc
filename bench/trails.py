"""Trail records as a vehicle's are: a drive through a grid of streets at 1 Hz with a receiver's noise, packed for the log."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import cos, radians, sin
from random import Random

from wire.trail import Trail, TrailPoint, pack

METERS_PER_DEGREE = 111_195.0
LAT_DEG = 41.0
NOISE_M = 0.3  # from second to second; a receiver's error wanders slowly, the steps between two fixes are smooth
LIGHT_SHARE = 0.15  # of street corners where it stops
SPEED_MPS = 13.0
ACCELERATION_MPS2 = 1.5


def points(seed: int, first_s: int = 0) -> Iterator[TrailPoint]:
    """A drive without an end: along a street, to a light, around a corner."""
    chance = Random(seed)
    lat, lon, heading, speed, wanted, left_m = LAT_DEG, -83.0, 90.0 * chance.randrange(4), 0.0, SPEED_MPS, 200.0
    waits, second = 0, first_s
    while True:
        if waits:
            waits -= 1
            wanted = 0.0 if waits else SPEED_MPS * chance.uniform(0.7, 1.3)
        elif left_m <= 0:
            left_m = chance.choice((120.0, 240.0, 480.0))
            heading = (heading + chance.choice((0.0, 0.0, 90.0, -90.0))) % 360
            waits = chance.randrange(10, 40) if chance.random() < LIGHT_SHARE else 0
        speed = max(0.0, speed + max(-2 * ACCELERATION_MPS2, min(ACCELERATION_MPS2, wanted - speed)))
        left_m -= speed
        lat += speed * cos(radians(heading)) / METERS_PER_DEGREE
        lon += speed * sin(radians(heading)) / METERS_PER_DEGREE / cos(radians(LAT_DEG))
        noise = NOISE_M / METERS_PER_DEGREE
        yield TrailPoint(
            mono_ms=second * 1000 + chance.randrange(-15, 15),
            lat=lat + chance.gauss(0, noise),
            lon=lon + chance.gauss(0, noise),
            speed_mps=max(0.0, speed + chance.gauss(0, 0.1)),
            heading_deg=(heading + chance.gauss(0, 1.5)) % 360,
        )
        second += 1


@lru_cache(maxsize=64)
def drives(fixes: int, count: int) -> tuple[bytes, ...]:
    """`count` bodies of `fixes` fixes each, from one drive."""
    drive = points(1, 100)
    return tuple(pack(Trail(points=tuple(next(drive) for _ in range(fixes)))) for _ in range(count))


def drive(fixes: int) -> bytes:
    """One body of `fixes` fixes."""
    return drives(fixes, 1)[0]
