"""What stops a tech: one sentence that says what to do, and the process ends with 2."""

from __future__ import annotations


class CannotDo(Exception):
    """A wrong setting, a missing key, an answer of the hub that ends the matter. `code`: "E1" … "E11" where the tech's
    table has one."""

    def __init__(self, sentence: str, code: str | None = None) -> None:
        super().__init__(f"{code}: {sentence}" if code else sentence)
        self.code = code
        self.sentence = sentence
