"""The published description of the API: made from the routes and types, in step with them, valid by its standard, and true."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import OpenAPIV31SpecValidator

from hub.web import openapi
from hub.web.access import API, ROLES, SYSTEMS
from hub.web.write_openapi import routes_only
from tests import described_api
from tests.described_api import DIALECT, Call, Described, Json
from tests.screens.console_world import ORIGIN, World, world
from tests.screens.test_console_tokens import program
from wire.incident import DISPOSITIONS, LANGUAGES, SKILLS, TYPES
from wire.packet import BEHAVIORS, PACKET

ROOT = Path(__file__).parent.parent.parent
WHOLE: Json = json.loads((ROOT / "docs" / "openapi.json").read_text())
LUCKY = (  # words that this hub knows, so that calls come farther than its first question
    *(
        "i1",
        "i2",
        "i3",
        "x1",
        "x2",
        "u1",
        "u3",
        "u5",
        "a1",
        "desk",
        "related",
        "police",
        "caller",
        "yes",
        "no",
        "unknown",
    ),
    *(
        "open",
        "safety",
        "care",
        "cji",
        "address",
        "person",
        "urgent",
        "normal",
        "2026-01-02",
        "adult",
        "officer 12",
        "",
    ),
    *(*list(TYPES)[:3], *list(DISPOSITIONS)[:4], *list(SKILLS)[:2], *list(LANGUAGES)[:2], *list(PACKET)[:5]),
    *list(BEHAVIORS)[:2],
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("described")) as made:
        yield made


def api_routes(app: Flask) -> set[str]:
    return {rule.endpoint for rule in app.url_map.iter_rules() if rule.rule.startswith(API)}


def test_the_description_that_is_kept_is_the_one_that_the_routes_make() -> None:
    kept = (ROOT / "docs" / "openapi.json").read_text()
    made = openapi.text(routes_only().url_map.iter_rules())
    assert kept == made, "the API has changed: run `make openapi` and read what it says"


def test_every_route_for_programs_is_described_and_nothing_else_is() -> None:
    routes = api_routes(routes_only())
    missing = sorted(routes - set(openapi.OPERATIONS))
    assert not missing, f"say in OPERATIONS of hub/web/openapi.py what these do: {missing}"
    gone = sorted(set(openapi.OPERATIONS) - routes)
    assert not gone, f"these routes are gone; take them out of OPERATIONS: {gone}"


def test_who_may_ask_is_said_as_the_door_asks() -> None:
    said = {
        one.operation["operationId"]: (one.operation["x-token-roles"], one.operation["x-account-roles"])
        for one in described_api.every(WHOLE)
    }
    for endpoint in openapi.OPERATIONS:
        tokens, accounts = said[endpoint.replace(".", "_")]
        assert (set(tokens), set(accounts)) == (SYSTEMS.get(endpoint, frozenset()), ROLES[endpoint]), endpoint


def test_the_table_of_tokens_names_only_routes_for_programs() -> None:
    assert set(SYSTEMS) <= api_routes(routes_only())


def test_the_description_is_valid_by_the_standard() -> None:
    OpenAPIV31SpecValidator(WHOLE).validate()


def test_every_schema_in_it_is_one() -> None:
    assert len(WHOLE["components"]["schemas"]) > 40
    for name, schema in WHOLE["components"]["schemas"].items():
        assert name.isalnum(), "programs make names of their own from these"
        DIALECT.check_schema(schema)


def test_the_hub_serves_the_description_that_is_kept(hub: World) -> None:
    answer = program(hub, "positions_reader").get("/api/v1/openapi.json")
    assert answer.get_json() == WHOLE


@pytest.mark.parametrize("described", list(described_api.every(WHOLE)), ids=str)
def test_whatever_is_sent_only_what_is_described_comes_back(shared: World, described: Described) -> None:
    asker = Asker(shared, described)

    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.generate,))
    @given(described.calls(LUCKY))
    def answers_as_described(call: Call) -> None:
        described.judge(*asker.ask(call))

    answers_as_described()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v1/incidents/i1/nothing", 404),
        ("DELETE", "/api/v1/incidents/i1", 405),
        ("GET", "/api/v1/incidents/i1/close", 405),
        ("POST", "/api/v1/incidents", 400),
    ],
)
def test_what_no_view_answers_has_the_shape_of_every_error(hub: World, method: str, path: str, status: int) -> None:
    asker = program(hub, "dispatch_system")
    answer = hub.app.test_client().open(path, method=method, base_url=ORIGIN, headers=asker.headers)
    assert answer.status_code == status
    described_api.require_sentence(answer.get_json())


def test_a_fault_of_ours_has_the_shape_of_every_error_and_tells_nothing(hub: World) -> None:
    asker = program(hub, "dispatch_system")
    hub.app.testing = False

    def broken() -> object:
        raise RuntimeError("canary")

    hub.app.view_functions["live.snapshot"] = broken
    answer = asker.get("/api/v1/snapshot")
    assert answer.status_code == 500
    assert "canary" not in answer.text
    described_api.require_sentence(answer.get_json())


def test_every_event_of_the_stream_has_the_described_shape(hub: World) -> None:
    asker = program(hub, "dispatch_system")
    shapes = WHOLE["paths"]["/api/v1/events"]["get"]["responses"]["200"]["content"]["text/event-stream"]["x-events"]
    answer = asker.get("/api/v1/events")
    stream = iter(answer.response)
    seen = {}
    for part in (next(stream),):
        seen.update(events(part))
    hub.board.moved(hub.positions.all()[0])
    asker.post("/api/v1/incidents/i2/close", {"id": "c1", "disposition": "canceled"})
    while not {"snapshot", "positions", "incidents"} <= set(seen):
        seen.update(events(next(stream)))
    answer.close()
    for name, data in seen.items():
        described_api.require(WHOLE, shapes[name], data)
    assert set(shapes) == {
        *("snapshot", "positions", "emergencies", "units", "incidents", "notes", "health", "closures", "here"),
    }


def events(part: object) -> dict[str, Json]:
    assert isinstance(part, bytes)
    found = {}
    for one in part.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in one.splitlines() if not line.startswith(":"))
        if "event" in lines:
            found[lines["event"]] = json.loads(lines["data"])
    return found


class Asker:
    """Whoever may ask this: a program where one may, else a person."""

    def __init__(self, hub: World, described: Described) -> None:
        self._hub = hub
        self._client = hub.app.test_client()
        name = described.operation["operationId"].replace("_", "-").lower()
        roles = described.operation["x-token-roles"]
        self.headers: dict[str, str] = {}
        if roles:
            role = "dispatch_system" if "dispatch_system" in roles else roles[0]
            self.headers = program(hub, role, name[:32]).headers
        else:
            page = hub.signed_in("omar")
            self._client = page.client
            self.headers = {"Origin": ORIGIN, "X-CSRF-Token": page.csrf}

    def ask(self, call: Call) -> tuple[int, str, bytes]:
        self._hub.now_ms += 60  # a program that asks a thousand times a minute, as it may
        answer = self._client.open(
            call.path,
            method=call.method,
            query_string=dict(call.query),
            data=call.body,
            base_url=ORIGIN,
            headers=self.headers,
        )
        try:
            body = next(iter(answer.response)) if answer.mimetype == "text/event-stream" else answer.get_data()
            assert isinstance(body, bytes)
            return answer.status_code, answer.mimetype, body
        finally:
            answer.close()
