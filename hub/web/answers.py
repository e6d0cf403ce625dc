"""JSON in and out of a view, typed at both ends."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from flask import Response, make_response, request
from msgspec import Struct

from hub.errors import Refused
from wire import typed

T = TypeVar("T")


class Wrong(Struct, frozen=True, kw_only=True):
    """Every error: a `code` for programs, which never changes, and a `message` of one sentence that says what to do."""

    code: str
    message: str


def with_form(text: str) -> Response:
    """A page with a plain form in it, whose origin the browser must say."""
    page = make_response(text)
    page.headers["Referrer-Policy"] = "same-origin"
    return page


def json(value: object, status: int = 200) -> Response:
    """`value` (a Struct or plain data) as the answer."""
    return Response(msgspec.json.encode(value), status, mimetype="application/json")


def body(kind: type[T]) -> T:
    """The `kind` in the request's body; Refused when it is something else."""
    try:
        return typed.json(request.get_data(), kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise Refused("malformed", f"The request is not understood: {wrong}.") from None
