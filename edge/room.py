"""What a disk that fills up still takes, and from whom: positions give way first, then copies, and notes last of all.

Pure: how many bytes are free comes as an argument, and what to do is the answer.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

MB = 1_000_000
LOW_SHARE, LOW_BYTES_MAX = 0.10, 512 * MB  # a tenth of a large card is years of notes: no position is given up for that
SCARCE_SHARE, SCARCE_BYTES_MAX = 0.05, 256 * MB
MARGIN_SHARE = 0.02  # between falling below a bound and being above it again: else a full disk is said over and over
RESERVE_BYTES = 64 * MB
RESERVE_PART = 8  # of a small disk the reserve takes no more than an eighth
SCANT_BYTES = MB  # less than what SQLite may write between two of its checkpoints, twice
TRAIL_BYTES_MAX = 48 * MB  # of the 64 MB that a terminal may owe; the other 16 are eleven thousand notes


class Level(StrEnum):
    """How much room there is, and so who gives way."""

    PLENTY = "plenty"
    LOW = "low"  # positions take no new room
    SCARCE = "scarce"  # copies of what the hub has go as well
    RESERVE = "reserve"  # notes live on what was kept for them
    FULL = "full"  # nothing more can be saved


class Growth(StrEnum):
    """What the log of positions may do."""

    GROWS = "grows"
    STAYS = "stays"  # a new record takes the room of what was thinned
    WAITS = "waits"  # in memory: a write of theirs would take the room of a note


class Disk(Struct, frozen=True, kw_only=True):
    """A file system as it is now. `reserve_bytes`: what the reserve holds; `wanted_bytes`: what it ought to."""

    total_bytes: int
    free_bytes: int
    reserve_bytes: int = 0
    wanted_bytes: int = 0

    @property
    def missing_bytes(self) -> int:
        """What of the free room is the reserve's, once it can be taken."""
        return max(0, self.wanted_bytes - self.reserve_bytes)


class Room(Struct, frozen=True, kw_only=True):
    """What was decided about a disk. `free_bytes`, `total_bytes`: for a person; `makes_reserve`: there is room for it now."""

    level: Level = Level.PLENTY
    growth: Growth = Growth.GROWS
    makes_reserve: bool = False
    free_bytes: int = 0
    total_bytes: int = 0


def wanted_bytes(total_bytes: int, asked_bytes: int) -> int:
    """How large the reserve of a disk is; `asked_bytes`: by its owner."""
    return min(asked_bytes, total_bytes // RESERVE_PART)


def decide(disk: Disk, before: Level = Level.PLENTY) -> Room:
    """What a disk of which `before` was said allows. Room that belongs to the reserve is not room."""
    beyond_bytes = disk.free_bytes - disk.missing_bytes
    level = _level(disk, beyond_bytes, before)
    growth = Growth.GROWS if level is Level.PLENTY else Growth.STAYS
    return Room(
        level=level,
        growth=Growth.WAITS if disk.free_bytes < SCANT_BYTES else growth,
        makes_reserve=disk.missing_bytes > 0 and beyond_bytes > _bound(disk, SCARCE_SHARE + MARGIN_SHARE),
        free_bytes=disk.free_bytes,
        total_bytes=disk.total_bytes,
    )


def _level(disk: Disk, beyond_bytes: int, before: Level) -> Level:
    has_reserve = disk.reserve_bytes > 0 or disk.wanted_bytes == 0
    if disk.free_bytes < SCANT_BYTES and disk.reserve_bytes == 0:
        return Level.FULL
    if beyond_bytes <= _bound(disk, SCARCE_SHARE, is_below=before not in (Level.PLENTY, Level.LOW)):
        return Level.SCARCE if has_reserve else Level.RESERVE
    if beyond_bytes <= _bound(disk, LOW_SHARE, is_below=before is not Level.PLENTY):
        return Level.LOW
    return Level.PLENTY


def _bound(disk: Disk, share: float, *, is_below: bool = False) -> float:
    most = LOW_BYTES_MAX if share >= LOW_SHARE else SCARCE_BYTES_MAX
    return min(disk.total_bytes * share, most) + (min(disk.total_bytes * MARGIN_SHARE, MB * 64) if is_below else 0)
