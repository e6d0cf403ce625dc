"""A record that can never be taken steps aside under its own number, and what it said goes again where it can be read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from edge import outbox, poison, schema
from edge.outbox import Signer
from edge.store import Store
from wire import parts, signature
from wire.codec import decode, encode
from wire.facts import AuditFact, DamagedFact, RefusedFact
from wire.parts import Part
from wire.records import RECORD_BYTES_MAX, Kind, Receipt, Record, open_record, tip
from wire.stamp import Stamp

SIGNER = Signer("care-1", ec.generate_private_key(ec.SECP256R1()))
STAMP = Stamp(boot=b"b" * 16, mono_ms=5, wall_ms=1_770_000_000_000, quality="gps")
TOO_LARGE = poison.TOO_LARGE


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "ledger.db", schema.LEDGER)
    yield store
    store.close()


def append(ledger: Store, size: int) -> int:
    fact = AuditFact(what="long", outcome="ok", reason="w" * size)
    return ledger.do(lambda db: outbox.append(db, SIGNER, STAMP, Kind.AUDIT, fact))


def all_of(ledger: Store) -> list[Record]:
    data = ledger.do(lambda db: [row[0] for row in db.execute("select data from record order by seq").fetchall()])
    return [open_record(one, "care-1", SIGNER.key.public_key()) for one in data]


def whole(records: list[Record]) -> str | None:
    body = parts.join([decode(record.body, Part) for record in records])
    return decode(body, AuditFact).reason


def test_a_body_above_the_record_limit_is_owed_as_consecutive_parts_in_one_transaction(ledger: Store) -> None:
    append(ledger, 10)
    last = append(ledger, 400_000)
    append(ledger, 10)
    records = all_of(ledger)
    assert [record.kind for record in records] == ["audit", *["part"] * 13, "audit"]
    assert last == 14
    assert whole(records[1:-1]) == "w" * 400_000
    assert max(len(record.body) for record in records) < RECORD_BYTES_MAX


@pytest.mark.parametrize("at", range(0, 300, 7))
def test_a_record_whose_bytes_changed_is_replaced_under_its_number_and_a_sound_one_never(
    ledger: Store, at: int
) -> None:
    append(ledger, 10), append(ledger, 200), append(ledger, 10)
    (data,) = ledger.do(lambda db: db.execute("select data from record where seq = 2").fetchone())
    bent = data[: at % len(data)] + bytes([data[at % len(data)] ^ 0x10]) + data[at % len(data) + 1 :]
    ledger.do(lambda db: db.execute("update record set data = ? where seq = 2", [bent]))
    assert [ledger.do(lambda db, n=seq: poison.replace_damaged(db, SIGNER, STAMP, n)) for seq in (1, 2, 3, 2)] == [
        None,
        "audit",
        None,
        None,
    ]
    records = all_of(ledger)
    assert [(record.seq, record.kind) for record in records] == [(1, "audit"), (2, "damaged"), (3, "audit")]
    fact = decode(records[1].body, DamagedFact)
    assert (fact.found, fact.size) == (bent, len(bent))


def test_what_is_too_large_for_the_broker_goes_again_in_small_parts(ledger: Store) -> None:
    append(ledger, 10), append(ledger, 100_000), append(ledger, 10)
    assert ledger.do(lambda db: poison.step_aside(db, SIGNER, 2, TOO_LARGE))
    records = all_of(ledger)
    refused = decode(records[1].body, RefusedFact)
    assert (records[1].kind, refused.reason, refused.kind, refused.found) == ("refused", TOO_LARGE, "audit", b"")
    assert whole(records[3:]) == "w" * 100_000
    assert all(record.stamp == STAMP for record in records)  # it was noted then, not now


def test_the_parts_of_a_whole_make_room_together(ledger: Store) -> None:
    append(ledger, 300_000)  # ten parts
    assert ledger.do(lambda db: poison.step_aside(db, SIGNER, 3, TOO_LARGE))
    records = all_of(ledger)
    assert [record.kind for record in records[:10]] == ["part", "part", *["refused"] * 8]
    assert whole(records[10:]) == "w" * 300_000
    assert max(len(record.body) for record in records[10:]) <= parts.PART_BYTES_MIN + 100


def test_a_small_record_stands_whole_in_the_word_that_it_was_refused_and_that_word_never_steps_aside(
    ledger: Store,
) -> None:
    append(ledger, 10)
    (before,) = ledger.do(lambda db: db.execute("select data from record").fetchone())
    assert ledger.do(lambda db: poison.step_aside(db, SIGNER, 1, poison.NOT_OF_ITS_FORMAT))
    (record,) = all_of(ledger)
    assert decode(record.body, RefusedFact).found == before
    assert not ledger.do(lambda db: poison.step_aside(db, SIGNER, 1, poison.NOT_OF_ITS_FORMAT))


def receipt(log_id: bytes, through: int, data: bytes | None) -> Receipt:
    said = b"" if data is None else tip(data)
    return Receipt(v=1, device="care-1", log_id=log_id, through=through, epoch=1, tip=said)


def test_a_receipt_for_another_boards_bytes_lets_go_of_nothing(ledger: Store) -> None:
    append(ledger, 10), append(ledger, 10)
    log_id = ledger.do(outbox.numbers).log_id
    data = ledger.do(lambda db: [row[0] for row in db.execute("select data from record order by seq").fetchall()])
    assert ledger.do(lambda db: outbox.is_anothers(db, receipt(log_id, 2, b"of the other board")))
    assert not ledger.do(lambda db: outbox.take_receipt(db, receipt(log_id, 2, b"of the other board"), 1))
    assert ledger.do(outbox.numbers).unsent == 2
    assert ledger.do(lambda db: outbox.is_anothers(db, receipt(log_id, 3, b"counted on by the other")))
    for genuine in (receipt(log_id, 1, data[0]), receipt(log_id, 2, None)):  # an older hub, or a gap, says no tip
        assert ledger.do(lambda db, one=genuine: outbox.take_receipt(db, one, 1))
    assert ledger.do(outbox.numbers).unsent == 0


def test_a_birth_names_the_bytes_of_what_was_receipted_last_and_of_what_is_owed_first(ledger: Store) -> None:
    for _ in range(3):
        append(ledger, 10)
    data = ledger.do(lambda db: [row[0] for row in db.execute("select data from record order by seq").fetchall()])
    ledger.do(lambda db: outbox.take_receipt(db, receipt(outbox.numbers(db).log_id, 1, data[0]), 1))
    marks = ledger.do(lambda db: outbox.log_range(db, "ledger")).marks
    assert {mark.seq: mark.tip for mark in marks} == {1: tip(data[0]), 2: tip(data[1])}
    ledger.do(lambda db: db.execute("update record set data = x'00' where seq = 2"))
    ledger.do(lambda db: poison.replace_damaged(db, SIGNER, STAMP, 2))
    assert [mark.seq for mark in ledger.do(lambda db: outbox.log_range(db, "ledger")).marks] == [1]


def test_the_signature_of_a_record_is_over_what_it_says(ledger: Store) -> None:
    append(ledger, 10)
    (data,) = ledger.do(lambda db: db.execute("select data from record").fetchone())
    assert encode(decode(signature.payload_of(data), Record)) == signature.payload_of(data)


def test_bytes_that_the_disk_changed_do_not_make_two_boards_of_one(ledger: Store) -> None:
    append(ledger, 10), append(ledger, 10)
    log_id = ledger.do(outbox.numbers).log_id
    data = ledger.do(lambda db: [row[0] for row in db.execute("select data from record order by seq").fetchall()])
    ledger.do(lambda db: outbox.take_receipt(db, receipt(log_id, 1, data[0]), 1))
    ledger.do(lambda db: db.execute("update record set data = x'00'"))
    assert ledger.do(lambda db: outbox.log_range(db, "ledger", SIGNER)).marks == ()
    assert not ledger.do(lambda db: outbox.is_anothers(db, receipt(log_id, 2, data[1]), SIGNER))
    assert ledger.do(lambda db: outbox.take_receipt(db, receipt(log_id, 2, data[1]), 1, SIGNER))
