"""`tandem-edge`: one terminal, put together, started, watched, and stopped in reverse."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import threading
import time
from pathlib import Path
from queue import Empty, Queue
from threading import Event, Thread, Timer
from types import FrameType

import click
import sdnotify
import structlog

from edge import assembly, identity, lifeboat, schema, settings
from edge.assembly import LEDGER_FILE, POWER_FAILING, TRAIL_FILE, Ends, Stores, Terminal
from edge.commands import HOME, Misuse, clock_floor_command, copies_commands, damaged_commands, desk_commands, pin
from edge.disk import DiskRoom
from edge.identity import Identity
from edge.lifeboat import Ledger, Start, how_to_start
from edge.room import MB
from edge.settings import SettingsError
from edge.store import Store, StoreGone
from firmware_bridge import pins
from serving import logs

__all__ = ["LEDGER_FILE", "TRAIL_FILE", "cli"]

BEAT_S = 5.0
AFLOAT_S = 1.0  # the same while nothing is saved: nobody shall wait for the next beat once the disk is good again
UNSAVED_S_MAX = 5.0  # an emergency that the disk did not take has this long to be heard before the end
LAST_WORDS_S_MAX = 2.0  # a second of the five has passed when we know that power fails, and the trail wants two
END_S_MAX = 4.0  # then a process that ends for a fault ends as it is, whatever hangs

log = structlog.get_logger()


@click.group()
def cli() -> None:
    """The terminal in a vehicle or on a clinician's desk."""


for command in (clock_floor_command, pin, desk_commands, copies_commands, damaged_commands):
    cli.add_command(command)


@cli.command()
@HOME
def run(home: Path) -> None:
    """Run the terminal until SIGTERM or Ctrl-C."""
    ended = _Ended()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ended.by_signal)
    threading.excepthook = ended.by_thread
    os.umask(0o077)
    logs.to_stderr()
    try:
        _run(home, ended)
    except SettingsError as wrong:
        raise Misuse(str(wrong)) from None
    if ended.why:
        _say_why(ended.why)
        sys.exit(1)


class _Ended:
    """Whether the terminal shall end, and why it did if nobody asked it to; and what became of the disk."""

    def __init__(self) -> None:
        self.event = Event()
        self.is_over = False
        self.why = ""
        self._disk: BaseException | None = None

    def by_signal(self, number: int, frame: FrameType | None) -> None:
        self.is_over = True
        self.event.set()

    def by_thread(self, args: threading.ExceptHookArgs) -> None:
        """A pipe that breaks takes the terminal with it: it starts again whole, and what was saved is still owed.

        Unless it is the disk that broke it: then what is left goes on.
        """
        name = args.thread.name if args.thread else "a thread"
        if not self.is_over:
            log.error("thread_died", thread=name, exc_info=(args.exc_type, args.exc_value, args.exc_traceback))
        if args.exc_value is not None and how_to_start(args.exc_value) is Start.NOT_SAVING:
            self.not_saving(args.exc_value)
        else:
            self.because(f"its part '{name}' failed: {args.exc_type.__name__}")

    def not_saving(self, wrong: BaseException) -> None:
        """A file let us down: the terminal goes on without, unless the file is broken, which a start can mend."""
        if how_to_start(wrong) is not Start.NOT_SAVING:
            self.because(f"its files are damaged: {wrong}")
            return
        self._disk = wrong
        self.event.set()

    def disk(self) -> BaseException | None:
        """What became of the disk since this was last asked."""
        wrong, self._disk = self._disk, None
        return wrong

    def because(self, why: str) -> None:
        """The first reason counts; what follows it is only the fall."""
        if not self.is_over:
            self.why = why
        self.is_over = True
        self.event.set()


def _run(home: Path, ended: _Ended) -> None:
    if not home.is_dir():
        raise SettingsError(f"{home} is not a folder: name the terminal's folder with --home.")
    chosen, who = settings.load(home), identity.load(home)
    if who.kind == "desk" and chosen.receiver is not None:
        raise SettingsError(
            f"{home / settings.SETTINGS_FILE} names a receiver, and a desk has none: remove [receiver]."
        )
    if who.kind == "desk" and chosen.pins is not None:
        raise SettingsError(f"{home / settings.SETTINGS_FILE} names pins, and a desk has none: remove [pins].")
    board = None if chosen.pins is None else pins.open_board(chosen.pins, home)  # before there are threads
    disk = DiskRoom(home, chosen.disk.reserve_mb * MB)
    terminal = Terminal(home, chosen, who, disk, board, Ends(ended.because, ended.not_saving))
    stores, ledger = _open(home, who, disk, ended)
    try:
        terminal.start(ledger, stores)
        _watch(terminal, _Lifeguard(home, who, disk, ended), ended)
        _let_out(terminal, LAST_WORDS_S_MAX if ended.why == POWER_FAILING else UNSAVED_S_MAX)
        if ended.why:
            _end_late(ended.why)
    finally:
        ended.is_over = True
        terminal.stop()


