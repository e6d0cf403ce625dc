"""The life of an incident between opened and closed, as the page's script asks for it."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from hub import schema
from tests.screens.console_world import ACCOUNTS, NOW_MS, Page, World
from tests.screens.test_console_dispatch import as_json

KNIFE = {"question": "weapons", "answer": "yes", "words": "kitchen knife", "source": "caller"}
CANARY = "canary of the clinic"
USES = {"question": "substance_use", "answer": "yes", "words": CANARY, "source": "mother"}
NEED = {"licenses": ["may_hold"], "age_group": "youth", "crew_size": 2, "clinician": "dana", "agency": "lakeshore"}

ACTS: dict[str, dict[str, object]] = {
    "change": {"id": "x1", "revision": 1, "priority": 1},
    "secure": {"id": "x1", "revision": 1, "authority": "police", "name": "Sgt. Fir"},
    "stage": {"id": "x1", "reason": "Neighbor saw a knife"},
    "cautions": {"id": "x1", "behavior": "dog", "source": "mail carrier"},
    "cautions/end": {"id": "x1", "caution": "c0"},
    "remarks": {"id": "x1", "text": "Gate code is at the desk"},
    "merge": {"id": "x1", "into": "i3"},
    "link": {"id": "x1", "other": "i3"},
    "unlink": {"id": "x1", "other": "i3"},
    "close": {"disposition": "consult_only"},
    "recommend": {"id": "x1", "disposition": "consult_only"},
    "reopen": {"id": "x1", "reason": "Called again"},
}


def act(page: Page, what: str, body: dict[str, object], incident: str = "i2") -> tuple[int, dict]:
    answer = page.post(f"/api/v1/incidents/{incident}/{what}", body)
    return answer.status_code, answer.get_json()


def done(page: Page, what: str, body: dict[str, object], incident: str = "i2") -> dict:
    status, said = act(page, what, body, incident)
    assert status in (200, 201), said
    return said


def story(page: Page, incident: str = "i2") -> list[tuple[str, str | None]]:
    lines = page.get(f"/api/v1/incidents/{incident}/timeline").get_json()
    return [(line["what"], line["detail"]) for line in lines]


# --- what is said of it


def test_a_change_is_on_the_board_at_once_and_on_the_timeline(hub: World) -> None:
    page = hub.signed_in("nina")
    now = done(page, "change", {"id": "x1", "revision": 1, "priority": 1, "need": NEED, "packet": [KNIFE]})
    assert (now["priority"], now["gate"], now["revision"]) == (1, "staged", 2)
    assert now["packet"][0]["words"] == "kitchen knife"
    assert hub.changes == ["changed"]
    assert ("changed", "Priority: 3 → 1") in story(page)
    assert ("told", "Weapons: yes: kitchen knife (caller)") in story(page)


def test_a_change_sent_twice_is_made_once_and_told_once(hub: World) -> None:
    page = hub.signed_in("nina")
    body = {"id": "x1", "revision": 1, "priority": 1}
    assert [act(page, "change", body)[0] for _ in range(2)] == [200, 200]
    assert hub.changes == ["changed"]
    status, refused = act(page, "change", body | {"priority": 2})
    assert (status, refused["code"]) == (409, "conflict")


def test_the_second_of_two_who_change_one_field_hears_who_was_first(hub: World) -> None:
    done(hub.signed_in("nina"), "change", {"id": "x1", "revision": 1, "priority": 1})
    status, refused = act(hub.signed_in("nina"), "change", {"id": "x2", "revision": 1, "priority": 2})
    assert (status, refused["code"]) == (409, "changed")
    assert refused["message"] == "Nina changed the priority of #2 meanwhile. Look at it, then change it again."


def test_the_dossier_has_the_whole_need_and_the_revision_that_a_change_says_again(hub: World) -> None:
    page = hub.signed_in("nina")
    done(page, "change", {"id": "x1", "revision": 1, "need": NEED})
    found = page.get("/api/v1/incidents/i2/dossier").get_json()
    empty = {"skills": [], "languages": [], "wishes": []}
    assert (found["need"], found["revision"]) == (empty | NEED, 2)
    assert done(page, "change", {"id": "x2", "revision": found["revision"], "need": {}})["revision"] == 3


def test_a_need_that_this_hub_does_not_know_is_refused_with_a_sentence(hub: World) -> None:
    page = hub.signed_in("nina")
    for unknown in ({"licenses": ["pilot"]}, {"age_group": "ancient"}, {"crew_size": 10}, {"clinician": ""}):
        status, refused = act(page, "change", {"id": "x1", "revision": 1, "need": unknown})
        assert (status, refused["code"]) == (400, "malformed"), unknown
        assert page.post("/api/v1/incidents", as_json("n1") | {"need": unknown}).status_code == 400
    assert hub.changes == []


def test_a_scene_is_secure_on_a_named_word_and_anybody_takes_that_back(hub: World) -> None:
    page = hub.signed_in("nina")
    assert done(page, "stage", {"id": "x1", "reason": "Neighbor saw a knife"})["gate"] == "staged"
    status, refused = act(page, "secure", {"id": "x2", "revision": 2, "authority": "police", "name": " "})
    assert (status, refused["code"]) == (422, "reason_needed")
    secure = done(hub.signed_in("omar"), "secure", ACTS["secure"] | {"id": "x3", "revision": 2})
    assert secure["gate"] == "secure"
    assert "Sgt. Fir" in secure["gate_by"]
    assert done(hub.signed_in("ruth"), "stage", {"id": "x4", "reason": "He is back"})["gate"] == "staged"


# --- what is remembered of it


def test_a_caution_meets_the_next_call_to_that_address_until_it_is_taken_back(hub: World) -> None:
    page = hub.signed_in("nina")
    assert act(page, "cautions", ACTS["cautions"])[0] == 201
    assert act(page, "cautions", ACTS["cautions"])[0] == 200
    there = page.get("/api/v1/incidents/i2").get_json()
    page.post("/api/v1/incidents", as_json("n1") | {key: there[key] for key in ("lat", "lon", "place")})
    (known,) = page.get("/api/v1/incidents/n1").get_json()["known_cautions"]
    assert (known["text"], known["source"]) == ("Dog", "mail carrier")
    assert done(page, "cautions/end", {"id": "x2", "caution": known["id"]})["known_cautions"] == []
    assert page.get("/api/v1/incidents/n1").get_json()["known_cautions"] == []
    assert act(page, "cautions/end", {"id": "x3", "caution": "nothing"})[1]["code"] == "not_found"


def test_a_remark_is_in_the_dossier_with_its_writers_name_and_in_the_story(hub: World) -> None:
    page = hub.signed_in("nina")
    assert act(page, "remarks", ACTS["remarks"])[0] == 201
    assert act(page, "remarks", ACTS["remarks"] | {"id": "x2", "text": " "})[1]["code"] == "malformed"
    (remark,) = page.get("/api/v1/incidents/i2/dossier").get_json()["remarks"]
    assert (remark["by"], remark["text"]) == ("Nina", "Gate code is at the desk")
    assert ("remark", "Gate code is at the desk") in story(page)


# --- which belong together


def test_the_same_call_is_hinted_at_while_it_is_entered_and_nothing_is_changed(hub: World) -> None:
    page = hub.signed_in("nina")
    there = page.get("/api/v1/incidents/i3").get_json()
    sketch = {"type": "MNTL", "lat": there["lat"], "lon": there["lon"], "place": "Union Blvd"}
    (hint, *_) = page.post("/api/v1/hints", sketch).get_json()
    assert (hint["incident"], hint["number"]) == ("i3", 3)
    assert "opened 2 min ago" in hint["reasons"]
    assert page.post("/api/v1/hints", {"type": "MNTL"}).status_code == 400
    assert hub.changes == []


def test_one_call_told_twice_becomes_one_and_the_other_leaves_the_board(hub: World) -> None:
    page = hub.signed_in("nina")
    ended = done(page, "merge", ACTS["merge"])
    assert (ended["state"], ended["disposition"], ended["merged_into"]) == ("canceled", "duplicate", "i3")
    assert [one["id"] for one in page.get("/api/v1/snapshot").get_json()["incidents"]] == ["i1", "i3"]
    assert ("took_over", "#2") in story(page, "i3")
    assert act(page, "merge", {"id": "x2", "into": "i3"}, "i1")[1]["message"] == (
        "CARE-3 is still on #1. Release it first."
    )


def test_a_link_is_seen_from_both_sides_until_it_is_cut(hub: World) -> None:
    page = hub.signed_in("nina")
    done(page, "link", {"id": "x1", "other": "i3", "kind": "child"})

    def linked(incident: str) -> list[tuple[str, str]]:
        found = page.get(f"/api/v1/incidents/{incident}/dossier").get_json()["links"]
        return [(one["incident"], one["kind"]) for one in found]

    assert (linked("i2"), linked("i3")) == ([("i3", "child")], [("i2", "parent")])
    done(page, "unlink", {"id": "x2", "other": "i3"})
    assert (linked("i2"), linked("i3")) == ([], [])
    assert act(page, "link", {"id": "x3", "other": "i2"})[1]["code"] == "malformed"


# --- how it ends and begins again


def test_settled_by_phone_is_closed_with_what_a_clinician_advised_and_no_unit(hub: World) -> None:
    page = hub.signed_in("nina")
    advised = done(hub.signed_in("ruth"), "recommend", ACTS["recommend"])
    assert advised["recommended"] == "consult_only"
    closed = done(page, "close", {"disposition": "consult_only", "id": "x2"})
    assert (closed["state"], closed["disposition"], closed["recommended"]) == ("closed", "consult_only", "consult_only")
    status, refused = act(page, "close", {"disposition": "consult_only"}, "i1")
    assert (status, refused["code"]) == (409, "busy")


def test_a_reopened_incident_is_on_the_board_again_without_a_disposition(hub: World) -> None:
    page = hub.signed_in("nina")
    assert act(page, "reopen", ACTS["reopen"])[1]["code"] == "busy"
    done(page, "close", ACTS["close"])
    assert act(page, "reopen", ACTS["reopen"] | {"reason": " "})[1]["code"] == "reason_needed"
    again = done(page, "reopen", ACTS["reopen"] | {"id": "x2"})
    assert (again["state"], again["disposition"], again["reopened_ms"]) == ("open", None, NOW_MS)
    assert "i2" in [one["id"] for one in page.get("/api/v1/snapshot").get_json()["incidents"]]
    assert ("reopened", "Called again") in story(page)


# --- who


def test_what_the_clinic_knows_is_read_by_a_clinician_and_by_nobody_at_the_board(hub: World) -> None:
    nina, ruth = hub.signed_in("nina"), hub.signed_in("ruth")
    done(ruth, "change", {"id": "x1", "revision": 1, "packet": [USES]})
    done(ruth, "remarks", {"id": "x2", "text": CANARY, "label": "care"})
    assert CANARY in ruth.get("/api/v1/incidents/i2/dossier").text
    assert CANARY in ruth.get("/api/v1/incidents/i2/timeline").text
    for account in ("nina", "omar"):
        page = hub.signed_in(account)
        for path in ("incidents/i2", "incidents/i2/dossier", "incidents/i2/timeline", "snapshot"):
            seen = page.get(f"/api/v1/{path}")
            assert seen.status_code == 200
            assert CANARY not in seen.text, (account, path)
    assert act(nina, "remarks", {"id": "x3", "text": "a guess", "label": "care"})[1]["code"] == "not_your_role"
    with hub.engine.begin() as connection:
        read = select(schema.audit.c.actor).where(schema.audit.c.what == "incident_read")
        assert list(connection.execute(read).scalars()) == ["ruth"]


def test_a_clinician_answers_the_questions_and_leaves_the_rest_to_dispatch(hub: World) -> None:
    page = hub.signed_in("ruth")
    status, refused = act(page, "change", {"id": "x1", "revision": 1, "priority": 1, "packet": [USES]})
    assert (status, refused["code"]) == (403, "not_your_role")
    assert page.get("/api/v1/incidents/i2").get_json()["priority"] == 3


MAY = {
    "nina": {*ACTS},
    "omar": {"secure", "stage", "remarks"},
    "ruth": {"change", "stage", "cautions", "remarks", "recommend"},
    "kit": set(),
    "hall": set(),
}


@pytest.mark.parametrize("account", ACCOUNTS)
def test_each_role_does_what_it_may_and_is_refused_the_rest(hub: World, account: str) -> None:
    page = hub.signed_in(account)
    refused = {what for what, body in ACTS.items() if act(page, what, body)[0] == 403}
    if account == "ruth":
        refused.discard("change")  # a priority is not hers to change; a question is
    assert refused == {*ACTS} - MAY[account]
    hints = page.post("/api/v1/hints", {"type": "MNTL", "lat": 1.0, "lon": 2.0}).status_code
    assert hints == (200 if account == "nina" else 403)
    reads = {page.get(f"/api/v1/incidents/i2{path}").status_code for path in ("", "/dossier", "/timeline")}
    assert reads == ({403} if account in ("kit", "hall") else {200})


def test_nobody_acts_without_signing_in_or_on_what_is_not_there(hub: World) -> None:
    page = hub.signed_in("nina")
    for what, body in ACTS.items():
        status, refused = act(page, what, body, "nothing")
        assert (status, refused["message"]) == (404, "There is no such incident."), what
        bare = hub.client().post(f"/api/v1/incidents/i2/{what}", json=body, headers={"Origin": "http://localhost"})
        assert bare.status_code == 401, what
        assert act(page, what, {"nothing": 1})[0] == 400, what
    assert hub.changes == []


def test_the_words_offer_a_person_what_this_person_may_answer(hub: World) -> None:
    asked = {
        account: {one["code"] for one in hub.signed_in(account).get("/api/v1/words").get_json()["packet"]}
        for account in ("nina", "ruth")
    }
    assert asked["ruth"] - asked["nina"] == {"substance_use", "plan", "preferences"}
    words = hub.signed_in("nina").get("/api/v1/words").get_json()
    assert words["labels"] == ["open", "safety"]
    assert "police" in words["authorities"]
