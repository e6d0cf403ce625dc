"""Who gets in, for how long, and what a stranger's page cannot do."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import select

from hub import schema
from hub.sessions import IDLE_MS, LIFE_MS
from hub.web.access import OPEN, ROLES
from hub.web.app import ConsoleParts, create_console
from tests.screens.console_world import ORIGIN, PASSWORD, Page, World

ELSEWHERE = "http://evil.example"


def test_a_stranger_is_sent_to_the_sign_in_page_and_asked_by_the_api(hub: World) -> None:
    client = hub.client()
    assert client.get("/", base_url=ORIGIN).headers["Location"] == "/signin"
    answer = client.get("/api/v1/snapshot", base_url=ORIGIN)
    assert answer.status_code == 401
    assert answer.get_json()["code"] == "not_signed_in"


def test_the_right_password_opens_the_board(hub: World) -> None:
    client = hub.client()
    answer = client.post(
        "/signin", data={"account": "nina", "password": PASSWORD}, base_url=ORIGIN, headers={"Origin": ORIGIN}
    )
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert "Board · Lakeshore CARE" in client.get("/", base_url=ORIGIN).text


def test_a_wrong_password_says_so_and_sets_no_cookie(hub: World) -> None:
    answer = hub.client().post("/signin", data={"account": "nina", "password": "wrong"}, base_url=ORIGIN)
    assert answer.status_code == 401
    assert "do not go together" in answer.text
    assert "Set-Cookie" not in answer.headers


def test_the_cookie_is_for_this_host_and_no_script_and_the_hub_keeps_only_its_hash(hub: World) -> None:
    client = hub.client()
    answer = client.post("/signin", data={"account": "nina", "password": PASSWORD}, base_url=ORIGIN)
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    token = cookie.partition("=")[2].partition(";")[0]
    with hub.engine.begin() as connection:
        kept = connection.execute(select(schema.web_session.c.session)).scalars().all()
    assert kept == [sha256(token.encode()).digest()]


def test_over_tls_the_cookie_is_secure_and_bound_to_the_host(hub: World, tmp_path: Path) -> None:
    app = create_console(
        ConsoleParts(
            engine=hub.engine,
            board=hub.board,
            positions=hub.positions,
            agency="Lakeshore CARE",
            maps_dir=tmp_path,
            changed=lambda: None,
            now_ms=lambda: hub.now_ms,
            secure_cookies=True,
            link_of=hub.presence.state,
            hosts=frozenset({"cad.example.gov"}),
        )
    )
    origin = "https://cad.example.gov"
    answer = app.test_client().post(
        "/signin", data={"account": "nina", "password": PASSWORD}, base_url=origin, headers={"Origin": origin}
    )
    assert answer.headers["Set-Cookie"].startswith("__Host-tandem=")
    assert "Secure" in answer.headers["Set-Cookie"]
    assert "Strict-Transport-Security" in answer.headers


def test_a_new_sign_in_ends_the_session_that_was_there(hub: World) -> None:
    page = hub.signed_in("nina")
    before = page.client.get_cookie("tandem-console", "localhost")
    page.client.post("/signin", data={"account": "omar", "password": PASSWORD}, base_url=ORIGIN)
    after = page.client.get_cookie("tandem-console", "localhost")
    assert before is not None
    assert after is not None
    assert before.value != after.value
    page.client.set_cookie("tandem-console", before.value, domain="localhost")
    assert page.get("/api/v1/me").status_code == 401


def test_half_an_hour_without_use_ends_a_session_and_use_prolongs_it(hub: World) -> None:
    page = hub.signed_in("nina")
    for _ in range(3):
        hub.now_ms += IDLE_MS - 1000
        assert page.get("/api/v1/me").status_code == 200
    hub.now_ms += IDLE_MS
    assert page.get("/api/v1/me").status_code == 401


def test_a_stream_that_listens_does_not_count_as_use(hub: World) -> None:
    page = hub.signed_in("nina")
    hub.now_ms += IDLE_MS - 1000
    page.get("/api/v1/events").close()
    hub.now_ms += 2000
    assert page.get("/api/v1/events").status_code == 401


def test_twelve_hours_end_a_session_however_busy(hub: World) -> None:
    page = hub.signed_in("nina")
    for _ in range(LIFE_MS // (20 * 60_000) - 1):
        hub.now_ms += 20 * 60_000
        assert page.get("/api/v1/me").status_code == 200
    hub.now_ms += 20 * 60_000
    assert page.get("/api/v1/me").status_code == 401


def test_signing_out_ends_the_session_at_the_hub(hub: World) -> None:
    page = hub.signed_in("nina")
    kept = page.client.get_cookie("tandem-console", "localhost")
    assert kept is not None
    assert page.post("/signout", {}).status_code == 303
    page.client.set_cookie("tandem-console", kept.value, domain="localhost")
    assert page.get("/api/v1/me").status_code == 401


def test_the_eleventh_try_of_an_address_within_a_minute_waits(hub: World) -> None:
    client = hub.client()

    def attempt() -> int:
        return client.post("/signin", data={"account": "nobody", "password": "x"}, base_url=ORIGIN).status_code

    assert [attempt() for _ in range(11)] == [401] * 10 + [429]
    hub.now_ms += 60_000
    assert attempt() == 401


@pytest.mark.parametrize("origin", [ELSEWHERE, "null", "http://localhost:81", "https://localhost"])
def test_nothing_is_changed_from_another_origin(hub: World, origin: str) -> None:
    page = hub.signed_in("nina")
    for path in ("/api/v1/incidents/i2/ranking", "/signout"):
        answer = page.client.post(path, json={}, base_url=ORIGIN, headers={"Origin": origin, "X-CSRF-Token": page.csrf})
        assert answer.status_code == 403
    assert page.get("/api/v1/me").status_code == 200


def test_nobody_is_signed_in_by_another_page(hub: World) -> None:
    answer = hub.client().post(
        "/signin", data={"account": "nina", "password": PASSWORD}, base_url=ORIGIN, headers={"Origin": ELSEWHERE}
    )
    assert answer.status_code == 403


def test_nothing_is_changed_without_an_origin_or_without_our_token(hub: World) -> None:
    page = hub.signed_in("nina")
    path = "/api/v1/incidents/i2/ranking"
    assert page.client.post(path, json={}, base_url=ORIGIN, headers={"X-CSRF-Token": page.csrf}).status_code == 403
    assert page.client.post(path, json={}, base_url=ORIGIN, headers={"Origin": ORIGIN}).status_code == 403
    assert Page(page.client, "x" * 22).post(path, {}).status_code == 403
    assert page.post(path, {}).status_code == 200


def test_a_foreign_host_name_is_refused_so_that_no_name_can_be_rebound_to_us(hub: World) -> None:
    assert hub.client().get("/signin", base_url="http://evil.example").status_code == 421
    assert hub.client().get("/signin", base_url="http://127.0.0.1:8080").status_code == 200
    assert hub.client().get("/signin", base_url="http://[::1]:8080").status_code == 200


def test_every_answer_carries_the_content_policy(hub: World) -> None:
    page = hub.signed_in("nina")
    for path in ("/signin", "/", "/api/v1/me", "/nothing", "/static/nothing.js", "/map/info.json"):
        headers = page.get(path).headers
        assert "default-src 'none'; script-src 'self'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] in ("no-referrer", "same-origin")
    assert page.get("/api/v1/me").headers["Cache-Control"] == "no-store"
    assert page.get("/").headers["Cache-Control"] == "no-store"


def test_every_view_is_either_open_or_in_the_table_of_roles(hub: World) -> None:
    endpoints = {rule.endpoint for rule in hub.app.url_map.iter_rules()}
    assert endpoints == OPEN | set(ROLES)


@pytest.mark.parametrize("account", ["nina", "omar", "kit", "ruth", "hall"])
def test_each_role_may_ask_exactly_what_the_table_says(hub: World, account: str) -> None:
    page = hub.signed_in(account)
    role = page.get("/api/v1/me").get_json()["role"]
    for rule in hub.app.url_map.iter_rules():
        if rule.endpoint not in ROLES or rule.endpoint == "signin.leave":
            continue
        path = rule.rule.replace("<incident_id>", "no").replace("<assignment_id>", "no").replace("<map_id>", "no")
        answer = page.post(path, {}) if rule.methods and "POST" in rule.methods else page.get(path)
        assert (answer.status_code == 403) == (role not in ROLES[rule.endpoint]), rule.endpoint
        answer.close()


def test_a_fleet_tech_sees_devices_and_links_but_no_place_crew_or_incident(hub: World) -> None:
    text = hub.signed_in("kit").get("/").text
    assert "d-u1" in text
    assert "connected" in text
    for hidden in ("42.4", "-101.3", "Alder", "Union Boulevard", "Suicidal"):
        assert hidden not in text


def test_other_roles_get_a_sentence_about_where_their_work_is(hub: World) -> None:
    assert "your desk terminal" in hub.signed_in("ruth").get("/").text
