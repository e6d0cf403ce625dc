"""How often somebody may ask, and the nonces that make each answer good for one question only.

Both live in memory: after a restart a board asks for a new challenge, and nothing is lost but the count.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict, deque
from threading import Lock

NONCE_BYTES = 32
CHALLENGE_MS = 10 * 60_000
CHALLENGES_MAX = 4096  # a fleet of a thousand boards asks a few times each; a flood only pushes out its own oldest
KEYS_MAX = 4096  # addresses or bundles remembered at a time; the one that asked longest ago is forgotten first


class Limiter:
    """At most `count` in any `window_ms`, for each key."""

    def __init__(self, count: int, window_ms: int) -> None:
        self._count, self._window_ms = count, window_ms
        self._times: OrderedDict[str, deque[int]] = OrderedDict()
        self._lock = Lock()

    def wait_ms(self, key: str, now_ms: int) -> int:
        """How long `key` has to wait: 0 when it may ask now."""
        with self._lock:
            times = self._recent(key, now_ms)
            return 0 if len(times) < self._count else times[0] + self._window_ms - now_ms

    def take(self, key: str, now_ms: int) -> int:
        """Count one more for `key` when it may ask, and answer 0; else how long it has to wait."""
        with self._lock:
            times = self._recent(key, now_ms)
            if len(times) >= self._count:
                return times[0] + self._window_ms - now_ms
            times.append(now_ms)
            self._times[key] = times
            self._times.move_to_end(key)
            if len(self._times) > KEYS_MAX:
                self._times.popitem(last=False)
            return 0

    def _recent(self, key: str, now_ms: int) -> deque[int]:
        times = self._times.get(key, deque())
        # A time in the future is left over from before the clock was set back.
        while times and not now_ms - self._window_ms < times[0] <= now_ms:
            times.popleft()
        return times


class Challenges:
    """Nonces that are out: each for one bundle, once, for ten minutes."""

    def __init__(self) -> None:
        self._out: OrderedDict[bytes, tuple[bytes, int]] = OrderedDict()
        self._lock = Lock()

    def issue(self, tid: bytes, now_ms: int) -> bytes:
        """A nonce for the bundle `tid`."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        with self._lock:
            self._out[nonce] = (tid, now_ms + CHALLENGE_MS)
            if len(self._out) > CHALLENGES_MAX:
                self._out.popitem(last=False)
        return nonce

    def live(self, tid: bytes, now_ms: int) -> tuple[bytes, ...]:
        """The nonces that the bundle `tid` may still answer: several when two boards carry it."""
        with self._lock:
            for nonce in [nonce for nonce, (_, until_ms) in self._out.items() if until_ms <= now_ms]:
                del self._out[nonce]
            return tuple(nonce for nonce, (of, _) in self._out.items() if of == tid)

    def spend(self, nonce: bytes) -> bool:
        """Take `nonce` out; False when somebody else has just done so."""
        with self._lock:
            return self._out.pop(nonce, None) is not None
