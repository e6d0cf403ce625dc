"""When which record may be sent: after the birth, in a window, from the lowest owed again when receipts do not come."""

from __future__ import annotations

from random import Random

import pytest

from edge.share import FIRST_BYTES, WINDOW_BYTES
from edge.sync import (
    AHEAD_RECORDS,
    AHEAD_RECORDS_MAX,
    ANSWER_S_MAX,
    NO_SUBSCRIBER,
    REFUSED_PAUSE_S,
    RESEND_S,
    RESEND_S_MAX,
    WINDOW_RECORDS,
    HubSaid,
    Sync,
)

LOGS = ("ledger", "trail")
SIZE = 300


class Sender:
    """Does what the uplink does, and remembers what it sent."""

    def __init__(self, ledger: int = 0, trail: int = 0, seed: int = 1) -> None:
        self.sync = Sync(LOGS, Random(seed))
        self.now_s = 0.0
        self.size = SIZE
        self.sent: list[tuple[str, int]] = []
        self.sync.log_at("ledger", 1, ledger + 1, 1, 0)
        self.sync.log_at("trail", 1, trail + 1, 1, 0)

    def up(self) -> Sender:
        self.sync.gone()
        self.sync.connected()
        self.sync.hub(HubSaid(True, 1), is_new=False)
        assert self.sync.is_birth_due
        self.sync.born(self.now_s)
        return self

    def send(self) -> list[tuple[str, int]]:
        """What goes out now."""
        before = len(self.sent)
        while (want := self.sync.want(self.now_s)) is not None:
            size = 0
            for seq in range(want.first, want.first + want.records_max):
                size += self.size
                if size > want.bytes_max and seq > want.first:
                    break
                self.sync.sent(want.log, seq, self.size, self.now_s)
                self.sent.append((want.log, seq))
        return self.sent[before:]

    def answer(self, *sent: tuple[str, int], reason: int = 0) -> None:
        for log, seq in sent:
            self.sync.acknowledged(log, seq, reason, self.now_s)

    def drain(self) -> None:
        while batch := self.send():
            self.answer(*batch)

    def receipted(self, through: int, last: int, log: str = "ledger") -> None:
        self.sync.log_at(log, through + 1, last + 1, 1, self.now_s)

    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        self.sync.tick(self.now_s)


def ledger(*seqs: int) -> list[tuple[str, int]]:
    return [("ledger", seq) for seq in seqs]


def test_a_terminal_that_saves_nothing_sends_nothing_but_its_birth() -> None:
    sync = Sync((), Random(1))
    sync.connected()
    sync.hub(HubSaid(True, 1), is_new=False)
    assert sync.is_birth_due
    sync.born(0.0)
    assert sync.is_flowing
    assert sync.want(0.0) is None
    assert sync.wait_s(0.0) is None


@pytest.mark.parametrize("missing", ["subscription", "hub", "birth"])
def test_nothing_is_sent_before_subscription_hub_and_birth(missing: str) -> None:
    sender = Sender(ledger=1)
    if missing != "subscription":
        sender.sync.connected()
    if missing != "hub":
        sender.sync.hub(HubSaid(True, 1), is_new=False)
    if missing != "birth":
        sender.sync.born(sender.now_s)
    assert sender.send() == []


def test_a_birth_is_due_once_for_each_connection_and_for_each_life_of_the_hub() -> None:
    sender = Sender().up()
    assert not sender.sync.is_birth_due
    sender.sync.hub(HubSaid(True, 1), is_new=False)
    assert not sender.sync.is_birth_due
    sender.sync.hub(HubSaid(True, 1), is_new=True)
    assert sender.sync.is_birth_due
    sender.sync.born(sender.now_s)
    sender.sync.gone()
    assert not sender.sync.is_birth_due
    sender.sync.connected()
    assert sender.sync.is_birth_due


def test_the_window_is_sixteen_records_and_an_answer_opens_one_place() -> None:
    sender = Sender(ledger=40).up()
    assert sender.send() == ledger(*range(1, WINDOW_RECORDS + 1))
    assert sender.send() == []
    sender.receipted(16, 40)  # the broker has not answered any of them yet
    assert sender.send() == []
    sender.answer(("ledger", 7))
    assert sender.send() == ledger(17)


def test_the_window_is_also_so_many_bytes() -> None:
    sender = Sender(ledger=40).up()
    sender.size = FIRST_BYTES // 4
    assert sender.send() == ledger(1, 2, 3, 4)
    sender.answer(("ledger", 1), ("ledger", 2))  # at once: the link is fast
    sender.size = WINDOW_BYTES // 4
    assert sender.send() == ledger(5, 6, 7, 8)


