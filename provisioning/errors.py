"""What stops a tech: one sentence that says what to do, and the process ends with 2."""

from __future__ import annotations

from click import ClickException


class CannotDo(ClickException):
    """A wrong setting, a missing key, an answer of the hub that ends the matter. `code`: "E1" … "E11" where the tech's
    table has one; a program may look at it, a person reads the sentence."""

    exit_code = 2

    def __init__(self, sentence: str, code: str | None = None) -> None:
        super().__init__(f"{code}: {sentence}" if code else sentence)
        self.code = code
