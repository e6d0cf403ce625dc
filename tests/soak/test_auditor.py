"""The auditor is tried before it is believed: each kind of wrong is planted once, and it has to say so."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import insert

from edge import outbox, schema
from edge.outbox import Signer
from edge.store import Store
from hub import schema as hub_schema
from hub import store as hub_store
from tests.soak.auditor import Board, Evidence, Verdict, audit, unsound
from tests.soak.saved import Saved
from wire import signature
from wire.codec import encode
from wire.facts import StatusFact
from wire.records import Receipt
from wire.signature import Context, public_der
from wire.stamp import Stamp
from wire.trail import Trail, TrailPoint, pack

WORDS = ("available", "en_route", "on_scene", "clearing", "break")
PRESSES, AT_HUB = 12, 9
DEVICE = "care-1"
STAMP = Stamp(boot=bytes(16), mono_ms=1000, wall_ms=1_780_000_000_000, quality="gps")


class Scene:
    """A terminal that numbered twelve statuses and two pieces of trail, and a hub that holds the first nine."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.board = home / "board"
        self.board.mkdir()
        self.saved = [
            Saved(device=DEVICE, what="status", word=f"{number}:{WORDS[number % len(WORDS)]}", is_sure=True)
            for number in range(PRESSES)
        ]
        signer = Signer(DEVICE, self.key)
        ledger = Store(self.board / "ledger.db", schema.LEDGER)
        trail = Store(self.board / "trail.db", schema.TRAIL)
        for number in range(PRESSES):
            fact = StatusFact(unit="u1", status=WORDS[number % len(WORDS)], by="crew")
            ledger.do(lambda db, fact=fact: outbox.append(db, signer, STAMP, "status", fact))
        for first in (0, 1000):
            body = pack(Trail(points=tuple(TrailPoint(mono_ms=first + n, lat=41.0, lon=-83.0) for n in range(10))))
            trail.do(lambda db, body=body: outbox.append(db, signer, STAMP, "trail", body))
        log = ledger.do(outbox.numbers)
        receipt = Receipt(v=1, device=DEVICE, log_id=log.log_id, through=AT_HUB, epoch=1)
        ledger.do(lambda db: outbox.take_receipt(db, receipt, 1))
        ledger.close()
        trail.close()
        self.log_id = log.log_id
        self._fill_hub()

    def audit(self, *, is_healed: bool = False, had_room: bool = True) -> Verdict:
        scratch = self.home / "copies"
        scratch.mkdir(exist_ok=True)
        return audit(
            Evidence(
                hub=self.home / "hub.db",
                boards=[Board(device=DEVICE, home=self.board, public=public_der(self.key.public_key()))],
                saved=self.saved,
                words=WORDS,
                is_healed=is_healed,
                had_room=had_room,
                scratch=scratch,
            )
        )

    def at_board(self, sql: str, *values: object, log: str = "ledger") -> None:
        self._do(self.board / f"{log}.db", sql, *values)

    def at_hub(self, sql: str, *values: object) -> None:
        self._do(self.home / "hub.db", sql, *values)

    def record(self, seq: int) -> bytes:
        with closing(sqlite3.connect(self.board / "ledger.db")) as db:
            return bytes(db.execute("select data from record where seq = ?", [seq]).fetchone()[0])

    def resigned(self, source: int, **changes: object) -> bytes:
        """Record `source` as its owner would have signed it, had it been another."""
        payload, _ = msgspec.msgpack.decode(self.record(source))
        fields = msgspec.msgpack.decode(payload)
        for name, value in changes.items():
            fields[("v", "device", "log_id", "seq", "kind", "stamp", "body").index(name)] = value
        return signature.signed(Context.RECORD, encode(fields), self.key)

    def _fill_hub(self) -> None:
        engine = hub_store.open_store(self.home)
        with engine.begin() as connection:
            signer = connection.execute(
                insert(hub_schema.signer).values(device=DEVICE, digest=b"d", public=b"p", certificate=b"c")
            ).inserted_primary_key[0]  # type: ignore[index]
            for seq in range(1, AT_HUB + 1):
                connection.execute(
                    insert(hub_schema.record).values(
                        device=DEVICE,
                        log_id=self.log_id,
                        seq=seq,
                        kind="status",
                        data=self.record(seq),
                        held_ms=1,
                        signer=signer,
                    )
                )
            connection.execute(
                insert(hub_schema.log).values(device=DEVICE, log_id=self.log_id, name="ledger", through=AT_HUB)
            )
        engine.dispose()

    @staticmethod
    def _do(file: Path, sql: str, *values: object) -> None:
        with closing(sqlite3.connect(file)) as db:
            assert db.execute(sql, values).rowcount != 0
            db.commit()


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_what_is_at_the_hub_or_still_owed_is_not_lost(scene: Scene) -> None:
    verdict = scene.audit()
    assert verdict.findings == ()
    assert (verdict.saved, verdict.records, verdict.fixes) == (PRESSES, AT_HUB, 20)


