"""The log of our programs, beside what they say on standard output."""

from __future__ import annotations

import io
import sys

import pytest
import structlog

from serving import logs


class Writes(io.StringIO):
    """Standard error that remembers each write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return super().write(text)


def test_a_line_is_written_whole_so_that_nothing_lands_within_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = Writes()
    monkeypatch.setattr(sys, "stderr", stderr)
    logs.to_stderr()
    try:
        structlog.get_logger("hub").warning("roads", said="they are ready")
    finally:
        structlog.reset_defaults()
    (line,) = stderr.writes
    assert line.endswith('level=warning event=roads said="they are ready"\n')
