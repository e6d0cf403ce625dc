"""Which terminals are connected, as far as births, wills and positions say, and what they have that is not here yet."""

from __future__ import annotations

from enum import StrEnum
from threading import Lock

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection, func, select

from hub import schema


class Word(StrEnum):
    """`never`: not heard of since it was enrolled."""

    CONNECTED = "connected"
    GONE = "gone"
    NEVER = "never"


RETURNS_PER_S = (
    50  # a handshake costs the broker's one thread 3 ms, what is owed and asked for then costs the hub 10 ms
)
SPREAD_S_MAX = 60.0
LATE_MS = 30_000  # what waits for less is on its way, and no dispatcher's business


class State(Struct, frozen=True, kw_only=True):
    """A terminal's connection, and since when (None for `never`). Times are Unix ms of the hub.

    `owed`: records of its ledger that are not here, by its own last word, of which the oldest was made at
    `owed_since_ms`; while it is connected only those that are late. `complete_ms`: when it last had none, told only
    where that is not now."""

    word: Word
    since_ms: int | None
    owed: int = 0
    owed_since_ms: int | None = None
    complete_ms: int | None = None


class Owes(Struct, frozen=True, kw_only=True):
    """A terminal says how many records of its ledger it has no receipt for, the oldest of them `oldest_ms` old."""

    device: str
    records: int
    oldest_ms: int | None


class _Owed(Struct, frozen=True, kw_only=True):
    records: int = 0
    since_ms: int | None = None
    complete_ms: int | None = None
    is_late: bool = False


_NEVER = State(word=Word.NEVER, since_ms=None)
_NOTHING = _Owed()


class Presence:
    """Thread-safe: ingest tells, board and downlink ask. In memory: after a start everybody is gone until heard."""

    def __init__(self, seen_ms: dict[str, int] | None = None) -> None:
        self._lock = Lock()
        self._owed: dict[str, _Owed] = {}  # as many as the fleet has
        self._states = {device: State(word=Word.GONE, since_ms=when_ms) for device, when_ms in (seen_ms or {}).items()}

    def here(self, device: str, now_ms: int) -> bool:
        """`device` was heard; whether that is news."""
        return self._now(device, Word.CONNECTED, now_ms)

    def gone(self, device: str, now_ms: int) -> bool:
        """The broker says that `device` is gone; whether that is news."""
        return self._now(device, Word.GONE, now_ms)

    def all_gone(self, now_ms: int) -> None:
        """The broker itself is away, so nobody is connected."""
        with self._lock:
            for device, state in self._states.items():
                if state.word is Word.CONNECTED:
                    self._states[device] = State(word=Word.GONE, since_ms=now_ms)

    def state(self, device: str) -> State:
        """What is known of `device`."""
        with self._lock:
            return self._with_owed(device)

    def owes(self, said: Owes, now_ms: int) -> bool:
        """A terminal's word on what is not here; whether people see it differently now."""
        with self._lock:
            before = self._with_owed(said.device)
            known = self._owed.get(said.device, _NOTHING)
            since_ms = None if said.oldest_ms is None else now_ms - said.oldest_ms
            if since_ms is not None and known.since_ms is not None and abs(since_ms - known.since_ms) < 2_000:
                since_ms = known.since_ms  # the same record, and two clocks
            self._owed[said.device] = _Owed(
                records=said.records,
                since_ms=since_ms if said.records else None,
                complete_ms=now_ms if said.records == 0 else known.complete_ms,
                is_late=said.records > 0 and since_ms is not None and now_ms - since_ms >= LATE_MS,
            )
            return self._with_owed(said.device) != before

    def spread_s(self, at_least_s: float) -> float:
        """Over how long the terminals there are shall come back when the broker has closed on all of them."""
        with self._lock:
            return max(at_least_s, min(SPREAD_S_MAX, len(self._states) / RETURNS_PER_S))

    def connected(self) -> frozenset[str]:
        """Who is connected."""
        with self._lock:
            return frozenset(device for device, state in self._states.items() if state.word is Word.CONNECTED)

    def _with_owed(self, device: str) -> State:
        state, owed = self._states.get(device, _NEVER), self._owed.get(device, _NOTHING)
        if state.word is Word.CONNECTED and not owed.is_late:
            return state
        return replace(state, owed=owed.records, owed_since_ms=owed.since_ms, complete_ms=owed.complete_ms)

    def _now(self, device: str, word: Word, now_ms: int) -> bool:
        with self._lock:
            if self._states.get(device, _NEVER).word is word:
                return False
            self._states[device] = State(word=word, since_ms=now_ms)
            return True


def last_births(connection: Connection) -> dict[str, int]:
    """When each device that ever connected was last born."""
    boot = schema.boot
    rows = connection.execute(select(boot.c.device, func.max(boot.c.held_ms)).group_by(boot.c.device))
    return {device: int(held_ms) for device, held_ms in rows}
