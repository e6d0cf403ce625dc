"""The time before which it cannot be, kept across power cuts, for boards whose clock starts in 1970.

A certificate can be judged only by somebody who knows roughly what time it is. The floor is the latest of what is certain:
when this program was made, when this board was enrolled, and what trusted clocks have said since. It never lies beyond
the end of the board's own certificate: a receiver or a hub that was wrong by years must not lock the board out for good.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from msgspec import Struct

from edge.clock import WALL_FLOOR_MS
from edge.settings import SettingsError

FLOOR_FILE = "clock-floor"
MARGIN_MS = 5 * 60 * 1000  # clocks of one fleet are never closer; the hub's certificate authority allows as much
STEP_MS = 3600 * 1000  # a write an hour wears no flash, and a certificate of 90 days does not care about one
TEXT_BYTES_MAX = 64


class Bounds(Struct, frozen=True, kw_only=True):
    """What one board knows of the time without being told, Unix milliseconds."""

    floor_ms: int
    ceiling_ms: int


def bounds(home: Path, chain: Path) -> Bounds:
    """By the certificate that is first in the file `chain`, and by what was kept in `home`. SettingsError without one."""
    try:
        own = x509.load_pem_x509_certificate(chain.read_bytes())
    except (OSError, ValueError):
        raise SettingsError(f"{chain} holds no certificate: enroll this terminal again with a new bundle.") from None
    begins_ms, ends_ms = (int(at.timestamp() * 1000) for at in (own.not_valid_before_utc, own.not_valid_after_utc))
    kept_ms = _kept_ms(home) or 0
    return Bounds(
        floor_ms=max(WALL_FLOOR_MS, begins_ms, kept_ms if kept_ms <= ends_ms else 0),
        ceiling_ms=ends_ms,
    )


def keep(home: Path, at_ms: int) -> bool:
    """Whether `at_ms`, which is certainly past, was worth writing down and has been. What is later was not believed."""
    kept_ms = _kept_ms(home)
    if kept_ms is not None and kept_ms <= at_ms < kept_ms + STEP_MS:
        return False
    part = home / f".{FLOOR_FILE}.part"
    with part.open("w") as file:
        file.write(f"{datetime.fromtimestamp(at_ms // 1000, UTC).isoformat()}\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(home / FLOOR_FILE)  # not followed by a sync of the folder: an older floor is a floor as well
    return True


def forget(home: Path) -> bool:
    """Whether there was a kept floor; there is none now."""
    try:
        (home / FLOOR_FILE).unlink()
    except FileNotFoundError:
        return False
    return True


def _kept_ms(home: Path) -> int | None:
    """None when nothing was kept, or nothing that can be read: a broken file must not keep a terminal from starting."""
    try:
        with (home / FLOOR_FILE).open("rb") as file:
            at = datetime.fromisoformat(file.read(TEXT_BYTES_MAX).decode("ascii").strip())
        return int(at.timestamp() * 1000) if at.tzinfo is not None else None
    except (OSError, ValueError, OverflowError):
        return None
