"""The agency that every simulated run belongs to: real keys, real certificates, a migrated hub. Made once a process."""

from __future__ import annotations

import shutil
from pathlib import Path

from sqlalchemy import insert

from edge.identity import Identity
from hub import schema
from hub import store as hub_store
from hub.desired import Vouched
from tests.terminal_fleet import TerminalFleet
from wire.keys import NoteKeyList, open_note_keys
from wire.signature import public_der

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

    def new_hub(self, home: Path) -> None:
        """A hub at `home` that knows the fleet and has heard nothing."""
        home.mkdir()
        shutil.copy(self.home / "hub" / hub_store.DATABASE_FILE, home / hub_store.DATABASE_FILE)

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


def unit_of(device: str) -> str:
    """The unit that `device` belongs to."""
    return f"unit-{device}"