def _open(home: Path, who: Identity, disk: DiskRoom, ended: _Ended) -> tuple[Stores | None, Ledger]:
    """The files, and the ledger in them or, while they cannot be written, what it last said. SettingsError for neither."""
    try:
        disk.open()  # the reserve is given for room that is wanted to begin with
        lifeboat.probe(home)  # on a file system that became read-only a database opens, and only that
        stores = assembly.open_stores(home, who, disk, ended.not_saving)
    except (SettingsError, sqlite3.Error) as wrong:
        if how_to_start(wrong) is not Start.NOT_SAVING:
            raise
        log.error("not_saving", why=str(wrong))
        last = lifeboat.read_in_memory(home / LEDGER_FILE, lambda copy: Store(copy, schema.LEDGER))
        return None, Ledger(None, last, lifeboat.in_words(wrong), failed=ended.not_saving)
    return stores, Ledger(stores.ledger, stores.ledger.do(lifeboat.seen), failed=ended.not_saving)


class _Lifeguard:
    """Looks whether the disk is good again; on a thread of its own, because a disk that is not may hang."""

    def __init__(self, home: Path, who: Identity, disk: DiskRoom, ended: _Ended) -> None:
        self._home = home
        self._who = who
        self._disk = disk
        self._ended = ended
        self._opened: Queue[Stores] = Queue(1)
        self._looking: Thread | None = None
        self._sinkings = 0
        self._due_s = 0.0

    def sunk(self) -> None:
        """Nothing is saved from now on."""
        self._sinkings += 1
        self._due_s = time.monotonic() + lifeboat.look_s(self._sinkings)

    def look(self) -> Stores | None:
        """The files, when they opened since the last time. Returns at once."""
        with_result = None
        try:
            with_result = self._opened.get_nowait()
        except Empty:
            if (self._looking is None or not self._looking.is_alive()) and time.monotonic() >= self._due_s:
                self._due_s = time.monotonic() + lifeboat.look_s(self._sinkings)
                self._looking = Thread(target=self._open, name="lifeguard", daemon=True)
                self._looking.start()
        return with_result

    def _open(self) -> None:
        try:
            self._disk.open()
            lifeboat.probe(self._home)
            self._opened.put(assembly.open_stores(self._home, self._who, self._disk, self._ended.not_saving))
        except (SettingsError, sqlite3.Error) as wrong:
            log.info("still_not_saving", why=str(wrong))
            if how_to_start(wrong) is not Start.NOT_SAVING:
                self._ended.because(f"its files cannot be used as they are: {wrong}")


def _watch(terminal: Terminal, lifeguard: _Lifeguard, ended: _Ended) -> None:
    """Until the end; the watchdog of systemd is fed while everything lives and goes round."""
    systemd = sdnotify.SystemdNotifier()
    systemd.notify("READY=1")
    if terminal.stores is None:
        lifeguard.sunk()
    while not ended.is_over:
        dead = [part.thread.name for part in terminal.parts if not part.thread.is_alive()]
        wrong = ended.disk() or terminal.hung_disk()  # after `dead`: who died of the disk has said so before
        if wrong is not None and terminal.stores is not None:
            log.error("not_saving", why=str(wrong))
            terminal.sink(wrong)
            lifeguard.sunk()
        elif terminal.stores is None and (stores := lifeguard.look()) is not None:
            _refloat(terminal, stores, lifeguard)
        elif dead:
            ended.because(f"its part '{dead[0]}' has stopped")
        elif (hung := terminal.beats.hung()) is not None:
            ended.because(f"its part '{hung}' hangs")
        else:
            systemd.notify("WATCHDOG=1")
        ended.event.wait(AFLOAT_S if terminal.stores is None else BEAT_S)
        ended.event.clear()
    systemd.notify("STOPPING=1")


def _refloat(terminal: Terminal, stores: Stores, lifeguard: _Lifeguard) -> None:
    try:
        terminal.refloat(stores)
        log.info("saving_again")
    except (StoreGone, sqlite3.Error) as wrong:  # it did not last
        terminal.sink(wrong)
        lifeguard.sunk()


def _say_why(why: str) -> None:
    click.echo(f"The terminal ends because {why}.", err=True)


def _end_late(why: str) -> None:
    """End soon, whatever hangs and holds up the orderly end."""

    def end() -> None:
        _say_why(why)
        os._exit(1)

    late = Timer(END_S_MAX, end)
    late.daemon = True
    late.start()


def _let_out(terminal: Terminal, for_s_max: float) -> None:
    """The end waits for an emergency that is in memory only: a disk that failed is one reason why we end."""
    until_s = time.monotonic() + for_s_max
    while terminal.is_in_memory_only and time.monotonic() < until_s:
        time.sleep(0.05)
