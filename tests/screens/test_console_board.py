"""What every open page is told: a snapshot, then what changes, the same bytes to all."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
from sqlalchemy import event as sql_event

from hub import schema
from hub.board import BEHIND_MAX, Viewer
from hub.snapshot import Eta
from tests.screens.console_world import World, at


def told(viewer: Viewer, hub: World) -> Iterator[tuple[str, dict]]:
    for chunk in viewer.stream(lambda: hub.now_ms, lambda: True):
        yield from parsed(chunk)


def parsed(chunk: bytes) -> Iterator[tuple[str, dict]]:
    for part in chunk.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in part.splitlines() if not line.startswith(":"))
        if "event" in lines:
            yield lines["event"], msgspec.json.decode(lines["data"])


def test_a_page_gets_the_snapshot_first(hub: World) -> None:
    page = hub.signed_in("nina")
    answer = page.get("/api/v1/events")
    assert answer.mimetype == "text/event-stream"
    assert answer.headers["X-Accel-Buffering"] == "no"
    first = next(iter(answer.response))
    assert isinstance(first, bytes)
    assert first.startswith(b"retry: ")
    ((name, whole),) = parsed(first)
    assert name == "snapshot"
    assert whole == page.get("/api/v1/snapshot").get_json()
    answer.close()
    assert hub.board.viewers() == 0


def test_a_position_is_told_within_a_tick_and_without_sql(hub: World) -> None:
    viewer = hub.board.join()
    assert viewer is not None
    events = told(viewer, hub)
    assert next(events)[0] == "snapshot"
    asked: list[str] = []

    def count(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    sql_event.listen(hub.engine, "before_cursor_execute", count)
    moved = at("u1", 42.4, -101.3, speed_mps=3.0, heading_deg=90)
    hub.positions.put(moved)
    hub.board.moved(moved)
    name, data = next(events)
    assert name == "positions"
    assert [one["unit"] for one in data["positions"]] == ["u1"]
    assert data["positions"][0]["speed_mps"] == 3.0
    assert asked == []


def test_many_moves_within_a_tick_are_one_event_with_the_newest_of_each_unit(hub: World) -> None:
    viewer = hub.board.join()
    assert viewer is not None
    events = told(viewer, hub)
    next(events)
    hub.board.moved(at("u2", 42.0, -101.0))
    next(events)  # told at once; what comes now waits for the tick
    for n in range(5):
        hub.board.moved(at("u1", 42.0 + n / 1000, -101.0))
        hub.board.moved(at("u3", 41.0, -101.0))
    _, data = next(events)
    assert {one["unit"]: one["lat"] for one in data["positions"]} == {"u1": 42.004, "u3": 41.0}


def test_every_viewer_gets_the_very_same_bytes(hub: World) -> None:
    streams = []
    for _ in range(3):
        viewer = hub.board.join()
        assert viewer is not None
        stream = viewer.stream(lambda: hub.now_ms, lambda: True)
        next(stream)
        streams.append(stream)
    hub.board.moved(at("u1", 42.0, -101.0))
    chunks = [next(stream) for stream in streams]
    assert chunks[0] is chunks[1] is chunks[2]


def test_a_change_tells_only_the_sections_that_differ(hub: World) -> None:
    viewer = hub.board.join()
    assert viewer is not None
    events = told(viewer, hub)
    next(events)
    with hub.engine.begin() as connection:
        connection.execute(
            schema.quarantine.insert().values(device="d-u1", topic="t", why="replay", data=b"", held_ms=1)
        )
    hub.board.changed()
    name, data = next(events)
    assert (name, data["health"]["quarantined"]) == ("health", {"replay": 1})
    assert [alarm["text"] for alarm in data["health"]["alarms"]] == ["CARE-1: 1 message refused, replay"]


def test_a_change_that_changes_nothing_is_not_told(hub: World) -> None:
    viewer = hub.board.join()
    assert viewer is not None
    events = told(viewer, hub)
    next(events)
    hub.board.changed()
    time.sleep(0.3)
    hub.board.moved(at("u1", 42.0, -101.0))
    assert next(events)[0] == "positions"


def test_a_viewer_that_falls_behind_is_dropped_and_the_others_go_on(hub: World) -> None:
    slow, quick = Viewer(b""), Viewer(b"")
    assert all(slow.offer(b"x") for _ in range(BEHIND_MAX))
    assert not slow.offer(b"x")
    assert quick.offer(b"x")
    assert list(slow.stream(lambda: 0, lambda: True)) == [b"retry: 1000\n\n"]


def test_a_dropped_page_starts_again_from_a_snapshot(hub: World) -> None:
    first = hub.board.join()
    assert first is not None
    first.drop()
    moved = at("u1", 10.0, 10.0)
    hub.positions.put(moved)
    again = hub.board.join()
    assert again is not None
    _, whole = next(told(again, hub))
    assert next(one for one in whole["units"] if one["unit"] == "u1")["position"]["lat"] == 10.0


def test_a_stream_ends_when_its_session_does(hub: World) -> None:
    viewer = hub.board.join()
    assert viewer is not None
    stream = viewer.stream(lambda: hub.now_ms, lambda: False, comment_s=0.0)
    next(stream)
    hub.board.moved(at("u1", 42.0, -101.0))
    assert list(stream) == []


def test_a_silent_hub_says_that_it_is_here(hub: World) -> None:
    viewer = hub.board.join()
    assert viewer is not None
    stream = viewer.stream(lambda: hub.now_ms, lambda: True, here_s=0.05)
    next(stream)
    assert list(parsed(next(stream))) == [("here", {"now_ms": hub.now_ms})]


def test_stopping_the_board_ends_every_stream_at_once(hub: World) -> None:
    viewer = hub.board.join()
    assert viewer is not None
    stream = viewer.stream(lambda: hub.now_ms, lambda: True)
    next(stream)
    hub.board.stop()
    assert list(stream) == []
    late = hub.board.join()
    assert late is not None
    assert len(list(late.stream(lambda: hub.now_ms, lambda: True))) == 1


def test_without_a_map_the_page_is_told_how_to_import_one(hub: World) -> None:
    page = hub.signed_in("nina")
    info = page.get("/map/info.json").get_json()
    assert info["tiles"] is None
    assert "tandem-hub map import" in info["message"]
    assert page.get("/map/tiles.pmtiles").status_code == 404


def test_the_map_is_served_in_ranges_under_an_address_that_names_it(hub: World, tmp_path: Path) -> None:
    folder = tmp_path / "maps" / "abc123"
    folder.mkdir(parents=True)
    (folder / "streets.pmtiles").write_bytes(bytes(range(100)))
    (folder / "map.json").write_bytes(
        msgspec.json.encode(
            {
                "id": "abc123",
                "name": "Alder Ford",
                "source": "city.osm.pbf",
                "sha256": "0" * 64,
                "imported_at": "2026-11-22T00:00:00Z",
                "bounds": [-101.4, 42.4, -101.3, 42.5],
                "center": [-101.35, 42.45],
                "attribution": "Synthetic city, no real place",
                "attribution_url": None,
                "minzoom": 0,
                "maxzoom": 14,
                "commands": [],
            }
        )
    )
    (tmp_path / "maps" / "current").symlink_to("abc123")
    page = hub.signed_in("nina")
    address = page.get("/map/info.json").get_json()["tiles"]
    assert address == "/map/abc123/streets.pmtiles"
    for path in (address, "/map/tiles.pmtiles"):
        part = page.client.get(path, base_url="http://localhost", headers={"Range": "bytes=10-19"})
        assert (part.status_code, part.data) == (206, bytes(range(10, 20)))
        part.close()
    assert page.get("/map/other/streets.pmtiles").status_code == 404


def test_when_a_unit_will_be_there_comes_with_its_position_and_as_of_when(hub: World) -> None:
    told_of = Eta(assignment="a1", word="way", at_ms=hub.now_ms - 4_000, eta_s=372, left_m=3_400)
    hub.board.eta_of = lambda unit: told_of if unit == "u3" else None
    viewer = hub.board.join()
    assert viewer is not None
    events = told(viewer, hub)
    _, whole = next(events)
    shown = {one["unit"]: one["position"] and one["position"]["eta"] for one in whole["units"]}
    assert shown["u3"] == {
        "assignment": "a1",
        "word": "way",
        "at_ms": hub.now_ms - 4_000,
        "eta_s": 372,
        "left_m": 3_400,
    }
    assert shown["u1"] is None
    hub.board.moved(at("u3", 42.4, -101.3))
    _, data = next(events)
    assert data["positions"][0]["eta"]["eta_s"] == 372
    page = hub.signed_in("nina").get("/api/v1/snapshot").get_json()
    assert {one["unit"]: one["position"] and one["position"]["eta"] for one in page["units"]} == shown
