"""A hub to look at: units with crews on duty, somebody signed in, and a real browser on its page."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from random import Random

import click
import msgspec
from msgspec import Struct
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright
from sqlalchemy import Engine, insert

from bench import agency as made
from bench import pushed
from bench.agency import Agency
from bench.processes import children, hub
from hub import accounts, schema, sessions, store
from hub.broker import BROKER_FOLDER
from hub.ca import open_ca
from hub.sessions import Begun

CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_ARGS = (
    "--no-sandbox",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
)
COOKIE = "tandem-console"
PUBLISHER = "bench-publisher"
VIEW: ViewportSize = {"width": 1280, "height": 800}
READY_MS_MAX = 180_000  # a machine without a graphics card that others use
STATUSES = ("available", "available", "available", "clearing", "on_scene", "en_route", "break")


class Site(Struct, frozen=True, kw_only=True):
    """A hub that runs, and the session of somebody who may see its board."""

    agency: Agency
    pid: int
    broker_pid: int
    token: str
    csrf: str
    folder: Path

    @property
    def port(self) -> int:
        """Where its console is."""
        return self.agency.settings.console.port

    @property
    def address(self) -> str:
        """The same as an address."""
        return f"http://localhost:{self.port}"

    def post(self, connection: HTTPConnection, path: str, body: object) -> bytes:
        """What the hub answers to the dispatcher's request; ClickException when it refuses."""
        headers = {"Origin": self.address, "Cookie": f"{COOKIE}={self.token}", "X-CSRF-Token": self.csrf}
        headers |= {"Content-Type": "application/json", "Host": f"localhost:{self.port}"}
        connection.request("POST", path, msgspec.json.encode(body), headers)
        answer = connection.getresponse()
        said = answer.read()
        if answer.status not in (200, 201):
            raise click.ClickException(f"The hub refused {path}: {answer.status} {said[:200].decode(errors='replace')}")
        return said

    def mouth(self) -> pushed.Broker:
        """A connection that may speak for every terminal."""
        return pushed.to_hub(self.agency.port, self.agency.root, self.folder / f"{PUBLISHER}.pem", PUBLISHER)


@contextmanager
def site(folder: Path, units: int, prepare: Callable[[Path], None] = lambda _home: None) -> Iterator[Site]:
    """The hub as a process, with `units` on duty; `prepare` is given its home before it starts."""
    agency = made.make(folder, units)
    made.identity(open_ca(agency.home, agency.settings), folder, PUBLISHER, "none")
    engine = store.open_store(agency.home)
    begun = _people(engine, agency)
    engine.dispose()
    prepare(agency.home)
    with hub(agency) as pid:
        broker_pid = _broker(pid)
        with (agency.home / BROKER_FOLDER / "acl").open("a") as allowed:
            allowed.write(f"\nuser {PUBLISHER}\ntopic write tandem/v1/+/up/#\n")
        os.kill(broker_pid, signal.SIGHUP)  # it reads its access list again
        time.sleep(0.5)
        yield Site(agency=agency, pid=pid, broker_pid=broker_pid, token=begun.token, csrf=begun.csrf, folder=folder)


def _people(engine: Engine, agency: Agency) -> Begun:
    """Crews aboard, and a dispatcher who is signed in."""
    now_ms, chance = int(time.time() * 1000), Random(1)
    with engine.begin() as connection:
        accounts.add(connection, "bench", "dispatcher", now_ms)
        for number, one in enumerate(agency.terminals):
            staff = f"s-{number}"
            connection.execute(
                insert(schema.staff).values(
                    staff=staff, name=f"Crew {number}", role="specialist", skills="clinician", languages="eng spa"
                )
            )
            connection.execute(
                insert(schema.unit_now).values(
                    unit=one.unit,
                    status=chance.choice(STATUSES),
                    status_ms=now_ms - chance.randrange(3_600_000),
                    status_by="crew",
                    skipped=False,
                    crew=staff,
                    status_through=0,
                )
            )
        return sessions.begin(connection, "bench", now_ms)


def _broker(pid: int) -> int:
    for child in children(pid):
        if Path(f"/proc/{child}/comm").read_text().strip() == "mosquitto":
            return child
    raise click.ClickException("The hub has no broker.")


@contextmanager
def chromium() -> Iterator[Browser | None]:
    """A headless browser; None, and said, where there is none."""
    if not CHROMIUM.is_file():
        click.echo("Chromium is not here (Debian: chromium): nothing is measured in a browser.")
        yield None
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGS)
        try:
            yield browser
        finally:
            browser.close()


def board(browser: Browser, at: Site, script: str = "") -> Page:
    """The dispatcher's page, drawn; `script` runs before anything of it."""
    context = browser.new_context(viewport=VIEW, color_scheme="light")
    context.add_cookies([{"name": COOKIE, "value": at.token, "url": at.address}])
    page = context.new_page()
    if script:
        page.add_init_script(script)
    page.goto(at.address)
    page.wait_for_selector("[data-ready]", timeout=READY_MS_MAX)
    return page


def ahead_s(page: Page) -> float:
    """By how much the page's clock is ahead of ours."""
    tries = []
    for _ in range(15):
        asked_s = time.time()
        there_ms = page.evaluate("() => performance.timeOrigin + performance.now()")
        answered_s = time.time()
        tries.append((answered_s - asked_s, there_ms / 1000 - (asked_s + answered_s) / 2))
    return float(min(tries)[1])
