"""A browser without a window: sessions over HTTP with cookies and tokens, for the story and the set-up."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from http.cookiejar import CookieJar
from typing import Any

TIMEOUT_S = 10.0

Json = Any  # what another program answered; every reader looks into it at once


class Unanswered(Exception):
    """A page answered with an error, or nobody answered."""


class Browser:
    """One person's session with one server."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        self.csrf = ""

    def get(self, path: str) -> str:
        """The page at `path`."""
        return self._ask("GET", path, None, {})

    def json(self, path: str) -> Json:
        """What `path` answers."""
        return json.loads(self.get(path))

    def post(self, path: str, body: object) -> Json:
        """Send `body` as JSON, and what came back."""
        answer = self._ask(
            "POST",
            path,
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "X-CSRF-Token": self.csrf},
        )
        return json.loads(answer) if answer.strip() else None

    def submit(self, path: str, form: Mapping[str, str]) -> str:
        """Press the button of a form; redirects are followed."""
        data = urllib.parse.urlencode({**form, "csrf": self.csrf}).encode()
        return self._ask("POST", path, data, {"Content-Type": "application/x-www-form-urlencoded"})

    def events(self, path: str) -> Iterator[tuple[str, Json]]:
        """The (name, data) of each server-sent event, as they come; ends when the server ends it."""
        with self._open("GET", path, None, {"Accept": "text/event-stream"}, timeout_s=30.0) as stream:
            name, data = "message", ""
            for raw in stream:
                line = raw.decode().rstrip("\n")
                if line.startswith("event: "):
                    name = line[7:]
                elif line.startswith("data: "):
                    data += line[6:]
                elif not line and data:
                    yield name, json.loads(data)
                    name, data = "message", ""

    def _ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> str:
        with self._open(method, path, body, headers, TIMEOUT_S) as answer:
            text: str = answer.read().decode()
            return text

    def _open(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], timeout_s: float) -> Any:
        request = urllib.request.Request(  # noqa: S310  # the origin is ours, http on loopback
            self.origin + path, data=body, method=method, headers={"Origin": self.origin, **headers}
        )
        try:
            return self._opener.open(request, timeout=timeout_s)
        except urllib.error.HTTPError as refused:
            detail = refused.read(300).decode(errors="replace").strip()
            raise Unanswered(f"{method} {path}: {refused.code} {detail}") from None
        except OSError as gone:
            raise Unanswered(f"{method} {path}: nobody answers at {self.origin} ({gone})") from None
