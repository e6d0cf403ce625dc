"""Where a unit is believed to be, as a value: what ranks and shows it needs neither the store nor the threads."""

from __future__ import annotations

from msgspec import Struct

from wire.fix import Fix


class Position(Struct, frozen=True, kw_only=True):
    """Where a unit is believed to be.

    `fix`: the last one its terminal had, None while there has never been one; `has_fix` false: the terminal says that
    it has none now. `arrived_ms` and `age_ms` are of `fix`: when it came here, and how old it was then. `boot` and
    `mono_ms` are of the message, so that nothing older is believed.
    """

    unit: str
    device: str
    fix: Fix | None
    has_fix: bool
    arrived_ms: int
    age_ms: int
    boot: bytes
    mono_ms: int
