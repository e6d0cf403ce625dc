"""A broker that does not let a terminal send: the record stays, the reason is said to both ends, nothing runs hot."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.edge_site import Hub, latest, until
from tests.system.test_edge_link import Site, ledger_of

pytestmark = pytest.mark.system

ALLOWED = "pattern write tandem/v1/%u/up/#\n"
DENIED = "pattern write tandem/v1/%u/up/presence\npattern write tandem/v1/%u/up/live\n"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


def allow(site: Site, before: str, after: str) -> None:
    """An administrator edits the broker's access list and has it read."""
    file = site.broker.home / "acl"
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))
    out = subprocess.run(["pgrep", "-f", str(site.broker.home / "mosquitto.conf")], capture_output=True, text=True)
    for pid in out.stdout.split():
        subprocess.run(["kill", f"-{signal.SIGHUP.value}", pid], check=False)
    time.sleep(0.5)


def owed(hub: Hub) -> int | None:
    told = latest(hub.lives)
    return None if told is None else told[0].owed


def test_a_denied_record_is_kept_and_told_and_arrives_when_the_mistake_is_mended(
    site: Site, report: Callable[[object], None]
) -> None:
    site.broker.start()
    hub = site.open_hub()
    hub.say_here(True)
    site.terminal.start()
    birth = until("a birth", lambda: latest(hub.births))
    allow(site, ALLOWED, DENIED)
    site.say_roster()
    until("the reason", lambda: "does not let this terminal send" in str(site.terminal.link()["why"]))
    assert site.terminal.link()["unsent"] == 1
    assert ledger_of(hub, birth) == []
    until("the hub to hear of it with a position", lambda: owed(hub), 40.0)
    began_s, began_cpu_s = time.monotonic(), cpu_s(site)
    time.sleep(5.0)
    share = (cpu_s(site) - began_cpu_s) / (time.monotonic() - began_s)
    report(f"denied by the access list: {share:.1%} of one core while it waits")
    assert share < 0.25
    allow(site, DENIED, ALLOWED)
    hub.say_here(True)  # as the hub does when it comes back; without it the terminal tries again after a minute
    until("the record", lambda: ledger_of(hub, birth), 90.0)
    until("the receipt", lambda: site.terminal.link()["unsent"] == 0)
    assert len(ledger_of(hub, birth)) == 1


def cpu_s(site: Site) -> float:
    assert site.terminal.child is not None
    fields = Path(f"/proc/{site.terminal.child.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
