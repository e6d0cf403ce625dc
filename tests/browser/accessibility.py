"""What axe finds wrong on a page: all its rules by day, and by night those that a change of colors can break."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
OF_COLOR = "{runOnly: {type: 'rule', values: ['color-contrast', 'link-in-text-block']}, resultTypes: ['violations']}"
EVERY_RULE = "{resultTypes: ['violations']}"


def wrong_at_the_console(page: Page) -> list[str]:
    """Day and night of the dispatcher's page, whichever it shows now; afterwards it shows that again."""
    shown = str(page.evaluate("document.documentElement.dataset.theme"))

    def turn(theme: str) -> None:
        page.evaluate("(theme) => { document.documentElement.dataset.theme = theme; }", theme)

    found = _by_day_and_night(page, lambda: turn("day"), lambda: turn("night"))
    turn(shown)
    return found


def wrong_on_the_glass(page: Page) -> list[str]:
    """Day and night of the touchscreen, which follows what the vehicle says unless somebody has tapped."""
    return _by_day_and_night(
        page, lambda: page.emulate_media(color_scheme="light"), lambda: page.emulate_media(color_scheme="dark")
    )


def _by_day_and_night(page: Page, day: Callable[[], None], night: Callable[[], None]) -> list[str]:
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text())
    day()
    found = [f"by day: {one}" for one in _run(page, EVERY_RULE)]
    night()
    return found + [f"by night: {one}" for one in _run(page, OF_COLOR)]


def _run(page: Page, options: str) -> list[str]:
    report = page.evaluate(f"() => axe.run(document, {options})")
    return [f"{rule['id']}: {rule['nodes'][0]['html'][:160]}" for rule in report["violations"]]
