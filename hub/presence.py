"""Which terminals are connected, as far as births, wills and positions say."""

from __future__ import annotations

from enum import StrEnum
from threading import Lock

from msgspec import Struct
from sqlalchemy import Connection, func, select

from hub import schema


class Word(StrEnum):
    """`never`: not heard of since it was enrolled."""

    CONNECTED = "connected"
    GONE = "gone"
    NEVER = "never"


class State(Struct, frozen=True, kw_only=True):
    """A terminal's connection, and since when (Unix ms of the hub; None for `never`)."""

    word: Word
    since_ms: int | None


_NEVER = State(word=Word.NEVER, since_ms=None)


class Presence:
    """Thread-safe: ingest tells, board and downlink ask. In memory: after a start everybody is gone until heard."""

    def __init__(self, seen_ms: dict[str, int] | None = None) -> None:
        self._lock = Lock()
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
            return self._states.get(device, _NEVER)

    def connected(self) -> frozenset[str]:
        """Who is connected."""
        with self._lock:
            return frozenset(device for device, state in self._states.items() if state.word is Word.CONNECTED)

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
