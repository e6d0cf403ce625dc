"""How much of the uplink what is owed may take, so that it never delays the map. Pure: times come as arguments.

The broker answers in the order in which it was sent to, so the time between two answers is what the second message took
on the air. From that comes the rate; from the rate how many bytes may be open at once, and when the next may follow.
On a link so fast that a full window passes unnoticed nothing is held back.
"""

from __future__ import annotations

WINDOW_BYTES = 64 * 1024
FIRST_BYTES = 8 * 1024  # before anything is known of a connection: a second of a bad one
LEAST_BYTES = 1536  # three records of a minute: so few packets that TCP sends a lost one again without growing pauses
QUEUE_S = 0.5  # what a live position may have to wait behind
FAST_BPS = WINDOW_BYTES / 0.25  # bytes a second; a whole window is a quarter of a second then
BUSY_SHARE = 0.5  # of the time, on a link that is slower
LEARNED_S = 4.0  # of air; half of what is older is forgotten
AIR_S_MIN, AIR_S_MAX = 1e-6, 2.0  # of one message; longer was a tunnel or a lost packet, and says nothing of the rate
PAUSE_S_MAX = 5.0  # whatever was measured, the backlog goes on then


class Share:
    """One connection's uplink, by the broker's answers. Tell it everything that is sent and is answered."""

    def __init__(self) -> None:
        self.gone()

    def gone(self) -> None:
        """Another connection may go another way: nothing is known of it."""
        self._round_trip_s: float | None = None  # the shortest
        self._answered_s = 0.0
        self._is_guess = True  # from messages that were alone: they say more of the way than of the rate
        self._bytes = 0.0
        self._air_s = 0.0
        self._burst_bytes = 0
        self._free_s = 0.0  # when the air that was taken has been paid for, at our share of it

    @property
    def rate_bps(self) -> float | None:
        """Bytes a second that the link carries; None while nobody knows."""
        return self._bytes / max(self._air_s, AIR_S_MIN) if self._bytes else None

    @property
    def window_bytes(self) -> int:
        """How many bytes may be open at once: what the link holds on its way, and half a second before it."""
        rate = self.rate_bps
        if rate is None or self._round_trip_s is None:
            return FIRST_BYTES
        return max(LEAST_BYTES, min(WINDOW_BYTES, int(rate * (self._round_trip_s + QUEUE_S))))

    def free_s(self) -> float:
        """From when on the backlog may go on. It goes a window at a time and rests as long: messages that follow each
        other show how fast the link is, and one by one they would show how its round trips vary."""
        return self._free_s if self._burst_bytes >= self.window_bytes else 0.0

    def sent(self, size: int, now_s: float) -> None:
        """So many bytes of the backlog were handed over."""
        rate = self.rate_bps
        if rate is None or rate >= FAST_BPS:
            return
        if now_s >= self._free_s:
            self._burst_bytes = 0
        self._burst_bytes += size
        self._free_s = min(max(self._free_s, now_s) + size / rate / BUSY_SHARE, now_s + PAUSE_S_MAX)

    def answered(self, size: int, sent_s: float, now_s: float) -> None:
        """The broker's answer to so many bytes that were handed over at `sent_s`."""
        took_s = max(AIR_S_MIN, now_s - sent_s)
        self._round_trip_s = took_s if self._round_trip_s is None else min(self._round_trip_s, took_s)
        was_alone = sent_s >= self._answered_s
        after_s, self._answered_s = now_s - self._answered_s, now_s
        if not was_alone:
            if self._is_guess:
                self._bytes = self._air_s = 0.0
                self._is_guess = False
            self._learn(size, after_s)
        elif self._is_guess:
            self._bytes, self._air_s = size, took_s  # no faster than it is, and better than nothing
        else:  # beyond the way there and back it was on the air, or lost there
            beyond_s = took_s - self._round_trip_s
            self._learn(size * beyond_s / took_s, beyond_s)

    def _learn(self, size: float, air_s: float) -> None:
        self._bytes += size
        self._air_s += min(AIR_S_MAX, max(0.0, air_s))
        if self._air_s > LEARNED_S:
            self._bytes /= 2
            self._air_s /= 2
