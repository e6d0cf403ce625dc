"""What a row of the fault matrix came to, and the one line that says so. A row that could not be tried never passed."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from tests.soak.ground import Ground

HEADINGS = ("id", "fault", "repetitions", "lost", "duplicated", "longest recovery", "took")
_WIDTHS = (5, 62, 11, 6, 10, 16, 8)


class NotRun(Exception):
    """This machine, or this release, cannot try the row; the sentence says why."""


class Outcome(Struct, frozen=True, kw_only=True):
    """What came of a fault provoked `repetitions` times. `findings`: sentences about what broke a promise."""

    repetitions: int
    lost: int
    duplicated: int
    recovery_s_max: float | None  # None where nothing has to recover, or nothing was timed
    also: str = ""
    findings: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        return self.repetitions > 0 and not (self.lost or self.duplicated or self.findings)


class Row(Struct, frozen=True):
    """One line of the report: what is broken, and how. `is_peer`: another program in the same loop, for comparison; its
    line counts neither into the totals nor into whether all went well."""

    id: str
    fault: str
    run: Callable[[Ground], Outcome]
    is_peer: bool = False


def heading() -> str:
    return _line(*HEADINGS)


def line(row: Row, outcome: Outcome, took_s: float) -> str:
    """The row in one line, what else is worth knowing behind it, and below it what went wrong. `took_s`: all of it."""
    recovery = "-" if outcome.recovery_s_max is None else f"{outcome.recovery_s_max:.1f} s"
    counts = (f"{count:,}" for count in (outcome.repetitions, outcome.lost, outcome.duplicated))
    text = _line(row.id, row.fault, *counts, recovery, f"{took_s:,.0f} s")
    if outcome.also:
        text += f"  {outcome.also}"
    return "\n".join([text, *(f"      ! {finding}" for finding in outcome.findings)])


def line_not_run(row: Row, why: str) -> str:
    return f"{row.id:<{_WIDTHS[0]}}  {row.fault:<{_WIDTHS[1]}}  not run: {why}"


def totals(outcomes: list[Outcome], not_run: int) -> str:
    """The last line: what all rows that were tried add up to."""
    found = sum(len(outcome.findings) for outcome in outcomes)
    return (
        f"{len(outcomes)} rows run, {not_run} not run; {sum(o.repetitions for o in outcomes):,} repetitions, "
        f"{sum(o.lost for o in outcomes):,} lost, {sum(o.duplicated for o in outcomes):,} duplicated, {found} findings"
    )


def _line(*cells: str) -> str:
    first, second, *numbers = cells
    shown = [f"{first:<{_WIDTHS[0]}}", f"{second:<{_WIDTHS[1]}}"]
    shown += [f"{cell:>{width}}" for cell, width in zip(numbers, _WIDTHS[2:], strict=True)]
    return "  ".join(shown)
