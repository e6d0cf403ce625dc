"""Whatever a disk did to a file, the terminal starts, keeps what can be read, and says which numbers cannot."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sqlite_utils import Database

from edge import copies, damage, evidence, held, outbox, salvage, schema
from edge.outbox import LEDGER, Signer
from edge.screen import words
from edge.store import SUSPECT, Store, StoreGone
from wire.codec import decode
from wire.facts import AuditFact, EmergencyFact, LedgerDamaged, StatusFact
from wire.records import Kind, Receipt, Record, open_record
from wire.signature import payload_of
from wire.stamp import Stamp
from wire.state import Version, seal_snapshot

SIGNER = Signer("care-1", ec.generate_private_key(ec.SECP256R1()))
STAMP = Stamp(boot=b"b" * 16, mono_ms=5, wall_ms=1_789_000_000_000, quality="gps")
NOW = Stamp(boot=b"n" * 16, mono_ms=9, wall_ms=1_789_000_900_000, quality="gps")
RECORDS, THROUGH = 60, 20
EMERGENCY = EmergencyFact(id=b"e" * 16, source="button", mono_ms=4)
PAGE = 4096


class Car:
    """A terminal's ledger after a day: records receipted and owed, small and large, drafts, a shift, an emergency."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.path = home / "ledger.db"
        self.saved: dict[int, bytes] = {}
        store = Store(self.path, schema.LEDGER)
        for number in range(RECORDS):
            store.do(lambda db, number=number: self._append(db, number))  # type: ignore[misc]
        store.do(self._rest)
        self.log_id = store.do(outbox.numbers).log_id
        receipt = Receipt(v=1, device="care-1", log_id=self.log_id, through=THROUGH, epoch=1)
        store.do(lambda db: outbox.take_receipt(db, receipt, 0))
        self.live = (self.path.read_bytes(), self.wal.read_bytes())  # as a power cut would leave them
        store.close()
        self.whole = self.path.read_bytes()

    @property
    def wal(self) -> Path:
        return self.path.with_name("ledger.db-wal")

    def _append(self, db: Database, number: int) -> None:
        if number % 15 == 7:
            seq = outbox.append(db, SIGNER, STAMP, Kind.NOTE, bytes([number]) * 9000)
        elif number == 50:
            seq = outbox.append(db, SIGNER, STAMP, Kind.EMERGENCY, EMERGENCY)
            db.execute(
                "insert into emergency (emergency, is_drill, boot, mono_ms, first_seq, seq) values (?, 0, ?, 4, ?, ?)",
                [EMERGENCY.id, STAMP.boot, seq, seq],
            )
        elif number % 10 == 3:
            fact = StatusFact(unit="u1", status="available", by="crew")
            seq = outbox.append(db, SIGNER, STAMP, Kind.STATUS, fact)
            db.execute("insert into press (seq, status, pressed_ms) values (?, 'available', 1)", [seq])
        else:
            seq = outbox.append(db, SIGNER, STAMP, Kind.AUDIT, AuditFact(what="x" * number, outcome="ok"))
        self.saved[seq] = db.execute("select data from record where seq = ?", [seq]).fetchone()[0]

    def _rest(self, db: Database) -> None:
        for number in range(12):
            note_id = bytes([number]) * 16
            db.execute("insert into draft values (?, ?, 's1', ?, ?)", [note_id, b"c" * 16, bytes(3000), number])
            db.execute("insert into held values (?, 1, ?, ?, 1)", [f"section-{number}", number, bytes([number]) * 700])
            db.execute("insert into fact values (?, ?)", [f"fact-{number}", number])
        db.execute("insert into fact values ('gone', 1)")
        db.execute("insert into draft values (?, ?, 's1', ?, 1)", [b"g" * 16, b"c" * 16, bytes(30_000)])
        db.execute("delete from draft where note_id = ?", [b"g" * 16])  # leaves free pages
        db.execute("insert into shift values (?, 'u1', 's1', 5, null, ?)", [b"s" * 16, b"wrapped"])

    def owed(self) -> set[int]:
        return set(range(THROUGH + 1, RECORDS + 1))

    def start(self) -> Started:
        store = salvage.open_store(self.path, schema.LEDGER, LEDGER, SIGNER, lambda: NOW)
        try:
            return store.do(Started)
        finally:
            store.close()

    def damage(self, at: int, bits: int = 0xFF) -> None:
        data = bytearray(self.whole)
        data[at] ^= bits
        self.path.write_bytes(data)


