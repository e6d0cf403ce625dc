"""A real terminal whose files a disk has damaged starts by itself, and what it owed arrives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from edge import outbox, schema
from edge.outbox import Signer
from edge.store import Store
from tests.system.edge_site import DEVICE, Hub, until
from tests.system.test_edge_link import Site
from wire.codec import decode
from wire.facts import AuditFact, LedgerDamaged
from wire.records import Kind, Record, open_record
from wire.stamp import Stamp

pytestmark = pytest.mark.system

STAMP = Stamp(boot=b"b" * 16, mono_ms=5, wall_ms=1_789_000_000_000, quality="gps")
RECORDS = 40


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


def owe(site: Site) -> None:
    """A ledger full of what the hub does not have."""
    store = Store(site.terminal.home / "ledger.db", schema.LEDGER)
    signer = Signer(DEVICE, site.terminal.who.key)
    for number in range(RECORDS):
        fact = AuditFact(what=f"deed {number} " + "x" * 300, outcome="ok")
        store.do(lambda db, fact=fact: outbox.append(db, signer, STAMP, Kind.AUDIT, fact))  # type: ignore[misc]
    store.close()


def salvaged(hub: Hub) -> list[Record]:
    return [record for log in list(hub.records.values()) for record in list(log) if record.kind == Kind.SALVAGED]


@pytest.mark.parametrize("what", ["header", "zeros", "page"])
def test_a_terminal_with_a_damaged_ledger_starts_and_says_what_is_lost(site: Site, what: str) -> None:
    owe(site)
    path = site.terminal.home / "ledger.db"
    data = bytearray(path.read_bytes())
    if what == "header":
        data[:100] = bytes(100)
    elif what == "zeros":
        data = bytearray(len(data))
    else:
        data[-4096:] = b"\xa5" * 4096
    path.write_bytes(data)
    site.broker.start()
    hub = site.open_hub()
    hub.say_here(True)
    site.terminal.start()
    first = until("the word about the damage", lambda: _said(hub))
    came = sum(last - begin + 1 for begin, last in first.salvaged)
    assert came == {"header": RECORDS, "zeros": 0}.get(what, came)
    until("what was salvaged", lambda: len(salvaged(hub)) == came or None)
    public = site.terminal.who.key.public_key()
    numbers = [open_record(record.body, DEVICE, public).seq for record in salvaged(hub)]
    assert len(set(numbers)) == came
    with urlopen(f"http://127.0.0.1:{site.terminal.screen_port}/", timeout=10) as page:
        assert "Disk damaged" in page.read().decode()
    assert site.terminal.stop()[0] == 0


def _said(hub: Hub) -> LedgerDamaged | None:
    for log in list(hub.records.values()):
        for record in list(log):
            if record.kind == Kind.LEDGER_DAMAGED:
                return decode(record.body, LedgerDamaged)
    return None
