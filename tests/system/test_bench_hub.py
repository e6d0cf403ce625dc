"""The measurements of `make bench-hub` run to their end and print their figures, here as small as they go."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S
from tests.road_engine import road_engine
from tests.small_town import usual

pytestmark = [pytest.mark.system, pytest.mark.browser, pytest.mark.proof]


def figures(program: str, *options: str) -> str:
    """What a program prints."""
    command = [sys.executable, "-m", f"bench.{program}", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=5 * PATIENCE_S)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture
def town(tmp_path: Path) -> str:
    road_engine()
    return str(usual().write(tmp_path / "town.osm.pbf"))


def test_an_import_is_measured_part_by_part(town: str) -> None:
    said = figures("hub_map", "--map", town, "--rounds", "1")
    for part in ("import", "vector tiles", "address index", "roads", "memory at the most"):
        assert part in said


def test_every_need_is_compared_with_the_full_matrix(town: str) -> None:
    said = figures("hub_ranking", "--map", town, "--needs", "3", "--units", "30")
    assert "town.osm.pbf: 3 needs, 30 units, valhalla" in said
    assert "first three 100.00 % (3 of 3)" in " ".join(said.split())
    assert "road engine, full matrix" in said
    assert "straight line sends another than the fastest" in said


def test_every_position_comes_to_every_console_and_to_every_subscriber() -> None:
    said = figures("hub_consoles", "--consoles", "2", "--seconds", "2", "--per-second", "20")
    assert said.count("100.00 % of") == 3
    assert "published -> painted" in said


def test_the_board_is_looked_at_beside_an_empty_page(town: str) -> None:
    said = figures("hub_board", "--map", town, "--units", "20", "--seconds", "1", "--rounds", "1")
    for what in ("console", "empty page"):
        assert f"  {what:12} frames dropped" in said


def test_a_unit_that_is_sent_is_seen_on_its_terminal() -> None:
    assert "2 times a unit was sent; 2 seen on its terminal" in figures("hub_send", "--sends", "2")