def _lose_the_newest_press(scene: Scene) -> None:
    scene.at_board("delete from record where seq = ?", PRESSES)
    scene.at_board("update log set next = ?", PRESSES)


def _lose_one_at_both_ends(scene: Scene) -> None:
    scene.at_board("delete from record where seq = 4")
    scene.at_hub("delete from record where seq = 4")


def _number_a_press_twice(scene: Scene) -> None:
    data = scene.resigned(PRESSES, seq=PRESSES + 1)
    scene.at_board("insert into record (seq, kind, data, stored_ms) values (?, 'status', ?, 1)", PRESSES + 1, data)
    scene.at_board("update log set next = ?", PRESSES + 2)


def _press_what_nobody_pressed(scene: Scene) -> None:
    fact = StatusFact(unit="u1", status=WORDS[PRESSES % len(WORDS)], by="crew")
    data = scene.resigned(PRESSES, seq=PRESSES + 1, body=encode(fact))
    scene.at_board("insert into record (seq, kind, data, stored_ms) values (?, 'status', ?, 1)", PRESSES + 1, data)
    scene.at_board("update log set next = ?", PRESSES + 2)


def _lose_a_note(scene: Scene) -> None:
    scene.saved.append(Saved(device=DEVICE, what="note", word="ab" * 16, is_sure=True))


def _change_a_byte_at_the_hub(scene: Scene) -> None:
    data = bytearray(scene.record(3))
    data[40] ^= 1
    scene.at_hub("update record set data = ? where seq = 3", bytes(data))


def _sign_another_body_under_the_number(scene: Scene) -> None:
    scene.at_hub("update record set data = ? where seq = 3", scene.resigned(3, kind="audit"))


def _change_what_is_owed(scene: Scene) -> None:
    data = bytearray(scene.record(PRESSES))
    data[-1] ^= 1
    scene.at_board("update record set data = ? where seq = ?", bytes(data), PRESSES)


def _make_a_hole_at_the_hub(scene: Scene) -> None:
    scene.at_hub("delete from record where seq = 5")


def _receipt_more_than_is_held(scene: Scene) -> None:
    scene.at_hub("update log set through = ?", AT_HUB + 2)


def _take_out_of_order(scene: Scene) -> None:
    scene.at_hub("update record set id = 100 where seq = 2")


def _let_go_too_early(scene: Scene) -> None:
    scene.at_board("delete from record where seq = 1")


def _believe_what_nobody_said(scene: Scene) -> None:
    scene.at_board("update log set through = ?", PRESSES)


def _tell_fixes_twice(scene: Scene) -> None:
    with closing(sqlite3.connect(scene.board / "trail.db")) as db:
        payload, _ = msgspec.msgpack.decode(db.execute("select data from record where seq = 1").fetchone()[0])
        fields = msgspec.msgpack.decode(payload)
        fields[3] = 3
        data = signature.signed(Context.RECORD, encode(fields), scene.key)
        db.execute("insert into record (seq, kind, data, stored_ms) values (3, 'trail', ?, 1)", [data])
        db.execute("update log set next = 4")
        db.commit()


def _keep_a_piece_of_what_is_a_record(scene: Scene) -> None:
    body = pack(Trail(points=tuple(TrailPoint(mono_ms=n, lat=41.0, lon=-83.0) for n in range(5, 15))))
    with closing(sqlite3.connect(scene.board / "trail.db")) as db:
        db.execute("insert into piece (stamp, points, fixes) values (?, ?, 10)", [encode(STAMP), body])
        db.commit()


