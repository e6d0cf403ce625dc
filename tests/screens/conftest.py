"""What the tests of this folder look at: a terminal's screen, or a console with a hub of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge import vault
from tests.screens.console_world import World, world
from tests.screens.screen_rig import ScreenRig


@pytest.fixture(autouse=True)
def quick_derivation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2id with little memory: the derivation is the library's, what is done with it is ours."""
    monkeypatch.setattr(vault, "MEMORY_KIB", 64)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[ScreenRig]:
    made = ScreenRig(tmp_path / "car")
    made.roster()
    made.unit("available")
    yield made
    made.close()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made
