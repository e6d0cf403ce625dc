"""What a terminal's disk does for a commit, a note and a position, and how long 64 MB last.

Each figure stands beside what the same disk does without us, in the same run: contenders in shuffled order, round after
round, and the ratio taken within each round. A disk that others share is twice as fast in one second as in the next.

`--where` names the disk to measure. Bytes written are sectors of a loop device where this runs as root, so that what the file
system writes for itself is counted; else what Linux says this process wrote.
"""

from __future__ import annotations

import os
import platform
import random
import re
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import click
from cryptography.hazmat.primitives.asymmetric import ec
from sqlite_utils import Database

from bench.figures import print_ms, say
from edge import note_keys, notes, outbox, schema, shift, vault
from edge.clock import Clock
from edge.identity import Identity
from edge.outbox import Signer
from edge.settings import SettingsError
from edge.shift import Shift
from edge.store import Store
from edge.trail import TrailKeeper
from edge.vault import VaultKey
from tests.terminal_fleet import TerminalFleet
from wire.fix import Fix
from wire.keys import NoteKeyList
from wire.records import Kind
from wire.stamp import Stamp

ROW_BYTES = 200
TURN_COMMITS = 20
IMAGE_BYTES = 64_000_000
SECTOR_BYTES = 512
NOTE_CHARS = (400, 900, 2000, 4000)  # a quick note, two of a usual length, a long one
STAMP = Stamp(boot=bytes(16), mono_ms=1000, wall_ms=1_790_000_000_000, quality="ntp")
SIGNER = Signer("care-1", ec.generate_private_key(ec.SECP256R1()))

Work = Callable[[], None]
Contender = Callable[[Path], Iterator[Work]]


