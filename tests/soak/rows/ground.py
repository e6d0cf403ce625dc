"""The row that breaks nothing: whether the ground holds, before anything is broken on it."""

from __future__ import annotations

import os

from tests.soak.ground import Ground
from tests.soak.report import Outcome, Row


def nothing(ground: Ground) -> Outcome:
    """Write, sync and read as many small files as asked; nothing may be missing."""
    folder, count = ground.folder("files"), ground.often(quick=20, full=200)
    for number in range(count):
        with (folder / f"{number}").open("wb") as file:
            file.write(b"%d" % number)
            os.fsync(file.fileno())
    read = sum((folder / f"{number}").read_bytes() == b"%d" % number for number in range(count))
    return Outcome(repetitions=count, lost=count - read, duplicated=0, recovery_s_max=None)


ROWS = (Row("F00", "nothing is broken: files written are there", nothing),)
