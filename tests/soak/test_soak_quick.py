"""The first rows of the fault matrix in every test run: twenty kills, and twenty power cuts where that is possible."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.soak.ground import Ground
from tests.soak.report import NotRun, Outcome
from tests.soak.rows import terminal_kills

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("soak")]


def test_what_a_screen_called_saved_survives_twenty_kills_of_its_terminal(
    tmp_path: Path, report: Callable[[object], None]
) -> None:
    _hold(terminal_kills.killed, tmp_path, report)


@pytest.mark.proof  # a row of the soak
def test_what_a_screen_called_saved_survives_twenty_power_cuts(
    tmp_path: Path, report: Callable[[object], None]
) -> None:
    _hold(terminal_kills.powerless, tmp_path, report)


def _hold(row: Callable[[Ground], Outcome], scratch: Path, report: Callable[[object], None]) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    try:
        came_to = row(Ground(scale="quick", scratch=scratch, seed=seed))
    except NotRun as why:
        pytest.skip(str(why))
    report(
        f"{came_to.repetitions} {row.__name__}: {came_to.lost} lost, {came_to.duplicated} duplicated; {came_to.also}"
    )
    assert came_to.is_clean, f"seed {seed}: {came_to}"
    assert came_to.repetitions == 20
