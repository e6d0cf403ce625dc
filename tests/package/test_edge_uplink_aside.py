"""A record that can never be taken steps aside while the log is sent, and what is said again never disturbs what is owed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge import again, outbox, poison
from edge.link import Acknowledged, Closed, Opened, Subscribed
from edge.outbox import LEDGER
from edge.sync import ANSWER_S_MAX, RESEND_S, HubSaid
from edge.twin import TAKEN_OVER
from tests.package.test_edge_uplink import PUBLIC, SIGNER, Desk
from wire.codec import Malformed
from wire.facts import AuditFact
from wire.records import Kind, Record, open_record
from wire.topics import Up


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    for store in made.stores.values():
        store.close()


def sent(desk: Desk) -> list[Record | None]:
    """What went out on the log, None for what nobody could open."""
    found: list[Record | None] = []
    for channel, data, _, _ in desk.sent:
        if channel is Up.LOG:
            try:
                found.append(open_record(data, "care-1", PUBLIC))
            except Malformed:
                found.append(None)
    return found


def large(desk: Desk) -> None:
    fact = AuditFact(what="long", outcome="ok", reason="w" * 60_000)
    desk.stores[LEDGER].do(lambda db: outbox.append(db, SIGNER, desk.clock.stamp(), Kind.AUDIT, fact))
    desk.uplink.wake()
    desk.run()


def test_a_record_that_the_disk_changed_is_replaced_once_no_receipt_has_come_and_the_log_goes_on(desk: Desk) -> None:
    for _ in range(3):
        desk.append()
    desk.stores[LEDGER].do(lambda db: db.execute("update record set data = x'c0ffee' where seq = 2"))
    desk.up()
    assert [None if one is None else one.seq for one in sent(desk)] == [1, None, 3]
    desk.receipt(1)  # the hub cannot take the second
    for mid in range(2, len(desk.sent) + 1):
        desk.uplink.step(Acknowledged(mid, 0))
    before = len(sent(desk))
    desk.now_s += RESEND_S + 1
    desk.uplink.step(None)
    resent = sent(desk)[before:]
    assert [(one.seq, one.kind) for one in resent if one is not None] == [(2, "damaged")]
    desk.receipt(2)
    assert [one.seq for one in sent(desk)[before:] if one is not None] == [2, 3]
    desk.receipt(3)
    assert desk.uplink.state().unsent == 0


def test_what_is_larger_than_the_broker_takes_never_goes_out_whole(desk: Desk) -> None:
    large(desk), desk.append()
    desk.is_connected = True
    for event in (Opened(1, 16 * 1024), Subscribed(), HubSaid(True, 1)):
        desk.uplink.step(event)
    desk.receipt(1)  # without one no more than 16 records go ahead of it
    for mid in range(1, len(desk.sent) + 1):
        desk.uplink.step(Acknowledged(mid, 0))
    desk.run()
    kinds = [(one.seq, one.kind) for one in sent(desk) if one is not None]
    assert kinds[:2] == [(1, "refused"), (2, "audit")]
    assert [kind for _, kind in kinds[2:]] == ["part"] * 15
    assert max(len(data) for channel, data, _, _ in desk.sent if channel is Up.LOG) < 16 * 1024


def test_a_record_that_the_broker_refuses_for_itself_steps_aside_and_is_no_fault_of_the_link(desk: Desk) -> None:
    large(desk)
    desk.up()
    assert [one.kind for one in sent(desk) if one is not None] == ["audit"]
    desk.uplink.step(Acknowledged(len(desk.sent), poison.TOO_LARGE))
    assert desk.uplink.state().why is None
    assert [one.kind for one in sent(desk) if one is not None][1:3] == ["refused", "part"]


def ordered(desk: Desk, count: int) -> None:
    """So many receipted records, all to be said again, and the link that comes."""
    for _ in range(count):
        desk.append()
    desk.receipt(count)
    desk.stores[LEDGER].do(again.begin)
    desk.uplink.say_again()
    desk.run()
    desk.up()


def test_everything_held_is_said_again_behind_what_is_owed_and_goes_on_after_a_cut(desk: Desk) -> None:
    ordered(desk, 40)
    assert desk.records() == list(range(1, 17))
    for mid in range(2, len(desk.sent) + 1):
        desk.uplink.step(Acknowledged(mid, 0))
    assert desk.records() == list(range(1, 33))
    desk.down("cut")
    desk.append()
    desk.up(2)
    assert desk.records()[32:] == [41]  # first what is owed
    desk.uplink.step(Acknowledged(len(desk.sent), 0))
    assert desk.records()[33:] == list(range(17, 33))  # nobody had answered for these
    desk.receipt(41)
    for _ in range(3):
        for mid in range(1, len(desk.sent) + 1):
            desk.uplink.step(Acknowledged(mid, 0))
    assert set(desk.records()) == set(range(1, 42))
    assert desk.stores[LEDGER].do(again.cursors) == {}
    assert desk.uplink.state().unsent == 0


def test_what_is_said_again_goes_on_when_an_answer_is_eaten_on_a_living_connection(desk: Desk) -> None:
    ordered(desk, 20)
    for mid in range(2, len(desk.sent)):  # the last one's answer never comes
        desk.uplink.step(Acknowledged(mid, 0))
    desk.now_s += ANSWER_S_MAX - 1
    desk.uplink.step(None)
    assert desk.records() == list(range(1, 17))
    desk.now_s += 1
    desk.uplink.step(None)
    assert desk.records()[16:] == list(range(1, 17))
    for _ in range(3):
        for mid in range(2, len(desk.sent) + 1):
            desk.uplink.step(Acknowledged(mid, 0))
    assert desk.records()[32:] == list(range(17, 21))
    assert desk.stores[LEDGER].do(again.cursors) == {}


def test_being_thrown_off_by_the_own_name_again_is_shown_and_passes(desk: Desk) -> None:
    for session in (1, 2):
        desk.up(session)
        assert not desk.uplink.state().is_twin
        desk.uplink.step(Closed("the broker ended the connection: Session taken over", TAKEN_OVER))
    assert desk.uplink.state().is_twin
    desk.now_s += 700
    assert not desk.uplink.state().is_twin
