"""What all tests share: figures that are to be read after the run, whichever worker found them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

FIGURES: list[str] = []  # of this process; the one that prints the summary hears of every test's


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Callable[[object], None]:
    """Says one line that is to be read after the run, whatever is captured meanwhile."""
    return partial(record_property, "figure")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole fleets first: begun last, they would keep one worker busy for minutes while the others have nothing."""
    items.sort(key=lambda item: item.get_closest_marker("system") is None)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call":
        FIGURES.extend(str(value) for name, value in report.user_properties if name == "figure")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if FIGURES:
        terminalreporter.section("figures")
        for line in FIGURES:
            terminalreporter.write_line(line)
