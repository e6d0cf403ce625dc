"""Numbers that nobody seemed to hold any more, and that came after all: a gap closes where it can be filled."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select

from hub import schema

_gap = schema.gap


def fill(connection: Connection, device: str, log_id: bytes, seq: int) -> bool:
    """Whether `seq` lay in a recorded gap; it does not any more."""
    mine = (_gap.c.device == device, _gap.c.log_id == log_id)
    row = connection.execute(select(_gap).where(*mine, _gap.c.first <= seq, _gap.c.last >= seq)).first()
    if row is None:
        return False
    connection.execute(delete(_gap).where(*mine, _gap.c.first == row.first))
    for first, last in ((row.first, seq - 1), (seq + 1, row.last)):
        if first <= last:
            connection.execute(
                insert(_gap).values(device=device, log_id=log_id, first=first, last=last, noted_ms=row.noted_ms)
            )
    return True
