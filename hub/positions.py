"""The newest position of every unit: in memory for the map, on the disk now and then for the next start."""

from __future__ import annotations

from threading import Lock

from msgspec.structs import replace
from sqlalchemy import Connection, delete, insert, select

from hub import schema
from hub.position import Position as Position
from wire.codec import decode, encode
from wire.fix import Fix


class Positions:
    """Thread-safe: ingest puts, the board and the ranking read."""

    def __init__(self, known: tuple[Position, ...] = ()) -> None:
        self._lock = Lock()
        self._newest = {position.unit: position for position in known}
        self._unkept: set[str] = set()

    def put(self, position: Position) -> Position:
        """Take what a terminal just said; what is believed now: when it has no fix, the last one, with its own age."""
        with self._lock:
            before = self._newest.get(position.unit)
            if not position.has_fix and before is not None:
                position = replace(position, fix=before.fix, arrived_ms=before.arrived_ms, age_ms=before.age_ms)
            self._newest[position.unit] = position
            self._unkept.add(position.unit)
            return position

    def get(self, unit: str) -> Position | None:
        """The newest of `unit`; None when it has never said one."""
        with self._lock:
            return self._newest.get(unit)

    def all(self) -> tuple[Position, ...]:
        """The newest of every unit."""
        with self._lock:
            return tuple(self._newest.values())

    def unkept(self) -> tuple[Position, ...]:
        """Those that changed since this was last asked."""
        with self._lock:
            chosen = tuple(self._newest[unit] for unit in sorted(self._unkept))
            self._unkept.clear()
            return chosen


def keep(connection: Connection, positions: tuple[Position, ...]) -> None:
    """Write `positions` down for the next start."""
    for position in positions:
        connection.execute(delete(schema.position_last).where(schema.position_last.c.unit == position.unit))
        connection.execute(
            insert(schema.position_last).values(
                unit=position.unit,
                device=position.device,
                fix=None if position.fix is None else encode(position.fix),
                has_fix=position.has_fix,
                arrived_ms=position.arrived_ms,
                age_ms=position.age_ms,
                boot=position.boot,
                mono_ms=position.mono_ms,
            )
        )


def kept(connection: Connection) -> tuple[Position, ...]:
    """What was written down."""
    return tuple(
        Position(
            unit=row.unit,
            device=row.device,
            fix=None if row.fix is None else decode(row.fix, Fix),
            has_fix=row.has_fix,
            arrived_ms=row.arrived_ms,
            age_ms=row.age_ms,
            boot=row.boot,
            mono_ms=row.mono_ms,
        )
        for row in connection.execute(select(schema.position_last).order_by(schema.position_last.c.unit))
    )
