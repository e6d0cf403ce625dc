"""When which record may be sent. No clock, no chance, no socket and no SQL of its own: everything comes as an argument.

The broker is a lossy relay: its acknowledgement only frees a place in the window. A record is owed until the hub's
receipt covers it, and what is owed goes again, from the lowest, when receipts stop coming.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from msgspec import Struct

from edge.share import WINDOW_BYTES, Share

WINDOW_RECORDS = 16  # and so many bytes as `edge.share` finds right: a record may begin while less is open
AHEAD_RECORDS = (
    WINDOW_RECORDS  # beyond the receipt, to begin with: what a hub that hangs makes the broker hold of one log
)
AHEAD_RECORDS_MAX = 256  # once receipts come: each doubles it, so that a backlog does not wait for one after the other
RESEND_S = 30.0
RESEND_S_MAX = 600.0
RESEND_S_MIN = 1.0
TRIES_MAX = 16  # far beyond the cap; without a bound days of doubling would leave the range of a float
REFUSED_PAUSE_S = 60.0
ANSWER_S_MAX = 60.0  # a whole window and one large record pass 64 kbit/s in 40 s; what is unanswered then was eaten
NO_SUBSCRIBER = 0x10  # the broker took it and had nobody to give it to
REFUSED = 0x80


class Want(Struct, frozen=True, kw_only=True):
    """Send records of `log` from `first` on, at most this many."""

    log: str
    first: int
    records_max: int
    bytes_max: int


class HubSaid(Struct, frozen=True):
    """The hub's verified word on whether it listens, and in which of its lives."""

    is_here: bool
    epoch: int


class _Open(Struct, frozen=True):
    size: int
    sent_s: float


class _Log:
    def __init__(self) -> None:
        self.lowest_owed = 1
        self.next = 1
        self.cursor = 1  # the next to send; everything owed below it has been sent and not receipted
        self.epoch = 0  # of the hub's last receipt for this log
        self.tries = 0
        self.resend_s: float | None = None
        self.ahead = AHEAD_RECORDS
        self.is_cut_off = False  # the hub lacks what is not held here any more
        self.hot = 1  # everything below was owed when the connection began; what comes after, somebody may wait for

    @property
    def is_waiting(self) -> bool:
        return self.cursor > self.lowest_owed

    def passed(self, seq: int, now_s: float) -> None:
        """`seq` is on its way; if no receipt comes, it goes again."""
        self.cursor = seq + 1
        if self.resend_s is None:
            self.resend_s = now_s + RESEND_S

    def rewind(self) -> None:
        self.cursor = self.lowest_owed
        self.ahead = AHEAD_RECORDS
        self.resend_s = None

    def receipted(self, now_s: float) -> None:
        """The hub lives, and may be trusted with more at a time; when nothing is on its way trust begins anew."""
        self.tries = 0
        self.cursor = max(self.cursor, self.lowest_owed)
        self.ahead = min(AHEAD_RECORDS_MAX, 2 * self.ahead) if self.is_waiting else AHEAD_RECORDS
        self.resend_s = now_s + RESEND_S if self.is_waiting else None

    def doubted(self, again_s: float) -> None:
        """No receipt came: one record asks for it, because the broker may still hold all that was sent before."""
        self.tries = min(self.tries + 1, TRIES_MAX)
        self.cursor = self.lowest_owed
        self.ahead = 1
        self.resend_s = again_s


