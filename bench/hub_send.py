"""From the click on "Send" at the console to the assignment on the terminal's screen.

Everything is real: the hub with its broker, a vehicle terminal enrolled by the commands with a crew signed on, the
dispatcher's page and the touchscreen's page in Chromium. An incident is opened, its card shows who could go, the button is
clicked; the screen counts when it has been painted. Then the unit is released and the next one comes. On the way the hub
says when it had committed the assignment and when the terminal's word that it holds it had come back.

Beside it, at the same moments: as many bytes from a bare publisher to a bare subscriber with the same TLS. The
touchscreen looks for news every 0.7 s, so half of that is its own share of the figure.
"""

from __future__ import annotations

import re
import secrets
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import click
from playwright.sync_api import Browser, Page, ViewportSize

from bench import console
from bench.bare_pair import Pair
from bench.city import until
from bench.figures import print_ms, say
from bench.receiver import Receiver
from demo import fleet as made
from demo.fleet import Fleet, Person, Station
from demo.processes import Children
from demo.story import go_on_duty, sign_in, sign_on
from demo.web import Browser as Session
from demo.web import Json

CALL_SIGN = "CARE-1"
SNAPSHOT_BYTES = 1_600  # of the assignments, sealed and signed
LOOK_AT_IT_S = 0.8  # the page takes a press for the last one's until then
TOUCHSCREEN: ViewportSize = {"width": 800, "height": 480}
WAIT_MS_MAX = 20_000
CLICKED = """document.addEventListener("click", (event) => {
    window.benchClicked = performance.timeOrigin + event.timeStamp;
}, true);"""
SHOWN = """(() => {
    window.benchWanted = null;
    window.benchShown = null;
    const look = () => {
        if (window.benchWanted === null || !document.body.textContent.includes(window.benchWanted)) {
            return;
        }
        window.benchWanted = null;
        requestAnimationFrame(() => {
            const { port1, port2 } = new MessageChannel();
            port1.onmessage = () => {
                window.benchShown = performance.timeOrigin + performance.now();
                port1.close();
            };
            port2.postMessage(0);
        });
    };
    new MutationObserver(look).observe(document, { childList: true, subtree: true, characterData: true });
})();"""


class Took:
    """Milliseconds from the click to each step."""

    def __init__(self) -> None:
        self.committed: list[float] = []
        self.held: list[float] = []
        self.shown: list[float] = []


@click.command()
@click.option("--sends", default=50, show_default=True)
def cli(sends: int) -> None:
    """Print p50 and p99 from the click on "Send" to the terminal's screen."""
    with tempfile.TemporaryDirectory() as folder, console.chromium() as browser:
        if browser is None:
            return
        home = Path(folder)
        children = Children(say)
        try:
            _measure(home, children, browser, sends)
        finally:
            children.stop()


def _measure(home: Path, children: Children, browser: Browser, sends: int) -> None:
    crew = {CALL_SIGN: Person(staff="s-1", name="Crew 1", role="specialist", skills=("clinician",), languages=("eng",))}
    fleet = made.make(home, crew, None, made.chance_ports(len(crew)), children, say)
    station = fleet.station(CALL_SIGN)
    receiver = Receiver(0, made.receiver_port(home, station))
    children.start(made.terminal_process(home, station))
    stopping = threading.Event()
    threading.Thread(target=_stand, args=(receiver, stopping), daemon=True).start()
    try:
        hub = sign_in(fleet.console, fleet.login("dispatcher"))
        screen = Session(station.screen)
        sign_on(screen, station)
        go_on_duty(screen)
        until(lambda: _can_go(hub), f"{CALL_SIGN} has no position or is not available")
        peer = Pair(home, home / station.folder / "identity" / "current", SNAPSHOT_BYTES)
        took = _sends(hub, browser, fleet, station, peer, sends)
        peer.stop()
    finally:
        stopping.set()
    click.echo(f"{sends} times a unit was sent; {len(took.shown)} seen on its terminal")
    print_ms("click -> committed at the hub", took.committed)
    print_ms("click -> the terminal's word that it holds it", took.held)
    print_ms("click -> painted on the terminal's screen", took.shown)
    print_ms("bare MQTT with the same TLS, same moments", peer.took_ms)


