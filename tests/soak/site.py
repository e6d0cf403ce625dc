"""A real hub with its Mosquitto, and vehicles that are enrolled, with a crew and a receiver each, not yet running.

Enrolling through the whole ceremony is tried elsewhere (F31); here the hub is told of each board as an enrollment leaves
it, so that twenty boards cost a second and not a minute.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct
from sqlalchemy import insert

from bench.receiver import Receiver
from edge import vault
from hub import roster, schema, store
from tests.ports import free_ports
from tests.soak.nursery import ROOT, Life, Nursery
from tests.system.test_hub_ingest import Hub
from wire.codec import decode, encode
from wire.enrollment import ENROLLED_FILE, IDENTITY_FOLDER, BrokerAddress, Enrolled
from wire.signature import public_der

T = TypeVar("T")
AGENCY = "Lakeshore CARE"
PATIENCE_S = 120.0
# A terminal keeps 64 MB free by itself; hundreds of them on one disk would fill it.
LITTLE_RESERVE = "[disk]\nreserve_mb = 1\n\n"


class Board(Struct, frozen=True, kw_only=True):
    """One vehicle's terminal: where it lives, who works there, and where its screen is."""

    device: str
    unit: str
    home: Path
    log: Path
    screen_port: int
    staff: str
    pin: str
    public: bytes  # of its identity, DER

    @property
    def screen(self) -> str:
        return f"http://127.0.0.1:{self.screen_port}"


class Site(Struct, frozen=True, kw_only=True):
    """The running hub, the boards, and how to start one."""

    hub: Hub
    boards: tuple[Board, ...]
    nursery: Nursery

    def start(self, board: Board) -> Life:
        """A terminal, forked from one that has read its program already."""
        return self.nursery.start(board.home, board.log)

    def execute(self, board: Board, environment: Mapping[str, str] | None = None, tree: Path = ROOT) -> Life:
        """The same, reading its program first, from `tree`: what a start costs when the power comes back."""
        return self.nursery.execute(board.home, board.log, environment, tree)

    @property
    def database(self) -> Path:
        return self.hub.home / "hub.db"


@contextmanager
def open_site(folder: Path, homes: Mapping[str, Path]) -> Iterator[Site]:
    """A hub in `folder` and a board in each of `homes`, by device; processes and receivers are gone afterwards.

    A home is a folder that exists and is empty, perhaps on a disk that will fail.
    """
    nursery = Nursery()  # reads its program while the hub is made
    hub = Hub(folder)
    ports = free_ports(len(homes))
    boards = tuple(
        _board(hub, folder, number, device, home, ports[number]) for number, (device, home) in enumerate(homes.items())
    )
    _enroll(hub, boards)
    hub.start()
    stop = threading.Event()
    # The link is in the board's home, as on a real one; what it points to is not.
    receivers = [Receiver(number, board.home / "receiver") for number, board in enumerate(boards)]
    talking = threading.Thread(target=_talk, args=(receivers, stop), name="receivers", daemon=True)
    talking.start()
    try:
        yield Site(hub=hub, boards=boards, nursery=nursery)
    finally:
        stop.set()
        nursery.close()
        if hub.process is not None:
            hub.stop()
        talking.join(5)


def until(what: str, look: Callable[[], T | None], timeout_s: float = PATIENCE_S, every_s: float = 0.02) -> T:
    """What `look` sees as soon as it sees something; TimeoutError naming `what` when it never does."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        if seen := look():
            return seen
        time.sleep(every_s)
    raise TimeoutError(f"waited {timeout_s:.0f} s in vain for {what}")


def _board(hub: Hub, folder: Path, number: int, device: str, home: Path, screen_port: int) -> Board:
    who = hub.fleet.terminal(home, device)
    enrolled = home / IDENTITY_FOLDER / ENROLLED_FILE
    said = decode(enrolled.read_bytes(), Enrolled)
    broker = BrokerAddress(host="localhost", port=hub.ports["broker"])
    enrolled.write_bytes(
        encode(msgspec.structs.replace(said, admission=msgspec.structs.replace(said.admission, broker=broker)))
    )
    (home / "terminal.toml").write_text(
        f'[receiver]\nport = "{home / "receiver"}"\nbaud = 9600\n\n{LITTLE_RESERVE}[screen]\nport = {screen_port}\n'
    )
    staff = f"s{number}"
    board = Board(
        device=device,
        unit=f"u{number}",
        home=home,
        log=folder / f"{device}.log",
        screen_port=screen_port,
        staff=staff,
        pin=vault.issue(home, staff),
        public=public_der(who.key.public_key()),
    )
    (folder / f"{device}.kem").write_bytes(public_der(who.kem.public_key()))
    (folder / f"{device}.crt").write_bytes(who.admission.chain[0])
    return board


def _enroll(hub: Hub, boards: tuple[Board, ...]) -> None:
    now_ms = int(time.time() * 1000)
    read = roster.RosterFile(
        unit=tuple(
            roster.Unit(unit=board.unit, call_sign=f"CARE-{number}", kind="vehicle")
            for number, board in enumerate(boards)
        ),
        staff=tuple(
            roster.Staff(staff=board.staff, name=f"Crew {board.staff}", role="specialist", skills=(), languages=())
            for board in boards
        ),
        duty=tuple(roster.Duty(unit=board.unit, staff=(board.staff,)) for board in boards),
    )
    engine = store.open_store(hub.home)
    folder = hub.home.parent
    with engine.begin() as connection:
        roster.load(connection, read, AGENCY, now_ms)
        for board in boards:
            connection.execute(
                insert(schema.device).values(
                    device=board.device,
                    unit=board.unit,
                    kind="vehicle",
                    state="enrolled",
                    public=board.public,
                    kem_public=(folder / f"{board.device}.kem").read_bytes(),
                    certificate=(folder / f"{board.device}.crt").read_bytes(),
                    added_ms=now_ms,
                    enrolled_ms=now_ms,
                )
            )
    engine.dispose()


def _talk(receivers: list[Receiver], stop: threading.Event) -> None:
    while not stop.wait(1.0):
        for receiver in receivers:
            with suppress(BlockingIOError):
                receiver.say()


def rows(path: Path, sql: str) -> list[tuple[object, ...]]:
    """The answer of a database that others write: only looked at."""
    import sqlite3

    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
        return connection.execute(sql).fetchall()


def resident_mb(pid: int) -> float:
    """How much memory a process has in use."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