def test_a_record_larger_than_the_window_goes_alone() -> None:
    sender = Sender(ledger=3).up()
    sender.size = 4 * WINDOW_BYTES
    assert sender.send() == ledger(1)
    sender.answer(("ledger", 1))
    assert sender.send() == ledger(2)


def test_the_ledger_goes_before_the_trail_and_does_not_wait_for_it() -> None:
    sender = Sender(ledger=2, trail=20).up()
    assert sender.send()[:3] == [*ledger(1, 2), ("trail", 1)]
    sender.sync.log_at("ledger", 1, 4, 1, 0)
    sender.answer(("trail", 1))
    assert sender.send() == ledger(3)


def test_a_trail_that_is_not_receipted_does_not_hold_up_the_ledger_nor_the_other_way_round() -> None:
    sender = Sender(ledger=1000, trail=1000).up()
    sender.drain()
    assert max(seq for log, seq in sender.sent if log == "ledger") == AHEAD_RECORDS
    assert max(seq for log, seq in sender.sent if log == "trail") == AHEAD_RECORDS


def test_an_answer_of_the_broker_ends_no_debt() -> None:
    sender = Sender(ledger=3).up()
    sender.drain()
    sender.wait(RESEND_S)
    assert sender.send() == ledger(1)
    sender.receipted(1, 3)
    assert sender.send() == ledger(2, 3)


def test_a_hub_that_hangs_is_asked_with_one_record_at_a_time() -> None:
    """Else the broker holds a window more of every terminal for each thirty seconds that it hangs."""
    sender = Sender(ledger=100, trail=100).up()
    sender.drain()
    assert len(sender.sent) == 2 * AHEAD_RECORDS
    for _ in range(5):
        sender.wait(RESEND_S_MAX)
        sender.drain()
    assert len(sender.sent) == 2 * (AHEAD_RECORDS + 5)


def test_each_receipt_of_a_backlog_opens_twice_as_much() -> None:
    sender = Sender(ledger=1000).up()
    ahead = []
    for through in range(6):
        sender.drain()
        ahead.append(max(seq for _, seq in sender.sent) - through)
        sender.receipted(through + 1, 1000)
    assert ahead == [16, 32, 64, 128, AHEAD_RECORDS_MAX, AHEAD_RECORDS_MAX]


def test_it_is_sent_again_from_the_lowest_owed_after_thirty_seconds_without_a_receipt() -> None:
    sender = Sender(ledger=5).up()
    sender.drain()
    sender.wait(20)
    sender.sync.log_at("ledger", 3, 6, 1, sender.now_s)  # a receipt: the thirty seconds begin anew
    sender.wait(29.9)
    assert sender.send() == []
    sender.wait(0.1)
    assert sender.send() == ledger(3)


def test_resending_slows_down_to_ten_minutes_at_most_and_a_receipt_ends_that() -> None:
    waits: list[float] = []
    sender = Sender(ledger=5, seed=3).up()
    for _ in range(200):
        sender.drain()
        wait_s = sender.sync.wait_s(sender.now_s)
        assert wait_s is not None
        waits.append(wait_s)
        sender.wait(wait_s)
    assert waits[0] == RESEND_S
    assert min(waits) >= 1.0
    assert max(waits) <= RESEND_S_MAX
    assert max(waits[20:]) > RESEND_S_MAX * 0.9, "full jitter up to the cap"
    sender.drain()
    sender.receipted(1, 5)
    assert sender.send() == ledger(2, 3, 4, 5)
    assert sender.sync.wait_s(sender.now_s) == RESEND_S


def test_days_without_a_receipt_do_no_harm() -> None:
    sender = Sender(ledger=1).up()
    for _ in range(5000):
        sender.drain()
        sender.wait(RESEND_S_MAX)
    assert sender.send() == ledger(1)


def test_nothing_waits_when_everything_is_receipted() -> None:
    sender = Sender(ledger=5).up()
    sender.drain()
    sender.sync.log_at("ledger", 6, 6, 1, sender.now_s)
    assert sender.sync.wait_s(sender.now_s) is None


def test_what_is_on_its_way_on_this_connection_is_not_sent_twice() -> None:
    sender = Sender(ledger=5).up()
    sender.send()
    sender.answer(("ledger", 2), ("ledger", 4))
    sender.wait(RESEND_S)
    assert sender.send() == [], "the lowest is still on its way"
    sender.receipted(1, 5)
    assert sender.send() == ledger(2, 4)


