"""The outbox: numbers without holes, kept until the hub's receipt and three days beyond, believed in its epoch only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sqlite_utils import Database

from edge import outbox, schema
from edge.outbox import KEPT_MS, SWEEP_RECORDS, Numbers, Signer
from edge.store import Store
from wire.facts import AuditFact
from wire.parts import WHOLE_BYTES_MAX
from wire.records import Kind, Receipt, open_record
from wire.stamp import Stamp

NOW_MS = 1_770_000_000_000
SIGNER = Signer("care-1", ec.generate_private_key(ec.SECP256R1()))
STAMP = Stamp(boot=bytes(16), mono_ms=5, wall_ms=NOW_MS, quality="ntp")
FACT = AuditFact(what="unlocked", outcome="ok")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "ledger.db", schema.LEDGER)
    yield opened
    opened.close()


def append(db: Database, count: int = 1, stamp: Stamp = STAMP) -> list[int]:
    return [outbox.append(db, SIGNER, stamp, Kind.AUDIT, FACT) for _ in range(count)]


def receipted(db: Database, through: int, epoch: int = 1, now_ms: int = NOW_MS) -> bool:
    log_id = outbox.numbers(db).log_id
    receipt = Receipt(v=1, device="care-1", log_id=log_id, through=through, epoch=epoch)
    return outbox.take_receipt(db, receipt, now_ms)


def at(ledger: Store) -> Numbers:
    return ledger.do(outbox.numbers)


def test_records_count_from_one_and_are_what_was_signed(ledger: Store) -> None:
    assert ledger.do(lambda db: append(db, 3)) == [1, 2, 3]
    owed = ledger.do(lambda db: outbox.read(db, 2, 10, 100_000))
    assert [record.seq for record in owed] == [2, 3]
    record = open_record(owed[0].data, "care-1", SIGNER.key.public_key())
    assert (record.seq, record.kind, record.log_id, record.stamp) == (2, "audit", at(ledger).log_id, STAMP)


def test_a_number_is_taken_only_with_its_record(ledger: Store) -> None:
    def fails(db: Database) -> None:
        append(db)
        raise LookupError

    with pytest.raises(LookupError):
        ledger.do(fails)
    assert ledger.do(append) == [1]


def test_a_record_that_nobody_could_carry_is_refused_and_takes_no_number(ledger: Store) -> None:
    with pytest.raises(ValueError, match="at most"):
        ledger.do(lambda db: outbox.append(db, SIGNER, STAMP, Kind.NOTE, bytes(WHOLE_BYTES_MAX + 1)))
    assert at(ledger).next == 1


def test_a_log_keeps_its_name_as_long_as_its_file_and_two_files_never_share_one(tmp_path: Path) -> None:
    ids = []
    for name in ("a.db", "a.db", "b.db"):
        store = Store(tmp_path / name, schema.LEDGER)
        ids.append(at(store).log_id)
        store.close()
    assert ids[0] == ids[1] != ids[2]


def test_reading_stops_at_the_bytes_but_never_before_the_first(ledger: Store) -> None:
    ledger.do(lambda db: append(db, 4))
    size = len(ledger.do(lambda db: outbox.read(db, 1, 1, 1))[0].data)
    assert len(ledger.do(lambda db: outbox.read(db, 1, 10, 2 * size + 4))) == 2


def test_a_receipt_covers_everything_up_to_it(ledger: Store) -> None:
    ledger.do(lambda db: append(db, 5))
    assert ledger.do(lambda db: receipted(db, 3))
    assert (at(ledger).lowest_owed, at(ledger).unsent, at(ledger).lowest_held) == (4, 2, 1)


@pytest.mark.parametrize(("through", "epoch"), [(3, 1), (2, 1), (5, 0), (6, 1), (6, 2)])
def test_a_receipt_that_is_late_of_an_old_epoch_or_for_unknown_numbers_moves_nothing(
    ledger: Store, through: int, epoch: int
) -> None:
    ledger.do(lambda db: append(db, 5))
    ledger.do(lambda db: receipted(db, 3))
    assert not ledger.do(lambda db: receipted(db, through, epoch))
    assert (at(ledger).through, at(ledger).hub_epoch) == (3, 1)


def test_a_receipt_for_another_log_moves_nothing(ledger: Store) -> None:
    ledger.do(lambda db: append(db, 5))
    stranger = Receipt(v=1, device="care-1", log_id=b"x" * 16, through=4, epoch=1)
    assert not ledger.do(lambda db: outbox.take_receipt(db, stranger, NOW_MS))
    assert at(ledger).unsent == 5


def test_a_lower_receipt_under_a_higher_epoch_makes_what_the_hub_lost_owed_again(ledger: Store) -> None:
    ledger.do(lambda db: append(db, 5))
    ledger.do(lambda db: receipted(db, 5))
    assert ledger.do(lambda db: receipted(db, 2, epoch=2))
    assert (at(ledger).lowest_owed, at(ledger).unsent) == (3, 3)
    assert ledger.do(lambda db: outbox.sweep(db, NOW_MS + KEPT_MS + 1)) == 2, "what is owed again must not be let go"


def test_what_was_receipted_is_kept_for_72_hours(ledger: Store) -> None:
    ledger.do(lambda db: append(db, 5))
    ledger.do(lambda db: receipted(db, 3))
    assert ledger.do(lambda db: outbox.sweep(db, NOW_MS + KEPT_MS - 1)) == 0
    assert ledger.do(lambda db: outbox.sweep(db, NOW_MS + KEPT_MS)) == 3
    assert (at(ledger).lowest_held, at(ledger).lowest_owed) == (4, 4)


def test_what_is_owed_is_never_let_go(ledger: Store) -> None:
    ledger.do(lambda db: append(db, 5))
    assert ledger.do(lambda db: outbox.sweep(db, NOW_MS + 100 * KEPT_MS)) == 0


def test_records_are_let_go_in_small_batches(ledger: Store) -> None:
    ledger.do(lambda db: append(db, 100))
    ledger.do(lambda db: receipted(db, 100))
    late_ms = NOW_MS + KEPT_MS
    assert [ledger.do(lambda db: outbox.sweep(db, late_ms)) for _ in range(3)] == [SWEEP_RECORDS, 36, 0]
    assert (at(ledger).lowest_held, at(ledger).lowest_owed, at(ledger).next) == (101, 101, 101)


def test_a_receipt_stamped_by_a_clock_that_ran_ahead_counts_from_now(ledger: Store) -> None:
    ledger.do(append)
    ledger.do(lambda db: receipted(db, 1, now_ms=NOW_MS + 10 * KEPT_MS))
    assert ledger.do(lambda db: outbox.sweep(db, NOW_MS)) == 0
    assert ledger.do(lambda db: outbox.sweep(db, NOW_MS + KEPT_MS)) == 1


def test_when_the_oldest_was_stored_is_unknown_if_the_clock_was_not_set(ledger: Store) -> None:
    unset = Stamp(boot=bytes(16), mono_ms=5, wall_ms=None, quality="none")
    ledger.do(lambda db: append(db, 1, unset))
    ledger.do(append)
    assert ledger.do(lambda db: [outbox.stored_ms(db, seq) for seq in (1, 2, 3)]) == [None, NOW_MS, None]


def test_the_numbers_of_a_birth_are_in_order_whatever_was_let_go(ledger: Store) -> None:
    for receipted_through, swept in ((0, False), (40, True), (40, False)):
        ledger.do(lambda db: append(db, 40))
        ledger.do(lambda db, through=receipted_through: receipted(db, through))
        if swept:
            ledger.do(lambda db: outbox.sweep(db, NOW_MS + KEPT_MS))
        told = at(ledger).range("ledger")
        assert 1 <= told.lowest_held <= told.lowest_owed <= told.next