class Started:
    """What a terminal finds in its ledger after a start."""

    def __init__(self, db: Database) -> None:
        self.numbers = outbox.numbers(db)
        self.records = [
            decode(payload_of(data), Record)  # a flip inside a record is for whoever sends it: it steps aside by itself
            for (data,) in db.execute("select data from record order by seq").fetchall()
        ]
        self.drafts = db.execute("select count(*) from draft").fetchone()[0]
        self.shift = db.execute("select shift_key from shift").fetchall()
        self.emergencies = db.execute(
            "select record.data from emergency join record on record.seq = emergency.seq"
        ).fetchall()
        self.presses = [row[0] for row in db.execute("select seq from press order by seq").fetchall()]

    @property
    def said(self) -> LedgerDamaged | None:
        first = self.records[0]
        return decode(first.body, LedgerDamaged) if first.kind == Kind.LEDGER_DAMAGED else None

    @property
    def inner(self) -> dict[int, bytes]:
        """The salvaged records by their old number."""
        found = {}
        for record in self.records:
            if record.kind == Kind.SALVAGED:
                old = open_record(record.body, "care-1", SIGNER.key.public_key())
                found[old.seq] = record.body
        return found


@pytest.fixture
def car(tmp_path: Path) -> Car:
    return Car(tmp_path)


def check(car: Car) -> Started:
    """The terminal starts, and every owed record is there or is said to be lost, and is not the other as well."""
    found = car.start()
    said = found.said
    if said is None:
        assert found.numbers.log_id == car.log_id
        assert {record.seq for record in found.records} >= car.owed()
        return found
    assert found.numbers.log_id != car.log_id
    salvaged = {seq for first, last in said.salvaged for seq in range(first, last + 1)}
    assert salvaged == set(found.inner)
    assert all(car.saved[seq] == data for seq, data in found.inner.items())
    if said.log_id is not None:
        assert said.log_id == car.log_id
    return found


def lost(car: Car, found: Started) -> set[int]:
    return car.owed() - set(found.inner) if found.said is not None else set()


def page_kinds(path: Path) -> dict[str, list[int]]:
    """Where the pages of each class begin."""
    data = path.read_bytes()
    names = {0x0D: "leaf", 0x05: "interior", 0x0A: "index", 0x02: "index"}
    kinds: dict[str, list[int]] = {
        "header": [0],
        "schema": [100],
        "free": [int.from_bytes(data[32:36], "big") * PAGE - PAGE],
    }
    for at in range(PAGE, len(data), PAGE):
        kinds.setdefault(names.get(data[at], "overflow"), []).append(at)
    kinds["overflow"].remove(kinds["free"][0])
    return kinds


def root(path: Path, name: str) -> int:
    """Where the first page of a table or an index begins."""
    with closing(sqlite3.connect(path)) as conn:
        row = conn.execute("select rootpage from sqlite_schema where name = ?", [name]).fetchone()
    return int(row[0] - 1) * PAGE


def test_a_whole_file_opens_as_it_is(car: Car) -> None:
    found = car.start()
    assert (found.said, found.numbers.log_id, found.drafts) == (None, car.log_id, 12)
    assert not (car.home / evidence.FOLDER).exists()


def test_a_file_that_a_power_cut_left_opens_as_it_is(car: Car) -> None:
    car.path.write_bytes(car.live[0])
    car.wal.write_bytes(car.live[1])
    found = car.start()
    assert (found.said, found.numbers.log_id) == (None, car.log_id)
    assert {record.seq for record in found.records} == set(car.saved)


def test_a_new_terminal_has_nothing_to_salvage(tmp_path: Path) -> None:
    store = salvage.open_store(tmp_path / "ledger.db", schema.LEDGER, LEDGER, SIGNER, lambda: NOW)
    store.close()
    assert not (tmp_path / evidence.FOLDER).exists()


