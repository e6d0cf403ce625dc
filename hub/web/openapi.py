"""What the hub answers to programs, as an OpenAPI 3.1 document: made from the routes that are registered and the types that
they read and answer. `OPERATIONS` adds what neither says; a route that it does not name keeps the document from being made.

Shapes are those of msgspec (JSON Schema 2020-12, the dialect of OpenAPI 3.1). Server-sent events have no place in 3.1:
their shapes stand beside the stream as `x-events`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Struct
from werkzeug.routing import Rule

from hub.board import EVENTS
from hub.cautions import Cautioning
from hub.cautions import Ending as CautionEnding
from hub.changes import Change, Securing, Staging
from hub.closures import ClosureView, RoadClosing
from hub.coverage import Coverage
from hub.dossier import Dossier
from hub.emergencies import Clearing
from hub.endings import Closing, Recommending, Reopening
from hub.errors import HTTP_STATUS
from hub.incidents import Opening
from hub.links import Linking, Merging, Unlinking
from hub.near import Hint, Sketch
from hub.picks import Rounds
from hub.place_words import QUERY_CHARS_MAX
from hub.places import LIMIT_MAX
from hub.remarks import Remarking
from hub.sending import Ranked, Sending
from hub.snapshot import AssignmentView, EmergencyView, HealthView, IncidentView, NoteView, Snapshot
from hub.timeline import Happening
from hub.trail import MINUTES_MAX, TrailView
from hub.web.access import ROLES, SYSTEMS
from hub.web.answers import Wrong
from hub.web.dispatch import Releasing, RestEnded
from hub.web.geojson import MEDIA_TYPE as GEOJSON
from hub.web.geojson import UnitFeatures
from hub.web.listing import NUMBER_MAX, PAGE_MAX, Incidents
from hub.web.live import Me, Seen
from hub.web.places import Found, Near
from hub.web.showing import ShownList
from hub.web.words import Words

API = "/api/v1/"
JSON = "application/json"
STREAM = "text/event-stream"
NAME_PATTERN = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_SCHEMAS = "#/components/schemas/"
_PARAMETER = re.compile(r"<(?:(\w+):)?(\w+)>")
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_TO_ANYBODY = ("malformed", "not_signed_in", "wrong_token", "not_your_role", "wrong_host", "too_many", "failed")
_TO_WRITERS = ("forged", "too_large")

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


class Query(Struct, frozen=True, kw_only=True):
    """A parameter behind the question mark."""

    name: str
    says: str
    schema: dict[str, Json]
    is_needed: bool = False


class Operation(Struct, frozen=True, kw_only=True):
    """What a route does. `answers`: a type for each status, None where it is no JSON; `codes`: with which it refuses,
    beyond what every route may say."""

    tag: str
    summary: str
    answers: Mapping[int, object]
    body: type[Struct] | None = None
    codes: tuple[str, ...] = ()
    query: tuple[Query, ...] = ()
    media: str = JSON
    says: str = ""
    events: Mapping[str, type[Struct]] | None = None


_LAT: dict[str, Json] = {"type": "number", "minimum": -90, "maximum": 90}
_LON: dict[str, Json] = {"type": "number", "minimum": -180, "maximum": 180}
_ONCE = (
    "The id is yours: mint it once (a UUID will do) and send it again when no answer came. The same id with the same "
    "content is done once and answered the same; with other content it is refused as `conflict`."
)
_INCIDENT = {200: IncidentView}
_OPEN_ONE = ("not_found", "closed", "conflict")

OPERATIONS: dict[str, Operation] = {
    "live.me": Operation(tag="access", summary="Who asks, and with which role", answers={200: Me}),
    "published.openapi": Operation(tag="access", summary="This document", answers={200: dict[str, msgspec.Raw]}),
    "words.every": Operation(tag="access", summary="Every code with its words", answers={200: Words}),
    "geojson.units": Operation(
        tag="units", summary="Where every unit is, as GeoJSON", answers={200: UnitFeatures}, media=GEOJSON,
        says="Never cached, and without ETag: ages go on while nothing arrives. Ask as often as your map moves its "
        "markers, or listen to `/api/v1/events`.",
    ),
    "live.snapshot": Operation(tag="board", summary="The whole board", answers={200: Snapshot}),
    "live.events": Operation(
        tag="board", summary="The board as it changes, as server-sent events", answers={200: None}, media=STREAM,
        events=EVENTS, codes=("unavailable",),
        says="The first event is `snapshot`. After it come sections that replace their part of it (`units`, "
        "`incidents`, `emergencies`, `notes`, `health`, `closures`) and `positions`, which names only the units that moved; `here` "
        "comes after 5 s in which nothing did. Nothing is replayed: whoever was cut off (or fell behind) connects "
        "again after `retry` milliseconds and starts from a new `snapshot`. Silence of 15 s means that the hub or the "
        "way to it is gone: show your positions as old, and connect again. A revoked token ends its streams at once.",
    ),
    "live.notes": Operation(tag="board", summary="The newest sealed notes, by envelope", answers={200: list[NoteView]}),
    "live.health": Operation(tag="board", summary="What was refused, and the alarms", answers={200: HealthView}),
    "live.seen": Operation(
        tag="board", summary="The alarms until then are seen", body=Seen, answers={200: HealthView},
    ),
    "opening.open_incident": Operation(
        tag="incidents", summary="Open an incident", body=Opening, answers={201: IncidentView, 200: IncidentView},
        codes=("conflict",), says=f"{_ONCE} 201: opened now; 200: it was there already.",
    ),
    "opening.hints": Operation(
        tag="incidents", summary="Incidents that may be this one already", body=Sketch, answers={200: list[Hint]},
        says="A POST, because a place belongs into no address.",
    ),
    "listing.every": Operation(
        tag="incidents", summary="All incidents, open and over, page by page", answers={200: Incidents},
        query=(
            Query(
                name="after", says="Those with a higher number.",
                schema={"type": "integer", "minimum": 0, "maximum": NUMBER_MAX},
            ),
            Query(name="limit", says="At most so many.", schema={"type": "integer", "minimum": 1, "maximum": PAGE_MAX}),
        ),
    ),
    "reading.one": Operation(
        tag="incidents", summary="An incident, open or not", answers=_INCIDENT, codes=("not_found",),
    ),
    "reading.whole": Operation(
        tag="incidents", summary="An incident with all that you may see", answers={200: Dossier}, codes=("not_found",),
    ),
    "reading.timeline": Operation(
        tag="incidents", summary="What happened, in order", answers={200: list[Happening]},
        says="Empty when there is no such incident.",
    ),
    "changing.change": Operation(
        tag="incidents", summary="Change what is said of it", body=Change, answers=_INCIDENT,
        codes=(*_OPEN_ONE, "changed"),
        says="`revision`: which one you were looking at. Whoever changes what somebody else changed since is refused "
        "as `changed`, and looks again.",
    ),
    "changing.secure": Operation(
        tag="incidents", summary="Somebody named calls the scene secure", body=Securing, answers=_INCIDENT,
        codes=(*_OPEN_ONE, "changed", "busy", "reason_needed"),
    ),
    "changing.stage": Operation(
        tag="incidents", summary="Units wait away from the scene", body=Staging, answers=_INCIDENT,
        codes=(*_OPEN_ONE, "busy", "reason_needed"),
    ),
    "remembering.add_caution": Operation(
        tag="incidents", summary="Add a caution: a behavior, its source, its end", body=Cautioning,
        answers={201: IncidentView, 200: IncidentView}, codes=_OPEN_ONE,
    ),
    "remembering.end_caution": Operation(
        tag="incidents", summary="End a caution", body=CautionEnding, answers=_INCIDENT, codes=_OPEN_ONE,
    ),
    "remembering.remark": Operation(
        tag="incidents", summary="Add a remark", body=Remarking, answers={201: IncidentView, 200: IncidentView},
        codes=_OPEN_ONE,
    ),
    "linking.merge": Operation(
        tag="incidents", summary="Another one goes on for it", body=Merging, answers=_INCIDENT,
        codes=(*_OPEN_ONE, "busy"),
    ),
    "linking.link": Operation(
        tag="incidents", summary="Two belong together", body=Linking, answers=_INCIDENT, codes=_OPEN_ONE,
    ),
    "linking.unlink": Operation(
        tag="incidents", summary="They do not", body=Unlinking, answers=_INCIDENT, codes=_OPEN_ONE,
    ),
    "ending.close": Operation(
        tag="incidents", summary="Close it", body=Closing, answers=_INCIDENT, codes=(*_OPEN_ONE, "busy"),
        says="`consult_only`: settled by phone, no unit sent.",
    ),
    "ending.recommend": Operation(
        tag="incidents", summary="How it should end", body=Recommending, answers=_INCIDENT, codes=_OPEN_ONE,
    ),
    "ending.reopen": Operation(
        tag="incidents", summary="Open it again", body=Reopening, answers=_INCIDENT,
        codes=(*_OPEN_ONE, "busy", "reason_needed"),
    ),
    "showing.rankings_of": Operation(
        tag="dispatch", summary="From which lists somebody was sent to it", answers={200: list[ShownList]},
        codes=("not_found",), says="The newest first, each worked out again, to say whether it still comes out the same.",
    ),
    "closing.every": Operation(tag="roads", summary="The closed roads", answers={200: list[ClosureView]}),
    "closing.close": Operation(
        tag="roads", summary="Close a road", body=RoadClosing, answers={201: ClosureView, 200: ClosureView},
        codes=("conflict", "reason_needed", "too_many", "too_large"), says=_ONCE,
    ),
    "closing.end": Operation(
        tag="roads", summary="Open it again", answers={200: ClosureView}, codes=("not_found",),
    ),
    "layers.coverage": Operation(
        tag="roads", summary="How far the free units come", answers={200: Coverage}, codes=("unavailable",),
    ),
    "layers.trail": Operation(
        tag="units", summary="Where a unit was", answers={200: TrailView}, codes=("not_found",),
        query=(
            Query(
                name="minutes", says="So far back; 30 when not said.",
                schema={"type": "integer", "minimum": 1, "maximum": MINUTES_MAX},
            ),
        ),
        says="Who looked is in the audit.",
    ),
    "dispatch.rank": Operation(
        tag="dispatch", summary="Every unit ranked for it, with reasons", answers={200: Ranked}, codes=_OPEN_ONE,
        says="What is answered is kept; an assignment names it by its number.",
    ),
    "dispatch.rounds": Operation(
        tag="dispatch", summary="All waiting incidents solved together", answers={200: Rounds},
    ),
    "dispatch.assign": Operation(
        tag="dispatch", summary="Send a unit", body=Sending, answers={201: AssignmentView, 200: AssignmentView},
        codes=(*_OPEN_ONE, "busy", "reason_needed"),
        says=f"{_ONCE} Another unit than the first of the ranking needs a reason.",
    ),
    "dispatch.release": Operation(
        tag="dispatch", summary="Take a unit off", body=Releasing, answers={200: AssignmentView},
        codes=("not_found", "busy", "reason_needed"),
    ),
    "dispatch.end_rest": Operation(
        tag="dispatch", summary="A crew may be sent before it has rested", body=Releasing, answers={200: RestEnded},
        codes=("not_found", "reason_needed"),
    ),
    "emergencies.acknowledge": Operation(
        tag="emergencies", summary="A person has it", answers={200: list[EmergencyView]},
        codes=("not_found", "closed", "busy"), says="Answers with those that are not cleared.",
    ),
    "emergencies.clear": Operation(
        tag="emergencies", summary="It is over, after voice contact", body=Clearing,
        answers={200: list[EmergencyView]}, codes=("not_found", "closed", "busy", "reason_needed"),
        says="Answers with those that are not cleared.",
    ),
    "places.search": Operation(
        tag="places", summary="Addresses, streets, crossings and named places", answers={200: Found},
        query=(
            Query(name="q", says="What somebody typed.", schema={"type": "string", "maxLength": QUERY_CHARS_MAX}),
            Query(name="lat", says="Nearer ones first; with `lon`.", schema=_LAT),
            Query(name="lon", says="Nearer ones first; with `lat`.", schema=_LON),
            Query(name="limit", says="At most so many.", schema={"type": "integer", "minimum": 1, "maximum": LIMIT_MAX}),
        ),
        says="From the imported map, without the internet. What is asked is kept nowhere.",
    ),
    "places.near": Operation(
        tag="places", summary="The words for a point", answers={200: Near},
        query=(
            Query(name="lat", says="Degrees.", schema=_LAT, is_needed=True),
            Query(name="lon", says="Degrees.", schema=_LON, is_needed=True),
        ),
    ),
}  # fmt: skip


def document(rules: Iterable[Rule]) -> dict[str, Json]:
    """The description of the routes in `rules` that are for programs; KeyError for one that no operation describes."""
    here = sorted((rule for rule in rules if rule.rule.startswith(API)), key=lambda rule: rule.rule)
    kinds = list(dict.fromkeys(repr(kind) for kind in _kinds(here)))
    by_name = {repr(kind): kind for kind in _kinds(here)}
    shapes, components = msgspec.json.schema_components(
        [by_name[name] for name in kinds], ref_template=_SCHEMAS + "{name}"
    )
    shape = dict(zip(kinds, shapes, strict=True))
    paths: dict[str, Json] = {}
    for rule in here:
        path = paths.setdefault(_PARAMETER.sub(r"{\2}", rule.rule), {})
        assert isinstance(path, dict)
        for method in _METHODS:
            if method in (rule.methods or ()):
                path[method.lower()] = _operation(rule, method, shape)
    whole: dict[str, Json] = {
        "openapi": "3.1.1",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "Tandem hub",
            "version": "1",
            "summary": "What the console does, for programs.",
            "description": "Every request shows a token (`tandem-hub tokens add`) or a signed-in person's cookie. Each error has "
            "one shape: a code that never changes and one sentence that says what to do. Times ending in `_ms` are Unix "
            "milliseconds of the hub's clock; a quantity ends in its unit. New fields may come in any answer: ignore "
            "what you do not know.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The hub that serves this document"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(one.tag for one in OPERATIONS.values())],
        "paths": paths,
        "components": {
            "schemas": {name: components[name] for name in sorted(components)},
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A program's token, in the header and never in an address. What it may do is its role.",
                },
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "__Host-tandem",
                    "description": "A signed-in person's; on the loopback without TLS its name is tandem-console.",
                },
                "csrf": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-CSRF-Token",
                    "description": "With a cookie: `csrf` of /api/v1/me. A request that changes something needs it, and "
                    "an Origin that is the hub's own.",
                },
            },
        },
    }
    return _with_plain_names(whole, components)


def text(rules: Iterable[Rule]) -> str:
    """The document as it is kept: the same routes and types give the same bytes."""
    return json.dumps(document(rules), indent=2, ensure_ascii=False) + "\n"


def _with_plain_names(whole: dict[str, Json], names: Iterable[str]) -> dict[str, Json]:
    """Types of one name are told apart by their modules: `hub.endings.Closing` is called EndingsClosing here, for programs
    that make names of their own from these."""
    said = json.dumps(whole)
    for name in names:
        *_, module, kind = ("", *name.split("."))
        said = said.replace(f'"{_SCHEMAS}{name}"', f'"{_SCHEMAS}{module.capitalize()}{kind}"')
        said = said.replace(f'"{name}": ', f'"{module.capitalize()}{kind}": ') if module else said
    plain: dict[str, Json] = json.loads(said)
    return plain


def _kinds(rules: Iterable[Rule]) -> Iterable[object]:
    yield Wrong
    for rule in rules:
        operation = OPERATIONS[rule.endpoint]
        if operation.body is not None:
            yield operation.body
        yield from (kind for kind in operation.answers.values() if kind is not None)
        yield from (operation.events or {}).values()


def _operation(rule: Rule, method: str, shape: Mapping[str, Json]) -> Json:
    operation = OPERATIONS[rule.endpoint]
    is_safe = method == "GET"
    systems = sorted(SYSTEMS.get(rule.endpoint, ()))
    by_token: list[Json] = [{"token": []}] if systems else []
    described: dict[str, Json] = {
        "operationId": rule.endpoint.replace(".", "_"),
        "tags": [operation.tag],
        "summary": operation.summary,
        **({"description": operation.says} if operation.says else {}),
        "x-token-roles": [*systems],
        "x-account-roles": [*sorted(ROLES.get(rule.endpoint, ()))],
        "security": [*by_token, {"session": []} if is_safe else {"session": [], "csrf": []}],
    }
    if parameters := [*_in_path(rule), *(_in_query(one) for one in operation.query)]:
        described["parameters"] = parameters
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": {JSON: {"schema": shape[repr(operation.body)]}}}
    described["responses"] = {
        **{str(status): _answer(operation, status, kind, shape) for status, kind in sorted(operation.answers.items())},
        **_refusals(operation, is_safe, shape),
    }
    return described


def _answer(operation: Operation, status: int, kind: object, shape: Mapping[str, Json]) -> Json:
    content: dict[str, Json] = {"schema": {"type": "string"} if kind is None else shape[repr(kind)]}
    if operation.events is not None:
        content["x-events"] = {name: shape[repr(event)] for name, event in operation.events.items()}
    return {
        "description": "Done now." if status == 201 else "As it is now.",
        "content": {operation.media: content},
    }


def _refusals(operation: Operation, is_safe: bool, shape: Mapping[str, Json]) -> dict[str, Json]:
    codes = (*_TO_ANYBODY, *(() if is_safe else _TO_WRITERS), *operation.codes)
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(HTTP_STATUS[code], []).append(code)
    return {
        str(status): {
            "description": f"Code {', '.join(f'`{code}`' for code in sorted(set(named)))}.",
            "content": {JSON: {"schema": shape[repr(Wrong)]}},
        }
        for status, named in sorted(by_status.items())
    }


def _in_path(rule: Rule) -> Iterable[Json]:
    for converter, name in _PARAMETER.findall(rule.rule):
        schema: dict[str, Json] = (
            {"type": "integer"} if converter == "int" else {"type": "string", "pattern": NAME_PATTERN}
        )
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _in_query(query: Query) -> Json:
    schema: Json = query.schema
    return {
        "name": query.name,
        "in": "query",
        "required": query.is_needed,
        "description": query.says,
        "schema": schema,
    }
