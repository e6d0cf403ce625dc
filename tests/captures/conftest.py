"""The line with the figure, at the end of every run."""

from __future__ import annotations

import pytest

FIGURES: pytest.StashKey[list[str]] = pytest.StashKey()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = []


@pytest.fixture
def report(request: pytest.FixtureRequest):
    """Says one line that is to be read after the run, whatever is captured meanwhile."""
    return request.config.stash[FIGURES].append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.stash[FIGURES]:
        terminalreporter.section("captures")
        for line in config.stash[FIGURES]:
            terminalreporter.write_line(line)
