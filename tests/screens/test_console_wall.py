"""What a screen that visitors see is told, and what the account behind it may ask."""

from __future__ import annotations

from hub import schema
from tests.screens.console_world import NOW_MS, STAFF, World

UNSAID = (  # what the seeded incidents and crews would give away
    "Harmon Court",
    "Meadow Road",
    "Union Boulevard",
    "goodbye",
    "Neighbor",
    "traffic",
    "uniforms",
    "42.4",
    "-101.3",
    *(name for _, name, *_ in STAFF),
)


def test_the_wall_is_told_no_place_no_name_and_no_word_of_anybody(hub: World) -> None:
    text = hub.signed_in("hall").get("/wall/now.json").text
    assert "CARE-3" in text
    assert [hidden for hidden in UNSAID if hidden in text] == []


def test_the_most_pressing_come_first_and_among_equals_those_with_nobody(hub: World) -> None:
    page = hub.signed_in("hall")
    assert [one["number"] for one in page.get("/wall/now.json").get_json()["incidents"]] == [1, 3, 2]
    with hub.engine.begin() as connection:
        connection.execute(schema.incident.update().values(priority=2))
    assert [one["number"] for one in page.get("/wall/now.json").get_json()["incidents"]] == [2, 3, 1]


def test_a_unit_on_an_incident_has_the_status_it_has_there(hub: World) -> None:
    page = hub.signed_in("hall")
    [sent] = page.get("/wall/now.json").get_json()["incidents"][0]["units"]
    assert (sent["call_sign"], sent["status"]) == ("CARE-3", "on_scene")
    with hub.engine.begin() as connection:
        connection.execute(schema.unit_now.update().values(assignment=None))
    [sent] = page.get("/wall/now.json").get_json()["incidents"][0]["units"]
    assert (sent["status"], sent["since_ms"]) == ("assigned", NOW_MS - 22 * 60_000)


def test_who_is_off_duty_or_at_a_desk_is_not_on_the_wall_and_who_has_no_link_is_marked(hub: World) -> None:
    units = hub.signed_in("hall").get("/wall/now.json").get_json()["units"]
    assert {one["call_sign"]: one["is_silent"] for one in units} == {
        "CARE-1": False,
        "CARE-2": False,
        "CARE-3": False,
        "CARE-4": False,
        "CARE-5": True,
    }


def test_the_account_of_a_wall_gets_the_wall_and_nothing_else(hub: World) -> None:
    page = hub.signed_in("hall")
    assert "wallpage.js" in page.get("/").text or "Wall" in page.get("/").text
    for path in ("/api/v1/snapshot", "/api/v1/events", "/api/v1/incidents/i1", "/api/v1/words", "/map/info.json"):
        assert page.get(path).status_code == 403, path
    assert page.post("/api/v1/rounds", {}).status_code == 403


def test_a_wall_that_asks_stays_signed_in_for_its_shift_though_nobody_touches_it(hub: World) -> None:
    page = hub.signed_in("hall")
    for _ in range(4):
        hub.now_ms += 20 * 60_000
        assert page.get("/wall/now.json").status_code == 200
    hub.now_ms += 31 * 60_000
    assert page.get("/wall/now.json").status_code == 401


def test_the_wall_says_an_emergency_by_its_call_sign_until_it_is_cleared(hub: World) -> None:
    raised = {
        "emergency": b"e" * 16,
        "device": "d-u1",
        "is_drill": False,
        "source": "button",
        "staff": b'["dana"]',
        "pressed_ms": NOW_MS,
        "received_ms": NOW_MS,
        "presses": 1,
        "newest_ms": NOW_MS,
    }
    with hub.engine.begin() as connection:
        connection.execute(schema.emergency.insert().values(**raised))
    text = hub.signed_in("hall").get("/wall/now.json")
    assert text.get_json()["emergencies"] == [
        {"call_sign": "CARE-1", "is_drill": False, "since_ms": NOW_MS, "is_acknowledged": False}
    ]
    assert "Alder" not in text.text
