"""Where the vehicle was: every fix, ten or ten seconds of them to a record, on a log of its own.

A power cut costs the ten seconds that were not yet written, and nothing else.
"""

from __future__ import annotations

from edge import outbox
from edge.clock import Clock
from edge.outbox import Signer
from edge.store import Store
from wire.fix import Fix
from wire.records import Kind
from wire.trail import Trail, TrailPoint, pack

POINTS_MAX = 10
SPAN_S_MAX = 10.0


class TrailKeeper:
    """Collects the fixes of one receiver. Used by one thread."""

    def __init__(self, store: Store, signer: Signer, clock: Clock) -> None:
        self._store = store
        self._signer = signer
        self._clock = clock
        self._points: list[TrailPoint] = []

    def add(self, fix: Fix, read_s: float) -> bool:
        """Whether a record was stored: `fix`, read at `read_s`, completed one or came too late for one."""
        point = TrailPoint(
            mono_ms=int(read_s * 1000),
            lat=fix.lat,
            lon=fix.lon,
            speed_mps=fix.speed_mps,
            heading_deg=fix.heading_deg,
        )
        was_due = self._span_s(point) > SPAN_S_MAX and self.flush()
        self._points.append(point)
        # The next fix comes about a second later: waiting for it would make the span longer than promised.
        is_due = len(self._points) >= POINTS_MAX or self._span_s(point) > SPAN_S_MAX - 1
        return (is_due and self.flush()) or was_due

    def flush(self) -> bool:
        """Whether a record was stored: what has been collected will not be added to soon."""
        if not self._points:
            return False
        body = pack(Trail(points=tuple(self._points)))
        self._store.do(lambda db: outbox.append(db, self._signer, self._clock.stamp(), Kind.TRAIL, body))
        self._points.clear()
        return True

    def _span_s(self, newest: TrailPoint) -> float:
        return (newest.mono_ms - self._points[0].mono_ms) / 1000 if self._points else 0.0
