"""What a person may not do, in one sentence for that person, and what HTTP calls it."""

from __future__ import annotations


class Refused(Exception):
    """A person asked for something that is not allowed or not possible.

    `code` is for programs and never changes; `sentence` is for the person and says what to do. `wait_s`: after how
    many seconds it may be asked again, for who asked too often.
    """

    def __init__(self, code: str, sentence: str, wait_s: int = 60) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.wait_s = wait_s


HTTP_STATUS: dict[str, int] = {
    "malformed": 400,
    "not_signed_in": 401,
    "wrong_password": 401,
    "wrong_token": 401,
    "not_your_role": 403,
    "forged": 403,  # without our token or from another origin
    "locked": 403,
    "not_found": 404,
    "conflict": 409,  # the same id says something else by now
    "changed": 409,  # somebody else changed it since the person saw it
    "busy": 409,
    "closed": 409,
    "too_large": 413,
    "wrong_host": 421,
    "reason_needed": 422,
    "too_many": 429,
    "not_allowed": 405,  # this address, but not this method
    "failed": 500,  # our fault
    "unavailable": 503,
}


def http_status(refused: Refused) -> int:
    """The HTTP status of `refused`; 400 for a code that no row names."""
    return HTTP_STATUS.get(refused.code, 400)