def test_what_was_on_its_way_when_the_hub_restarted_goes_again_if_no_receipt_comes() -> None:
    sender = Sender(ledger=3).up()
    sent = sender.send()
    sender.sync.hub(HubSaid(True, 1), is_new=True)
    sender.sync.born(sender.now_s)
    assert sender.send() == []
    sender.answer(*sent)  # the broker had them, and lost them with the hub's session
    assert sender.send() == []
    sender.wait(RESEND_S)
    assert sender.send() == ledger(1)


def test_a_new_connection_begins_at_the_lowest_owed() -> None:
    sender = Sender(ledger=5).up()
    sender.send()
    sender.sync.log_at("ledger", 3, 6, 1, 0)
    sender.up()
    assert sender.send() == ledger(3, 4, 5)


def test_an_answer_that_belongs_to_an_old_connection_changes_nothing() -> None:
    sender = Sender(ledger=1).up()
    sender.send()
    sender.sync.gone()
    sender.answer(("ledger", 1), reason=0x87)
    sender.up()
    assert sender.sync.refused is None
    assert sender.send() == ledger(1)


@pytest.mark.parametrize("reason", [NO_SUBSCRIBER, 0x80, 0x87, 0x97])
def test_a_refusal_stops_sending_for_a_minute(reason: int) -> None:
    sender = Sender(ledger=40).up()
    first = sender.send()
    sender.answer(first[0], reason=reason)
    sender.answer(*first[1:])
    assert sender.send() == []
    assert sender.sync.refused == reason
    sender.wait(REFUSED_PAUSE_S)
    assert sender.sync.refused is None
    assert sender.send()[0] == ("ledger", 1)


def test_a_refusal_ends_with_the_next_word_of_the_hub() -> None:
    sender = Sender(ledger=1).up()
    sender.answer(*sender.send(), reason=NO_SUBSCRIBER)
    sender.sync.hub(HubSaid(True, 1), is_new=False)
    assert sender.send() == ledger(1)


def test_a_hub_that_comes_back_gets_everything_owed_at_once() -> None:
    sender = Sender(ledger=3).up()
    sender.drain()
    sender.sync.hub(HubSaid(False, 1), is_new=False)
    sender.sync.hub(HubSaid(True, 1), is_new=True)
    sender.sync.born(sender.now_s)
    assert sender.send() == ledger(1, 2, 3)


def test_a_hub_that_restarted_unseen_gets_everything_owed_at_once() -> None:
    sender = Sender(ledger=3).up()
    sender.drain()
    sender.sync.hub(HubSaid(True, 1), is_new=True)
    sender.sync.born(sender.now_s)
    assert sender.send() == ledger(1, 2, 3)


def test_nothing_is_sent_to_a_hub_that_is_away_however_long() -> None:
    sender = Sender(ledger=3).up()
    sender.drain()
    sender.sync.hub(HubSaid(False, 1), is_new=False)
    sender.sync.log_at("ledger", 1, 5, 1, 0)
    assert sender.send() == []
    sender.wait(1000)
    assert sender.send() == []


def test_a_hub_that_was_restored_gets_again_what_it_lost() -> None:
    sender = Sender(ledger=6).up()
    sender.drain()
    sender.sync.log_at("ledger", 7, 7, 1, 0)
    sender.sync.log_at("ledger", 3, 7, 1, 0)
    assert sender.send() == ledger(3, 4, 5, 6)


def unanswered(epoch: int) -> Sender:
    """Born to a hub of this epoch, which has answered epoch 1 before; everything was receipted then."""
    sender = Sender(ledger=3)
    for log in LOGS:
        sender.sync.log_at(log, 4, 4, 1, 0)
    sender.sync.connected()
    sender.sync.hub(HubSaid(True, epoch), is_new=False)
    sender.sync.born(sender.now_s)
    return sender


def test_a_birth_that_a_restored_hub_does_not_answer_is_said_again() -> None:
    sender = unanswered(epoch=2)
    waits: list[float] = []
    for _ in range(50):
        wait_s = sender.sync.wait_s(sender.now_s)
        assert wait_s is not None
        waits.append(wait_s)
        sender.wait(wait_s)
        assert sender.sync.is_birth_due
        sender.sync.born(sender.now_s)
    assert waits[0] == RESEND_S
    assert min(waits) >= 1.0
    assert max(waits) <= RESEND_S_MAX


