"""The threads without which a hub is none: when one of them ends before it was told to, the process ends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from threading import Event, Thread

import structlog

_log = structlog.get_logger("hub")


class Pipes:
    """Runs until `stop` is set, which the first failure does too; systemd starts the hub anew."""

    def __init__(self, stop: Event) -> None:
        self._stop = stop
        self._failures: list[str] = []

    @property
    def failures(self) -> tuple[str, ...]:
        """The names of what broke, in order; none after an end that somebody wanted."""
        return tuple(self._failures)

    def stopped(self, within_s: float) -> bool:
        """Waits at most so long; True once the process is to end."""
        return self._stop.wait(within_s)

    def fail(self, name: str) -> None:
        """Ends the process, and says for whom."""
        self._failures.append(name)
        self._stop.set()

    def start(self, name: str, run: Callable[[], None]) -> Thread:
        """A thread that runs `run` until the hub ends."""

        def guarded() -> None:
            try:
                run()
            except Exception:  # whatever it is, it is written down
                _log.exception("a pipe broke", pipe=name)
                self.fail(name)
                return
            if not self._stop.is_set():
                _log.error("a pipe ended", pipe=name)
                self.fail(name)

        thread = Thread(target=guarded, name=name, daemon=True)
        thread.start()
        return thread

    def died(self, broken: threading.ExceptHookArgs) -> None:
        """For `threading.excepthook`: a thread that is not ours, as the MQTT client's, ends the process too.

        Without this a broken network thread leaves a hub that looks well and hears nobody.
        """
        name = broken.thread.name if broken.thread else "a thread"
        _log.error("a thread broke", thread=name, exc_info=(broken.exc_type, broken.exc_value, broken.exc_traceback))
        if not self._stop.is_set():
            self.fail(name)
