"""Processes of a measurement that are told when to begin and say when they have done: one line each way."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

import click


def started(argv: Sequence[str]) -> subprocess.Popen[str]:
    """`argv`, running; it ends with us."""
    return subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "--", *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def poke(process: subprocess.Popen[str], word: str = "") -> None:
    """Tell it to go on."""
    assert process.stdin is not None
    process.stdin.write(f"{word}\n")
    process.stdin.flush()


def line(process: subprocess.Popen[str]) -> str:
    """What it says next."""
    assert process.stdout is not None
    said = process.stdout.readline()
    if not said:
        raise click.ClickException("A process of this measurement has ended; what it said stands above.")
    return said


def ended(process: subprocess.Popen[str]) -> None:
    """Leave nothing of it."""
    process.kill()
    process.wait()
