"""Programs with a token: what each role gets, what nobody gets, and how it ends."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from threading import Thread

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from hub import remarks, schema, tokens
from hub.deeds import Deed
from hub.errors import Refused
from hub.remarks import Remarking
from hub.tokens import Adding, Asking, Kept, Listing, Revoking, TokenRole
from hub.web.access import API, ASKED_MAX, SYSTEMS, WRONG_MAX
from hub.web.listening import STREAMS_MAX
from tests.screens.console_world import ORIGIN, World
from wire.packet import PACKET, Label

DAY_MS = 24 * 3600_000


class Program:
    """A program with a token and nothing else: no cookie, no origin, no CSRF token."""

    def __init__(self, hub: World, shown: str, address: str = "10.0.0.7") -> None:
        self._client = hub.app.test_client()
        self._from = {"REMOTE_ADDR": address}
        self.headers = {"Authorization": f"Bearer {shown}"}

    def get(self, path: str) -> TestResponse:
        return self._client.get(path, base_url=ORIGIN, headers=self.headers, environ_overrides=self._from)

    def post(self, path: str, body: object) -> TestResponse:
        return self._client.post(path, json=body, base_url=ORIGIN, headers=self.headers, environ_overrides=self._from)


def keep(hub: World, asking: Asking) -> Kept:
    with hub.engine.begin() as connection:
        return tokens.do(connection, asking, "root", hub.now_ms)


def program(hub: World, role: str, name: str = "cad", **more: object) -> Program:
    shown = keep(hub, Adding(name=name, role=role, **more)).shown  # type: ignore[arg-type]
    assert shown is not None
    return Program(hub, shown)


def audited(hub: World, what: str) -> list[tuple[str | None, str | None, str]]:
    with hub.engine.begin() as connection:
        rows = connection.execute(select(schema.audit).where(schema.audit.c.what == what)).all()
    return [(row.actor, row.about, row.outcome) for row in rows]


def test_a_token_is_256_random_bits_of_which_the_hub_keeps_only_the_hash(hub: World) -> None:
    shown = keep(hub, Adding(name="cad", role="dispatch_system")).shown
    assert shown is not None and shown.startswith("tandem_") and len(shown) == len("tandem_") + 43
    assert shown != keep(hub, Adding(name="cad-2", role="dispatch_system")).shown
    with hub.engine.begin() as connection:
        row = connection.execute(select(schema.api_token).where(schema.api_token.c.name == "cad")).one()
        everything = [str(cell) for one in connection.execute(select(schema.audit)) for cell in one]
    assert row.secret == sha256(shown.encode()).digest()
    assert not any(shown in cell for cell in everything)
    assert shown not in str(keep(hub, Listing()))


@pytest.mark.parametrize("role", list(TokenRole))
def test_each_token_may_ask_exactly_what_its_role_says(hub: World, role: TokenRole) -> None:
    asker = program(hub, role)
    for rule in hub.app.url_map.iter_rules():
        if not rule.rule.startswith(API):
            continue
        path = rule.rule.replace("<", "").replace(">", "")
        answer = asker.post(path, {}) if "POST" in (rule.methods or ()) else asker.get(path)
        may = role in SYSTEMS.get(rule.endpoint, frozenset())
        assert (answer.status_code == 403) == (not may), (rule.endpoint, answer.status_code)
        assert answer.status_code != 500, rule.endpoint
        answer.close()


def test_a_token_opens_no_page_and_no_map(hub: World) -> None:
    asker = program(hub, TokenRole.DISPATCH)
    assert asker.get("/").headers["Location"] == "/signin"
    assert asker.get("/map/info.json").status_code == 401
    assert asker.post("/signout", {}).status_code == 403


def test_nobody_is_let_in_by_a_wrong_token_even_with_a_cookie_beside_it(hub: World) -> None:
    page = hub.signed_in("nina")
    answer = page.client.get("/api/v1/me", base_url=ORIGIN, headers={"Authorization": "Bearer tandem_guessed"})
    assert answer.status_code == 401
    assert answer.get_json()["code"] == "wrong_token"
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert audited(hub, "token") == [(None, None, "denied")], "and it is in the audit, without what was shown"


def test_the_eleventh_wrong_token_of_an_address_waits_and_a_right_one_does_not(hub: World) -> None:
    asker = program(hub, TokenRole.BOARD)
    guesser = Program(hub, "tandem_guessed")
    assert [guesser.get("/api/v1/me").status_code for _ in range(WRONG_MAX + 1)] == [401] * WRONG_MAX + [429]
    refused = guesser.get("/api/v1/me")
    assert int(refused.headers["Retry-After"]) == 60
    assert len(audited(hub, "token")) == WRONG_MAX, "a flood does not fill the audit"
    assert asker.get("/api/v1/me").status_code == 200
    assert Program(hub, "tandem_guessed", "10.0.0.8").get("/api/v1/me").status_code == 401
    hub.now_ms += 60_000
    assert guesser.get("/api/v1/me").status_code == 401


def test_a_token_that_asks_too_often_is_told_how_long_to_wait(hub: World) -> None:
    asker, other = program(hub, TokenRole.BOARD), program(hub, TokenRole.BOARD, "other")
    assert {asker.get("/api/v1/me").status_code for _ in range(ASKED_MAX)} == {200}
    hub.now_ms += 20_000
    refused = asker.get("/api/v1/me")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "40")
    assert other.get("/api/v1/me").status_code == 200
    hub.now_ms += 40_000
    assert asker.get("/api/v1/me").status_code == 200


def test_a_token_in_an_address_is_refused_whatever_it_is(hub: World) -> None:
    asker = program(hub, TokenRole.BOARD)
    shown = asker.headers["Authorization"].removeprefix("Bearer ")
    for client in (asker.get, hub.signed_in("nina").get):
        answer = client(f"/api/v1/me?token={shown}")
        assert answer.status_code == 400
        assert "revoke that token" in answer.get_json()["message"]


def test_a_token_ends_on_its_day_and_says_when_it_was_used(hub: World) -> None:
    asker = program(hub, TokenRole.BOARD, days=2)
    assert keep(hub, Listing()).tokens[0].used_ms is None
    hub.now_ms += DAY_MS
    assert asker.get("/api/v1/me").status_code == 200
    assert keep(hub, Listing()).tokens[0].used_ms == hub.now_ms
    hub.now_ms += DAY_MS - 1
    assert asker.get("/api/v1/me").status_code == 200
    hub.now_ms += 1
    assert asker.get("/api/v1/me").status_code == 401


def test_the_list_says_to_people_who_there_is_and_what_became_of_it(hub: World) -> None:
    keep(hub, Adding(name="cad", role="dispatch_system", days=10, has_cji=True))
    keep(hub, Adding(name="old", role="statistics", days=1))
    keep(hub, Adding(name="lost", role="positions_reader"))
    keep(hub, Revoking(name="lost"))
    hub.now_ms += DAY_MS
    head, cad, lost, old = tokens.lines(keep(hub, Listing()).tokens, hub.now_ms)
    assert head.split() == ["name", "role", "state", "last", "used"]
    assert "dispatch_system +cji" in cad and " until 20" in cad and cad.endswith("never")
    assert " revoked 20" in lost
    assert " expired 20" in old


def test_a_revoked_token_opens_nothing_and_its_name_is_never_used_again(hub: World) -> None:
    asker = program(hub, TokenRole.BOARD)
    assert keep(hub, Revoking(name="cad")).is_new
    assert asker.get("/api/v1/me").status_code == 401
    assert not keep(hub, Revoking(name="cad")).is_new
    with pytest.raises(Refused, match="never used"):
        keep(hub, Adding(name="cad", role="board_reader"))
    assert audited(hub, "token_added") == [("root", "token:cad", "ok")]
    assert audited(hub, "token_revoked") == [("root", "token:cad", "ok")]


@pytest.mark.parametrize(
    "adding",
    [
        Adding(name="Cad North", role="board_reader"),
        Adding(name="cad", role="dispatcher"),
        Adding(name="cad", role="board_reader", days=0),
        Adding(name="cad", role="board_reader", days=731),
        Adding(name="cad", role="board_reader", has_cji=True),
    ],
)
def test_a_token_that_cannot_be_is_refused_with_a_sentence(hub: World, adding: Adding) -> None:
    with pytest.raises(Refused):
        keep(hub, adding)
    assert keep(hub, Listing()).tokens == ()


def test_revoking_ends_the_open_streams_of_that_token_and_no_others(hub: World) -> None:
    asker, other = program(hub, TokenRole.BOARD), program(hub, TokenRole.DISPATCH, "other")
    ours, theirs = asker.get("/api/v1/events"), other.get("/api/v1/events")
    heard: list[bytes] = []
    stream = iter(ours.response)
    heard.append(next(stream))  # type: ignore[arg-type]
    listening = Thread(target=lambda: heard.extend(stream), daemon=True)  # type: ignore[arg-type]
    listening.start()
    keep(hub, Revoking(name="cad"))
    assert hub.listening.cut("cad") == 1
    listening.join(5)
    assert not listening.is_alive(), "it would have waited for the next event otherwise"
    assert hub.board.viewers() == 2
    ours.close()
    assert hub.board.viewers() == 1
    theirs.close()


def test_a_stream_begun_in_the_moment_of_revoking_ends_as_well(hub: World) -> None:
    """Revoked between the door and the stream: the cut came too early to see it."""
    asker = program(hub, TokenRole.BOARD)
    revoke_at_join(hub, "cad")
    stream: Iterator[bytes] = iter(asker.get("/api/v1/events").response)  # type: ignore[assignment]
    assert next(stream).startswith(b"retry:")
    assert next(stream, None) is None


def test_a_token_holds_so_many_streams_and_a_closed_one_makes_room(hub: World) -> None:
    asker = program(hub, TokenRole.BOARD)
    streams = [asker.get("/api/v1/events") for _ in range(STREAMS_MAX)]
    assert {one.status_code for one in streams} == {200}
    refused = asker.get("/api/v1/events")
    assert refused.status_code == 429
    assert hub.board.viewers() == STREAMS_MAX, "the refused one is not among them"
    streams.pop().close()
    streams.append(asker.get("/api/v1/events"))
    assert streams[-1].status_code == 200
    for one in streams:
        one.close()


def test_what_a_dispatch_system_does_stands_in_the_audit_under_its_name(hub: World) -> None:
    asker = program(hub, TokenRole.DISPATCH)
    asked = {
        "id": "n1",
        "type": "WELFARE",
        "priority": 3,
        "lat": 42.45,
        "lon": -101.35,
        "place": "2 Elm",
        "problem": "",
    }
    assert asker.post("/api/v1/incidents", asked).status_code == 201
    number = asker.post("/api/v1/incidents/n1/ranking", {}).get_json()
    first = number["candidates"][0]["unit"]
    sent = {"id": "s1", "unit": first, "ranking": number["ranking"]}
    assert asker.post("/api/v1/incidents/n1/assignments", sent).status_code == 201
    assert asker.post("/api/v1/assignments/s1/release", {"reason": "mistake"}).status_code == 200
    assert asker.post("/api/v1/incidents/n1/close", {"id": "c1", "disposition": "canceled"}).status_code == 200
    with hub.engine.begin() as connection:
        rows = connection.execute(select(schema.audit).where(schema.audit.c.actor == "token:cad")).all()
    assert [row.what for row in rows] == [
        "incident_opened",
        "assignment_made",
        "assignment_released",
        "incident_closed",
    ]
    told = asker.get("/api/v1/incidents/n1/timeline").get_json()
    assert told[0]["by"] == "token:cad"


def test_the_same_incident_twice_is_the_same_answer_and_another_one_is_refused(hub: World) -> None:
    asker = program(hub, TokenRole.DISPATCH)
    asked = {"id": "n1", "type": "MNTL", "priority": 2, "lat": 42.45, "lon": -101.35, "place": "2 Elm", "problem": "x"}
    once, twice = asker.post("/api/v1/incidents", asked), asker.post("/api/v1/incidents", asked)
    assert (once.status_code, twice.status_code) == (201, 200)
    assert once.get_json() == twice.get_json()
    assert len(hub.changes) == 1, "nobody is told twice"
    other = asker.post("/api/v1/incidents", {**asked, "priority": 1})
    assert other.status_code == 409
    assert other.get_json() == {
        "code": "conflict",
        "message": "This id was used for something else. Send it again under a new one.",
    }
    changed = {"id": "t1", "revision": 1, "priority": 1}
    assert asker.post("/api/v1/incidents/n1/change", changed).status_code == 200
    again = asker.post("/api/v1/incidents", asked)
    assert (again.status_code, again.get_json()["priority"]) == (200, 1), "sent again late: the incident as it is now"


def told_in_all_labels(hub: World, incident: str) -> dict[Label, str]:
    """An incident of which something with each label is known; the words to look for."""
    everything = Deed(by="nina", now_ms=hub.now_ms, may=frozenset(Label))
    by_label = {label: f"canary-{label}" for label in Label}
    with hub.engine.begin() as connection:
        for label, text in by_label.items():
            remarks.remark(connection, incident, Remarking(id=f"r-{label}", text=text, label=label), everything)
    return by_label


def test_all_incidents_are_read_page_by_page_open_and_over(hub: World) -> None:
    asker = program(hub, TokenRole.STATISTICS)
    closed = hub.signed_in("nina").post("/api/v1/incidents/i2/close", {"id": "c1", "disposition": "canceled"})
    assert closed.status_code == 200
    seen, after = [], 0
    for _ in range(4):
        page = asker.get(f"/api/v1/incidents?after={after}&limit=1").get_json()
        seen += [(one["id"], one["state"]) for one in page["incidents"]]
        if page["next"] is None:
            break
        after = page["next"]
    assert seen == [("i1", "open"), ("i2", "canceled"), ("i3", "open")]
    assert asker.get("/api/v1/incidents?after=3").get_json() == {"incidents": [], "next": None}
    assert "Afraid of uniforms" not in asker.get("/api/v1/incidents").text, "a caution is not for figures"


@pytest.mark.parametrize("query", ["after=-1", "after=x", f"after={2**63}", "limit=0", "limit=201", "limit="])
def test_a_page_that_cannot_be_is_refused_with_a_sentence(hub: World, query: str) -> None:
    answer = program(hub, TokenRole.STATISTICS).get(f"/api/v1/incidents?{query}")
    assert (answer.status_code, answer.get_json()["code"]) == (400, "malformed")


@pytest.mark.parametrize("role", list(TokenRole))
@pytest.mark.parametrize("has_cji", [False, True])
def test_no_answer_holds_a_word_with_a_label_that_the_role_may_not_see(
    hub: World, role: TokenRole, has_cji: bool
) -> None:
    if has_cji and role != TokenRole.DISPATCH:
        return
    canaries = told_in_all_labels(hub, "i1")
    asker = program(hub, role, has_cji=has_cji)
    hub.board.changed()
    seen = ""
    for path in (
        "/api/v1/incidents/i1",
        "/api/v1/incidents/i1/dossier",
        "/api/v1/incidents/i1/timeline",
        "/api/v1/snapshot",
        "/api/v1/units.geojson",
    ):
        seen += asker.get(path).text
    may = {
        TokenRole.POSITIONS: set(),
        TokenRole.BOARD: {Label.OPEN, Label.SAFETY},
        TokenRole.DISPATCH: {Label.OPEN, Label.SAFETY} | ({Label.CJI} if has_cji else set()),
        TokenRole.CLINICAL: {Label.OPEN, Label.SAFETY, Label.CARE},
        TokenRole.STATISTICS: {Label.OPEN},
    }[role]
    assert {label for label, words in canaries.items() if words in seen} == may
    if role == TokenRole.STATISTICS:
        assert "Afraid of uniforms" not in seen


def test_a_clinical_system_answers_questions_and_changes_nothing_else(hub: World) -> None:
    asker = program(hub, TokenRole.CLINICAL)
    code, question = next((code, one) for code, one in PACKET.items() if one.label == Label.CARE)
    answer = {"question": code, "answer": question.answers[0], "source": "records", "words": ""}
    told = asker.post("/api/v1/incidents/i1/change", {"id": "t1", "revision": 1, "packet": [answer]})
    assert told.status_code == 200, told.text
    refused = asker.post("/api/v1/incidents/i1/change", {"id": "t2", "revision": 2, "priority": 4})
    assert refused.status_code == 403


def revoke_at_join(hub: World, name: str) -> None:
    """The board lets somebody in, and just then the token is revoked."""
    join = hub.board.join

    def joined():  # type: ignore[no-untyped-def]
        viewer = join()
        keep(hub, Revoking(name=name))
        hub.listening.cut(name)
        return viewer

    hub.board.join = joined  # type: ignore[method-assign]
