"""The ground a row stands on: how much is to be tried, from which seed, and folders that are gone afterwards."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Literal

from msgspec import Struct

Scale = Literal["quick", "full"]
LIFE_S_MAX = 1.5
LONG_LIFE_S_MAX = 14.0  # positions are written every ten seconds, and ext4 writes out by itself every five
LONG_SHARE = 0.03


class Ground(Struct, frozen=True, kw_only=True):
    """`scratch` is a folder of the row's own. Everything left to chance comes from `seed`."""

    scale: Scale
    scratch: Path
    seed: int

    def often(self, *, quick: int, full: int) -> int:
        """How many of something, at this scale."""
        return quick if self.scale == "quick" else full

    def long(self, *, quick_s: float, full_s: float) -> float:
        """How long something goes on, at this scale."""
        return quick_s if self.scale == "quick" else full_s

    def chance(self, what: str) -> random.Random:
        """Chance for `what`, the same whenever the seed is, whatever else is drawn."""
        return random.Random(f"{self.seed}/{what}")

    def folder(self, name: str) -> Path:
        """A new folder called `name`."""
        made = self.scratch / name
        made.mkdir(parents=True)
        return made


def life_s(chance: random.Random) -> float:
    """How long something works until it is ended: mostly briefly, sometimes long. Ours and peers alike."""
    return chance.uniform(0, LONG_LIFE_S_MAX if chance.random() < LONG_SHARE else LIFE_S_MAX)


def is_root() -> bool:
    return os.geteuid() == 0
