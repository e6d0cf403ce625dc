"""From a place on the map to a unit on its way, as the page's script asks for it."""

from __future__ import annotations

import msgspec
from sqlalchemy import func, select

from hub import schema
from tests.screens.console_world import Page, World, opening


def as_json(id_: str, **changed: object) -> dict[str, object]:
    return dict(msgspec.to_builtins(opening(id_, **changed)))


def rank(page: Page, incident: str) -> dict[str, object]:
    answer = page.post(f"/api/v1/incidents/{incident}/ranking", {})
    assert answer.status_code == 200, answer.text
    return dict(answer.get_json())


def send(page: Page, incident: str, unit: str, ranking: object, id_: str = "s1", **more: object) -> tuple[int, dict]:
    answer = page.post(
        f"/api/v1/incidents/{incident}/assignments", {"id": id_, "unit": unit, "ranking": ranking, **more}
    )
    return answer.status_code, answer.get_json()


def audited(hub: World) -> list[str]:
    with hub.engine.begin() as connection:
        return list(connection.execute(select(schema.audit.c.what).order_by(schema.audit.c.seq)).scalars())


def test_an_incident_opened_twice_with_one_id_is_one_incident(hub: World) -> None:
    page = hub.signed_in("nina")
    first, again = page.post("/api/v1/incidents", as_json("n1")), page.post("/api/v1/incidents", as_json("n1"))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.get_json() == again.get_json()
    assert first.get_json()["number"] == 4
    assert audited(hub).count("incident_opened") == 4
    assert hub.changes == ["changed"]


def test_the_same_id_with_other_words_is_refused(hub: World) -> None:
    page = hub.signed_in("nina")
    page.post("/api/v1/incidents", as_json("n1"))
    answer = page.post("/api/v1/incidents", as_json("n1", problem="Something else"))
    assert answer.status_code == 409
    assert answer.get_json()["code"] == "conflict"


def test_what_cannot_be_an_incident_is_refused_with_a_sentence(hub: World) -> None:
    page = hub.signed_in("nina")
    wrong: tuple[dict[str, object], ...] = (
        {"type": "NOPE"},
        {"priority": 5},
        {"lat": 91.0},
        {"place": "  "},
        {"problem": "x" * 2001},
        {"cautions": ("x",) * 9},
        {"id": "../x"},
    )
    for changed in wrong:
        answer = page.post("/api/v1/incidents", as_json("n1") | changed)
        assert answer.status_code == 400, changed
        assert answer.get_json()["message"].endswith((".", "'"))
    for unknown in ({"skills": ["juggling"]}, {"languages": ["tlh"]}):
        assert page.post("/api/v1/incidents", as_json("n1") | {"need": unknown}).status_code == 400
    assert page.post("/api/v1/incidents", {"id": "n1"}).status_code == 400
    assert len(page.get("/api/v1/snapshot").get_json()["incidents"]) == 3


def test_a_type_that_is_gated_opens_staged(hub: World) -> None:
    page = hub.signed_in("nina")
    assert page.post("/api/v1/incidents", as_json("n1", type="MTLV")).get_json()["gate"] == "staged"
    assert page.post("/api/v1/incidents", as_json("n2", type="WELFARE")).get_json()["gate"] == "unknown"


def test_the_ranking_answers_every_unit_and_is_kept_as_it_was_shown(hub: World) -> None:
    page = hub.signed_in("nina")
    shown = rank(page, "i3")
    assert shown["engine"] == "straight line"
    candidates = shown["candidates"]
    assert isinstance(candidates, list)
    assert [one["call_sign"] for one in candidates][:2] == ["CARE-2", "CARE-4"]
    assert len(candidates) == 7
    why = {one["call_sign"]: one["reasons"] for one in candidates}
    assert why["CARE-1"] == ["no Spanish speaker"]
    assert why["CARE-3"] == ["on scene at #1", "no Spanish speaker"]
    assert why["CARE-5"] == ["no Spanish speaker", "position 9 min old"]
    assert why["CARE-6"] == ["off duty", "nobody signed on", "no position yet"]
    assert why["DESK-1"] == ["a desk: advises, is not sent"]
    assert all("straight line, not by road" in one["notes"] for one in candidates)
    with hub.engine.begin() as connection:
        kept = connection.execute(select(schema.ranking)).one()
    assert msgspec.json.decode(kept.candidates) == candidates
    assert kept.ranked_by == "nina"