def _quarantine_a_conflict(scene: Scene) -> None:
    scene.at_hub(
        "insert into quarantine (device, topic, why, data, held_ms) values (?, 't', 'same number, other bytes', ?, 1)",
        DEVICE,
        b"",
    )


@pytest.mark.parametrize(
    ("plant", "says"),
    [
        (_lose_the_newest_press, "a: care-1: press 11 (en_route)"),
        (_lose_one_at_both_ends, "a: care-1: press 3 (clearing)"),
        (_number_a_press_twice, "b: care-1: press 11 (en_route) is there twice"),
        (_press_what_nobody_pressed, "b: care-1: press 12 was never asked for"),
        (_lose_a_note, "a: care-1: note abab"),
        (_change_a_byte_at_the_hub, "c: "),
        (_sign_another_body_under_the_number, "is not what the terminal has"),
        (_change_what_is_owed, "ledger 12 is owed, and its signature"),
        (_make_a_hole_at_the_hub, "is receipted through 9, and 1 are missing: [5]"),
        (_receipt_more_than_is_held, "is receipted through 11, and 2 are missing: [10, 11]"),
        (_take_out_of_order, "was taken out of order"),
        (_let_go_too_early, "e: care-1 ledger has let go of 1 records within 72 hours: [1]"),
        (_believe_what_nobody_said, "believes that the hub holds 12, and it holds 9"),
        (_tell_fixes_twice, "b: care-1 tells 10 fixes twice"),
        (_keep_a_piece_of_what_is_a_record, "b: care-1 tells 5 fixes twice, again in a piece"),
        (_quarantine_a_conflict, "1 records came under a number that other bytes have"),
    ],
)
def test_a_planted_wrong_is_found(scene: Scene, plant: Callable[[Scene], None], says: str) -> None:
    plant(scene)
    assert any(says in finding for finding in scene.audit().findings), scene.audit().findings


def test_what_is_owed_although_all_is_well_again_is_said(scene: Scene) -> None:
    assert any(finding.startswith("h: care-1 ledger counts to 12") for finding in scene.audit(is_healed=True).findings)


def test_on_a_full_disk_copies_may_give_way_as_far_as_it_is_written_down_and_the_hub_has_them(scene: Scene) -> None:
    scene.at_board("delete from record where seq <= 4")
    scene.at_board("insert into fact (name, value) values ('copies_let_go', 3)")
    assert any("[1, 2, 3, 4]" in finding for finding in scene.audit().findings)
    assert any("1 records within 72 hours: [4]" in finding for finding in scene.audit(had_room=False).findings)
    scene.at_board("update fact set value = 4 where name = 'copies_let_go'")
    assert scene.audit(had_room=False).findings == ()


def test_a_press_that_was_asked_for_and_not_answered_may_be_missing_and_may_be_there(scene: Scene) -> None:
    scene.saved[-1] = Saved(device=DEVICE, what="status", word=scene.saved[-1].word, is_sure=False)
    assert scene.audit().findings == ()
    _lose_the_newest_press(scene)
    assert scene.audit().findings == ()


def test_a_record_that_was_salvaged_counts_as_the_one_inside_it(scene: Scene) -> None:
    old = scene.record(PRESSES)
    other = scene.resigned(PRESSES, log_id=bytes(15) + b"\1", seq=1, kind="salvaged", body=old)
    scene.at_board("delete from record")
    scene.at_board("update log set log_id = ?, next = 2, through = 0, hub_epoch = 0", bytes(15) + b"\1")
    scene.at_board("insert into record (seq, kind, data, stored_ms) values (1, 'salvaged', ?, 1)", other)
    lost = scene.audit().lost
    assert not any("press 11" in sentence for sentence in lost)
    assert any("press 10" in sentence for sentence in lost)


def test_a_database_that_does_not_open_is_unsound(scene: Scene) -> None:
    assert unsound(scene.board / "ledger.db", scene.home) is None
    (scene.board / "ledger.db-wal").unlink(missing_ok=True)
    with (scene.board / "ledger.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 512)
    assert unsound(scene.board / "ledger.db", scene.home) is not None
