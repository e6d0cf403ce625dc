"""Reading ahead: as few transactions as windows, and never a record that is not the one asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sqlite_utils import Database

from edge import outbox, schema
from edge.ahead import READ_RECORDS, Ahead
from edge.clock import Clock
from edge.outbox import Signer
from edge.store import Store
from wire.facts import AuditFact
from wire.records import Kind

T = TypeVar("T")
SIGNER = Signer("care-1", ec.generate_private_key(ec.SECP256R1()))
BYTES = 10**6


class Counted:
    """A store that counts its transactions."""

    def __init__(self, path: Path) -> None:
        self.store = Store(path, schema.LEDGER)
        self.times = 0

    def do(self, work: Callable[[Database], T]) -> T:
        self.times += 1
        return self.store.do(work)

    def append(self, records: int) -> None:
        fact, stamp = AuditFact(what="unlocked", outcome="ok"), Clock(bytes(16)).stamp()
        for _ in range(records):
            self.store.do(lambda db: outbox.append(db, SIGNER, stamp, Kind.AUDIT, fact))


@pytest.fixture
def counted(tmp_path: Path) -> Iterator[Counted]:
    made = Counted(tmp_path / "ledger.db")
    yield made
    made.store.close()


def test_a_backlog_that_is_sent_one_by_one_is_read_a_window_at_a_time(counted: Counted) -> None:
    counted.append(2 * READ_RECORDS)
    ahead = Ahead(counted, outbox.read)
    taken = [ahead.take(seq, 1, BYTES)[0].seq for seq in range(1, 2 * READ_RECORDS + 1)]
    assert taken == list(range(1, 2 * READ_RECORDS + 1))
    assert counted.times == 2


def test_what_goes_again_and_what_was_receipted_meanwhile_is_found(counted: Counted) -> None:
    counted.append(10)
    ahead = Ahead(counted, outbox.read)
    assert [[one.seq for one in ahead.take(first, 2, BYTES)] for first in (1, 7, 2, 9)] == [
        [1, 2],
        [7, 8],
        [2, 3],
        [9, 10],
    ]


def test_what_was_read_is_forgotten_when_something_else_stands_there(counted: Counted) -> None:
    counted.append(3)
    ahead = Ahead(counted, outbox.read)
    ahead.take(1, 1, BYTES)
    counted.store.do(lambda db: db.execute("update record set data = x'c0ffee' where seq = 2"))
    ahead.forget()
    assert ahead.take(2, 1, BYTES)[0].data == b"\xc0\xff\xee"


def test_no_more_bytes_than_asked_for_but_always_one(counted: Counted) -> None:
    counted.append(4)
    ahead = Ahead(counted, outbox.read)
    size = len(ahead.take(1, 1, 1)[0].data)
    assert [one.seq for one in ahead.take(2, 4, 2 * size + 1)] == [2, 3]
