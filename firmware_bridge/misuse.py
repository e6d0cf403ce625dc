"""What a person typed that cannot be done: every command says so in one line and ends with code 2."""

from __future__ import annotations

import click


class Misuse(click.ClickException):
    """One line that says what to do; exit code 2."""

    exit_code = 2
