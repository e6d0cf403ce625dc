"""The log of positions: on the disk within ten seconds, a minute to a record, and every fix that is given up counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sqlite_utils import Database

from edge import outbox, schema, thinning
from edge.clock import Clock
from edge.outbox import Signer
from edge.room import Growth
from edge.store import Store
from edge.trail import TrailKeeper
from wire.fix import Fix
from wire.records import Receipt, Record, open_record
from wire.stamp import ClockQuality
from wire.trail import Trail, TrailPoint, unpack

SIGNER = Signer("care-1", ec.generate_private_key(ec.SECP256R1()))
WALL_S = 1_770_000_000.0


class Board:
    """A board that drives north at a fix a second; its power can go, and its disk can fill."""

    def __init__(self, home: Path) -> None:
        self.path = home / "trail.db"
        self.growth = Growth.GROWS
        self.offered = 0
        self.power_on(b"1")

    def power_on(self, boot: bytes) -> None:
        self.mono_s = 100.0
        self.boot = boot * 16
        self.clock = Clock(
            self.boot,
            mono_s=lambda: self.mono_s,
            wall_s=lambda: WALL_S + self.mono_s,
            quality=lambda: ClockQuality.NTP,
        )
        self.start()

    def start(self) -> None:
        self.store = Store(self.path, schema.TRAIL)
        self.keeper = TrailKeeper(self.store, SIGNER, self.clock, growth=lambda: self.growth)
        self.keeper.flush()  # as the tracker does first

    def die(self) -> None:
        """The process is killed: nothing is flushed."""
        self.store.close()

    def drive(self, seconds: int, every_s: int = 1) -> None:
        for _ in range(0, seconds, every_s):
            self.keeper.add(
                Fix(lat=39 + self.offered / 10_000, lon=-83.0, speed_mps=11.0, heading_deg=0.0), self.mono_s
            )
            self.offered += 1
            self.mono_s += every_s

    def load(self, minutes: int) -> None:
        """So many minutes at once."""
        points = tuple(TrailPoint(mono_ms=n * 1000, lat=39 + n / 10_000, lon=-83.0, speed_mps=11.0) for n in range(60))
        minute = Trail(points=points)

        def load(db: Database) -> None:
            for _ in range(minutes):
                thinning.append(db, SIGNER, self.clock.stamp(), minute)

        self.store.do(load)
        self.offered += minutes * 60

    def records(self) -> list[Record]:
        owed = self.store.do(lambda db: outbox.read(db, 1, 10_000, 100_000_000))
        return [open_record(one.data, "care-1", SIGNER.key.public_key()) for one in owed]

    def trails(self) -> list[Trail]:
        return [unpack(record.body) for record in self.records()]

    def told(self) -> int:
        """Fixes that records hold, and those that they say were given up."""
        return sum(len(trail.points) + trail.dropped for trail in self.trails())

    def dropped(self) -> int:
        return sum(trail.dropped for trail in self.trails())

    def fill(self) -> None:
        """From now on SQLite finds no page more than there are: it says SQLITE_FULL, as on a full disk."""
        self._pages_max(lambda pages: pages)

    def make_room(self) -> None:
        self._pages_max(lambda pages: 1_000_000)

    def pages(self) -> int:
        return self.store.do(lambda db: db.execute("pragma page_count").fetchone()[0])

    def _pages_max(self, of: Callable[[int], int]) -> None:
        self.store.do(lambda db: db.execute(f"pragma max_page_count = {of(1)}"))


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    made = Board(tmp_path)
    yield made
    made.store.close()


@pytest.mark.parametrize("seconds", [1, 9, 10, 11, 19, 20, 55, 59, 60, 61, 69, 70, 125])
def test_a_power_cut_at_any_moment_costs_less_than_ten_seconds(board: Board, seconds: int) -> None:
    board.drive(seconds)
    board.die()
    board.power_on(b"2")
    points = [point for trail in board.trails() for point in trail.points]
    assert seconds - 9 <= len(points) <= seconds
    assert [point.mono_ms for point in points] == [(100 + n) * 1000 for n in range(len(points))]


def test_what_a_boot_before_left_is_recorded_with_its_stamp_before_anything_new(board: Board) -> None:
    board.drive(25)
    board.die()
    board.power_on(b"2")
    board.drive(60)
    left, new = board.records()
    assert (left.stamp.boot, new.stamp.boot) == (b"1" * 16, b"2" * 16)
    assert left.stamp.mono_ms == 119_000, "the moment of its last piece, on the clock of its own boot"
    assert left.stamp.wall_ms == int((WALL_S + 119) * 1000)
    assert (len(unpack(left.body).points), len(unpack(new.body).points)) == (20, 60)


def test_what_three_boots_left_is_three_records_and_no_more(board: Board) -> None:
    for boot in (b"2", b"3", b"4"):
        board.growth = Growth.STAYS  # no room for a record, so that pieces of several boots lie side by side
        board.drive(12)
        board.die()
        board.power_on(boot)
    board.growth = Growth.GROWS
    board.keeper.flush()
    assert [record.stamp.boot[:1] for record in board.records()] == [b"1", b"2", b"3"]
    board.keeper.flush()
    assert len(board.records()) == 3


def test_a_program_that_starts_again_in_the_same_boot_records_what_it_left(board: Board) -> None:
    board.drive(40)
    board.die()
    board.start()
    (left,) = board.records()
    assert (left.stamp.boot, len(unpack(left.body).points)) == (b"1" * 16, 40)


def test_a_record_and_the_end_of_its_pieces_are_one_commit(board: Board) -> None:
    board.drive(59)

    stored = board.store.do(lambda db: db.execute("select count(*) from piece").fetchone()[0])
    assert stored == 5
    board.drive(1)
    assert board.store.do(lambda db: db.execute("select count(*) from piece").fetchone()[0]) == 0
    assert [len(trail.points) for trail in board.trails()] == [60]


def test_where_the_disk_has_no_room_at_all_the_terminal_drives_on_and_counts_what_it_drops(board: Board) -> None:
    board.drive(300)
    board.fill()
    board.drive(1800)
    held = len(board.keeper._memory.points)
    assert held <= 2 * 60, "memory is bounded"
    board.make_room()
    board.drive(60)
    board.keeper.flush()
    assert board.told() == board.offered == 2160
    assert board.dropped() > 0


def test_positions_that_wait_are_not_written_and_not_lost_uncounted(board: Board) -> None:
    board.growth = Growth.WAITS
    board.drive(500)
    assert board.store.do(lambda db: db.execute("select count(*) from piece").fetchone()[0]) == 0
    board.growth = Growth.GROWS
    board.keeper.flush()
    assert board.told() == 500


def test_a_log_that_may_not_grow_thins_itself_and_its_file_stays_as_large(board: Board) -> None:
    board.load(12 * 60)
    before = board.pages()
    board.growth = Growth.STAYS
    board.drive(3600)
    board.keeper.flush()
    assert board.pages() == before
    assert board.told() == board.offered
    assert [len(trail.points) for trail in board.trails()[-60:]] == [60] * 60, "the oldest give way first"
    assert 0 < board.dropped() < board.offered / 2
    assert all(trail.points for trail in board.trails()), "every record still says where the vehicle was"


def test_where_nothing_can_be_thinned_the_newest_become_coarser_and_wait_for_room(board: Board) -> None:
    board.drive(600)
    board.store.do(lambda db: thinning.hand_out(db, 10, 1, 1))  # everything is on its way
    board.growth = Growth.STAYS
    board.drive(3600)
    board.keeper.flush()
    assert len(board.records()) == 10
    assert board.store.do(lambda db: db.execute("select count(*) from piece").fetchone()[0]) == 1
    board.die()
    board.power_on(b"2")
    receipt = Receipt(v=1, device="care-1", log_id=board.records()[0].log_id, through=10, epoch=1)
    board.store.do(lambda db: outbox.take_receipt(db, receipt, 0))
    board.growth = Growth.GROWS
    board.keeper.flush()
    assert board.told() == board.offered == 4200
    coarse = board.trails()[-1]
    assert len(coarse.points) >= 30
    assert coarse.points[-1].mono_ms - coarse.points[0].mono_ms > 3000 * 1000, "coarse, over the whole hour"


def test_a_piece_that_cannot_be_read_any_more_is_counted_as_lost(board: Board) -> None:
    board.drive(30)
    board.store.do(lambda db: db.execute("update piece set points = x'00' where number = 2"))
    board.keeper.flush()
    (trail,) = board.trails()
    assert (len(trail.points), trail.dropped) == (20, 10)


def test_a_log_at_its_bound_gives_way_though_the_disk_has_room(board: Board) -> None:
    board.load(60)
    before = board.pages()
    board.keeper = TrailKeeper(board.store, SIGNER, board.clock, bytes_max=before * 4096)
    board.drive(1800)
    board.keeper.flush()
    assert board.pages() <= before + 1
    assert board.told() == board.offered
