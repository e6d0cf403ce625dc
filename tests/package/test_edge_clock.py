"""The board's clocks: their quality, the floor under them, and the fact that tells when they were corrected."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from edge import clock_floor, outbox, schema
from edge.clock import WALL_FLOOR_MS, Clock, Relation, system_quality
from edge.clock_floor import FLOOR_FILE, MARGIN_MS, STEP_MS
from edge.clock_watch import JUMP_MS, PAUSE_S, ClockWatch, has_jumped, is_learned, remembered
from edge.outbox import Signer
from edge.settings import SETTINGS_FILE, SettingsError, load
from edge.store import Store
from tests.terminal_fleet import TerminalFleet
from wire.codec import decode
from wire.facts import ClockCorrected
from wire.records import Kind, open_record
from wire.stamp import ClockQuality

SIGNER = Signer("care-1", ec.generate_private_key(ec.SECP256R1()))
TRUE_S = 1_790_000_000.0  # when the monotonic clock was zero
BOOT = bytes(range(16))


class Board:
    """One boot of a board, its clocks set by a test. `off_s`: of the system clock from true time."""

    def __init__(self, home: Path, off_s: float = 0.0, quality: ClockQuality = ClockQuality.RTC) -> None:
        self.mono_s, self.slept_s, self.off_s, self.quality = 100.0, 0.0, off_s, quality
        self.home = home
        self.store = Store(home / "ledger.db", schema.LEDGER)
        self.kept = 0
        self.restart()

    def restart(self, floor_ms: int = WALL_FLOOR_MS, ceiling_ms: int | None = None) -> None:
        self.clock = Clock(
            BOOT,
            mono_s=lambda: self.mono_s,
            wall_s=lambda: self.true_s() + self.off_s,
            quality=lambda: self.quality,
            slept_s=lambda: self.slept_s,
            floor_ms=floor_ms,
            ceiling_ms=ceiling_ms,
        )
        self.watch = ClockWatch(self.clock, self.store, SIGNER, self.home, self._keep)

    def true_s(self) -> float:
        return TRUE_S + self.mono_s + self.slept_s

    def gps(self, off_s: float = 0.0) -> None:
        self.clock.gps_says(datetime.fromtimestamp(self.true_s() + off_s, UTC), self.mono_s)

    def later(self, seconds: float) -> None:
        self.mono_s += seconds
        self.watch.look()

    def told(self) -> list[ClockCorrected]:
        owed = self.store.do(lambda db: outbox.read(db, 1, 1000, 10_000_000))
        records = [open_record(one.data, "care-1", SIGNER.key.public_key()) for one in owed]
        assert {record.kind for record in records} <= {Kind.CLOCK_CORRECTED}
        return [decode(record.body, ClockCorrected) for record in records]

    def _keep(self) -> None:
        self.kept += 1


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    made = Board(tmp_path)
    yield made
    made.store.close()


IN_1970 = -TRUE_S + 5


def test_the_system_answers_how_good_its_clock_is() -> None:
    assert system_quality() in (ClockQuality.NONE, ClockQuality.RTC, ClockQuality.NTP)


def test_a_clock_below_the_floor_is_no_clock(board: Board) -> None:
    board.restart(floor_ms=int(board.true_s() * 1000) + 1)
    assert (board.clock.stamp().wall_ms, board.clock.stamp().quality) == (None, "none")
    board.quality = ClockQuality.NTP
    assert board.clock.stamp().quality == "ntp", "a network that answers outweighs a floor that may be minutes off"


def test_a_clock_that_satellites_deny_is_only_the_boards_own(board: Board) -> None:
    board.quality = ClockQuality.NTP
    board.gps(off_s=30)
    assert (board.clock.stamp().quality, board.clock.state().gps) == ("rtc", "disagree")
    board.clock.gps_lost()
    assert (board.clock.stamp().quality, board.clock.state().gps) == ("ntp", "none")


def test_the_state_says_by_how_much_the_clock_is_late(board: Board) -> None:
    assert board.clock.state().off_s is None
    board.off_s = -30.0
    board.gps()
    assert board.clock.state().off_s == 30.0


def test_the_first_believed_date_is_told_once(board: Board) -> None:
    board.off_s = IN_1970
    board.later(0)
    assert board.told() == []
    board.gps()
    board.later(5)
    board.later(500)
    (fact,) = board.told()
    assert fact == ClockCorrected(
        boot=BOOT,
        mono_ms=105_000,
        wall_before_ms=int((TRUE_S + 105 + IN_1970) * 1000),
        wall_after_ms=int((TRUE_S + 105) * 1000),
        quality="gps",
    )
    assert board.kept == 1


def test_a_right_clock_that_satellites_confirm_is_told_because_it_was_not_known(board: Board) -> None:
    board.later(0)
    board.gps()
    board.later(5)
    (fact,) = board.told()
    assert fact.wall_before_ms == fact.wall_after_ms
    assert fact.quality == "gps"


def test_a_clock_that_was_trusted_all_along_is_not_told_of(board: Board) -> None:
    board.quality = ClockQuality.NTP
    for _ in range(5):
        board.gps()
        board.later(60)
    assert board.told() == []


@pytest.mark.parametrize("step_s", [6 * 3600.0, -2 * 3600.0, 2.5, -2.5])
def test_a_step_of_the_system_clock_is_told(board: Board, step_s: float) -> None:
    board.quality = ClockQuality.NTP
    board.later(0)
    board.off_s, board.quality = step_s, ClockQuality.RTC
    board.later(5)
    board.later(500)
    (fact,) = board.told()
    assert fact.wall_after_ms - fact.wall_before_ms == int(step_s * 1000)
    assert fact.quality == "rtc"


def test_sleep_is_no_step(board: Board) -> None:
    board.quality = ClockQuality.NTP
    board.later(0)
    board.slept_s += 3600
    board.later(5)
    board.gps()
    board.slept_s += 3600
    board.later(5)
    assert board.told() == []


def test_slow_steering_is_no_step(board: Board) -> None:
    for _ in range(100):
        board.off_s += 0.5
        board.later(5)
    assert board.told() == []


def test_what_was_unknown_when_the_program_died_is_told_by_the_next_one(board: Board) -> None:
    board.later(0)
    board.quality = ClockQuality.NTP
    board.restart()
    board.later(5)
    board.restart()
    board.later(5)
    (fact,) = board.told()
    assert fact.quality == "ntp"


def test_a_receiver_that_cannot_make_up_its_mind_fills_no_ledger(board: Board) -> None:
    board.off_s = IN_1970
    for n in range(100):
        board.gps(off_s=100.0 * (n % 2))
        board.later(5)
    assert 1 < len(board.told()) <= 2 + 500 / PAUSE_S


def test_a_jump_that_is_undone_before_it_could_be_told_is_not(board: Board) -> None:
    board.quality = ClockQuality.NTP
    board.later(0)
    board.off_s = 10
    board.later(5)
    board.off_s = 0
    board.later(5)
    assert len(board.told()) == 1
    board.later(PAUSE_S)
    assert len(board.told()) == 2


relations = st.builds(
    Relation,
    wall_base_ms=st.integers(-(10**6), 10**6),
    true_base_ms=st.none() | st.integers(-(10**6), 10**6),
    quality=st.sampled_from(ClockQuality),
    slept_ms=st.integers(0, 10**6),
)


@given(relations, relations)
def test_what_was_told_is_not_news(before: Relation, now: Relation) -> None:
    kept = remembered(before, now)
    assert not has_jumped(kept, now)
    assert not is_learned(kept, now)
    assert (kept.true_base_ms is None) == (before.true_base_ms is None and now.true_base_ms is None)


@given(relations, st.integers(-JUMP_MS, JUMP_MS), st.integers(0, 10**9))
def test_small_differences_and_sleep_are_no_news(before: Relation, off_ms: int, slept_ms: int) -> None:
    moved = off_ms + slept_ms
    now = Relation(
        wall_base_ms=before.wall_base_ms + moved,
        true_base_ms=None if before.true_base_ms is None else before.true_base_ms + moved,
        quality=before.quality,
        slept_ms=before.slept_ms + slept_ms,
    )
    assert not has_jumped(before, now)
    assert not is_learned(before, now)


# --- the floor --------------------------------------------------------------------------------------------------------


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    return TerminalFleet().terminal(tmp_path / "home", "care-1").chain_path


def test_without_a_kept_floor_it_is_not_earlier_than_the_enrollment(tmp_path: Path, chain: Path) -> None:
    floor_ms = clock_floor.bounds(tmp_path, chain).floor_ms
    assert abs(floor_ms / 1000 - (datetime.now(UTC).timestamp() - 3600)) < 60


def test_a_kept_floor_counts_up_to_the_end_of_the_boards_certificate(tmp_path: Path, chain: Path) -> None:
    known = clock_floor.bounds(tmp_path, chain)
    assert clock_floor.keep(tmp_path, known.ceiling_ms - 1000)
    assert clock_floor.bounds(tmp_path, chain).floor_ms == known.ceiling_ms - 1000
    assert clock_floor.keep(tmp_path, known.ceiling_ms + 10 * STEP_MS)
    assert clock_floor.bounds(tmp_path, chain) == known
    assert clock_floor.keep(tmp_path, known.floor_ms), "what is beyond belief is written over"


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"yesterday\n", b"2026-09-10T12:00:00\n", b"9" * 10_000])
def test_a_broken_floor_is_no_floor(tmp_path: Path, chain: Path, content: bytes) -> None:
    known = clock_floor.bounds(tmp_path, chain)
    (tmp_path / FLOOR_FILE).write_bytes(content)
    assert clock_floor.bounds(tmp_path, chain) == known


def test_the_floor_is_written_once_an_hour_and_forgotten_when_asked(tmp_path: Path, chain: Path) -> None:
    at_ms = clock_floor.bounds(tmp_path, chain).floor_ms + STEP_MS
    assert clock_floor.keep(tmp_path, at_ms)
    assert not clock_floor.keep(tmp_path, at_ms + STEP_MS - 1000)
    assert clock_floor.keep(tmp_path, at_ms + STEP_MS)
    assert clock_floor.forget(tmp_path)
    assert not clock_floor.forget(tmp_path)


def test_a_board_without_a_certificate_says_so(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="enroll this terminal again"):
        clock_floor.bounds(tmp_path, tmp_path / "none.crt")


def test_a_trusted_clock_raises_the_floor_and_an_untrusted_one_does_not(board: Board) -> None:
    board.later(0)
    assert board.clock.floor_ms() == WALL_FLOOR_MS
    board.gps()
    board.later(5)
    assert board.clock.floor_ms() == int(board.true_s() * 1000) - MARGIN_MS
    assert (board.home / FLOOR_FILE).read_text() == "2026-09-21T14:10:05+00:00\n"


def test_nobody_raises_the_floor_beyond_the_ceiling(board: Board) -> None:
    ceiling_ms = int(board.true_s() * 1000) + 1000
    board.restart(ceiling_ms=ceiling_ms)
    board.clock.not_earlier(ceiling_ms + 1)
    assert board.clock.floor_ms() == WALL_FLOOR_MS
    board.clock.not_earlier(ceiling_ms)
    assert board.clock.floor_ms() == ceiling_ms
    board.clock.not_earlier(WALL_FLOOR_MS)
    assert board.clock.floor_ms() == ceiling_ms


# --- when a certificate has to be good --------------------------------------------------------------------------------


def test_a_clock_above_the_floor_judges_certificates_itself(board: Board) -> None:
    assert board.clock.certificates_at_s() is None


def test_a_clock_below_the_floor_judges_them_at_the_floor(board: Board) -> None:
    board.off_s = IN_1970
    assert board.clock.certificates_at_s() == WALL_FLOOR_MS / 1000


def test_satellites_judge_them_where_only_the_board_knows_better(board: Board) -> None:
    board.off_s = 12 * 365 * 86400.0
    board.gps()
    assert board.clock.certificates_at_s() == pytest.approx(board.true_s())
    board.quality = ClockQuality.NTP
    assert board.clock.certificates_at_s() is None


@given(st.floats(-2e9, 2e9), st.none() | st.floats(-1e9, 1e9), st.sampled_from(ClockQuality))
def test_no_certificate_is_judged_before_the_floor(wall_s: float, gps_s: float | None, quality: ClockQuality) -> None:
    clock = Clock(BOOT, mono_s=lambda: 5.0, wall_s=lambda: wall_s, quality=lambda: quality, slept_s=lambda: 0.0)
    if gps_s is not None:
        clock.gps_says(datetime.fromtimestamp(gps_s, UTC), 5.0)
    at_s = clock.certificates_at_s()
    assert (wall_s if at_s is None else at_s) >= WALL_FLOOR_MS / 1000


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["gps.sock", "/" + "x" * 107])
def test_a_socket_that_cannot_be_one_is_refused_at_the_start(tmp_path: Path, path: str) -> None:
    (tmp_path / SETTINGS_FILE).write_text(f'[time]\nchrony_socket = "{path}"\n')
    with pytest.raises(SettingsError, match="chrony_socket"):
        load(tmp_path)


def test_without_a_word_nothing_is_offered_to_chrony(tmp_path: Path) -> None:
    (tmp_path / SETTINGS_FILE).write_text("")
    assert load(tmp_path).time.chrony_socket == ""
