"""What is closed, on the real road engine: lists drive around it, say so, are kept with it, and can be asked again."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from hub import rankings
from hub.by_road import ranked_by
from hub.closest import closest
from hub.closures import EDGES_KM_MAX, RING_CORNERS_MAX
from hub.rank import Travel
from hub.replay import replayed
from hub.rings import Ring, Spot, edge_m, holds
from hub.valhalla import CLOSED_CORNERS_MAX, CLOSED_LENGTH_M_MAX
from tests.patience import PATIENCE_S
from tests.screens.console_world import Page
from tests.screens.test_console_closures import close
from tests.system.test_ranking_by_road import (  # the fixtures of a city with an engine
    Site,
    city,
    imported,
    programs,
    ranked_by_road,
    site,
)
from tests.ways import spots_of

__all__ = ["city", "imported", "programs", "site"]
pytestmark = [pytest.mark.system, pytest.mark.xdist_group("roads")]


def seconds_of(shown: dict[str, object], unit: str) -> float:
    candidates = shown["candidates"]
    assert isinstance(candidates, list)
    return float(next(one["travel_s"] for one in candidates if one["unit"] == unit))


def place_of(site: Site, what: str) -> Spot:
    """Where an incident is, or a unit stands."""
    if what.startswith("i"):
        page = site.hub.signed_in("nina")
        said = page.get(f"/api/v1/incidents/{what}").get_json()
        return Spot(lat=said["lat"], lon=said["lon"])
    position = site.hub.positions.get(what)
    assert position is not None
    assert position.fix is not None
    return Spot(lat=position.fix.lat, lon=position.fix.lon)


def shut_halfway(site: Site, page: Page, unit: str, incident: str) -> dict[str, object]:
    """Close a spot in the middle of the unit's way to the incident."""
    way = site.roads.route(place_of(site, unit), place_of(site, incident), wait_s=PATIENCE_S)
    assert way is not None
    line = spots_of(way.line)
    middle = line[len(line) // 2]
    corner = {"lat": middle.lat, "lon": middle.lon}
    return close(page, {"id": "shut", "corners": [corner], "radius_m": 120, "reason": "Water over the road"})


def test_a_closure_changes_the_times_and_its_end_changes_them_back(site: Site) -> None:
    page = site.hub.signed_in("nina")
    before = seconds_of(ranked_by_road(page, "i2"), "u2")
    shut_halfway(site, page, "u2", "i2")
    shown = ranked_by_road(page, "i2")
    assert seconds_of(shown, "u2") > before
    assert shown["words"] == ["The times drive around one closure."]
    page.post("/api/v1/closures/shut/end", {})
    again = ranked_by_road(page, "i2")
    assert (seconds_of(again, "u2"), again["words"]) == (before, [])


def test_a_list_is_kept_with_the_closures_it_had_and_gives_the_same_when_it_is_asked_again(site: Site) -> None:
    page = site.hub.signed_in("nina")
    shut_halfway(site, page, "u2", "i2")
    shown = ranked_by_road(page, "i2")
    page.post("/api/v1/closures/shut/end", {})
    with site.hub.engine.begin() as connection:
        kept = rankings.shown(connection, int(str(shown["ranking"])))
    assert kept is not None
    assert {ring.id for ring in kept.question.closed} == {"shut"}
    assert replayed(kept) == kept.candidates
    by = ranked_by(site.roads, time.monotonic)
    assert by is not None
    patient = rankings.roads_by(patiently(site), site.roads.graph, lambda: 0.0)
    asked_anew = closest(kept.question, patient(kept.question).times)
    assert asked_anew.candidates == kept.candidates  # the very roads of that hour, closures and all


def patiently(site: Site) -> rankings.Asked:
    """Asks the engine as a list does, but as long as it takes."""

    def ask(
        sources: Sequence[tuple[float, float]], target: tuple[float, float], closed: Sequence[Ring], wait_s: float
    ) -> Sequence[Travel | None]:
        spots = [Spot(lat=lat, lon=lon) for lat, lon in sources]
        return site.roads.times(spots, Spot(lat=target[0], lon=target[1]), closed, wait_s=PATIENCE_S)

    return ask


def test_a_way_for_the_terminal_goes_around_what_is_closed(site: Site) -> None:
    page = site.hub.signed_in("nina")
    made = shut_halfway(site, page, "u2", "i2")
    (corners,) = made["rings"]  # type: ignore[misc]
    ring = Ring(id="shut", corners=tuple(Spot(lat=lat, lon=lon) for lon, lat in corners))
    way = site.roads.route(place_of(site, "u2"), place_of(site, "i2"), [ring], wait_s=PATIENCE_S)
    assert way is not None
    assert not any(holds(ring, spot) for spot in spots_of(way.line))


def test_a_place_inside_a_closure_still_gets_a_list_by_road_and_it_says_so(site: Site) -> None:
    page = site.hub.signed_in("nina")
    before = seconds_of(ranked_by_road(page, "i3"), "u2")
    here = place_of(site, "i3")
    corner = {"lat": here.lat, "lon": here.lon}
    close(page, {"id": "shut", "corners": [corner], "radius_m": 300, "reason": "March"})
    shown = ranked_by_road(page, "i3")
    (words,) = shown["words"]  # type: ignore[misc]
    assert words.startswith("This place is inside a closure.")
    assert seconds_of(shown, "u2") == before


def test_what_all_closures_may_be_together_the_engine_takes_in_one_question(site: Site) -> None:
    assert EDGES_KM_MAX * 1000 <= CLOSED_LENGTH_M_MAX
    assert RING_CORNERS_MAX < CLOSED_CORNERS_MAX
    rings = [far_ring(number) for number in range(90)]
    assert edge_m(rings) > 0.9 * EDGES_KM_MAX * 1000
    sources = [place_of(site, unit) for unit in ("u1", "u2", "u3")]
    assert all(site.roads.times(sources, place_of(site, "i3"), rings, wait_s=PATIENCE_S))


def far_ring(number: int) -> Ring:
    """A square of more than five kilometers around, away from the city."""
    lat, lon, half = 43.0 + number / 20, -101.35, 0.0068
    box = ((lat - half, lon - half), (lat - half, lon + half), (lat + half, lon + half), (lat + half, lon - half))
    return Ring(id=str(number), corners=tuple(Spot(lat=one, lon=other) for one, other in box))


def test_several_reach_more_than_one_and_less_when_the_bridge_is_closed(site: Site) -> None:
    one, two = place_of(site, "u1"), place_of(site, "u3")
    alone = site.roads.cover([one], (4,), wait_s=PATIENCE_S)
    both = site.roads.cover([one, two], (4,), wait_s=PATIENCE_S)
    assert alone.on_roads == (True,)
    assert both.on_roads == (True, True)
    assert size(both) > 1.5 * size(alone)
    around = Ring(id="r", corners=tuple(Spot(lat=one.lat + y, lon=one.lon + x) for x, y in CROSS))
    assert size(site.roads.cover([one], (4,), [around], wait_s=PATIENCE_S)) < size(alone)


CROSS = ((0.004, -0.05), (0.006, -0.05), (0.006, 0.05), (0.004, 0.05))  # a wall east of the place, ten kilometers long


def test_from_off_the_roads_nothing_is_reached_and_it_is_said_of_whom(site: Site) -> None:
    far = Spot(lat=10.0, lon=10.0)
    found = site.roads.cover([far, place_of(site, "u1")], (4,), wait_s=PATIENCE_S)
    assert found.on_roads == (False, True)
    assert found.areas
    assert site.roads.cover([far], (4,), wait_s=PATIENCE_S).areas == ()
    assert site.roads.cover([], (4,), wait_s=PATIENCE_S).areas == ()


def size(found: object) -> float:
    """The area of what is reached, in square degrees."""
    areas = found.areas  # type: ignore[attr-defined]
    return sum(abs(_twice(ring)) / 2 for area in areas for ring in area.rings[:1])


def _twice(ring: Sequence[tuple[float, float]]) -> float:
    return sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(ring, (*ring[1:], ring[0]), strict=True))
