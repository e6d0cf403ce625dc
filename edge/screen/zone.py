"""The clinical zone: keys that are in memory only while somebody who said a PIN or passphrase is at work.

It opens for the browser session that said it, not for every page on the machine, and locks when nobody has done
anything for a while. Looking at the map or the clock is not doing something; the pages' own polling is not either.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock, Timer

from edge.desk import DeskKeys
from edge.vault import VaultKey


class Zone:
    """Any thread may ask. `lock_after_s` may be changed at any time and counts from the last touch."""

    def __init__(self, mono_s: Callable[[], float], lock_after_s: float = 120.0) -> None:
        self.lock_after_s = lock_after_s
        self._mono_s = mono_s
        self._guard = Lock()
        self._session: str | None = None
        self._vault: VaultKey | None = None
        self._desk: DeskKeys | None = None
        self._touched_s = 0.0
        self._timer: Timer | None = None

    def open_vault(self, session: str, key: VaultKey) -> None:
        """`key` for `session` from now on; what another session had open is closed."""
        with self._guard:
            self._enter(session)
            self._vault = key

    def open_desk(self, session: str, keys: DeskKeys) -> None:
        """The clinical keys for `session` from now on."""
        with self._guard:
            self._enter(session)
            self._desk = keys

    def vault(self, session: str) -> VaultKey | None:
        """The vault key if the zone is open for `session`, and a touch: a person is at work."""
        with self._guard:
            return self._vault if self._touch(session) else None

    def desk(self, session: str) -> DeskKeys | None:
        """The clinical keys if the zone is open for `session`, and a touch."""
        with self._guard:
            return self._desk if self._touch(session) else None

    def is_open(self, session: str) -> bool:
        """Whether the vault is open for `session`; not a touch."""
        with self._guard:
            return self._live(session) and self._vault is not None

    def is_desk_open(self, session: str) -> bool:
        """Whether the desk's keys are open for `session`; not a touch."""
        with self._guard:
            return self._live(session) and self._desk is not None

    def lock(self) -> None:
        """Forget every key now."""
        with self._guard:
            self._forget()

    def lock_desk(self) -> None:
        """Forget the clinical keys now; the vault stays as it is."""
        with self._guard:
            self._desk = None

    def _enter(self, session: str) -> None:
        if session != self._session:
            self._forget()
        self._session = session
        self._touched_s = self._mono_s()
        self._watch(self.lock_after_s)

    def _touch(self, session: str) -> bool:
        if not self._live(session):
            return False
        self._touched_s = self._mono_s()
        return True

    def _live(self, session: str) -> bool:
        if self._mono_s() - self._touched_s >= self.lock_after_s:
            self._forget()
        return self._session is not None and self._session == session

    def _forget(self) -> None:
        self._session = self._vault = self._desk = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _watch(self, after_s: float) -> None:
        """Lock on time even when no page asks: the browser may have died with the keys still here."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = Timer(max(0.05, after_s), self._due)
        self._timer.daemon = True
        self._timer.start()

    def _due(self) -> None:
        with self._guard:
            if self._session is None:
                return
            left_s = self.lock_after_s - (self._mono_s() - self._touched_s)
            if left_s <= 0:
                self._forget()
            else:
                self._watch(left_s)
