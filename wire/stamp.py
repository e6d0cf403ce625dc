"""When a terminal noted something, and how much its clock may be believed.

Nothing is ordered or expired by wall time: a board without a clock starts in 1970, and a receiver can lie. `boot` and
`mono_ms` order what one power-on of one board saw; `wall_ms` is for people, with its quality beside it.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from wire.ids import id_bytes


class ClockQuality(StrEnum):
    """Where a board's wall time comes from, worst first."""

    NONE = "none"
    RTC = "rtc"
    NTP = "ntp"
    GPS = "gps"
    HUB = "hub"


class Stamp(Struct, frozen=True, kw_only=True, array_like=True):
    """`boot`: 16 bytes, one power-on; `mono_ms`: milliseconds of the monotonic clock since an arbitrary start within
    that boot; `wall_ms`: Unix milliseconds, None when the board has no idea; `quality`: a ClockQuality word (a word this
    program does not know is kept and believed like `none`)."""

    boot: bytes
    mono_ms: int
    wall_ms: int | None
    quality: str

    def __post_init__(self) -> None:
        id_bytes(self.boot)
        if self.mono_ms < 0:
            raise ValueError("monotonic time before its start")

    @property
    def is_trusted(self) -> bool:
        """Whether the wall time comes from something better than the board itself."""
        return self.wall_ms is not None and self.quality in (ClockQuality.NTP, ClockQuality.GPS, ClockQuality.HUB)
