"""A Picture on the terminal that a person sits at: kept up with, or once."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

from rich.console import Console
from rich.live import Live

from firmware_bridge.page import page
from firmware_bridge.watch import Picture

PAGE_S = 0.5  # a page is 2 kB: quick enough for eyes, and no burden to a slow line
EVERY_LINE = 1000  # one look is not cut to the terminal's height


def keep_up(picture: Callable[[], Picture], stop: Event) -> None:
    """The whole screen, drawn anew twice a second until `stop`; then the screen is as it was."""
    console = _console()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            width, height = console.size
            live.update(page(picture(), width, height, is_ascii=_is_ascii(console)), refresh=True)
            if stop.wait(PAGE_S):
                return


def show(picture: Picture) -> None:
    """All of it, below what stands there."""
    console = _console()
    console.print(page(picture, console.size.width, EVERY_LINE, is_ascii=_is_ascii(console), is_live=False))


def _console() -> Console:
    return Console(highlight=False, markup=False, emoji=False)


def _is_ascii(console: Console) -> bool:
    return not console.encoding.lower().startswith("utf")
