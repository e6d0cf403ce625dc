"""Notes that only this terminal has are in two files: made rarely, never many, gone when the hub has the notes."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec
from sqlite_utils import Database

from edge import copies, outbox, schema
from edge.clock import Clock
from edge.copies import AFTER_START_S, DAY_S, CopyKeeper, Times, is_due
from edge.main import cli
from edge.outbox import Signer
from edge.store import Store
from wire.facts import AuditFact
from wire.records import Kind, Receipt
from wire.stamp import ClockQuality, Stamp

SIGNER = Signer("care-1", ec.generate_private_key(ec.SECP256R1()))
STAMP = Stamp(boot=b"b" * 16, mono_ms=5, wall_ms=1_789_000_000_000, quality="gps")


class Car:
    def __init__(self, home: Path, second: Path | None = None) -> None:
        self.home = home
        self.second = second
        self.now_s = 0.0
        self.night: int | None = None
        self.store = Store(home / "ledger.db", schema.LEDGER)
        self.start()

    def start(self) -> None:
        clock = Clock(b"b" * 16, mono_s=lambda: self.now_s, wall_s=lambda: 0.0, quality=lambda: ClockQuality.NONE)
        self.keeper = CopyKeeper(self.store, self.home, self.second, clock, night=lambda _: self.night)

    def write(self, kind: str = Kind.NOTE) -> int:
        body = AuditFact(what="x", outcome="ok") if kind == Kind.AUDIT else b"sealed" * 50
        return self.store.do(lambda db: outbox.append(db, SIGNER, STAMP, kind, body))

    def receive(self, through: int) -> None:
        def take(db: Database) -> None:
            receipt = Receipt(v=1, device="care-1", log_id=outbox.numbers(db).log_id, through=through, epoch=1)
            assert outbox.take_receipt(db, receipt, 0)

        self.store.do(take)

    def names(self) -> list[str]:
        return [copy.path.name for copy in copies.listed(self.home, self.second)]


@pytest.fixture
def car(tmp_path: Path) -> Iterator[Car]:
    made = Car(tmp_path)
    yield made
    made.store.close()


def at(now_s: float, **more: object) -> Times:
    return Times(now_s=now_s, start_s=0.0, **({"copied_s": None, "copied_night": None, "night": None} | more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("times", "newest", "copied", "due"),
    [
        (at(AFTER_START_S), 0, 0, False),  # nothing is unsent
        (at(AFTER_START_S - 1), 5, 0, False),  # most is sent by then
        (at(AFTER_START_S), 5, 0, True),
        (at(9e9, copied_s=0.0), 5, 5, False),  # the copy has it
        (at(AFTER_START_S, copied_s=1.0), 6, 5, False),
        (at(DAY_S + 1.0, copied_s=1.0), 6, 5, True),
        (at(700.0, copied_s=1.0, copied_night=4, night=4), 6, 5, False),
        (at(700.0, copied_s=1.0, copied_night=4, night=5), 6, 5, True),
        (at(1.0, is_ending=True), 1, 0, True),
        (at(1.0, is_ending=True), 1, 1, False),
    ],
)
def test_a_copy_is_made_when_it_would_hold_a_note_that_no_copy_has_and_it_is_time(
    times: Times, newest: int, copied: int, due: bool
) -> None:
    assert is_due(times, newest, copied) is due


def test_a_copy_holds_everything_that_was_saved_and_opens_by_itself(car: Car) -> None:
    for _ in range(5):
        car.write()
    path = copies.make(car.store, car.home)
    with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as conn:
        assert conn.execute("select count(*) from record").fetchone()[0] == 5
        assert conn.execute("pragma integrity_check").fetchone()[0] == "ok"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [other.name for other in path.parent.iterdir()] == [path.name]


def test_a_terminal_that_is_stopped_with_unsent_notes_leaves_a_copy(car: Car) -> None:
    car.write()
    car.keeper.look()
    assert car.names() == []
    car.keeper.look(is_ending=True)
    assert car.names() == ["ledger-0001.db"]


def test_each_night_adds_one_and_two_are_kept(car: Car) -> None:
    car.now_s = AFTER_START_S
    for night in range(4):
        car.night = night
        car.write()
        car.keeper.look()
        car.keeper.look()
    assert car.names() == ["ledger-0003.db", "ledger-0004.db"]


def test_a_status_alone_makes_no_copy(car: Car) -> None:
    car.write(Kind.AUDIT)
    car.keeper.look(is_ending=True)
    assert car.names() == []


def test_copies_go_when_the_hub_holds_every_note(car: Car) -> None:
    seq = car.write()
    car.keeper.look(is_ending=True)
    car.write(Kind.AUDIT)
    car.receive(seq)
    car.keeper.look()
    assert car.names() == []


def test_a_copy_goes_to_the_second_place_and_home_while_that_is_away(tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    home = tmp_path / "home"
    home.mkdir()
    car = Car(home, stick)
    car.write()
    assert copies.make(car.store, home, stick).parent == home / copies.FOLDER
    stick.mkdir()
    assert copies.make(car.store, home, stick).parent == stick
    assert copies.newest(home / "ledger.db", stick) == stick / "ledger-0002.db"
    car.store.close()


def test_what_a_power_cut_left_of_a_copy_is_gone_after_the_next_start(car: Car) -> None:
    car.write()
    (car.home / copies.ASIDE).write_bytes(b"half of a copy")
    car.start()
    assert not (car.home / copies.ASIDE).exists()
    path = copies.make(car.store, car.home)
    assert sorted(file.name for file in car.home.iterdir()) == ["copies", "ledger.db", "ledger.db-wal"]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


LARGE = """
import sys
from pathlib import Path
from edge import copies, schema
from edge.store import Store

home = Path(sys.argv[1])
store = Store(home / "ledger.db", schema.LEDGER)
store.do(lambda db: db.execute("create table ballast (b blob)"))
for _ in range(24):
    store.do(lambda db: db.execute("insert into ballast values (zeroblob(1000000))"))


def most_kb():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))


before = most_kb()
path = copies.make(store, home)
print(most_kb() - before, path.stat().st_size)
"""


def test_a_copy_of_a_large_ledger_takes_no_memory_of_its_size(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LARGE, str(tmp_path)], capture_output=True, text=True, check=True)
    more_kb, size = (int(word) for word in done.stdout.split())
    assert size > 24_000_000
    assert more_kb < 4_000


def test_a_place_that_cannot_be_written_is_tried_again_and_stops_nothing(car: Car) -> None:
    car.write()
    (car.home / copies.FOLDER).write_text("a file where the folder should be")
    car.keeper.look(is_ending=True)
    assert car.names() == []


def test_the_commands_name_what_is_kept(car: Car) -> None:
    (car.home / "terminal.toml").write_text("")
    told = CliRunner().invoke(cli, ["copies", "list", "--home", str(car.home)])
    assert (told.exit_code, told.output) == (
        0,
        "No copy is kept: no note is unsent, or none has been for long enough.\n",
    )
    car.write()
    car.keeper.look(is_ending=True)
    assert "ledger-0001.db" in CliRunner().invoke(cli, ["copies", "list", "--home", str(car.home)]).output
    assert CliRunner().invoke(cli, ["damaged", "list", "--home", str(car.home)]).output == "Nothing is put aside.\n"
    assert CliRunner().invoke(cli, ["damaged", "clear", "--home", str(car.home)]).exit_code == 2