@pytest.mark.parametrize("kind", ["header", "schema", "interior", "leaf", "overflow", "free", "index"])
def test_a_flipped_byte_in_any_class_of_page_leaves_a_terminal_that_starts(car: Car, kind: str) -> None:
    chance = Random(4)
    places = page_kinds(car.path)[kind]
    for offset in (0, 3, 9, chance.randrange(12, PAGE - 100)):
        shutil.rmtree(car.home / evidence.FOLDER, ignore_errors=True)
        for path in car.home.glob("ledger.db-*"):
            path.unlink()
        at = chance.choice(places) + offset
        car.damage(at)
        found = check(car)
        assert len(lost(car, found)) <= 12, f"byte {at}"  # what one page holds


def test_a_broken_header_loses_nothing(car: Car) -> None:
    data = bytearray(car.whole)
    data[0:100] = Random(1).randbytes(100)
    car.path.write_bytes(data)
    found = check(car)
    assert lost(car, found) == set()
    assert found.drafts == 12


def test_a_broken_schema_loses_no_record(car: Car) -> None:
    data = bytearray(car.whole)
    data[100:PAGE] = Random(1).randbytes(PAGE - 100)
    car.path.write_bytes(data)
    assert lost(car, check(car)) == set()


@pytest.mark.parametrize(("before", "after"), [(b"shift_key ", b"shift_kex "), (b"unit   ", b"un\xfft   ")])
def test_a_schema_that_reads_and_is_another_one_is_damage(car: Car, before: bytes, after: bytes) -> None:
    car.path.write_bytes(car.whole.replace(before, after, 1))
    found = check(car)
    assert found.said is not None
    assert lost(car, found) == set()


def test_a_flipped_version_is_damage_and_not_a_newer_program(car: Car) -> None:
    car.damage(60, 0x40)  # user_version
    found = check(car)
    assert found.said is not None
    assert lost(car, found) == set()


