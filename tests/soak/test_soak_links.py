"""A little of F09, F10, F11 and F13 with the real broker and hub, in half a minute; `make soak` does the rest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.soak.ground import Ground
from tests.soak.report import Outcome
from tests.soak.rows.brokers import broker_deaths
from tests.soak.rows.links import garbled, silent

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("soak-links")]

HURRY = 5  # every wait of the terminals is a fifth: resend after 6 s, keep-alive 6 s


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(scale="quick", scratch=tmp_path, seed=4)


@pytest.mark.proof  # it waits for keep-alives: a minute and a half
def test_both_ends_notice_a_line_that_takes_everything_and_passes_nothing(
    ground: Ground, report: Callable[[object], None]
) -> None:
    clean(silent(ground, times=1, terminals=2, hurry=HURRY), report)


@pytest.mark.proof  # a minute, and a row of the soak
def test_packets_that_are_eaten_doubled_swapped_and_cut_lose_and_double_nothing(
    ground: Ground, report: Callable[[object], None]
) -> None:
    clean(garbled(ground, terminals=3, each=40, hurry=HURRY), report)


@pytest.mark.proof  # a row of the soak
def test_a_broker_that_is_killed_and_wiped_while_terminals_drain_loses_nothing(
    ground: Ground, report: Callable[[object], None]
) -> None:
    clean(broker_deaths(ground, deaths=2, terminals=3, each=50, hurry=HURRY), report)


def clean(outcome: Outcome, report: Callable[[object], None]) -> None:
    report(f"{outcome.repetitions} repetitions, recovered in {outcome.recovery_s_max:.1f} s, {outcome.also}")
    assert outcome.is_clean, outcome