class Sync:
    """The sending of one terminal's logs, the first of `logs` before the next wherever both have something to send.

    What was owed before keeps to its share of the uplink. The first log's newest, until they are sent, do not: they are
    what a person has just done, and go as fast as the window lets them.
    """

    def __init__(self, logs: Sequence[str], chance: Random) -> None:
        self._logs = {name: _Log() for name in logs}
        self._urgent = logs[0] if logs else ""  # a terminal that cannot save has none to send
        self._share = Share()
        self._is_held_back = False
        self._chance = chance
        self._open: dict[tuple[str, int], _Open] = {}  # sent and not acknowledged by the broker
        self._is_connected = False
        self._is_hub_here = False
        self._is_born = False
        self._epoch = 0  # of the hub that listens
        self._births = 0  # that this connection has said in vain
        self._birth_s = 0.0  # when to say it again, if it stays unanswered
        self._refused: int | None = None
        self._paused_until_s: float | None = None

    @property
    def is_birth_due(self) -> bool:
        """Whether a birth must go out before anything else."""
        return self._is_connected and not self._is_born

    @property
    def is_flowing(self) -> bool:
        """Whether what is sent now would reach a hub that listens."""
        return self._is_connected and self._is_born and self._is_hub_here

    @property
    def is_idle(self) -> bool:
        """Whether a hub listens and nothing is on its way to it."""
        return self.is_flowing and self._paused_until_s is None and not self._open

    @property
    def refused(self) -> int | None:
        """The broker's reason for refusing records, while sending is paused for it."""
        return self._refused

    def gone(self) -> None:
        """There is no connection, or a new one: whatever an old one had open is forgotten, it may have been lost."""
        self._open.clear()
        self._is_connected = self._is_hub_here = self._is_born = False
        self._births = 0
        self._share.gone()
        self._rewind()
        self._resume()

    def connected(self) -> None:
        """The connection has its subscription."""
        self._is_connected = True

    def born(self, now_s: float) -> None:
        """The birth has been sent. The hub answers with a receipt for each log; without them it is sent again."""
        self._is_born = True
        self._birth_s = now_s + self._patience_s(self._births)
        self._births = min(self._births + 1, TRIES_MAX)

    def bear_again(self) -> None:
        """The hub shall know that this terminal is here: one that says nothing by itself is gone to a hub that was cut off
        from the broker for a moment, and would be sent nothing."""
        self._is_born = False
        self._births = 0

    def hub(self, said: HubSaid, is_new: bool) -> None:
        """The hub has said whether it listens; `is_new` when it is another life of it than the one we were born to.

        It comes back with whatever it had stored before, so sending begins again at the lowest owed.
        """
        is_here = said.is_here
        came_back = is_here and (is_new or not self._is_hub_here)
        self._is_hub_here, self._epoch = is_here, said.epoch
        if came_back and is_new:
            self._is_born = False
            self._births = 0
        if came_back or not is_here:
            self._rewind()
        if is_here:
            self._resume()

    def log_at(
        self, log: str, lowest_owed: int, upcoming: int, epoch: int, now_s: float, *, is_cut_off: bool = False
    ) -> None:
        """`log` was read: from where it is owed, the number the next record will take, the epoch of its receipt, and
        whether the hub lacks what is not held any more.

        A full disk lets go of what a hub has receipted. When that happens between the birth to a restored hub and its
        answer, the birth promised records that are gone, and the hub would wait for them until the next one.
        """
        state = self._logs[log]
        state.epoch = epoch
        if is_cut_off and not state.is_cut_off:
            self.bear_again()
        state.is_cut_off = is_cut_off
        if upcoming > state.next and self.is_flowing:
            state.hot = upcoming
        before, state.lowest_owed, state.next = state.lowest_owed, lowest_owed, upcoming
        if lowest_owed < before:  # the hub was restored: what it lost is owed again
            state.tries = 0
            state.rewind()
        elif lowest_owed > before:
            state.receipted(now_s)

    def want(self, now_s: float) -> Want | None:
        """What to send next; None when there is nothing, or it may not be sent now."""
        self._is_held_back = False
        if not self.is_flowing or self._paused_until_s is not None:
            return None
        for name, log in self._logs.items():
            is_urgent = name == self._urgent and log.cursor < log.hot
            records, size = self._room(is_urgent)
            if records <= 0 or size <= 0:
                continue
            while (name, log.cursor) in self._open:  # on its way on this very connection: not twice
                log.passed(log.cursor, now_s)
            end = min(log.next, log.lowest_owed + log.ahead, log.cursor + records)
            run = next((seq for seq in range(log.cursor, end) if (name, seq) in self._open), end) - log.cursor
            if run <= 0:
                continue
            self._is_held_back = not is_urgent and now_s < self._share.free_s()
            if not self._is_held_back:
                return Want(log=name, first=log.cursor, records_max=run, bytes_max=size)
        return None

    def sent(self, log: str, seq: int, size: int, now_s: float) -> None:
        """Record `seq` was handed to the connection."""
        self._open[log, seq] = _Open(size, now_s)
        self._share.sent(size, now_s)
        self._logs[log].passed(seq, now_s)

    def acknowledged(self, log: str, seq: int, reason: int, now_s: float) -> None:
        """The broker's answer to `seq`: a place in the window, or the reason why sending must stop for a while."""
        answered = self._open.pop((log, seq), None)
        if answered is None:
            return  # of a connection before
        self._share.answered(answered.size, answered.sent_s, now_s)
        if reason >= REFUSED or reason == NO_SUBSCRIBER:
            self._refused = reason
            self._paused_until_s = now_s + REFUSED_PAUSE_S
            self._rewind()

    def is_doubted(self, log: str) -> bool:
        """Whether what is owed of `log` went out before and no receipt came in time."""
        return self._logs[log].tries > 0

    def changed(self, log: str, seq: int) -> None:
        """What stands under `seq` is not what was sent: it goes again, from the lowest owed on."""
        self._open.pop((log, seq), None)
        self._logs[log].rewind()

    def tick(self, now_s: float) -> None:
        """Time has passed: a pause may be over, and what was not receipted in time goes again.

        An answer of the broker that is long overdue will not come: its place in the window is free again, or whoever
        eats answers would stop this terminal for as long as the connection lives.
        """
        for key in [key for key, one in self._open.items() if now_s >= one.sent_s + ANSWER_S_MAX]:
            del self._open[key]
        if self._paused_until_s is not None and now_s >= self._paused_until_s:
            self._resume()
        if self._is_unanswered and now_s >= self._birth_s:
            self._is_born = False
        for log in self._logs.values():
            if log.resend_s is not None and now_s >= log.resend_s:
                log.doubted(now_s + self._patience_s(min(log.tries + 1, TRIES_MAX)))

    def wait_s(self, now_s: float) -> float | None:
        """In how many seconds `tick` has something to do; None when only an event can bring it."""
        times = [log.resend_s for log in self._logs.values() if log.resend_s is not None]
        if self._paused_until_s is not None:
            times.append(self._paused_until_s)
        if self._is_unanswered:
            times.append(self._birth_s)
        if self._is_held_back:
            times.append(self._share.free_s())
        return max(0.0, min(times) - now_s) if times else None

    @property
    def _is_unanswered(self) -> bool:
        """A hub of this epoch has not yet said how far it holds each log.

        If it was restored, what was receipted before may be gone, and only its answer to a birth can say so: a log of
        which nothing seems to be owed would never ask. And only a birth can tell it what will never come.
        """
        return self.is_flowing and any(log.epoch < self._epoch or log.is_cut_off for log in self._logs.values())

    def _room(self, is_urgent: bool) -> tuple[int, int]:
        """How many records and bytes may be opened. What is urgent does not wait for a place behind the backlog."""
        is_open = sum(one.size for one in self._open.values())
        if is_urgent:
            return 2 * WINDOW_RECORDS - len(self._open), WINDOW_BYTES - is_open
        return WINDOW_RECORDS - len(self._open), self._share.window_bytes - is_open

    def _patience_s(self, tries: int) -> float:
        """How long to wait for the hub's answer after so many that did not come."""
        if tries == 0:
            return RESEND_S
        return max(RESEND_S_MIN, self._chance.uniform(0, min(RESEND_S_MAX, RESEND_S * 2**tries)))

    def _rewind(self) -> None:
        for log in self._logs.values():
            log.rewind()

    def _resume(self) -> None:
        self._refused = None
        self._paused_until_s = None
