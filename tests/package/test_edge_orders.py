"""An order is obeyed once and answered, whatever the link, the power and a restored hub do to the list."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge import again, answers, downlink, orders, outbox, schema
from edge.clock import Clock
from edge.downlink import Downlink
from edge.identity import Identity
from edge.link import Message
from edge.orders import Obeyed
from edge.outbox import LEDGER, Signer
from edge.store import Store
from tests.terminal_fleet import TerminalFleet
from wire import signature, topics
from wire.codec import Malformed, decode, encode
from wire.facts import OrderDone, StateHeld
from wire.records import Kind, Record
from wire.state import Order, Orders, Snapshot, Version, seal_snapshot
from wire.topics import State

FLEET = TerminalFleet()
KINDS = ("lock", "resend", "wipe")


class Board:
    """A terminal's ledger and downlink; `locks` outlives restarts, as what a person saw does."""

    def __init__(self, home: Path, who: Identity) -> None:
        self.home, self.who = home, who
        self.locks = 0
        self.resends = 0
        self.start()

    def start(self) -> None:
        self.store = Store(self.home / "ledger.db", schema.LEDGER)
        self.down = Downlink(
            downlink.inbox(),
            {LEDGER: self.store},
            self.who,
            Signer(self.who.device, self.who.key),
            Clock(b"b" * 16),
            hub_said=lambda said: None,
            spread=lambda spread_s: None,
            settings=lambda said: None,
            wake=lambda: None,
            refused=lambda: None,
            desk=None,
            ordered=self._ordered,
        )

    def restart(self) -> None:
        self.store.close()
        self.start()

    def hear(self, payload: bytes) -> None:
        self.down.take(Message(topics.text(State(self.who.device, "orders")), payload))

    def answers(self) -> list[tuple[bytes, str]]:
        rows = self.store.do(
            lambda db: [row[0] for row in db.execute("select data from record where kind = 'order_done' order by seq")]
        )
        facts = [decode(decode(signature.payload_of(data), Record).body, OrderDone) for data in rows]
        return [(fact.order, fact.outcome) for fact in facts]

    def _ordered(self, obeyed: Obeyed) -> None:
        self.locks += obeyed.locks
        self.resends += obeyed.resends


