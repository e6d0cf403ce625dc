"""Another system clock for a process that a test starts, by a small library in front of libc; no root, no faketime.

faketime 0.9.10 makes Python's `time.sleep` fail, and moves the monotonic clock unless it is told not to.
"""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent / "system" / "shifted_clock.c"
_SHIFT = struct.Struct("@q")


class ShiftedClock:
    """The system clock of whoever is started with `environment`. A test that needs it is left out without a compiler."""

    def __init__(self, home: Path, shift_s: int) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            pytest.skip("no C compiler here: a process with another clock was not tried")
        library, file = home / "shifted_clock.so", home / "shift"
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, SOURCE], check=True)
        file.write_bytes(bytes(_SHIFT.size))
        with file.open("r+b") as opened:
            self._page = mmap.mmap(opened.fileno(), _SHIFT.size)
        self.environment = {"LD_PRELOAD": str(library), "SHIFT_FILE": str(file)}
        self.set(shift_s)

    def set(self, shift_s: int) -> None:
        """The clock is this far from the real one, from now on."""
        _SHIFT.pack_into(self._page, 0, shift_s)
