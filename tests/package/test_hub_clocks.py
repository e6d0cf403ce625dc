"""What a board learned of its clocks later, applied to what it stamped before; the stamps stay."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hub import projections
from hub.ingest import Arrival
from hub.timeline import Happening, timeline
from tests.hub_agency import NOW_MS, PROJECTED, Agency, Terminal
from wire.facts import ClockCorrected, StatusFact
from wire.ids import ID_BYTES
from wire.records import Kind
from wire.stamp import Stamp

TRUE_MS = NOW_MS - 3_600_000  # when the board's monotonic clock was zero


class Board(Terminal):
    """A board whose system clock is `off_ms` from true time, or says nothing (None)."""

    def __init__(self, enrolled: Terminal) -> None:
        super().__init__(enrolled.device, enrolled.unit)
        self.key = enrolled.key
        self.off_ms: int | None = 0
        self.quality = "rtc"

    def stamp(self) -> Stamp:
        wall_ms = None if self.off_ms is None else TRUE_MS + self.mono_ms + self.off_ms
        quality = "none" if wall_ms is None else self.quality
        return Stamp(boot=self.boot, mono_ms=self.mono_ms, wall_ms=wall_ms, quality=quality)

    def press(self, status: str, mono_ms: int) -> Arrival:
        self.mono_ms = mono_ms
        return self.record(Kind.STATUS, StatusFact(unit=self.unit, status=status, by="crew", assignment="a1"))

    def learns(self, mono_ms: int, quality: str = "gps", off_ms: int = 0, boot: bytes | None = None) -> Arrival:
        self.mono_ms = mono_ms
        fact = ClockCorrected(
            boot=boot or self.boot,
            mono_ms=mono_ms,
            wall_before_ms=mono_ms,
            wall_after_ms=TRUE_MS + mono_ms + off_ms,
            quality=quality,
        )
        return self.record(Kind.CLOCK_CORRECTED, fact)


class Story:
    """One unit on one incident."""

    def __init__(self, home: Path) -> None:
        self.agency = Agency(home)
        self.board = Board(self.agency.one)
        self.agency.take(self.board.birth())
        self.agency.incident()
        self.agency.offer("a1", self.agency.one)

    def statuses(self) -> list[Happening]:
        with self.agency.engine.begin() as connection:
            return [one for one in timeline(connection, "i1") if one.what == "status"]

    def corrected(self) -> list[int | None]:
        return [one.corrected_ms for one in self.statuses()]


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    made = Story(tmp_path)
    yield made
    made.agency.engine.dispose()


def test_a_press_without_a_clock_gets_its_time_when_the_board_learns_it(story: Story) -> None:
    board = story.board
    board.off_ms = None
    story.agency.take(board.press("en_route", 60_000))
    (before,) = story.statuses()
    assert (before.noted_ms, before.corrected_ms) == (None, None)
    story.agency.take(board.learns(600_000))
    (after,) = story.statuses()
    assert (after.at_ms, after.noted_ms, after.corrected_ms) == (before.at_ms, None, TRUE_MS + 60_000)


@pytest.mark.parametrize("off_ms", [6 * 3600_000, -2 * 3600_000])
def test_a_wrong_clock_is_shown_beside_the_right_time(story: Story, off_ms: int) -> None:
    story.board.off_ms = off_ms
    story.agency.take(story.board.press("en_route", 60_000), story.board.learns(600_000))
    (shown,) = story.statuses()
    assert (shown.noted_ms, shown.corrected_ms) == (TRUE_MS + 60_000 + off_ms, TRUE_MS + 60_000)


def test_what_a_right_clock_stamped_is_not_corrected(story: Story) -> None:
    story.agency.take(story.board.press("en_route", 60_000), story.board.learns(600_000))
    assert story.corrected() == [None]


def test_a_trusted_stamp_stands_against_a_days_drift(story: Story) -> None:
    board = story.board
    board.quality = "ntp"
    story.agency.take(board.press("en_route", 60_000), board.learns(600_000, off_ms=4_000))
    assert story.corrected() == [None]


def test_what_came_after_the_lesson_is_corrected_as_well(story: Story) -> None:
    board = story.board
    board.off_ms = None
    story.agency.take(board.learns(60_000), board.press("en_route", 600_000))
    assert story.corrected() == [TRUE_MS + 600_000]


def test_the_first_lesson_after_a_moment_counts(story: Story) -> None:
    board = story.board
    board.off_ms = None
    story.agency.take(board.learns(10_000, off_ms=-50_000), board.press("en_route", 20_000))
    story.agency.take(board.learns(30_000), board.learns(40_000, off_ms=90_000))
    assert story.corrected() == [TRUE_MS + 20_000]


def test_a_jump_that_nobody_confirms_corrects_nothing(story: Story) -> None:
    story.agency.take(story.board.press("en_route", 60_000), story.board.learns(70_000, quality="rtc", off_ms=10**9))
    assert story.corrected() == [None]


def test_another_power_on_is_not_corrected(story: Story) -> None:
    board = story.board
    board.off_ms = None
    story.agency.take(board.press("en_route", 60_000))
    board.boot = bytes(ID_BYTES)
    story.agency.take(board.birth(), board.learns(70_000))
    assert story.corrected() == [None]


def test_a_correction_of_a_boot_that_is_not_the_stamps_is_quarantined(story: Story) -> None:
    story.agency.take(story.board.learns(70_000, boot=bytes(ID_BYTES)))
    assert story.agency.quarantined() == ["unknown kind or unreadable body"]


def test_a_correction_beyond_all_clocks_is_quarantined(story: Story) -> None:
    story.agency.take(story.board.learns(70_000, off_ms=2**60))
    assert story.agency.quarantined() == ["unknown kind or unreadable body"]


def test_folding_everything_again_comes_out_the_same(story: Story) -> None:
    board = story.board
    board.off_ms = None
    story.agency.take(board.press("en_route", 60_000), board.learns(70_000), board.press("on_scene", 80_000))
    before, shown = story.agency.rows(*PROJECTED), story.corrected()
    with story.agency.engine.begin() as connection:
        projections.rebuild(connection)
    assert story.agency.rows(*PROJECTED) == before
    assert story.corrected() == shown == [TRUE_MS + 60_000, TRUE_MS + 80_000]
