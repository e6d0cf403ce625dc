"""What a screen called saved, written down by whoever pressed, in a file that no fault reaches.

The law: a line that is sure stands here only after the page has answered *and* the disk it was saved on still gave a file
afterwards; an answer that came after a power cut promised nothing. What was asked and not answered may have happened.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from typing import Literal

from msgspec import Struct

What = Literal["status", "note", "drill"]


class Saved(Struct, frozen=True, kw_only=True):
    """One press. `word`: the status, or the note's id in hex; `is_sure`: the page said so, with the power still on."""

    device: str
    what: What
    word: str
    is_sure: bool


class SavedFile:
    """The file, opened for each line: a harness that is killed loses nothing it had noted."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writing = Lock()
        path.touch()

    def note(self, said: Saved) -> None:
        line = json.dumps([said.device, said.what, said.word, said.is_sure])
        with self._writing, self.path.open("a") as file:
            file.write(line + "\n")

    def read(self) -> tuple[Saved, ...]:
        """Everything noted, in order."""
        return tuple(_read(self.path.read_text().splitlines()))


def _read(lines: Iterable[str]) -> Iterable[Saved]:
    for line in lines:
        device, what, word, is_sure = json.loads(line)
        yield Saved(device=device, what=what, word=word, is_sure=is_sure)
