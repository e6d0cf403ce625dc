"""Thinning: every second fix of what nobody has seen, oldest first, counted, under the same number."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sqlite_utils import Database

from edge import outbox, schema, thinning
from edge.outbox import Signer
from edge.store import Store
from wire.records import Kind, Receipt, open_record
from wire.stamp import Stamp
from wire.trail import Trail, TrailPoint, pack, unpack

SIGNER = Signer("care-1", ec.generate_private_key(ec.SECP256R1()))
STAMP = Stamp(boot=bytes(16), mono_ms=70_000, wall_ms=1_770_000_000_000, quality="ntp")
MINUTE = Trail(
    points=tuple(
        TrailPoint(mono_ms=n * 1000, lat=39 + n / 1000, lon=-83 + n * n % 17 / 1000, speed_mps=n * 7 % 20)
        for n in range(60)
    )
)


@pytest.fixture
def trail(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "trail.db", schema.TRAIL)
    opened.do(lambda db: [thinning.append(db, SIGNER, STAMP, MINUTE) for _ in range(300)])
    yield opened
    if opened.is_alive:
        opened.close()


def held(trail: Store) -> dict[int, Trail]:
    owed = trail.do(lambda db: outbox.read(db, 1, 1000, 100_000_000))
    found = {}
    for one in owed:
        record = open_record(one.data, "care-1", SIGNER.key.public_key())
        assert (record.seq, record.stamp) == (one.seq, STAMP)
        found[one.seq] = unpack(record.body)
    return found


def raw(trail: Store) -> dict[int, bytes]:
    return {one.seq: one.data for one in trail.do(lambda db: outbox.read(db, 1, 1000, 100_000_000))}


def thin(trail: Store, records: int) -> int:
    return trail.do(lambda db: thinning.thin(db, SIGNER, records))


def receipted(trail: Store, through: int) -> None:
    log_id = trail.do(outbox.numbers).log_id
    receipt = Receipt(v=1, device="care-1", log_id=log_id, through=through, epoch=1)
    trail.do(lambda db: outbox.take_receipt(db, receipt, 0))


def test_every_second_fix_goes_from_the_oldest_on_and_the_loss_is_in_the_record(trail: Store) -> None:
    assert thin(trail, 3) == 90
    now = held(trail)
    assert [len(now[seq].points) for seq in (2, 3, 4, 5)] == [30, 30, 30, 60]
    assert [now[seq].dropped for seq in (2, 3, 4, 5)] == [30, 30, 30, 0]
    assert [point.mono_ms for point in now[2].points] == [2000 * n for n in range(30)]


def test_a_second_round_begins_when_the_newest_has_been_thinned(trail: Store) -> None:
    thin(trail, 300)
    assert thin(trail, 1) == 15
    now = held(trail)
    assert (len(now[2].points), now[2].dropped, len(now[3].points)) == (15, 45, 30)


def test_the_lowest_that_is_owed_is_left_because_a_birth_names_it_by_its_bytes(trail: Store) -> None:
    before = raw(trail)[1]
    thin(trail, 300)
    receipted(trail, 20)
    named = raw(trail)[21]
    thin(trail, 300)
    assert (raw(trail)[1], raw(trail)[21]) == (before, named)


def test_numbers_stay_and_every_record_verifies(trail: Store) -> None:
    for _ in range(20):
        thin(trail, 100)
    assert sorted(held(trail)) == list(range(1, 301))


def test_the_loss_is_counted_to_the_last_fix_however_often_it_is_thinned(trail: Store) -> None:
    lost = sum(thin(trail, 70) for _ in range(40))
    now = held(trail)
    assert lost == sum(one.dropped for one in now.values())
    assert sum(len(one.points) + one.dropped for one in now.values()) == 300 * 60
    assert all(one.points for one in now.values())


def test_what_was_handed_to_the_link_is_never_rewritten_not_even_after_a_restart(tmp_path: Path, trail: Store) -> None:
    trail.do(lambda db: thinning.hand_out(db, 1, 16, 64 * 1024))
    before = raw(trail)
    trail.close()
    again = Store(tmp_path / "trail.db", schema.TRAIL)
    for _ in range(10):
        thin(again, 300)
    after = raw(again)
    again.close()
    same = [seq for seq in before if before[seq] == after[seq]]
    assert same == list(range(1, 16 + thinning.HANDED_AHEAD + 1))


class Life(RuleBasedStateMachine):
    """A trail under everything that befalls it. What the link has had of a number it always has again, byte for byte."""

    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.TemporaryDirectory()
        self.store = Store(Path(self.home.name) / "trail.db", schema.TRAIL)
        self.seen: dict[int, bytes] = {}
        self.fixes = self.through = 0
        self.epoch = 1

    @rule(count=st.integers(1, 20), points=st.integers(1, 60))
    def drive(self, count: int, points: int) -> None:
        trail = Trail(points=MINUTE.points[:points])
        self.store.do(lambda db: [thinning.append(db, SIGNER, STAMP, trail) for _ in range(count)])
        self.fixes += count * points

    @rule(back=st.integers(0, 8), count=st.integers(1, 16))
    def send(self, back: int, count: int) -> None:
        first = max(self.store.do(outbox.numbers).lowest_owed, max(self.seen, default=1) - back)
        for owed in self.store.do(lambda db: thinning.hand_out(db, first, count, 64 * 1024)):
            assert self.seen.setdefault(owed.seq, owed.data) == owed.data

    @rule(share=st.floats(0, 1))
    def receipt(self, share: float) -> None:
        self.through = self.through + int((max(self.seen, default=0) - self.through) * share)
        self._take_receipt()

    @rule(share=st.floats(0, 1))
    def restore_the_hub(self, share: float) -> None:
        self.through, self.epoch = int(self.through * share), self.epoch + 1
        self._take_receipt()

    @rule(records=st.integers(1, 40))
    def thin(self, records: int) -> None:
        self.store.do(lambda db: thinning.thin(db, SIGNER, records))

    @rule()
    def start_again(self) -> None:
        self.store.close()
        self.store = Store(Path(self.home.name) / "trail.db", schema.TRAIL)
        self.store.do(thinning.begin)

    @invariant()
    def every_fix_is_there_or_counted(self) -> None:
        found = held(self.store)
        assert sum(len(one.points) + one.dropped for one in found.values()) == self.fixes
        assert sorted(found) == list(range(1, len(found) + 1))
        assert all(raw(self.store)[seq] == data for seq, data in self.seen.items())

    def teardown(self) -> None:
        self.store.close()
        self.home.cleanup()

    def _take_receipt(self) -> None:
        log_id = self.store.do(outbox.numbers).log_id
        receipt = Receipt(v=1, device="care-1", log_id=log_id, through=self.through, epoch=self.epoch)
        self.store.do(lambda db: outbox.take_receipt(db, receipt, 0))


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=15, stateful_step_count=30, deadline=None, derandomize=True)


def test_that_a_record_is_handed_out_is_on_the_disk_before_anybody_has_it(trail: Store) -> None:
    def fails(db: Database) -> None:
        assert thinning.hand_out(db, 1, 16, 64 * 1024)
        raise LookupError

    with pytest.raises(LookupError):
        trail.do(fails)
    assert trail.do(lambda db: db.execute("select handed from log").fetchone()) == (0,)
    trail.do(lambda db: thinning.hand_out(db, 1, 16, 64 * 1024))
    assert trail.do(lambda db: db.execute("select handed from log").fetchone()) == (272,)


def test_handing_out_writes_once_for_many_windows(trail: Store) -> None:
    changes = []
    for first in range(1, 257, 16):
        before = trail.do(lambda db: db.conn.total_changes)
        trail.do(lambda db, first=first: thinning.hand_out(db, first, 16, 64 * 1024))
        changes.append(trail.do(lambda db: db.conn.total_changes) - before)
    assert changes == [1] + [0] * 15


def test_copies_of_what_the_hub_has_go_before_any_fix_does(trail: Store) -> None:
    receipted(trail, 200)
    assert trail.do(lambda db: thinning.make_place(db, SIGNER, may_grow=False))
    now = held(trail)
    assert sum(one.dropped for one in now.values()) == 0
    assert min(now) > 1
    assert trail.do(lambda db: db.execute("select let_go from log").fetchone()) == (min(now) - 1,)


def test_the_newest_copy_and_all_that_is_owed_stay(trail: Store) -> None:
    receipted(trail, 200)
    while trail.do(lambda db: outbox.let_go(db, 64)):
        pass
    assert min(held(trail)) == 200
    assert len(held(trail)) == 101


def test_a_log_that_is_wholly_on_its_way_has_no_place_to_give(trail: Store) -> None:
    trail.do(lambda db: thinning.hand_out(db, 300, 1, 1))
    before = raw(trail)
    assert not trail.do(lambda db: thinning.make_place(db, SIGNER, may_grow=False))
    assert raw(trail) == before


def test_a_damaged_record_is_left_as_it_is_and_the_others_are_thinned(trail: Store) -> None:
    trail.do(lambda db: db.execute("update record set data = x'c0' where seq = 3"))
    assert thin(trail, 3) == 60
    assert trail.do(lambda db: db.execute("select data from record where seq = 3").fetchone()) == (b"\xc0",)


def test_thinning_gives_pages_back(trail: Store) -> None:
    before = trail.do(thinning.used_bytes)
    thin(trail, 300)
    assert trail.do(thinning.used_bytes) < before * 0.8


def test_records_that_a_release_before_this_one_stored_may_have_been_sent_and_stay(trail: Store) -> None:
    trail.do(lambda db: outbox.append(db, SIGNER, STAMP, Kind.TRAIL, pack(MINUTE)))
    trail.do(thinning.begin)
    before = raw(trail)
    thin(trail, 301)
    assert raw(trail) == before
    trail.do(lambda db: thinning.append(db, SIGNER, STAMP, MINUTE))
    trail.do(thinning.begin)
    trail.do(lambda db: thinning.append(db, SIGNER, STAMP, MINUTE))
    trail.do(thinning.begin)
    assert thin(trail, 303) == 60, "what this release stores itself it may thin"
