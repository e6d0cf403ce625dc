"""The agency that every simulated run belongs to: real keys, real certificates, a migrated hub. Made once a process."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, Engine, event, insert

from edge.identity import Identity
from hub import schema
from hub import store as hub_store
from hub.desired import Vouched
from tests.terminal_fleet import TerminalFleet
from wire.keys import NoteKeyList, open_note_keys
from wire.signature import public_der
from wire.state import Version, seal_snapshot

TERMINALS_MAX = 12
NAME = "Lakeshore CARE"


class Agency:
    """A fleet and the hub it is enrolled at, before anything happened. `home` is a folder of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.fleet = TerminalFleet()
        self.terminals: list[Identity] = [
            self.fleet.terminal(home / f"board-{n}", f"care-{n}") for n in range(1, TERMINALS_MAX + 1)
        ]
        self.vouched = Vouched(agency=NAME, note_keys=self.fleet.note_keys(), key_statement=self.fleet.statement())
        self.note_keys: NoteKeyList = open_note_keys(self.vouched.note_keys, self.terminals[0].statement)
        (home / "hub").mkdir()
        self._enroll(home / "hub")
        self._sealed: dict[tuple[str, str], tuple[tuple[Version, bytes], bytes]] = {}  # the newest of each
        self.file = HubFile(home / "file", home / "hub" / hub_store.DATABASE_FILE)

    def sealed(self, device: str, section: str, version: Version, content: bytes) -> bytes:
        """A section for `device`; the same bytes for the same section, because sealing is dear and proves nothing here."""
        key = device, section
        if key not in self._sealed or self._sealed[key][0] != (version, content):
            who = next(who for who in self.terminals if who.device == device)
            data = seal_snapshot(device, section, version, content, who.kem.public_key(), self.fleet.snapshot)
            self._sealed[key] = (version, content), data
        return self._sealed[key][1]

    def _enroll(self, home: Path) -> None:
        engine = hub_store.open_store(home)
        with engine.begin() as connection:
            for who in self.terminals:
                connection.execute(
                    insert(schema.unit).values(
                        unit=unit_of(who.device), call_sign=who.device.upper(), agency=NAME, kind="vehicle"
                    )
                )
                connection.execute(
                    insert(schema.device).values(
                        device=who.device,
                        unit=unit_of(who.device),
                        kind="vehicle",
                        state="active",
                        public=public_der(who.key.public_key()),
                        kem_public=public_der(who.kem.public_key()),
                        added_ms=0,
                    )
                )
        engine.dispose()


class HubFile:
    """The one file in which every simulated hub of this process keeps what it holds, and the one engine on it.

    Opening a store looks through every migration, and an engine that is new compiles every statement anew: together they
    were half of what a run cost. So a hub that ends only closes its connection, and the file is filled and never replaced.
    """

    def __init__(self, home: Path, fresh: Path) -> None:
        home.mkdir()
        self.path = home / hub_store.DATABASE_FILE
        self._fresh = fresh
        shutil.copy(fresh, self.path)
        self.engine: Engine = hub_store.open_store(home)
        self.committing: Callable[[], None] = lambda: None
        event.listen(self.engine, "commit", self._committing)

    def begin(self) -> None:
        """A hub that knows the fleet and has heard nothing."""
        self.fill(self._fresh)

    def close(self) -> None:
        """The process that had it open has ended. Whoever asks next opens it."""
        self.engine.dispose()

    def fill(self, source: Path) -> None:
        """It is a copy of `source`."""
        self.close()
        for beside in self.path.parent.glob(f"{hub_store.DATABASE_FILE}-*"):
            beside.unlink()
        shutil.copyfile(source, self.path)

    def _committing(self, _: Connection) -> None:
        self.committing()


def unit_of(device: str) -> str:
    """The unit that `device` belongs to."""
    return f"unit-{device}"
