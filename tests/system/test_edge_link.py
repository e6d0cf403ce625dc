"""A terminal as a process, against a real broker: it connects, works on without one, and owes nothing in the end."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import HTTPError

import pytest

from tests.patience import PATIENCE_S
from tests.system.edge_site import (
    Broker,
    Hub,
    Receiver,
    Terminal,
    latest,
    run_command,
    until,
)
from tests.terminal_fleet import TerminalFleet
from wire import topics
from wire.codec import encode
from wire.live import Presence
from wire.records import Record
from wire.state import Roster, Version, seal_snapshot
from wire.topics import State

pytestmark = pytest.mark.system

ROSTER = Roster(agency="Lakeshore CARE", unit="u1", call_sign="CARE-1", staff=())


class Site:
    def __init__(self, home: Path) -> None:
        self.fleet = TerminalFleet()
        self.broker = Broker(home / "broker", self.fleet)
        self.receiver = Receiver()
        self.terminal = Terminal(home / "terminal", self.fleet, self.broker.port, self.receiver.path)
        self.hub: Hub | None = None
        self.versions = 0

    def open_hub(self) -> Hub:
        self.hub = Hub(self.broker, self.fleet, self.terminal.who.key.public_key())
        return self.hub

    def say_roster(self) -> None:
        """A section, which the terminal answers with a record of its ledger."""
        assert self.hub is not None
        self.versions += 1
        public = self.terminal.who.kem.public_key()
        data = seal_snapshot("care-1", "roster", Version(1, self.versions), encode(ROSTER), public, self.fleet.snapshot)
        self.hub.say(topics.text(State("care-1", "roster")), data)

    def close(self) -> None:
        self.terminal.kill()
        if self.hub is not None:
            self.hub.stop()
        self.broker.kill()
        self.receiver.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


def is_saving(site: Site) -> object:
    """What the screen says; None while it says nothing."""
    try:
        return site.terminal.state()["saving"]["is_saving"]
    except HTTPError:
        return None


def ledger_of(hub: Hub, birth: Presence) -> list[Record]:
    (log_id,) = [log.log_id for log in birth.logs if log.name == "ledger"]
    return hub.records.get(log_id, [])


def test_it_is_born_before_it_sends_and_says_goodbye_when_it_stops(site: Site) -> None:
    site.broker.start()
    hub = site.open_hub()
    hub.say_here(True)
    ready_s = site.terminal.start()
    birth = until("a birth", lambda: latest(hub.births))
    assert birth.is_here
    assert [log.name for log in birth.logs] == ["ledger", "trail"]
    site.say_roster()
    until("the answer to the section", lambda: ledger_of(hub, birth))
    until("the receipt", lambda: site.terminal.link()["unsent"] == 0)
    code, took_s = site.terminal.stop()
    print(f"ready after {ready_s:.1f} s, stopped in {took_s:.1f} s")
    assert code == 0
    gone = until("the goodbye", lambda: latest(hub.births))
    assert (gone.is_here, gone.session) == (False, birth.session)


def test_every_fix_that_must_be_told_reaches_the_hub_one_by_one(site: Site, report: Callable[[object], None]) -> None:
    site.broker.start()
    hub = site.open_hub()
    hub.say_here(True)
    site.terminal.start()
    until("a birth", lambda: latest(hub.births))
    took_ms: list[float] = []
    for second in range(12):
        wrote_s = site.receiver.say(39.9 + second / 1000, second)  # 111 m each: every one must be told
        live, came_s = hub.lives.get(timeout=PATIENCE_S)
        while live.fix is None:  # that there is no position yet
            live, came_s = hub.lives.get(timeout=PATIENCE_S)
        took_ms.append((came_s - wrote_s) * 1000)
    report(f"pseudo-terminal to a hub's socket, ms: {[round(ms, 1) for ms in sorted(took_ms)]}")
    until("the trail", lambda: any(record.kind == "trail" for log in hub.records.values() for record in log))


def test_without_a_broker_the_terminal_works_on_and_says_what_is_unsent(site: Site) -> None:
    site.broker.start()
    hub = site.open_hub()
    hub.is_deaf = True
    hub.say_here(True)
    site.terminal.start()
    birth = until("a birth", lambda: latest(hub.births))
    site.say_roster()
    until("something unsent", lambda: site.terminal.link()["unsent"] == 1)
    hub.stop()
    site.broker.kill()
    down = until("the link to be down", lambda: link if (link := site.terminal.link())["link"] == "down" else None)
    assert down["unsent"] == 1
    assert isinstance(down["oldest_ms"], int)
    site.broker.start()
    hub = site.open_hub()
    hub.say_here(True)
    again = until("another birth", lambda: latest(hub.births), 60)
    assert (again.boot, again.session > birth.session) == (birth.boot, True)
    until("what was unsent", lambda: len(ledger_of(hub, again)) == 1)
    until("nothing unsent", lambda: site.terminal.link()["unsent"] == 0)


def test_nothing_is_sent_while_the_hub_is_away(site: Site) -> None:
    site.broker.start()
    hub = site.open_hub()
    hub.say_here(True)
    site.terminal.start()
    birth = until("a birth", lambda: latest(hub.births))
    hub.say_here(False)
    until("the hub to be away", lambda: site.terminal.link()["hub"] is False)
    site.say_roster()
    until("something unsent", lambda: site.terminal.link()["unsent"] == 1)
    assert ledger_of(hub, birth) == []
    hub.say_here(True)
    assert until("a birth for the hub's new life", lambda: latest(hub.births)).session == birth.session
    until("what was unsent", lambda: len(ledger_of(hub, birth)) == 1)


def test_a_killed_terminal_starts_again_with_its_log_and_a_later_session(site: Site) -> None:
    site.broker.start()
    hub = site.open_hub()
    hub.say_here(True)
    site.terminal.start()
    first = until("a birth", lambda: latest(hub.births))
    site.say_roster()
    until("a record", lambda: ledger_of(hub, first))
    site.terminal.kill()
    site.terminal.start()
    second = until("another birth", lambda: latest(hub.births), 30)
    assert [log.log_id for log in second.logs] == [log.log_id for log in first.logs]
    assert second.session > first.session
    site.say_roster()
    until("the next record", lambda: len(ledger_of(hub, second)) == 2)
    assert [record.seq for record in ledger_of(hub, second)] == [1, 2]


def test_a_file_that_somebody_holds_is_done_without_and_what_was_saved_is_still_owed(site: Site) -> None:
    site.broker.start()
    hub = site.open_hub()
    hub.is_deaf = True
    hub.say_here(True)
    site.terminal.start()
    until("a birth", lambda: latest(hub.births))
    site.say_roster()
    until("something unsent", lambda: site.terminal.link()["unsent"] == 1)
    assert site.terminal.stop()[0] == 0
    stranger = sqlite3.connect(site.terminal.home / "ledger.db", isolation_level=None)
    stranger.execute("begin exclusive")  # once a terminal has its file nobody else gets it
    site.terminal.start()
    until("'not saving'", lambda: is_saving(site) is False)
    assert site.terminal.state()["saving"]["why"] == "Not saving: another program holds the files"
    assert site.terminal.link()["unsent"] == 1
    stranger.execute("rollback")
    stranger.close()
    until("it to save again", lambda: is_saving(site))
    assert site.terminal.link()["unsent"] == 1
    hub.is_deaf = False
    until("what is owed", lambda: site.terminal.link()["unsent"] == 0)


def test_it_stops_at_once_while_the_broker_is_away(site: Site) -> None:
    site.terminal.start()
    assert site.terminal.link()["link"] == "down"
    assert site.terminal.stop()[0] == 0


def test_a_second_terminal_on_one_home_is_refused(site: Site) -> None:
    site.terminal.start()
    refused = subprocess.run(run_command(site.terminal.home), capture_output=True, text=True, timeout=PATIENCE_S)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "another tandem-edge" in refused.stderr


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("no home", "is not a folder"),
        ("no settings", "terminal.toml is missing"),
        ("unknown key", "unknown field `colour`"),
        ("not loopback", "not loopback"),
        ("no identity", "tandem-fleet first-boot"),
        ("another's key", "do not belong together"),
        ("port in use", "cannot listen"),
    ],
)
def test_a_terminal_that_is_set_up_wrong_says_so_in_one_sentence(site: Site, fault: str, says: str) -> None:
    home, current = site.terminal.home, site.terminal.home / "identity" / "current"
    settings, in_use = home / "terminal.toml", site.broker
    match fault:
        case "no home":
            home = home / "nowhere"
        case "no settings":
            settings.unlink()
        case "unknown key":
            settings.write_text('[screen]\ncolour = "red"\n')
        case "not loopback":
            settings.write_text('[screen]\nhost = "0.0.0.0"\n')
        case "no identity":
            (current / "enrolled.bin").unlink()
        case "another's key":
            (current / "device.key").write_bytes((current / "kem.key").read_bytes())
        case "port in use":
            in_use.start()
            settings.write_text(f"[screen]\nport = {in_use.port}\n")
    done = subprocess.run(run_command(home), capture_output=True, text=True, timeout=PATIENCE_S)
    sentences = [line for line in done.stderr.splitlines() if not line.startswith("timestamp=")]
    assert (done.returncode, len(sentences)) == (2, 1), done.stderr
    assert says in sentences[0]
    assert done.stdout == ""
