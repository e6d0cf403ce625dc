"""Roads are closed and opened by people, once each, with reasons and an end; everybody at the board hears of it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec
import pytest
from sqlalchemy import select

from hub import closures, rankings, schema, snapshot
from hub.closures import EDGE_KM_MAX, HOUR_MS, HOURS_MAX, OPEN_MAX, REASON_CHARS_MAX, RoadClosing
from hub.deeds import Deed
from hub.errors import Refused
from hub.rings import Ring, Spot
from tests.screens.console_world import NOW_MS, Page, World
from tests.screens.test_console_ranking import Slow, rank
from wire.distance import moved

MIDDLE = (42.45, -101.35)


def corner(course: float, meters: float) -> dict[str, float]:
    lat, lon = moved(*MIDDLE, course, meters)
    return {"lat": lat, "lon": lon}


def flood(id_: str = "c1", **changed: object) -> dict[str, object]:
    """An area of three corners north of the middle."""
    corners = [corner(330, 900), corner(30, 900), corner(0, 300)]
    return {"id": id_, "corners": corners, "reason": "Water over the road"} | changed


def close(page: Page, asked: dict[str, object], status: int = 201) -> dict[str, object]:
    answer = page.post("/api/v1/closures", asked)
    assert answer.status_code == status, answer.get_json()
    said = answer.get_json()
    assert isinstance(said, dict)
    return said


def audited(hub: World, what: str) -> list[tuple[str | None, str | None, str | None]]:
    with hub.engine.begin() as connection:
        rows = connection.execute(select(schema.audit).where(schema.audit.c.what == what).order_by(schema.audit.c.seq))
        return [(row.actor, row.about, row.reason) for row in rows]


def closed(hub: World) -> tuple[Ring, ...]:
    with hub.engine.begin() as connection:
        return closures.closed(connection, hub.now_ms)


def test_a_road_is_closed_once_however_often_it_is_said(hub: World) -> None:
    page = hub.signed_in("nina")
    made = close(page, flood())
    assert (made["by"], made["reason"], made["since_ms"]) == ("Nina", "Water over the road", NOW_MS)
    assert close(page, flood(), 200) == made
    assert page.get("/api/v1/closures").get_json() == [made]
    assert audited(hub, "road_closed") == [("nina", "c1", None)]
    assert close(page, flood(reason="Parade"), 409)["code"] == "conflict"


def test_it_is_opened_again_by_a_person_once(hub: World) -> None:
    page, supervisor = hub.signed_in("nina"), hub.signed_in("omar")
    close(page, flood())
    ended = supervisor.post("/api/v1/closures/c1/end", {}).get_json()
    assert (ended["ended_ms"], ended["ended_by"]) == (NOW_MS, "omar")
    assert page.post("/api/v1/closures/c1/end", {}).get_json() == ended
    assert page.get("/api/v1/closures").get_json() == []
    assert audited(hub, "road_opened") == [("omar", "c1", None)]
    assert page.post("/api/v1/closures/nothing/end", {}).status_code == 404


def test_when_its_time_is_over_nobody_honors_it_and_the_audit_says_so(hub: World) -> None:
    page = hub.signed_in("nina")
    close(page, flood(until_ms=NOW_MS + HOUR_MS))
    hub.now_ms += HOUR_MS - 1
    assert closed(hub)
    hub.now_ms += 1
    assert not closed(hub)
    page = hub.signed_in("nina")
    assert page.get("/api/v1/closures").get_json() == []
    assert page.get("/api/v1/snapshot").get_json()["closures"] == []
    with hub.engine.begin() as connection:
        assert closures.expire(connection, hub.now_ms + 5000) == 1
        assert closures.expire(connection, hub.now_ms + 6000) == 0
        assert closures.one(connection, "c1").ended_ms == NOW_MS + HOUR_MS
    assert audited(hub, "road_opened") == [(None, "c1", "its time is over")]


def test_a_closure_that_is_over_is_not_ended_by_who_comes_later(hub: World) -> None:
    page = hub.signed_in("nina")
    close(page, flood(until_ms=NOW_MS + HOUR_MS))
    hub.now_ms += 2 * HOUR_MS
    ended = hub.signed_in("nina").post("/api/v1/closures/c1/end", {}).get_json()
    assert (ended["ended_ms"], ended["ended_by"]) == (NOW_MS + HOUR_MS, None)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"reason": "  "}, "Say why the road is closed"),
        ({"reason": "x" * (REASON_CHARS_MAX + 1)}, "Say why the road is closed"),
        ({"corners": [corner(0, 1), corner(0, 100)]}, "three corners"),
        ({"corners": [corner(0, 1), corner(0, 100), corner(0, 200)]}, "three corners"),
        ({"corners": []}, "at most 60 corners"),
        ({"corners": [corner(0, 500), corner(180, 500), corner(90, 500), corner(270, 500)]}, "crosses itself"),
        ({"corners": [corner(0, 1)], "radius_m": 3}, "10 to 2000 meters"),
        ({"corners": [corner(0, 1)], "radius_m": 90_000}, "10 to 2000 meters"),
        ({"corners": [corner(0, 1), corner(0, 30_000)], "radius_m": 10}, f"at most {EDGE_KM_MAX} km"),
        ({"until_ms": NOW_MS}, "later than now"),
        ({"until_ms": NOW_MS + (HOURS_MAX + 1) * HOUR_MS}, "within 31 days"),
        ({"corners": [{"lat": 91, "lon": 0}]}, "not understood"),
        ({"id": "no such name!"}, ""),
    ],
)
def test_what_cannot_be_closed_is_refused_in_a_sentence(hub: World, changed: dict[str, object], sentence: str) -> None:
    answer = hub.signed_in("nina").post("/api/v1/closures", flood() | changed)
    assert answer.status_code >= 400
    assert sentence in answer.get_json()["message"]
    assert not closed(hub)


def test_a_spot_and_a_stretch_are_closed_by_their_radius(hub: World) -> None:
    page = hub.signed_in("nina")
    spot = close(page, flood("spot", corners=[corner(0, 0)], radius_m=100))
    stretch = close(page, flood("stretch", corners=[corner(0, 0), corner(90, 400), corner(90, 900)], radius_m=25))
    assert [len(one["rings"]) for one in (spot, stretch)] == [1, 2]  # type: ignore[arg-type]
    assert {ring.id for ring in closed(hub)} == {"spot", "stretch"}


def test_more_than_the_road_engine_takes_is_refused_in_one_sentence(hub: World) -> None:
    by = Deed(by="nina", now_ms=hub.now_ms)
    small = RoadClosing(id="c", corners=(Spot(lat=42.45, lon=-101.35),), radius_m=50, reason="Works")
    wide = msgspec.structs.replace(small, radius_m=2_000)
    with hub.engine.begin() as connection:
        for number in range(OPEN_MAX):
            closures.close(connection, msgspec.structs.replace(small, id=f"c{number}"), by)
        with pytest.raises(Refused, match=f"There are {OPEN_MAX} closures already"):
            closures.close(connection, small, by)
        for number in range(OPEN_MAX):
            closures.end(connection, f"c{number}", by)
        with pytest.raises(Refused, match="more than the road engine takes"):
            for number in range(OPEN_MAX):
                closures.close(connection, msgspec.structs.replace(wide, id=f"w{number}"), by)


def test_the_board_hears_of_a_closure_and_of_its_end(hub: World) -> None:
    page, viewer = hub.signed_in("nina"), hub.board.join()
    assert viewer is not None
    events = viewer.stream(lambda: hub.now_ms, lambda: True)
    assert b'"closures":[]' in next(events)
    close(page, flood())
    told = next(one for one in events if b"event: closures" in one)
    assert [one["id"] for one in _data(told)["closures"]] == ["c1"]
    page.post("/api/v1/closures/c1/end", {})
    told = next(one for one in events if b"event: closures" in one)
    assert _data(told)["closures"] == []
    assert page.get("/api/v1/snapshot").get_json()["closures"] == []


def _data(event: bytes) -> dict[str, list[dict[str, object]]]:
    text = event.split(b"event: closures\ndata: ")[1].split(b"\n\n")[0]
    said = json.loads(text)
    assert isinstance(said, dict)
    return said


@pytest.mark.parametrize("account", ["kit", "ruth"])
def test_who_does_not_dispatch_closes_no_road(hub: World, account: str) -> None:
    page = hub.signed_in(account)
    assert page.get("/api/v1/closures").status_code == 403
    assert page.post("/api/v1/closures", flood()).status_code == 403
    assert page.post("/api/v1/closures/c1/end", {}).status_code == 403


def test_a_ranking_asks_for_ways_around_what_is_closed_and_is_kept_with_it(hub: World) -> None:
    close(hub.signed_in("nina"), flood())
    rings = closed(hub)
    asked_of: list[tuple[Ring, ...]] = []

    class Asked(Slow):
        def __call__(
            self,
            sources: Sequence[tuple[float, float]],
            target: tuple[float, float],
            closed: Sequence[Ring],
            wait_s: float,
        ) -> list:  # type: ignore[type-arg]
            asked_of.append(tuple(closed))
            return super().__call__(sources, target, closed, wait_s)

    shown = rank(hub, "i3", Asked(0.01).roads())
    assert asked_of
    assert set(asked_of) == {rings}
    assert shown.words == ("The times drive around one closure.",)
    with hub.engine.begin() as connection:
        closures.end(connection, "c1", Deed(by="nina", now_ms=hub.now_ms))
        kept = rankings.shown(connection, shown.ranking)
    assert kept is not None
    assert kept.question.closed == rings


def test_several_incidents_together_are_asked_for_with_the_closures(hub: World) -> None:
    close(hub.signed_in("nina"), flood())
    with hub.engine.begin() as connection:
        waiting = rankings.pending(connection, {}, snapshot.units(connection, hub.presence.state), hub.now_ms)
    assert {one.question.closed for one in waiting} == {closed(hub)}


def test_a_list_by_straight_line_says_that_it_goes_through_what_is_closed(hub: World) -> None:
    close(hub.signed_in("nina"), flood())
    assert rank(hub, "i3").words == ("A straight line goes through one closure: ask the crew for the way.",)


def test_a_list_for_a_place_inside_a_closure_says_so(hub: World) -> None:
    lat, lon = moved(*MIDDLE, 190, 800)  # where i3 is
    close(hub.signed_in("nina"), flood(corners=[{"lat": lat, "lon": lon}], radius_m=200))
    (words,) = rank(hub, "i3", Slow(0.01).roads()).words
    assert words.startswith("This place is inside a closure.")
