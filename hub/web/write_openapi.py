"""docs/openapi.json, on standard output: `python -m hub.web.write_openapi > docs/openapi.json`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from flask import Flask
from sqlalchemy import create_engine

from hub.board import Board
from hub.positions import Positions
from hub.presence import State, Word
from hub.web import openapi
from hub.web.app import ConsoleParts, create_console


def routes_only() -> Flask:
    """A console that has every route and nothing behind it."""
    engine, positions = create_engine("sqlite://"), Positions()

    def link_of(_device: str) -> State:
        return State(word=Word.NEVER, since_ms=None)

    never: Callable[[], int] = lambda: 0  # noqa: E731
    return create_console(
        ConsoleParts(
            engine=engine,
            board=Board(engine, positions, never, agency="", link_of=link_of),
            positions=positions,
            agency="",
            maps_dir=Path(),
            changed=lambda: None,
            now_ms=never,
            secure_cookies=True,
            link_of=link_of,
        )
    )


if __name__ == "__main__":
    sys.stdout.write(openapi.text(routes_only().url_map.iter_rules()))