def test_the_first_candidate_is_sent_without_a_word_and_another_one_with_a_reason(hub: World) -> None:
    page = hub.signed_in("nina")
    ranking = rank(page, "i3")["ranking"]
    status, refused = send(page, "i3", "u4", ranking)
    assert (status, refused["code"]) == (422, "reason_needed")
    status, sent = send(page, "i3", "u4", ranking, reason="Knows this person")
    assert status == 201
    assert sent["received_ms"] is None
    assert sent["acknowledged_ms"] is None
    status, _ = send(page, "i3", "u2", ranking, "s2")
    assert status == 201
    with hub.engine.begin() as connection:
        rows = connection.execute(select(schema.assignment).where(schema.assignment.c.incident == "i3")).all()
        chosen = connection.execute(select(schema.ranking.c.chosen)).scalar()
    assert {row.unit: row.override_reason for row in rows} == {"u4": "Knows this person", "u2": None}
    assert chosen == "u2"
    assert audited(hub).count("assignment_made") == 2


def test_sending_makes_the_unit_assigned_at_once(hub: World) -> None:
    page = hub.signed_in("nina")
    send(page, "i3", "u2", rank(page, "i3")["ranking"])
    units = {one["unit"]: one for one in page.get("/api/v1/snapshot").get_json()["units"]}
    assert units["u2"]["status"] == "assigned"
    assert units["u2"]["assignment"] == "s1"


def test_a_send_that_is_repeated_sends_once(hub: World) -> None:
    page = hub.signed_in("nina")
    ranking = rank(page, "i3")["ranking"]
    assert [send(page, "i3", "u2", ranking)[0] for _ in range(2)] == [201, 200]
    assert send(page, "i2", "u2", rank(page, "i2")["ranking"])[0] == 409
    with hub.engine.begin() as connection:
        count = connection.execute(select(func.count()).select_from(schema.act)).scalar()
    assert count == 1


def test_nobody_is_sent_twice_to_one_place_or_from_a_ranking_of_another(hub: World) -> None:
    page = hub.signed_in("nina")
    ranking = rank(page, "i3")["ranking"]
    send(page, "i3", "u2", ranking)
    assert send(page, "i3", "u2", ranking, "s2")[1]["code"] == "busy"
    assert send(page, "i2", "u1", ranking, "s3")[1]["code"] == "not_found"
    assert send(page, "i3", "nobody", ranking, "s4")[1]["code"] == "not_found"


def test_an_incident_is_not_closed_under_a_unit_that_is_on_it(hub: World) -> None:
    page = hub.signed_in("nina")
    refused = page.post("/api/v1/incidents/i1/close", {"disposition": "referred_warm"})
    assert refused.status_code == 409
    assert refused.get_json()["message"] == "CARE-3 is still on #1. Release it first."
    assert page.post("/api/v1/assignments/a1/release", {"reason": ""}).status_code == 422
    released = page.post("/api/v1/assignments/a1/release", {"reason": "Crew is done"})
    assert released.get_json()["released_ms"] == hub.now_ms
    assert page.post("/api/v1/assignments/a1/release", {"reason": "Crew is done"}).status_code == 200
    assert page.post("/api/v1/incidents/i1/close", {"disposition": "vanished"}).status_code == 400
    closed = page.post("/api/v1/incidents/i1/close", {"disposition": "referred_warm"})
    assert closed.get_json()["state"] == "closed"
    assert [one["id"] for one in page.get("/api/v1/snapshot").get_json()["incidents"]] == ["i3", "i2"]
    assert page.post("/api/v1/incidents/i1/ranking", {}).get_json()["code"] == "closed"
    assert audited(hub).count("assignment_released") == 1


def test_a_released_unit_is_free_for_the_next(hub: World) -> None:
    page = hub.signed_in("nina")
    send(page, "i3", "u2", rank(page, "i3")["ranking"])
    page.post("/api/v1/assignments/s1/release", {"reason": "Needed elsewhere"})
    assert rank(page, "i2")["candidates"][0]["call_sign"] == "CARE-2"  # type: ignore[index]


def test_the_timeline_tells_opened_sent_received_acknowledged_and_notes_in_order(hub: World) -> None:
    page = hub.signed_in("nina")
    whats = [one["what"] for one in page.get("/api/v1/incidents/i1/timeline").get_json()]
    assert whats == ["opened", "sent", "on_terminal", "acknowledged", "note", "note"]


def test_a_supervisor_watches_and_changes_nothing(hub: World) -> None:
    page = hub.signed_in("omar")
    assert page.get("/api/v1/snapshot").status_code == 200
    assert page.post("/api/v1/incidents", as_json("n1")).status_code == 403


def test_a_note_is_listed_by_its_envelope_and_its_bytes_are_nowhere(hub: World) -> None:
    page = hub.signed_in("nina")
    notes = page.get("/api/v1/notes").get_json()
    assert [note["author"] for note in notes] == ["Jasmine", "Acacia"]
    assert set(notes[0]) == {
        "id",
        "incident",
        "number",
        "call_sign",
        "author",
        "kind",
        "disposition",
        "size_bytes",
        "held_ms",
    }
    assert "sealed bytes" not in page.get("/api/v1/snapshot").text
