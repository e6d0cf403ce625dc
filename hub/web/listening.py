"""Which streams a token holds open, so that they end in the moment in which it is revoked."""

from __future__ import annotations

from threading import Lock

from hub.board import Viewer

STREAMS_MAX = 8  # of one token: each holds a thread, and people at the console need theirs


class Listening:
    """The open streams of each token, by its name."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._by_name: dict[str, set[Viewer]] = {}

    def join(self, name: str, viewer: Viewer) -> bool:
        """Count this stream as the token's; False when it has as many as it may have."""
        with self._lock:
            open_ = self._by_name.setdefault(name, set())
            if len(open_) >= STREAMS_MAX:
                return False
            open_.add(viewer)
            return True

    def leave(self, name: str, viewer: Viewer) -> None:
        """This stream has ended."""
        with self._lock:
            open_ = self._by_name.get(name, set())
            open_.discard(viewer)
            if not open_:
                self._by_name.pop(name, None)

    def cut(self, name: str) -> int:
        """End every stream of the token, and say how many there were."""
        with self._lock:
            open_ = tuple(self._by_name.get(name, ()))
        for viewer in open_:
            viewer.drop()
        return len(open_)
