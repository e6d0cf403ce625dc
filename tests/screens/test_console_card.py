"""What a card asks of the hub: a unit that two dispatchers want, a list as it was shown, who was here before."""

from __future__ import annotations

from sqlalchemy import select

from hub import schema
from hub.rank import BOOK
from tests.screens.console_world import Page, World
from tests.screens.test_console_dispatch import as_json, audited, rank, send


def test_of_two_dispatchers_who_send_one_unit_from_two_lists_the_second_is_told_by_name(hub: World) -> None:
    nina, other = hub.signed_in("nina"), hub.signed_in("nina")
    one, two = rank(nina, "i2")["ranking"], rank(other, "i3")["ranking"]
    assert send(nina, "i2", "u2", one, "s1", reason="Knows this person")[0] == 201
    status, refused = send(other, "i3", "u2", two, "s2")
    assert (status, refused["code"]) == (409, "busy")
    assert refused["message"] == "Nina sent CARE-2 to #2 meanwhile. Rank the units again."
    hub.now_ms += 1000
    again = rank(other, "i3")
    candidates = again["candidates"]
    assert isinstance(candidates, list)
    assert candidates[0]["call_sign"] == "CARE-4"
    assert [one["diverted_from"] for one in candidates if one["call_sign"] == "CARE-2"] == [2]
    assert send(other, "i3", "u2", again["ranking"], "s3", reason="This is more urgent")[0] == 201


def on(hub: World, unit: str) -> dict[str, str | None]:
    """The incidents this unit was sent to, with who took it off."""
    rows = select(schema.assignment.c.incident, schema.assignment.c.released_by).where(schema.assignment.c.unit == unit)
    with hub.engine.begin() as connection:
        return {row.incident: row.released_by for row in connection.execute(rows)}


def test_a_unit_that_is_sent_to_something_more_urgent_is_taken_from_the_lesser_in_the_same_act(hub: World) -> None:
    nina = hub.signed_in("nina")
    send(nina, "i2", "u2", rank(nina, "i2")["ranking"], "s1", reason="Knows this person")
    hub.now_ms += 1000
    shown = rank(nina, "i3")["ranking"]
    for _ in range(2):  # a line that broke, and the same words again
        assert send(nina, "i3", "u2", shown, "s2", reason="This is more urgent")[0] in (200, 201)
    assert on(hub, "u2") == {"i2": "nina", "i3": None}
    assert audited(hub)[-2:] == ["assignment_released", "assignment_made"]


def test_a_unit_that_has_come_to_the_lesser_since_the_list_is_not_taken_from_it(hub: World) -> None:
    nina = hub.signed_in("nina")
    send(nina, "i2", "u2", rank(nina, "i2")["ranking"], "s1", reason="Knows this person")
    hub.now_ms += 1000
    shown = rank(nina, "i3")["ranking"]
    with hub.engine.begin() as connection:
        connection.execute(schema.unit_now.update().where(schema.unit_now.c.unit == "u2").values(status="on_scene"))
    status, refused = send(nina, "i3", "u2", shown, "s2", reason="This is more urgent")
    assert (status, refused["message"]) == (409, "CARE-2 is not on its way to #2 any more. Rank the units again.")
    assert on(hub, "u2") == {"i2": None}


def test_a_unit_whose_other_errand_was_on_the_list_may_be_sent_all_the_same(hub: World) -> None:
    nina = hub.signed_in("nina")
    send(nina, "i2", "u2", rank(nina, "i2")["ranking"], "s1", reason="Knows this person")
    shown = rank(nina, "i3")["ranking"]
    assert send(nina, "i3", "u2", shown, "s2", reason="Nobody else fits")[0] == 201


def test_a_list_from_which_somebody_was_sent_is_shown_as_it_was_and_comes_out_again(hub: World) -> None:
    nina = hub.signed_in("nina")
    shown = rank(nina, "i3")
    rank(nina, "i3")  # looked at, and nobody was sent from it
    send(nina, "i3", "u4", shown["ranking"], "s1", reason="Knows this person")
    hub.now_ms += 3_600_000
    (kept,) = hub.signed_in("omar").get("/api/v1/incidents/i3/rankings").get_json()
    assert kept["candidates"] == shown["candidates"]
    assert kept["choices"] == [
        {"unit": "u4", "by": "nina", "at_ms": hub.now_ms - 3_600_000, "reason": "Knows this person"}
    ]
    assert kept["again"] == "Worked out again, it is the same list."
    nina = hub.signed_in("nina")
    assert nina.get("/api/v1/incidents/i2/rankings").get_json() == []
    assert nina.get("/api/v1/incidents/nope/rankings").status_code == 404
    assert hub.signed_in("kit").get("/api/v1/incidents/i3/rankings").status_code == 403


def test_a_kept_list_that_comes_out_otherwise_is_called_so(hub: World) -> None:
    nina = hub.signed_in("nina")
    send(nina, "i3", "u2", rank(nina, "i3")["ranking"], "s1")
    with hub.engine.begin() as connection:
        connection.execute(schema.ranking.update().values(candidates="[]"))
    (kept,) = nina.get("/api/v1/incidents/i3/rankings").get_json()
    assert kept["again"].startswith("Worked out again, it is another list.")
    with hub.engine.begin() as connection:
        connection.execute(schema.ranking.update().values(book=99))
    (kept,) = nina.get("/api/v1/incidents/i3/rankings").get_json()
    assert kept["again"] == f"This list was made by rules 99, and this program has rules {BOOK}."
    with hub.engine.begin() as connection:
        connection.execute(schema.ranking.update().values(known=None))
    assert nina.get("/api/v1/incidents/i3/rankings").get_json() == []


def close(page: Page, incident: str, disposition: str) -> None:
    assert page.post(f"/api/v1/incidents/{incident}/close", {"disposition": disposition}).status_code == 200


def test_who_was_at_this_place_before_is_in_its_dossier_with_how_it_ended(hub: World) -> None:
    nina = hub.signed_in("nina")
    for id_, place, lat in (("n1", "12 Elm Row", 42.45), ("n2", "12 elm row", 42.4505), ("n3", "14 Elm Row", 42.452)):
        nina.post("/api/v1/incidents", as_json(id_, place=place, lat=lat))
    assert earlier(nina, "n1") == [], "n2 is still open"
    close(nina, "n2", "stabilized_in_place")
    close(nina, "n3", "referred_warm")
    assert earlier(nina, "n1") == [(5, "stabilized_in_place")], "the neighbors are somebody else"
    hub.now_ms += 366 * 86_400_000
    assert earlier(hub.signed_in("nina"), "n1") == []


def test_a_call_that_was_told_twice_is_not_an_earlier_one(hub: World) -> None:
    nina = hub.signed_in("nina")
    for id_ in ("n1", "n2"):
        nina.post("/api/v1/incidents", as_json(id_))
    nina.post("/api/v1/incidents/n2/merge", {"id": "m1", "into": "n1"})
    assert earlier(nina, "n1") == []


def earlier(page: Page, incident: str) -> list[tuple[int, str]]:
    found = page.get(f"/api/v1/incidents/{incident}/dossier").get_json()["earlier"]
    return [(one["number"], one["disposition"]) for one in found]
