"""What the hub's process does when its database is locked, full or gone, and when it dies at the worst moment.

Whatever it is: no receipt and no acknowledgement for what is not on the disk, and once it is mended every record is
there once.
"""

from __future__ import annotations

import contextlib
import resource
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator
from queue import Empty

import pytest

from hub.store import DATABASE_FILE
from tests.hub_agency import Terminal
from tests.system import dying_hub
from tests.system.test_hub_ingest import Hub, Wire, pressed, reconnect, until
from wire.topics import Receipts, text

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("hub-faults")]

FULL_BYTES = 64 * 1024
NO_LIMIT = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


@pytest.fixture(scope="module")
def one() -> Terminal:
    return Terminal("d-one", "u1")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, one: Terminal) -> Iterator[Hub]:
    made = Hub(tmp_path_factory.mktemp("hub"))
    made.enroll(one)
    made.start()
    yield made
    if made.process is not None:
        made.stop()


@pytest.fixture
def wire(hub: Hub, one: Terminal) -> Iterator[Wire]:
    made = hub.connect(one)
    made.born()
    made.receipt(one.seq, hub)
    yield made
    made.close()


def said(hub: Hub) -> int:
    """How often the hub has said that its database takes nothing."""
    return (hub.home.parent / "hub.log").read_text().count("the database does not take records")


def is_silent(wire: Wire, seconds: float) -> bool:
    """Whether no receipt comes for so long."""
    end_s = time.monotonic() + seconds
    while (left_s := end_s - time.monotonic()) > 0:
        try:
            message = wire.messages.get(timeout=left_s)
        except Empty:
            return True
        if message.topic == text(Receipts(wire.terminal.device)):
            return False
    return True


def is_stored_once(hub: Hub, one: Terminal) -> bool:
    return hub.rows("select seq from record where device = 'd-one' order by id") == [(n + 1,) for n in range(one.seq)]


def test_a_locked_database_gives_no_receipt_until_it_is_free(hub: Hub, wire: Wire, one: Terminal) -> None:
    before = said(hub)
    with contextlib.closing(sqlite3.connect(hub.home / DATABASE_FILE, isolation_level=None)) as stranger:
        stranger.execute("begin immediate")
        wire.send(pressed(one, "available"))
        until("the hub to notice", lambda: said(hub) > before)
        assert is_silent(wire, 1.0)
        stranger.execute("rollback")
    wire.receipt(one.seq, hub)
    assert is_stored_once(hub, one)


def test_a_disk_that_takes_nothing_more_gives_no_receipt_until_it_has_room(hub: Hub, wire: Wire, one: Terminal) -> None:
    assert hub.process is not None
    before = said(hub)
    resource.prlimit(hub.process.pid, resource.RLIMIT_FSIZE, (FULL_BYTES, resource.RLIM_INFINITY))
    try:
        wire.send(one.record("weather", bytes(3 * FULL_BYTES)))
        until("the hub to notice", lambda: said(hub) > before)
        assert is_silent(wire, 1.0)
    finally:
        resource.prlimit(hub.process.pid, resource.RLIMIT_FSIZE, NO_LIMIT)
    wire.receipt(one.seq, hub)
    assert is_stored_once(hub, one)


def test_a_database_that_was_moved_away_gives_no_receipt_until_it_is_back(hub: Hub, wire: Wire, one: Terminal) -> None:
    before = said(hub)
    file, aside = hub.home / DATABASE_FILE, hub.home / "aside.db"
    file.rename(aside)
    wire.send(pressed(one, "break"))
    until("the hub to notice", lambda: said(hub) > before)
    assert is_silent(wire, 1.0)
    aside.rename(file)
    wire.receipt(one.seq, hub)
    assert is_stored_once(hub, one)


def test_a_hub_killed_between_a_commit_and_its_receipt_holds_the_record_once(hub: Hub, one: Terminal) -> None:
    hub.stop()
    hub.start([sys.executable, "-m", dying_hub.__name__])
    wire = hub.connect(one)
    wire.born()
    wire.receipt(one.seq, hub)
    (hub.home / dying_hub.DIE).touch()
    sent = pressed(one, "available")
    wire.client.publish(sent.topic, sent.payload, qos=1)
    assert hub.process is not None
    until("its death", lambda: hub.process is not None and hub.process.poll() is not None)
    assert hub.stop()[0] == -signal.SIGKILL
    wire.client.loop_stop()
    assert is_stored_once(hub, one)  # committed, and nobody was told
    (hub.home / dying_hub.DIE).unlink()
    hub.start()
    again = until("a way back", lambda: reconnect(hub, one))
    try:
        again.born()
        again.send(sent)
        again.receipt(one.seq, hub)
    finally:
        again.close()
    assert is_stored_once(hub, one)


def test_a_second_hub_is_refused_and_the_first_goes_on(hub: Hub, wire: Wire, one: Terminal) -> None:
    second = hub.command("serve")
    assert second.returncode == 2
    assert second.stderr == f"tandem-hub: another tandem-hub is using {hub.home}; stop it first\n"
    wire.send(pressed(one, "break"))
    wire.receipt(one.seq, hub)
    assert is_stored_once(hub, one)
