"""How far each log of a terminal is held: read once for a batch, written once at its end, and said in receipts."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sqlalchemy import Connection, bindparam, insert, select, update

from hub import schema
from wire import records
from wire.records import Receipt

_table = schema.log
_HELD = select(_table).where(_table.c.device.in_(bindparam("devices", expanding=True)))
_MOVE = (
    update(_table)
    .where(_table.c.device == bindparam("of_device"), _table.c.log_id == bindparam("of_log"))
    .values(through=bindparam("to"))
)


_DATA = select(schema.record.c.data).where(
    schema.record.c.device == bindparam("of_device"),
    schema.record.c.log_id == bindparam("of_log"),
    schema.record.c.seq == bindparam("of_seq"),
)


def stored_tip(connection: Connection, device: str, log_id: bytes, seq: int) -> bytes:
    """By which bytes a number is held; empty when it is not."""
    data = connection.execute(_DATA, {"of_device": device, "of_log": log_id, "of_seq": seq}).scalar()
    return b"" if data is None else records.tip(data)


class Logs:
    """The logs of one batch. A log that is asked about is answered with a receipt, moved or not."""

    def __init__(self, connection: Connection, devices: Iterable[str]) -> None:
        self._connection = connection
        self._names: dict[tuple[str, bytes], str] = {}
        self._held: dict[tuple[str, bytes], int] = {}
        self._asked: dict[tuple[str, bytes], int] = {}
        self._moved: set[tuple[str, bytes]] = set()
        self._tips: dict[tuple[str, bytes], bytes] = {}  # of the record that each log ends with, where it came just now
        self._unread = sorted(devices)  # most batches of a quiet hour hold positions only, and ask for no log

    def through(self, device: str, log_id: bytes, name: str = "") -> int:
        """How far the log is held; its row is made when there is none, its name learned when there is one to learn."""
        log = (device, log_id)
        self._read()
        if log not in self._held:
            self._connection.execute(insert(_table).values(device=device, log_id=log_id, name=name, through=0))
            self._held[log], self._names[log] = 0, name
        elif name and self._names[log] != name:
            self._connection.execute(
                update(_table).where(_table.c.device == device, _table.c.log_id == log_id).values(name=name)
            )
            self._names[log] = name
        return self._asked.setdefault(log, self._held[log])

    def move(self, device: str, log_id: bytes, through: int, data: bytes | None = None) -> None:
        """From now on the log is held as far as this, and ends with `data`; None: nobody holds its last number."""
        self._asked[device, log_id] = through
        self._moved.add((device, log_id))
        self._tips[device, log_id] = b"" if data is None else records.tip(data)

    @property
    def is_asked(self) -> bool:
        """Whether there is any receipt to send."""
        return bool(self._asked)

    def write(self) -> None:
        """Write down what moved."""
        if self._moved:
            self._connection.execute(
                _MOVE,
                [{"of_device": log[0], "of_log": log[1], "to": self._asked[log]} for log in sorted(self._moved)],
            )

    def receipts(self, epoch: int, contested: Collection[str] = ()) -> tuple[Receipt, ...]:
        """One for each log that was asked about. `contested`: devices that two boards speak as."""
        return tuple(
            Receipt(
                v=records.VERSION,
                device=device,
                log_id=log_id,
                through=through,
                epoch=epoch,
                tip=self._tip(device, log_id, through),
                is_contested=device in contested,
            )
            for (device, log_id), through in self._asked.items()
        )

    def _read(self) -> None:
        if self._unread:
            for row in self._connection.execute(_HELD, {"devices": self._unread}):
                self._names[row.device, row.log_id] = row.name
                self._held[row.device, row.log_id] = row.through
            self._unread = []

    def _tip(self, device: str, log_id: bytes, through: int) -> bytes:
        known = self._tips.get((device, log_id))
        return stored_tip(self._connection, device, log_id, through) if known is None else known
