"""How measurements are printed: median, 99th percentile and worst, with how many they are of."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import click


def print_ms(name: str, took_ms: Sequence[float]) -> None:
    """One line for `took_ms`; says so when there are none."""
    if not took_ms:
        click.echo(f"{name:48} nothing arrived")
        return
    ordered = sorted(took_ms)
    p99 = ordered[min(len(ordered) - 1, round(0.99 * len(ordered)))]
    click.echo(
        f"{name:48} p50 {statistics.median(ordered):8.2f} ms   p99 {p99:8.2f} ms   max {ordered[-1]:8.2f} ms"
        f"   n {len(ordered)}"
    )


def say(what: str) -> None:
    """Progress, on standard error so that standard output stays the figures'."""
    click.echo(f"  {what}", err=True)