def test_a_birth_is_answered_by_a_receipt_for_every_log() -> None:
    sender = unanswered(epoch=2)
    sender.sync.log_at("ledger", 2, 4, 2, 0)
    sender.wait(RESEND_S)
    assert sender.sync.is_birth_due
    sender.sync.born(sender.now_s)
    sender.sync.log_at("trail", 4, 4, 2, sender.now_s)
    sender.wait(RESEND_S_MAX)
    assert not sender.sync.is_birth_due


def test_a_birth_to_a_hub_that_has_answered_before_is_said_once() -> None:
    sender = unanswered(epoch=1)
    sender.wait(RESEND_S_MAX)
    assert not sender.sync.is_birth_due
    assert sender.sync.wait_s(sender.now_s) is None


def test_a_hub_that_waits_for_what_is_gone_is_told_by_a_birth_until_it_answers() -> None:
    """A full disk let go of it after the birth to a restored hub, which then answered that it lacks it."""
    sender = unanswered(epoch=2)
    sender.sync.log_at("ledger", 2, 4, 2, 0)
    sender.sync.log_at("trail", 93, 249, 2, 0, is_cut_off=True)
    assert sender.sync.is_birth_due, "at once"
    sender.sync.born(sender.now_s)
    for _ in range(3):
        wait_s = sender.sync.wait_s(sender.now_s)
        assert wait_s is not None and wait_s <= RESEND_S_MAX
        sender.wait(wait_s)
        sender.sync.log_at("trail", 93, 249, 2, sender.now_s, is_cut_off=True)
        assert sender.sync.is_birth_due, "the one before was eaten"
        sender.sync.born(sender.now_s)
    sender.sync.log_at("trail", 93, 249, 2, sender.now_s)
    sender.wait(RESEND_S_MAX)
    assert not sender.sync.is_birth_due


def test_a_record_that_was_eaten_with_its_answer_goes_again_on_the_same_connection() -> None:
    sender = Sender(ledger=1).up()
    assert sender.send() == [("ledger", 1)]
    sender.now_s += ANSWER_S_MAX
    sender.sync.tick(sender.now_s)
    assert sender.send() == [("ledger", 1)]


def test_answers_that_never_come_do_not_close_the_window_for_good() -> None:
    sender = Sender(ledger=WINDOW_RECORDS + 1).up()
    assert len(sender.send()) == WINDOW_RECORDS
    sender.sync.log_at("ledger", WINDOW_RECORDS + 1, WINDOW_RECORDS + 2, 1, sender.now_s)  # all receipted
    sender.now_s += ANSWER_S_MAX - 1
    sender.sync.tick(sender.now_s)
    assert sender.send() == []
    sender.now_s += 1
    sender.sync.tick(sender.now_s)
    assert sender.send() == [("ledger", WINDOW_RECORDS + 1)]


def on_a_slow_link(sender: Sender) -> None:
    """Until the share of the backlog is used up: a record takes 70 ms on the air."""
    for _ in range(100):
        sent = sender.send()
        if not sent:
            return
        for one in sent:
            sender.now_s += 0.07
            sender.answer(one)
    raise AssertionError("the backlog is never held back")


def test_a_backlog_on_a_slow_link_rests_and_goes_on_by_itself() -> None:
    sender = Sender(trail=AHEAD_RECORDS).up()
    sender.size = 3000
    on_a_slow_link(sender)
    wait_s = sender.sync.wait_s(sender.now_s)
    assert wait_s is not None
    assert 0 < wait_s < 5
    sender.wait(wait_s)
    assert sender.send() != []


def test_what_a_person_has_just_done_does_not_wait_for_the_backlogs_share() -> None:
    sender = Sender(ledger=2, trail=AHEAD_RECORDS).up()
    on_a_slow_link(sender)
    sender.sync.log_at("ledger", 1, 4, 1, sender.now_s)
    assert sender.send() == ledger(3)


def test_what_a_person_has_just_done_finds_a_place_in_a_window_full_of_backlog() -> None:
    sender = Sender(trail=AHEAD_RECORDS).up()
    assert len(sender.send()) == WINDOW_RECORDS
    sender.sync.log_at("ledger", 1, 2, 1, sender.now_s)
    assert sender.send() == ledger(1)


def test_a_new_trail_record_is_no_more_urgent_than_the_others() -> None:
    sender = Sender(trail=AHEAD_RECORDS - 1).up()
    sender.size = 3000
    on_a_slow_link(sender)
    sender.sync.log_at("trail", 1, AHEAD_RECORDS + 1, 1, sender.now_s)
    assert sender.send() == []
