"""A finger on the touchscreen's page: one request, one answer, and nothing guessed of it.

A browser follows the page after a press and shows a refusal as a sentence on it; here a press counts as taken when the
terminal answers that it was (303, or 204 for a draft), and as nothing else.
"""

from __future__ import annotations

import json
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlencode

from msgspec import Struct

TIMEOUT_S = 20.0


class Ended(Exception):
    """Nobody answers: what was asked last may have happened or not."""


class Refused(Exception):
    """The screen said no. `code`: its word for why, as "not_saved"."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(f"{code}: {sentence}")
        self.code = code


class Answer(Struct, frozen=True, kw_only=True):
    """`where`: the page that a press leads to."""

    status: int
    where: str
    text: str


class Touch:
    """One browser's session with one screen."""

    def __init__(self, port: int, timeout_s: float = TIMEOUT_S) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=timeout_s)
        self._origin = f"http://127.0.0.1:{port}"
        self._cookie = self._csrf = ""

    def close(self) -> None:
        self._connection.close()

    def state(self) -> dict:  # type: ignore[type-arg]
        """What the screen shows, for programs."""
        shown = dict(json.loads(self._ask("GET", "/api/v1/state", "").text))
        self._csrf = shown["csrf"]
        return shown

    def page(self, path: str) -> str:
        return self._ask("GET", path, "").text

    def press(self, path: str, **form: str) -> Answer:
        """Press a button; Refused when the terminal says that it did not do it."""
        return self._ask("POST", path, urlencode(form))

    def _ask(self, method: str, path: str, body: str) -> Answer:
        headers = {"Origin": self._origin, "Cookie": self._cookie, "X-CSRF-Token": self._csrf, "Connection": "close"}
        if method == "POST":
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            self._connection.request(method, path, body or None, headers)
            answer = self._connection.getresponse()
            text = answer.read().decode()
        except (OSError, HTTPException, ValueError) as wrong:
            self._connection.close()
            raise Ended(f"{method} {path}: {type(wrong).__name__}") from None
        if cookie := answer.getheader("Set-Cookie"):
            self._cookie = cookie.partition(";")[0]
        if answer.status >= 400:
            raise _refusal(answer.status, text)
        return Answer(status=answer.status, where=answer.getheader("Location") or "", text=text)


def _refusal(status: int, text: str) -> Refused:
    try:
        said = json.loads(text)
        return Refused(str(said["code"]), str(said["message"]))
    except (ValueError, KeyError, TypeError):
        return Refused(str(status), text[:200])
