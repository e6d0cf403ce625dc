"""One satellite reading, the same frozen value from the receiver to the map."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from math import isfinite

from msgspec import Struct

SPEED_MPS_MAX = 200.0  # 720 km/h: faster than any car and any helicopter of the field


class FixQuality(StrEnum):
    """On what a position rests. An estimate is carried on from earlier ones by motion alone, as in a tunnel."""

    AUTONOMOUS = "autonomous"
    DIFFERENTIAL = "differential"
    RTK = "rtk"
    ESTIMATED = "estimated"


class Fix(Struct, frozen=True, kw_only=True):
    """Where a receiver said it was.

    `at` is the receiver's own UTC time, None while it has not said a date (a position is still a position).
    `lat` and `lon` are WGS 84 degrees; `speed_mps` over ground; `heading_deg` is the course over ground from true
    north, 0 <= heading < 360; `hdop` and `satellites` (used, not in view) as the receiver gave them. `accuracy_m`: radius that holds the true place two times in three, by the receiver's own
    estimate; `dimensions`: 3, or 2 when the height is assumed; `quality`: a FixQuality word (one this program does not
    know is kept); `is_held`: the vehicle stands, and this is where it came to stand. None is "not said".
    """

    lat: float
    lon: float
    at: datetime | None = None
    speed_mps: float | None = None
    heading_deg: float | None = None
    hdop: float | None = None
    satellites: int | None = None
    accuracy_m: float | None = None
    dimensions: int | None = None
    quality: str = FixQuality.AUTONOMOUS
    is_held: bool = False

    def __post_init__(self) -> None:
        if not (-90 <= self.lat <= 90 and -180 <= self.lon <= 180):
            raise ValueError("off the globe")
        if self.at is not None and self.at.tzinfo is None:
            raise ValueError("a fix time needs a time zone")
        if self.speed_mps is not None and not 0 <= self.speed_mps <= SPEED_MPS_MAX:
            raise ValueError(f"speed {self.speed_mps} m/s is not a vehicle's")
        if self.heading_deg is not None and not 0 <= self.heading_deg < 360:
            raise ValueError(f"heading {self.heading_deg} is not in [0, 360)")
        if self.hdop is not None and not (isfinite(self.hdop) and self.hdop >= 0):
            raise ValueError(f"hdop {self.hdop} is not a dilution")
        if self.satellites is not None and not 0 <= self.satellites <= 255:
            raise ValueError(f"{self.satellites} satellites")
        if self.accuracy_m is not None and not (isfinite(self.accuracy_m) and self.accuracy_m >= 0):
            raise ValueError(f"accuracy {self.accuracy_m} is not a radius")
        if self.dimensions is not None and self.dimensions not in (2, 3):
            raise ValueError(f"a position has 2 or 3 dimensions, not {self.dimensions}")