def test_a_cut_file_loses_what_was_cut_off(car: Car) -> None:
    car.path.write_bytes(car.whole[: len(car.whole) // 2 + 100])
    found = check(car)
    assert found.said is not None
    assert 0 < len(lost(car, found)) < 60


@pytest.mark.parametrize(
    "data", [bytes(70_000), b"\xff" * 70_000, Random(2).randbytes(70_000)], ids=["zeros", "ones", "rubbish"]
)
def test_a_file_of_nothing_is_put_aside_and_said_so(car: Car, data: bytes) -> None:
    car.path.write_bytes(data)
    found = check(car)
    assert found.said is not None
    assert (found.said.log_id, found.said.salvaged) == (None, ())
    kept = evidence.notice(car.home)
    assert kept is not None
    assert kept.lost == -1


def test_a_journal_of_rubbish_is_damage_and_what_the_file_itself_holds_is_salvaged(car: Car) -> None:
    car.path.write_bytes(car.live[0])
    car.wal.write_bytes(Random(3).randbytes(len(car.live[1])))
    found = check(car)
    assert found.said is not None
    assert found.inner


def test_a_flipped_bit_in_the_journal_loses_at_most_the_page_it_is_in(car: Car) -> None:
    car.path.write_bytes(car.live[0])
    data = bytearray(car.live[1])
    data[32 + 24 + 2000] ^= 1  # its first frame: SQLite believes nothing of the rest
    car.wal.write_bytes(data)
    found = check(car)
    assert found.said is not None
    assert len(lost(car, found)) <= 1


def test_a_number_is_never_given_twice_after_the_log_row_was_changed(car: Car) -> None:
    with closing(sqlite3.connect(car.path)) as conn, conn:
        conn.execute("update log set next = 30")
    found = check(car)
    assert found.said is not None
    assert lost(car, found) == set()


def test_an_emergency_goes_out_again_as_what_it_is(car: Car) -> None:
    car.damage(0)
    found = check(car)
    (data,) = found.emergencies[0]
    again = open_record(data, "care-1", SIGNER.key.public_key())
    assert (again.kind, decode(again.body, EmergencyFact), again.stamp) == (Kind.EMERGENCY, EMERGENCY, STAMP)


def test_presses_and_notes_carry_the_new_numbers(car: Car) -> None:
    with closing(sqlite3.connect(car.path)) as conn, conn:
        conn.execute("update log set next = 30")  # everything else reads
    found = check(car)
    by_seq = {record.seq: record for record in found.records}
    assert found.presses
    for seq in found.presses:
        assert open_record(by_seq[seq].body, "care-1", SIGNER.key.public_key()).kind == Kind.STATUS


def test_the_key_of_a_shift_comes_only_from_a_row_that_sqlite_reads(car: Car) -> None:
    with closing(sqlite3.connect(car.path)) as conn, conn:
        conn.execute("update log set next = 30")
    assert check(car).shift == [(b"wrapped",)]
    for name in (evidence.FOLDER, "ledger.db-wal", "ledger.db-shm"):
        path = car.home / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    car.damage(0)
    assert check(car).shift == []  # they sign on again


def test_pins_and_their_tries_are_not_touched(car: Car) -> None:
    (car.home / "vault").mkdir()
    (car.home / "vault" / "s1.slot").write_bytes(b"four tries used")
    (car.home / "board.secret").write_bytes(b"secret")
    car.damage(0)
    check(car)
    assert (car.home / "vault" / "s1.slot").read_bytes() == b"four tries used"
    assert (car.home / "board.secret").read_bytes() == b"secret"


def test_the_damaged_file_stays_until_the_hub_has_receipted_everything_salvaged(car: Car) -> None:
    car.damage(0)
    check(car)
    store = Store(car.path, schema.LEDGER)
    kept = evidence.kept(car.home)
    assert len(kept) == 1
    folder, rescued = kept[0]
    assert (rescued.lost, rescued.records) == (0, RECORDS - THROUGH)
    assert (folder / "ledger.db").stat().st_size == len(car.whole)
    for through, stays in ((rescued.through - 1, True), (rescued.through, False)):
        receipt = Receipt(v=1, device="care-1", log_id=rescued.log_id, through=through, epoch=1)
        store.do(lambda db, receipt=receipt: outbox.take_receipt(db, receipt, 0))  # type: ignore[misc]
        evidence.tidy(car.home, {LEDGER: store})
        assert folder.exists() is stays
    store.close()


def test_a_damaged_file_of_which_something_is_lost_stays_for_a_person(car: Car) -> None:
    car.path.write_bytes(car.whole[: len(car.whole) // 2])
    check(car)
    store = Store(car.path, schema.LEDGER)
    now = store.do(outbox.numbers)
    receipt = Receipt(v=1, device="care-1", log_id=now.log_id, through=now.next - 1, epoch=1)
    store.do(lambda db: outbox.take_receipt(db, receipt, 0))
    evidence.tidy(car.home, {LEDGER: store})
    assert len(evidence.kept(car.home)) == 1
    store.close()


class _PowerCut(Exception):
    pass


def test_a_salvage_that_is_cut_short_anywhere_is_done_at_the_next_start(
    car: Car, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, steps = evidence.sync, 0
    while True:
        shutil.rmtree(car.home / evidence.FOLDER, ignore_errors=True)
        for path in car.home.glob("ledger.db*"):
            path.unlink()
        car.path.write_bytes(car.live[0])
        data = bytearray(car.live[1])
        data[32 + 24 + 2000] ^= 1
        car.wal.write_bytes(data)
        left = steps

        def sync(path: Path) -> None:
            nonlocal left
            if left == 0:
                raise _PowerCut
            left -= 1
            whole(path)

        monkeypatch.setattr(evidence, "sync", sync)
        try:
            car.start()
        except _PowerCut:
            monkeypatch.setattr(evidence, "sync", whole)
            found = check(car)
            assert found.said is not None
            assert len(lost(car, found)) <= 1
            steps += 1
            continue
        break
    assert steps > 4


def test_what_the_damaged_file_has_lost_comes_from_the_newest_copy(car: Car) -> None:
    store = Store(car.path, schema.LEDGER)
    copies.make(store, car.home)
    store.close()
    car.path.write_bytes(bytes(len(car.whole)))
    found = check(car)
    assert lost(car, found) == set()
    assert found.drafts == 12


def test_a_second_damage_carries_what_the_first_one_salvaged_as_it_was(car: Car) -> None:
    car.damage(0)
    check(car)
    data = bytearray(car.path.read_bytes())
    data[0] ^= 0xFF
    car.path.write_bytes(data)
    found = car.start()
    public = SIGNER.key.public_key()
    inner = [open_record(record.body, "care-1", public) for record in found.records if record.kind == Kind.SALVAGED]
    old = {record.seq for record in inner if record.log_id == car.log_id}
    assert old == car.owed()
    assert not [record for record in inner if record.kind == Kind.SALVAGED]
    assert next(record.kind for record in inner if record.log_id != car.log_id) == Kind.LEDGER_DAMAGED


def test_corruption_found_while_running_marks_the_file_and_the_next_start_reads_all_of_it(car: Car) -> None:
    at = root(car.path, "sqlite_autoindex_held_1")
    store = Store(car.path, schema.LEDGER)
    died: list[str] = []
    store.close()
    data = bytearray(car.whole)
    data[at : at + 200] = bytes(200)
    car.path.write_bytes(data)
    store = Store(car.path, schema.LEDGER, died=died.append)
    with pytest.raises(sqlite3.DatabaseError, match="malformed"):
        store.do(lambda db: db.execute("select * from held where section = 'section-3'").fetchall())
    with pytest.raises(StoreGone):
        store.do(lambda db: None)
    assert died
    assert car.path.with_name("ledger.db" + SUSPECT).exists()
    found = check(car)
    assert found.said is not None
    assert not car.path.with_name("ledger.db" + SUSPECT).exists()


def test_looking_at_a_file_maps_nothing_from_its_disk_and_leaves_nothing_beside_it(car: Car) -> None:
    store = Store(car.path, schema.LEDGER)
    store.do(lambda db: db.execute("insert into fact values ('here', 1)"))
    before = {path.name: path.read_bytes() for path in car.home.glob("ledger.db*")}
    assert before.keys() == {"ledger.db", "ledger.db-wal"}
    assert damage.damage_of(car.path, schema.LEDGER) is None
    assert {path.name: path.read_bytes() for path in car.home.glob("ledger.db*")} == before
    store.close()


def test_a_mark_without_damage_is_taken_away(car: Car) -> None:
    mark = car.path.with_name("ledger.db" + SUSPECT)
    mark.touch()
    assert check(car).said is None
    assert not mark.exists()


@pytest.mark.parametrize(
    ("lost", "log", "detail"),
    [
        (0, "ledger", "12 unsent records rescued, nothing lost: tell the fleet tech"),
        (3, "trail", "12 unsent track records rescued, 3 lost: tell the fleet tech"),
        (-1, "ledger", "old records lost: tell the fleet tech"),
    ],
)
def test_the_screen_says_it_in_plain_words(lost: int, log: str, detail: str) -> None:
    rescued = evidence.Rescued(
        log=log, log_id=bytes(16), through=9, records=12, lost=lost, damage="its pages do not fit together", at_ms=0
    )
    said = words.damaged(rescued)
    assert said is not None
    assert (said.head, said.detail, said.mood) == ("Disk damaged", detail, "bad")
    assert words.damaged(None) is None


def test_a_section_that_does_not_open_any_more_is_let_go_of_so_that_the_hub_may_send_it_again(tmp_path: Path) -> None:
    kem, hub = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    store = Store(tmp_path / "ledger.db", schema.LEDGER)
    for number, section in enumerate(("roster", "settings")):
        data = bytearray(seal_snapshot("care-1", section, Version(1, 1), b"content", kem.public_key(), hub))
        data[len(data) // 2] ^= number
        store.do(lambda db, data=data, section=section: held.keep(db, section, Version(1, 1), bytes(data), 0))  # type: ignore[misc]
    assert store.do(lambda db: held.drop_unreadable(db, kem)) == 1
    assert store.do(lambda db: db.execute("select section from held").fetchall()) == [("roster",)]
    assert store.do(lambda db: held.drop_unreadable(db, kem)) == 0
    store.close()