def _sends(hub: Session, browser: Browser, fleet: Fleet, station: Station, peer: Pair, sends: int) -> Took:
    board = _signed_in(browser, fleet)
    terminal = browser.new_context(viewport=TOUCHSCREEN).new_page()
    terminal.add_init_script(SHOWN)
    terminal.goto(station.screen)
    behind_s = console.ahead_s(terminal)
    ahead_s = console.ahead_s(board)
    took = Took()
    for number in range(sends):
        incident, place = f"bench-{secrets.token_hex(6)}", f"Bench {number + 1:04} Street"
        hub.post("/api/v1/incidents", _opening(incident, place, hub))
        board.locator(f"[data-incident='{incident}']").get_by_role("button", name="Nobody sent").click()
        send = board.get_by_role("button", name=re.compile(f"^Send {CALL_SIGN}"))
        send.wait_for(timeout=WAIT_MS_MAX)
        terminal.evaluate("(place) => { window.benchShown = null; window.benchWanted = place; }", place)
        board.wait_for_timeout(
            LOOK_AT_IT_S * 1000 + 137 * (number % 6)
        )  # so that the looks of the terminal do not fall in step
        send.click()
        peer.publish(time.monotonic())
        terminal.wait_for_function("() => window.benchShown !== null", timeout=WAIT_MS_MAX)
        clicked_s = board.evaluate("() => window.benchClicked") / 1000 - ahead_s
        shown_s = terminal.evaluate("() => window.benchShown") / 1000 - behind_s
        sent = _held(hub, incident)
        took.shown.append((shown_s - clicked_s) * 1000)
        took.committed.append(sent["offered_ms"] - clicked_s * 1000)
        took.held.append(sent["received_ms"] - clicked_s * 1000)
        hub.post(f"/api/v1/assignments/{sent['id']}/release", {"reason": "Crew is done"})
        hub.post(f"/api/v1/incidents/{incident}/close", {"disposition": "evaluated_no_need"})
        until(partial(_can_go, hub), f"{CALL_SIGN} is not available again")
    return took


def _signed_in(browser: Browser, fleet: Fleet) -> Page:
    page = browser.new_context(viewport=console.VIEW, color_scheme="light").new_page()
    page.add_init_script(CLICKED)
    login = fleet.login("dispatcher")
    page.goto(f"{fleet.console}/signin")
    page.get_by_label("Name").fill(login.account)
    page.get_by_label("Password").fill(login.password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_selector("[data-ready]", timeout=console.READY_MS_MAX)
    return page


def _stand(receiver: Receiver, stopping: threading.Event) -> None:
    while not stopping.wait(1.0):
        receiver.say()


def _unit(hub: Session) -> Json:
    return next(unit for unit in hub.json("/api/v1/snapshot")["units"] if unit["call_sign"] == CALL_SIGN)


def _can_go(hub: Session) -> bool:
    unit = _unit(hub)
    return bool(unit["status"] == "available" and unit["position"] and unit["position"]["lat"] is not None)


def _held(hub: Session, incident: str) -> Json:
    """The assignment, once the terminal's word has come."""
    found: list[Json] = []

    def is_held() -> bool:
        found[:] = [one for one in hub.json(f"/api/v1/incidents/{incident}")["assignments"] if one["received_ms"]]
        return bool(found)

    until(is_held, "the terminal does not say that it holds the assignment")
    return found[0]


def _opening(incident: str, place: str, hub: Session) -> dict[str, object]:
    position = _unit(hub)["position"]
    return {
        "id": incident,
        "type": "WELFARE",
        "priority": 2,
        "lat": position["lat"] + 0.004,
        "lon": position["lon"] + 0.004,
        "place": place,
        "problem": "Neighbor has not seen her for four days",
        "cautions": [],
        "need": {"skills": [], "languages": []},
    }


if __name__ == "__main__":
    cli()
