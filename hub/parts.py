"""What travelled in parts, put together when its last part is held; and it means what it would have meant as one record.

The parts stay in the log as they came. Folding everything again puts them together again, by the same rows.
"""

from __future__ import annotations

from msgspec.structs import replace
from sqlalchemy import Connection, bindparam, select

from hub import schema
from wire import parts
from wire.codec import Malformed, decode
from wire.parts import Part
from wire.records import Kind, Record
from wire.signature import payload_of

_record = schema.record
_RANGE = (
    select(_record.c.data)
    .where(
        _record.c.device == bindparam("of_device"),
        _record.c.log_id == bindparam("of_log"),
        _record.c.seq.between(bindparam("first"), bindparam("last")),
        _record.c.kind == Kind.PART,
    )
    .order_by(_record.c.seq)
)


def whole(connection: Connection, record: Record) -> Record | None:
    """What the parts that end with `record` say, as one record under the number of the last; None before the last.

    Malformed when one is missing (it was damaged aboard, or lies in a gap) or they do not belong together.
    """
    last = decode(record.body, Part)
    if last.index + 1 < last.count:
        return None
    rows = connection.execute(
        _RANGE,
        {
            "of_device": record.device,
            "of_log": record.log_id,
            "first": record.seq - last.index,
            "last": record.seq - 1,
        },
    ).scalars()
    before = [decode(decode(payload_of(data), Record).body, Part) for data in rows]
    if last.kind == Kind.PART:
        raise Malformed("parts of parts")
    return replace(record, kind=last.kind, body=parts.join([*before, last]))


def meant(connection: Connection, record: Record) -> Record:
    """What `record` says: itself, or the whole that it completes; itself too when that cannot be put together."""
    if record.kind != Kind.PART:
        return record
    try:
        return whole(connection, record) or record
    except Malformed:
        return record  # folding says so
