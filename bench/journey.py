"""A drive through a drawn city, second by second: where the vehicle truly was, and what its receiver made of it.

The same seed drives the same way. Between two trips it stands for one to five minutes, as a crew does.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from demo.city import draw_city
from demo.streets import Streets
from firmware_bridge.drive import Drive, Route, Where, placed, sent
from firmware_bridge.reader import Reader
from firmware_bridge.scenarios import PROFILES, SCENARIOS
from firmware_bridge.simulate import SimulatedReceiver
from wire.fix import Fix

CITY_SEED = 7
BEGAN = datetime(2026, 5, 4, 14, tzinfo=UTC)
STANDS_S = (60.0, 300.0)


class Second(Struct, frozen=True, kw_only=True):
    """One second of the drive; `fix` None: the receiver had none."""

    truth: Where
    fix: Fix | None


class Journey(Struct, frozen=True, kw_only=True):
    """A whole drive."""

    seconds: tuple[Second, ...]

    @property
    def way_m(self) -> float:
        """How far it went."""
        return sum(second.truth.speed_mps for second in self.seconds)

    @property
    def moving_s(self) -> int:
        """For how long it did not stand."""
        return sum(second.truth.speed_mps > 0.3 for second in self.seconds)


def streets_in(folder: Path) -> Streets:
    """The streets of the drawn city, drawn in `folder`."""
    city = folder / "city.osm.pbf"
    draw_city(city, CITY_SEED)
    return Streets.load(city)


def journey(streets: Streets, minutes: int, seed: str, scenario: str) -> Journey:
    """One crew's drive."""
    chance = Random(f"{seed} journey")
    profile = replace(PROFILES["modern"], order=("RMC", "GGA"))
    receiver, reader = SimulatedReceiver(SCENARIOS[scenario], profile, seed), Reader()
    seconds: list[Second] = []
    node, drive, leaves_s = streets.chosen(chance), None, 0.0
    for at_s in range(minutes * 60):
        if drive is None or (drive.is_there(at_s) and at_s >= leaves_s):
            goal = streets.chosen(chance)
            drive = _sent(streets, drive, streets.route(node, goal), at_s)
            node, leaves_s = goal, at_s + drive.trip.lasts_s + chance.uniform(*STANDS_S)
        truth = drive.where(at_s)
        said = receiver.says(truth, BEGAN + timedelta(seconds=at_s), at_s)
        fixes = [fix for sentence in said for fix in reader.feed(sentence)] + reader.pause()
        seconds.append(Second(truth=truth, fix=fixes[-1] if fixes else None))
    return Journey(seconds=tuple(seconds))


def _sent(streets: Streets, drive: Drive | None, nodes: list[int], at_s: float) -> Drive:
    route = Route(
        points=tuple((streets.lats[node], streets.lons[node]) for node in nodes),
        limits_mps=tuple(max(leg.speed_mps for leg in streets.legs[a] if leg.to == b) for a, b in pairwise(nodes)),
    )
    return placed(route, at_s) if drive is None else sent(drive, route, at_s)