@click.command()
@click.option("--rounds", default=7, show_default=True)
@click.option("--commits", default=1000, show_default=True, help="Of each contender in each round.")
@click.option("--positions", default=1800, show_default=True, help="Of each contender; at 1 Hz.")
@click.option("--where", type=click.Path(file_okay=False, path_type=Path), default=None, help="On which disk.")
@click.option("--only", "only", default="", help="Letters of the parts to run: a, b, c, d.")
@click.option("--count-syncs", "syncs_of", default="", hidden=True)
def cli(rounds: int, commits: int, positions: int, where: Path | None, only: str, syncs_of: str) -> None:
    """Print commits, notes, flash and endurance of a terminal's disk."""
    with tempfile.TemporaryDirectory(dir=where) as folder:
        if syncs_of:
            made = COMMITS[syncs_of](Path(folder))
            _times(next(made), commits)
            _end(made)
            return
        click.echo(_machine(Path(folder)))
        parts: dict[str, Work] = {
            "a": lambda: _commits(Path(folder), rounds, commits),
            "b": lambda: _notes(Path(folder), rounds, commits // 5),
            "c": lambda: _flash(Path(folder), rounds, positions),
            "d": _endurance,
        }
        for letter, part in parts.items():
            if not only or letter in only:
                part()


# --- a: a commit


def _fdatasync(folder: Path) -> Iterator[Work]:
    """The least that a disk can be asked for: 200 bytes over old ones, no file grows."""
    path = folder / "bare"
    path.write_bytes(bytes(100 * 4096))
    descriptor = os.open(path, os.O_WRONLY)
    os.fsync(descriptor)
    at = 0

    def work() -> None:
        nonlocal at
        os.pwrite(descriptor, os.urandom(ROW_BYTES), at)
        os.fdatasync(descriptor)
        at = (at + ROW_BYTES) % (99 * 4096)

    yield work
    os.close(descriptor)


def _bare_sqlite(folder: Path, *, pragmas: tuple[str, ...]) -> Iterator[Work]:
    db = sqlite3.connect(folder / "bare.db", isolation_level=None)
    for pragma in pragmas:
        db.execute(f"pragma {pragma}")
    db.execute("create table row (seq integer primary key, data blob)")
    yield lambda: _ignore(db.execute("insert into row (data) values (?)", [os.urandom(ROW_BYTES)]))
    db.close()


def _store_row(folder: Path) -> Iterator[Work]:
    store = Store(folder / "ledger.db", schema.LEDGER)
    store.do(lambda db: db.execute("create table row (seq integer primary key, data blob)"))
    insert = "insert into row (data) values (?)"
    yield lambda: _ignore(store.do(lambda db: db.execute(insert, [os.urandom(ROW_BYTES)])))
    store.close()


def _store_record(folder: Path) -> Iterator[Work]:
    """What a status press is: numbered, signed with P-256, some 200 bytes of which are the body."""
    store = Store(folder / "ledger.db", schema.LEDGER)

    def append(db: Database) -> int:
        return outbox.append(db, SIGNER, STAMP, Kind.AUDIT, os.urandom(ROW_BYTES))

    yield lambda: _ignore(store.do(append))
    store.close()


WAL_FULL = ("journal_mode = wal", "synchronous = full", "wal_autocheckpoint = 100", "secure_delete = on")
BARE = "fdatasync of 200 bytes"
DEFAULT = "sqlite3 as it comes, 200-byte row"
SAME = "sqlite3 with our pragmas, 200-byte row"
OURS = "Store.do, 200-byte row"
COMMITS: dict[str, Contender] = {
    BARE: _fdatasync,
    DEFAULT: partial(_bare_sqlite, pragmas=()),
    SAME: partial(_bare_sqlite, pragmas=WAL_FULL),
    OURS: _store_row,
    "Store.do, signed record of 200 bytes": _store_record,
}


def _commits(folder: Path, rounds: int, commits: int) -> None:
    """In turns of a few commits each, because a disk that others share changes its mind within a second."""
    rates: dict[str, list[float]] = {name: [] for name in COMMITS}
    cpu_us: dict[str, list[float]] = {name: [] for name in COMMITS}
    for number in range(rounds):
        say(f"commits, round {number + 1} of {rounds}")
        took_s, cpu_s = dict.fromkeys(COMMITS, 0.0), dict.fromkeys(COMMITS, 0.0)
        made = {name: contender(Path(tempfile.mkdtemp(dir=folder))) for name, contender in COMMITS.items()}
        works = {name: next(one) for name, one in made.items()}
        for name in works:
            _times(works[name], 150)  # the write-ahead log has its size by then
        for _ in range(commits // TURN_COMMITS):
            for name in _shuffled(works):
                wall_s, busy_s = _times(works[name], TURN_COMMITS)
                took_s[name] += wall_s
                cpu_s[name] += busy_s
        done = commits // TURN_COMMITS * TURN_COMMITS
        for name, one in made.items():
            _end(one)
            rates[name].append(done / took_s[name])
            cpu_us[name].append(cpu_s[name] / done * 1e6)
    click.echo(f"\n(a) a commit, {rounds} rounds of {commits}")
    for name, rate in rates.items():
        ratio = [ours / bare for ours, bare in zip(rate, rates[BARE], strict=True)]
        click.echo(
            f"  {name:40} {statistics.median(rate):8.0f}/s   x{_spread(ratio)} of the fdatasync rate"
            f"   CPU {statistics.median(cpu_us[name]):5.0f} us   {_syncs(name, folder.parent)}"
        )
    ratio = [ours / bare for ours, bare in zip(rates[OURS], rates[SAME], strict=True)]
    click.echo(f"  {OURS}: x{_spread(ratio)} of the rate of {SAME}")


def _times(work: Work, count: int) -> tuple[float, float]:
    """Seconds by the clock, and of processor, of all threads."""
    began_s, busy_s = time.perf_counter(), time.process_time()
    for _ in range(count):
        work()
    return time.perf_counter() - began_s, time.process_time() - busy_s


def _syncs(name: str, where: Path) -> str:
    """Counted by strace in a process of its own, with twice the commits less with once, so that opening does not count."""
    if shutil.which("strace") is None:
        return "syncs not counted: strace is not installed"
    few, many = 300, 1300
    counts = [_traced_syncs(name, where, commits) for commits in (few, many)]
    if None in counts:
        return "syncs not counted: strace may not trace here"
    return f"{((counts[1] or 0) - (counts[0] or 0)) / (many - few):.2f} syncs a commit"


def _traced_syncs(name: str, where: Path, commits: int) -> int | None:
    with tempfile.NamedTemporaryFile() as out:
        command = [
            "strace",
            "-f",
            "-c",
            "-e",
            "trace=fsync,fdatasync",
            "-o",
            out.name,
            sys.executable,
            "-m",
            "bench.terminal",
        ]
        asked = ["--count-syncs", name, "--commits", str(commits), "--where", str(where)]
        if subprocess.run([*command, *asked], capture_output=True).returncode != 0:
            return None
        lines = Path(out.name).read_text().splitlines()
    return sum(int(line.split()[3]) for line in lines if line.endswith(("fsync", "fdatasync")))


# --- b: a note


class _Desk:
    """A vehicle with one person signed on, who writes notes."""

    def __init__(self, home: Path) -> None:
        self.who: Identity = TerminalFleet().terminal(home, "vehicle-2")
        self.store = Store(home / "ledger.db", schema.LEDGER)
        self.signer = Signer(self.who.device, self.who.key)
        key = vault.unlock(home, "s-rowan", vault.issue(home, "s-rowan"))
        if not isinstance(key, VaultKey):
            raise SettingsError("the vault does not open")
        self.key = key
        self.on: Shift = self.store.do(lambda db: shift.sign_on(db, self.signer, STAMP, self.key, "u-2"))
        self.keys: NoteKeyList = note_keys.current(self.who, None)

    def begin(self) -> bytes:
        return self.store.do(lambda db: notes.begin(db, self.key, os.urandom(16), "Emotional crisis", 1))

    def save(self, note_id: bytes, text: str) -> None:
        draft = notes.Draft(title="Emotional crisis", text=text, disposition="referred_warm")
        self.store.do(lambda db: notes.save(db, self.key, note_id, draft, 2))

    def finalize(self, note_id: bytes) -> None:
        def work(db: Database) -> int:
            public = shift.key_of(db, self.on, self.key).public_key()
            return notes.finalize(db, self.signer, STAMP, self.key, self.on.id, public, self.keys, note_id)

        self.store.do(work)


def _notes(folder: Path, rounds: int, count: int) -> None:
    home = Path(tempfile.mkdtemp(dir=folder))
    desk = _Desk(home / "car")
    beside = sqlite3.connect(home / "beside.db", isolation_level=None)
    for pragma in WAL_FULL:
        beside.execute(f"pragma {pragma}")
    beside.execute("create table row (seq integer primary key, data blob)")
    took_ms: dict[str, list[float]] = {"draft saved": [], "note finalized": [], "bare commit of as many bytes": []}
    text = _prose(2000)
    for number in range(rounds):
        say(f"notes, round {number + 1} of {rounds}")
        for _ in range(count):
            note_id = desk.begin()
            todo: dict[str, Work] = {
                "draft saved": partial(desk.save, note_id, text),
                "bare commit of as many bytes": partial(_insert, beside, os.urandom(2304)),
            }
            for name in _shuffled(todo):
                took_ms[name].append(_took_ms(todo[name]))
            took_ms["note finalized"].append(_took_ms(partial(desk.finalize, note_id)))
    desk.store.close()
    beside.close()
    click.echo(f"\n(b) a note of 2,000 characters, to where the screen may say it: {rounds} rounds of {count}")
    for name, ones in took_ms.items():
        print_ms(f"  {name}", ones)
    ratio = statistics.median(took_ms["bare commit of as many bytes"]) / statistics.median(took_ms["draft saved"])
    click.echo(
        f"  draft saved at x{ratio:.2f} of the rate of the bare commit; the final is sealed to three keys and signed twice"
    )


def _took_ms(work: Work) -> float:
    began_s = time.perf_counter()
    work()
    return (time.perf_counter() - began_s) * 1000


def _insert(db: sqlite3.Connection, data: bytes) -> None:
    db.execute("insert into row (data) values (?)", [data])


# --- c: flash


def _trail(folder: Path) -> Iterator[Work]:
    """The real keeper, fed a drive."""
    store = Store(folder / "trail.db", schema.TRAIL)
    mono_s = 1000.0
    keeper = TrailKeeper(store, SIGNER, Clock(bytes(16), mono_s=lambda: mono_s))
    keeper.flush()

    def work() -> None:
        nonlocal mono_s
        mono_s += 1
        keeper.add(_fix(int(mono_s)), mono_s)

    yield work
    keeper.flush()
    store.close()


FLASH: dict[str, Contender] = {
    "sqlite3 as it comes, a row a fix": partial(_bare_sqlite, pragmas=()),
    "sqlite3 with our pragmas, a row a fix": partial(_bare_sqlite, pragmas=WAL_FULL),
    "the trail: pieces and records": _trail,
}


def _flash(folder: Path, rounds: int, positions: int) -> None:
    written: dict[str, list[float]] = {name: [] for name in FLASH}
    how = ""
    for number in range(min(rounds, 5)):
        say(f"flash, round {number + 1} of {min(rounds, 5)}")
        for name in _shuffled(FLASH):
            with _disk(folder) as (home, device):
                how = "sectors of a loop device, ext4's own included" if device else "bytes by /proc/self/io"
                before = _written(device)
                made = FLASH[name](home)
                work = next(made)
                for _ in range(positions):
                    work()
                _end(made)
                os.sync()
                written[name].append((_written(device) - before) / positions)
    click.echo(f"\n(c) written to flash per position, {positions} positions a round ({how})")
    default = written["sqlite3 as it comes, a row a fix"]
    for name, ones in written.items():
        ratio = [base / one for base, one in zip(default, ones, strict=True)]
        click.echo(f"  {name:40} {statistics.median(ones):8.0f} bytes   1/{_spread(ratio)} of the default")


@contextmanager
def _disk(folder: Path) -> Iterator[tuple[Path, str]]:
    """A file system of 64 MB of its own and the name of its device, or a folder and no name."""
    if os.geteuid() != 0:
        home = Path(tempfile.mkdtemp(dir=folder))
        yield home, ""
        shutil.rmtree(home)
        return
    image, mount = Path(tempfile.mktemp(dir=folder)), Path(tempfile.mkdtemp(dir=folder))
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    subprocess.run(
        ["mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(image)], check=True
    )
    subprocess.run(["mount", "-o", "loop", str(image), str(mount)], check=True)
    try:
        device = subprocess.run(["findmnt", "-no", "SOURCE", str(mount)], capture_output=True, text=True).stdout.strip()
        os.sync()
        yield mount, Path(device).name
    finally:
        subprocess.run(["umount", "--lazy", str(mount)], check=True)
        image.unlink()


def _written(device: str) -> int:
    if device:
        return int(Path(f"/sys/block/{device}/stat").read_text().split()[6]) * SECTOR_BYTES
    said = re.search(r"^write_bytes: (\d+)$", Path("/proc/self/io").read_text(), re.MULTILINE)
    return int(said.group(1)) if said else 0


# --- d: endurance


def _endurance(days: int = 30, notes_a_day: int = 12, hours: int = 72, every_s: int = 5) -> None:
    """In memory where there is enough of it: it is the size that is asked for, and a disk would take a quarter of an hour."""
    shared = Path("/dev/shm")
    with (
        tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder,
        _disk(Path(folder)) as (home, _),
    ):
        desk = _Desk(home / "car")
        chars = random.Random(1)
        for _ in range(days * notes_a_day):
            note_id = desk.begin()
            desk.save(note_id, _prose(chars.choice(NOTE_CHARS)))
            desk.finalize(note_id)
            desk.store.do(lambda db: [outbox.append(db, SIGNER, STAMP, Kind.STATUS, bytes(90)) for _ in range(4)])
        unsent = desk.store.do(outbox.numbers).unsent
        desk.store.close()
        store = Store(home / "trail.db", schema.TRAIL)
        mono_s = 1000.0
        keeper = TrailKeeper(store, SIGNER, Clock(bytes(16), mono_s=lambda: mono_s))
        for _ in range(hours * 3600 // every_s):
            mono_s += every_s
            keeper.add(_fix(int(mono_s)), mono_s)
        keeper.flush()
        store.close()
        ledger, trail = (_size(path) for path in (home / "car" / "ledger.db", home / "trail.db"))
    click.echo(
        f"\n(d) unsent in 64 MB: {days} days of {notes_a_day} notes with four statuses each, {hours} h at one fix per {every_s} s"
    )
    click.echo(
        f"  ledger {ledger / 1e6:.2f} MB ({unsent} records), trail {trail / 1e6:.2f} MB: {(ledger + trail) / 1e6:.2f} of 64 MB"
    )


def _size(path: Path) -> int:
    return sum(one.stat().st_size for one in path.parent.glob(f"{path.name}*"))


# --- all


def _fix(second: int) -> Fix:
    """A drive through a town: turns, stops, and a receiver's noise."""
    chance = random.Random(second)
    return Fix(
        lat=39.9 + second * 7e-5 + chance.uniform(-2e-5, 2e-5),
        lon=-83.0 + (second % 600) * 9e-5 + chance.uniform(-2e-5, 2e-5),
        speed_mps=round(max(0.0, 11 + chance.uniform(-11, 6)), 1),
        heading_deg=float(chance.randrange(360)),
    )


def _prose(chars: int) -> str:
    """Letters that do not compress by being the same; nothing here compresses anyway."""
    return "".join(random.Random(chars).choices("abcdefghijklmnopqrstuvwxyz    ", k=chars))


def _shuffled(of: dict[str, Contender] | dict[str, Work]) -> list[str]:
    names = list(of)
    random.shuffle(names)
    return names


def _spread(ratio: list[float]) -> str:
    return f"{statistics.median(ratio):.2f} ({min(ratio):.2f}-{max(ratio):.2f})"


def _end(made: Iterator[Work]) -> None:
    for _ in made:
        pass


def _ignore(_: object) -> None:
    """A row's cursor or a number, which a measurement does not want."""


def _machine(where: Path) -> str:
    said = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^(?:model name|Model)\s*: (.+)$", said, re.MULTILINE)
    commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True).stdout.strip()
    disk = subprocess.run(["findmnt", "-no", "SOURCE,FSTYPE", "-T", str(where)], capture_output=True, text=True)
    return (
        f"commit {commit or 'unknown'}; {model.group(1) if model else platform.machine()}, {os.cpu_count()} cores, "
        f"{platform.release()}; Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}; "
        f"disk {' '.join(disk.stdout.split())}"
    )


if __name__ == "__main__":
    cli()
