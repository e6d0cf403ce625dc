"""Bytes of a receiver in, fixes out: framing, judgement and assembly in a row, without I/O and without a clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from msgspec import Struct

from firmware_bridge.assembly import Assembly
from firmware_bridge.framing import Framer
from firmware_bridge.nmea import Position, Rejected, said
from wire.fix import Fix


class Counts(Struct, frozen=True, kw_only=True):
    """Sentences so far: `accepted` carried a position, `empty` were right and carried none, `rejected` by reason."""

    accepted: int
    empty: int
    rejected: Mapping[str, int]
    noise_bytes: int


class Reader:
    """One receiver's stream, from its first byte to its last. `estimates`: dead reckoning too, told as such."""

    def __init__(self, *, estimates: bool = False) -> None:
        self._estimates = estimates
        self._framer = Framer()
        self._assembly = Assembly()
        self._accepted = 0
        self._empty = 0
        self._rejected: Counter[str] = Counter()

    @property
    def counts(self) -> Counts:
        dropped = self._framer.dropped
        framed = {"cut": dropped.cut, "too_long": dropped.too_long}
        rejected = self._rejected + Counter(framed)  # the sum leaves out what is zero
        return Counts(
            accepted=self._accepted,
            empty=self._empty,
            rejected=dict(sorted(rejected.items())),
            noise_bytes=dropped.noise_bytes,
        )

    @property
    def right_sentences(self) -> int:
        """How many sentences were right, with a position or without: while it grows, a receiver is there."""
        return self._accepted + self._empty

    def feed(self, data: bytes) -> list[Fix]:
        """The fixes that `data` completed, in the order in which the receiver said them."""
        return [fix for sentence in self._framer.feed(data) for fix in self._judge(sentence)]

    def pause(self) -> list[Fix]:
        """The line has fallen silent: the Fix that was kept back for another sentence, if one was."""
        return self._assembly.pause()

    def finish(self) -> list[Fix]:
        """No more bytes will come: the last Fix, if one was kept back."""
        self._framer.finish()
        return self._assembly.finish()

    def _judge(self, sentence: str) -> list[Fix]:
        try:
            told = said(sentence, estimates=self._estimates)
        except Rejected as rejected:
            self._rejected[rejected.reason] += 1
            return []
        if isinstance(told, Position):
            self._accepted += 1
        else:
            self._empty += 1
        return [] if told is None else self._assembly.take(told)
