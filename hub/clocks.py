"""What time it really was when a board noted something, by what the board learned of its clocks later.

A stamp is never rewritten. Beside it stands the time reckoned from the board's own monotonic clock, which runs through
one power-on and never jumps, and from the correction nearest to it.
"""

from __future__ import annotations

from sqlalchemy import Connection, insert, select

from hub.schema import clock_correction
from wire.codec import Malformed, decode
from wire.facts import ClockCorrected
from wire.records import Record
from wire.stamp import ClockQuality, Stamp

TELLS_MS = 2000  # a difference below this is a receiver's reading time, not a wrong clock
TELLS_TRUSTED_MS = 60_000  # and a clock that was trusted then is the better one against a day's drift of a quartz
_MS_MAX = 2**53  # no clock of ours comes near, and a browser can still count so far
_TRUSTED = (ClockQuality.NTP, ClockQuality.GPS, ClockQuality.HUB)


def keep(connection: Connection, record_id: int, record: Record) -> None:
    """Keep the correction in the body of `record`; Malformed when it is none, or of another power-on than the stamp."""
    fact = decode(record.body, ClockCorrected)
    if fact.boot != record.stamp.boot:
        raise Malformed("a correction of another power-on")
    if max(fact.mono_ms, abs(fact.wall_before_ms), abs(fact.wall_after_ms)) > _MS_MAX:
        raise Malformed("a clock beyond all clocks")
    connection.execute(
        insert(clock_correction).values(
            record=record_id,
            device=record.device,
            boot=fact.boot,
            mono_ms=fact.mono_ms,
            wall_before_ms=fact.wall_before_ms,
            wall_after_ms=fact.wall_after_ms,
            quality=fact.quality,
        )
    )


def corrected_ms(connection: Connection, device: str, stamp: Stamp) -> int | None:
    """The true time of a moment that `device` stamped; None when the stamp is right, or nobody knows better.

    The first correction after the moment counts, because what it corrects came before it; else the last one before.
    """
    mono_ms, stamped_ms, boot = stamp.mono_ms, stamp.wall_ms, stamp.boot
    table = clock_correction
    known = select(table.c.mono_ms, table.c.wall_after_ms).where(
        table.c.device == device, table.c.boot == boot, table.c.quality.in_(_TRUSTED)
    )
    after = known.where(table.c.mono_ms >= mono_ms).order_by(table.c.mono_ms, table.c.record).limit(1)
    before = known.where(table.c.mono_ms < mono_ms).order_by(table.c.mono_ms.desc(), table.c.record.desc()).limit(1)
    found = connection.execute(after).first() or connection.execute(before).first()
    if found is None:
        return None
    true_ms = int(found.wall_after_ms) + mono_ms - int(found.mono_ms)
    tells_ms = TELLS_TRUSTED_MS if stamp.is_trusted else TELLS_MS
    return None if stamped_ms is not None and abs(true_ms - stamped_ms) <= tells_ms else true_ms
