"""A person asked for what is not allowed: one sentence for them, one code for the program."""

from __future__ import annotations


class Refused(Exception):
    """`code`: a short word that tests and the page's status line know; `sentence`: says what to do. Never note text."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