@pytest.fixture(scope="module")
def who(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return FLEET.terminal(tmp_path_factory.mktemp("who") / "care-1", "care-1")


@pytest.fixture
def board(tmp_path: Path, who: Identity) -> Iterator[Board]:
    made = Board(tmp_path, who)
    yield made
    made.store.close()


def order(number: int, kind: str = "lock") -> Order:
    return Order(id=bytes([number]) * 16, kind=kind, issued_ms=1_770_000_000_000 + number, by="sam")


def snapshot(who: Identity, version: Version, *listed: Order) -> bytes:
    content = encode(Orders(orders=listed))
    return seal_snapshot(who.device, "orders", version, content, who.kem.public_key(), FLEET.snapshot)


def test_a_lock_is_obeyed_once_and_answered_once_across_restarts_and_repeats(board: Board) -> None:
    first = snapshot(board.who, Version(1, 1), order(1))
    board.hear(first), board.hear(first)
    board.restart()
    board.hear(first)
    board.hear(snapshot(board.who, Version(1, 2), order(1), order(2)))
    assert board.locks == 2
    assert board.answers() == [(order(1).id, "done"), (order(2).id, "done")]


def test_an_order_that_this_program_does_not_know_is_answered_as_such(board: Board) -> None:
    board.hear(snapshot(board.who, Version(1, 1), order(1, "wipe")))
    assert board.answers() == [(order(1).id, "unknown")]
    assert (board.locks, board.resends) == (0, 0)


def test_a_hub_that_was_restored_hears_the_answer_again_and_nothing_is_done_again(board: Board) -> None:
    board.hear(snapshot(board.who, Version(1, 3), order(1)))
    board.hear(snapshot(board.who, Version(2, 1), order(1)))
    assert board.locks == 1
    assert board.answers() == [(order(1).id, "done")] * 2


def test_an_order_that_somebody_else_signed_is_not_obeyed(board: Board) -> None:
    content = encode(Orders(orders=(order(1),)))
    key = ec.generate_private_key(ec.SECP256R1())
    forged = seal_snapshot(board.who.device, "orders", Version(9, 9), content, board.who.kem.public_key(), key)
    with pytest.raises(Malformed):
        board.hear(forged)
    assert board.locks == 0


def test_what_is_to_be_said_again_survives_a_restart(board: Board) -> None:
    board.hear(snapshot(board.who, Version(1, 1), order(1, "resend")))
    board.store.do(lambda db: again.keep(db, LEDGER, 7))
    board.restart()
    assert board.store.do(again.cursors) == {"ledger": 7, "trail": 1}
    assert board.resends == 1


def test_only_so_many_orders_are_remembered_and_the_newest_are(board: Board) -> None:
    signer, stamp = Signer("care-1", board.who.key), Clock(b"b" * 16).stamp()
    many = [
        Order(id=n.to_bytes(16, "big"), kind="x", issued_ms=n, by="sam") for n in range(1, orders.REMEMBERED_MAX + 9)
    ]
    board.store.do(lambda db: orders.fold(db, signer, stamp, Orders(orders=tuple(many)), is_restored=False))
    newest = Orders(orders=tuple(many[-10:]))
    before = board.store.do(outbox.numbers).next
    board.store.do(lambda db: orders.fold(db, signer, stamp, newest, is_restored=False))
    assert board.store.do(outbox.numbers).next == before


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("give"), st.sampled_from(KINDS)),
        st.tuples(st.just("send"), st.just("")),
        st.tuples(st.just("hear"), st.integers(0, 7)),  # any snapshot ever sent: lost, late, doubled, reordered
        st.tuples(st.just("answer"), st.just("")),
        st.tuples(st.just("restart"), st.just("")),
        st.tuples(st.just("restore"), st.integers(0, 7)),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_any_sequence_of_lost_doubled_late_and_restarted_obeys_each_order_once(
    who: Identity, steps: list[tuple[str, object]]
) -> None:
    with TemporaryDirectory() as folder:
        board = Board(Path(folder), who)
        given_orders: list[Order] = []
        answered: set[bytes] = set()
        sent: list[tuple[bytes, tuple[Order, ...]]] = []
        backups: list[frozenset[bytes]] = [frozenset()]
        reached: set[bytes] = set()
        top = Version(0, 0)
        epoch = n = 1
        for what, which in steps:
            match what:
                case "give":
                    given_orders.append(order(len(given_orders) + 1, str(which)))
                case "send":
                    n += 1
                    listed = tuple(one for one in given_orders if one.id not in answered)
                    sent.append((snapshot(who, Version(epoch, n), *listed), listed))
                    backups.append(frozenset(answered))
                case "hear" if sent:
                    payload, listed = sent[int(str(which)) % len(sent)]
                    version = decode_version(payload)
                    board.hear(payload)
                    if version > top:
                        top = version
                        reached |= {one.id for one in listed}
                case "answer":
                    answered |= {one for one, _ in board.answers()}
                case "restart":
                    board.restart()
                case "restore":
                    epoch += 1
                    answered = set(backups[int(str(which)) % len(backups)])
                case _:
                    pass
        known = {one.id: one.kind for one in given_orders}
        assert {one for one, _ in board.answers()} == reached
        assert {one for one, outcome in board.answers() if outcome == "unknown"} == {
            one for one in reached if known[one] == "wipe"
        }
        asked = board.store.do(lambda db: db.execute("select count(*) from fact where name like 'order:%'").fetchone())
        assert asked == (len(reached),)
        assert board.locks <= sum(known[one] == "lock" for one in reached)
        assert bool(board.locks) == any(known[one] == "lock" for one in reached)
        board.store.close()


def decode_version(payload: bytes) -> Version:
    return decode(signature.payload_of(payload), Snapshot).version


def test_the_answer_is_owed_like_any_record(board: Board) -> None:
    board.hear(snapshot(board.who, Version(1, 1), order(1)))
    kinds = board.store.do(lambda db: [row[0] for row in db.execute("select kind from record order by seq")])
    assert sorted(kinds) == [str(Kind.ORDER_DONE), str(Kind.STATE_HELD)]


def test_an_answer_that_the_disk_has_spoiled_is_owed_anew_and_nothing_is_done_again(board: Board) -> None:
    board.hear(snapshot(board.who, Version(1, 1), order(1), order(2, "wipe")))
    told = board.answers()
    signer, stamp = Signer(board.who.device, board.who.key), Clock(b"b" * 16).stamp()
    board.store.do(lambda db: answers.owe_again(db, board.who.kem, signer, stamp, Kind.ORDER_DONE))
    assert board.answers() == told * 2 == [(order(1).id, "done"), (order(2).id, "unknown")] * 2
    board.store.do(lambda db: answers.owe_again(db, board.who.kem, signer, stamp, Kind.AUDIT))
    assert (board.locks, len(board.answers())) == (1, 4)


def test_what_is_held_is_said_anew_when_the_disk_has_spoiled_the_word_of_it(board: Board) -> None:
    board.hear(snapshot(board.who, Version(1, 4), order(1)))
    signer, stamp = Signer(board.who.device, board.who.key), Clock(b"b" * 16).stamp()
    board.store.do(lambda db: answers.owe_again(db, board.who.kem, signer, stamp, Kind.STATE_HELD))
    rows = board.store.do(lambda db: db.execute("select data from record where kind = 'state_held'").fetchall())
    said = [decode(decode(signature.payload_of(data), Record).body, StateHeld) for (data,) in rows]
    assert said == [StateHeld(section="orders", epoch=1, n=4)] * 2
