"""Rankings by road: the engine as a ranking asks it, as long as there is one that answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hub.closest import Bound
from hub.rank import RoadsDown, Travel
from hub.rankings import ByRoad, Spot, roads_by
from hub.roads import Roads
from hub.roads import Spot as Place


def ranked_by(roads: Roads, clock_s: Callable[[], float]) -> ByRoad | None:
    """How a list that is made now asks for its ways; None while there is no engine or no graph: by straight line.

    The list is of one graph. When another one takes over meanwhile, the bound and the name that is kept would not be its.
    """
    graph, fastest_mps = roads.graph, roads.fastest_mps
    if not graph or fastest_mps is None:
        return None

    def ask(sources: Sequence[Spot], target: Spot, wait_s: float) -> Sequence[Travel | None]:
        if roads.graph not in (graph, ""):
            raise RoadsDown("The roads were replaced a moment ago.")
        return roads.times([_place(one) for one in sources], _place(target), wait_s=wait_s)

    return ByRoad(times=roads_by(ask, graph, clock_s), bound=Bound(fastest_mps=fastest_mps))


def _place(spot: Spot) -> Place:
    lat, lon = spot
    return Place(lat=lat, lon=lon)
