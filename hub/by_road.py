"""Rankings by road: the engine as a ranking asks it, as long as there is one that answers.

Nobody is sent through what is closed. But who stands inside a closed area must come out of it, and who is sent to a place
inside must get in: for that way alone this one area counts as open. The crew is told of it where the list is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hub.closest import Bound
from hub.rank import RoadsDown, Travel
from hub.rankings import ByRoad, Spot, roads_by
from hub.rings import Ring, shut_between
from hub.rings import Spot as Place
from hub.roads import Roads


def ranked_by(roads: Roads, clock_s: Callable[[], float]) -> ByRoad | None:
    """How a list that is made now asks for its ways; None while there is no engine or no graph: by straight line.

    The list is of one graph. When another one takes over meanwhile, the bound and the name that is kept would not be its.
    """
    graph, fastest_mps = roads.graph, roads.fastest_mps
    if not graph or fastest_mps is None:
        return None

    def ask(sources: Sequence[Spot], target: Spot, closed: Sequence[Ring], wait_s: float) -> Sequence[Travel | None]:
        if roads.graph not in (graph, ""):
            raise RoadsDown("The roads were replaced a moment ago.")
        ends_s = clock_s() + wait_s
        places, goal = [_place(one) for one in sources], _place(target)
        found: list[Travel | None] = [None] * len(places)
        for shut, members in _by_what_is_shut(places, goal, closed):
            said = roads.times([places[at] for at in members], goal, shut, wait_s=ends_s - clock_s())
            for at, travel in zip(members, said, strict=True):
                found[at] = travel
        return found

    return ByRoad(times=roads_by(ask, graph, clock_s), bound=Bound(fastest_mps=fastest_mps))


def _by_what_is_shut(
    places: Sequence[Place], goal: Place, closed: Sequence[Ring]
) -> list[tuple[tuple[Ring, ...], list[int]]]:
    """The places by what stays closed for them, nearly always one group: a question to the engine closes alike for all."""
    groups: dict[tuple[Ring, ...], list[int]] = {}
    for at, place in enumerate(places):
        groups.setdefault(shut_between(closed, place, goal), []).append(at)
    return list(groups.items())


def _place(spot: Spot) -> Place:
    lat, lon = spot
    return Place(lat=lat, lon=lon)
