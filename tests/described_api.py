"""Calls to a hub as its own description allows them, and a judge of what came back. It knows the description, not the hub."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import jsonschema
from hypothesis import strategies as st

Json = Any  # whatever another program says

DIALECT = jsonschema.Draft202012Validator
TEXT = st.text(max_size=12) | st.text(min_size=100, max_size=400)


@dataclass(frozen=True)
class Call:
    """One request; `body` is what travels."""

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes | None


@dataclass(frozen=True)
class Described:
    """One operation of a description."""

    document: Json = field(repr=False)
    path: str
    method: str

    @property
    def operation(self) -> Json:
        return self.document["paths"][self.path][self.method]

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.path}"

    def calls(self, lucky: tuple[str, ...]) -> st.SearchStrategy[Call]:
        """Requests of every kind: as described, as described with words that this hub knows, and out of order."""
        operation = self.operation
        parameters = operation.get("parameters", [])
        names = [one for one in parameters if one["in"] == "path"]
        asked = [one for one in parameters if one["in"] == "query"]
        body: st.SearchStrategy[bytes | None] = st.none()
        if "requestBody" in operation:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            shaped = _values(self.document, schema, lucky).map(_bytes)
            body = st.one_of(shaped, shaped, shaped, ANYTHING.map(_bytes), st.binary(max_size=20))
        word = st.sampled_from([one for one in lucky if one and " " not in one]) | st.from_regex(
            r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,20}\Z"
        )
        return st.builds(
            self._call,
            st.tuples(*(word for _ in names)),
            st.fixed_dictionaries({}, optional={one["name"]: _in_query(one["schema"]) for one in asked}),
            body,
        )

    def _call(self, names: tuple[str, ...], query: Mapping[str, str], body: bytes | None) -> Call:
        path = self.path
        for name in names:
            before, _, rest = path.partition("{")
            path = before + name + rest.partition("}")[2]
        return Call(self.method.upper(), path, query, body)

    def judge(self, status: int, media: str, body: bytes) -> None:
        """AssertionError when the description does not say that this may come back."""
        answers = self.operation["responses"]
        assert str(status) in answers, f"{self} answered {status}, which is not described: {body[:300]!r}"
        content = answers[str(status)]["content"]
        assert media in content, f"{self} answered {media}"
        if media != "text/event-stream":
            require(self.document, content[media]["schema"], json.loads(body))
        if status >= 400:
            require_sentence(json.loads(body))


def every(document: Json) -> Iterator[Described]:
    """All operations, in their order."""
    for path, item in document["paths"].items():
        for method in item:
            yield Described(document, path, method)


def require(document: Json, schema: Json, value: Json) -> None:
    """AssertionError, with the place, when `value` is not what `schema` says."""
    for wrong in DIALECT({**schema, "components": document["components"]}).iter_errors(value):
        raise AssertionError(f"{wrong.json_path}: {wrong.message[:300]}")


def require_sentence(wrong: Json) -> None:
    """Every error has the same shape: a code, and a sentence for a person."""
    assert set(wrong) == {"code", "message"}
    assert wrong["code"].replace("_", "").isalpha()
    assert (wrong["message"][0].isupper() or wrong["message"][0] == "#") and wrong["message"].rstrip()[-1] in ".?", (
        wrong["message"]
    )


ANYTHING: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def _values(document: Json, schema: Json, lucky: tuple[str, ...]) -> st.SearchStrategy[Json]:
    """Values of this schema, of the keywords that msgspec writes; an unknown one is an error here and not overlooked."""
    if "$ref" in schema:
        return _values(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], lucky)
    if "anyOf" in schema:
        return st.one_of(*(_values(document, one, lucky) for one in schema["anyOf"]))
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema.get("type"):
        case "object" if "properties" in schema:
            fields = {name: _values(document, one, lucky) for name, one in schema["properties"].items()}
            needed = set(schema.get("required", ()))
            return st.fixed_dictionaries(
                {name: one for name, one in fields.items() if name in needed},
                optional={name: one for name, one in fields.items() if name not in needed},
            )
        case "array":
            return st.lists(_values(document, schema["items"], lucky), max_size=3)
        case "string":
            return st.sampled_from(lucky) | st.sampled_from(lucky) | TEXT
        case "integer":
            return st.integers(0, 5) | st.integers(-(2**70), 2**70)
        case "number":
            return st.floats(-180, 180) | st.floats(allow_nan=False, allow_infinity=False)
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
    raise NotImplementedError(f"{schema}")


def _in_query(schema: Json) -> st.SearchStrategy[str]:
    good = {"number": st.floats(-90, 90).map(str), "integer": st.integers(1, 10).map(str)}
    return good.get(schema["type"], TEXT) | TEXT


def _bytes(value: Json) -> bytes:
    return json.dumps(value).encode()
