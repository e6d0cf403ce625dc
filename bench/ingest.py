"""Positions made durable at the hub: how many a second, for how much CPU, how soon, and in how many bytes.

Mosquitto runs as the hub configures it; one more line of its access list lets the bench speak for every terminal. For
the rates it first takes everything into the queue of the hub's session, then one subscriber drains that: the hub's own
link and intake with signed trail records, a C program that does no more than the same receiving and committing, or a
callback that commits each message. So no publisher takes part in what is measured. Rounds are shuffled; a ratio is of
two figures of one round. For the delay both run at once, at 5,000 positions a second.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import ssl
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from random import Random
from statistics import median

import click
from msgspec import Struct
from sqlalchemy import Engine

from bench import agency as made
from bench import packets, trails
from bench.agency import Agency, Identity
from bench.figures import print_ms, say
from bench.packets import Type
from hub import ingest, store
from hub.arrivals import Arrival, Marks
from hub.broker import BROKER_FOLDER, Broker
from hub.ca import Service, open_ca
from hub.settings import TLS_FOLDER
from wire import records, topics
from wire.codec import encode
from wire.facts import StatusFact
from wire.records import Kind, Record
from wire.stamp import Stamp
from wire.topics import Up, UpTopic

RATE = 5000  # positions a second, for the delay
DELAY_S = 4.0
WINDOW = 400  # messages open at a time when filling the queue; the broker lets 500 be
RECORDS = 3000  # of a round, for the hub; more would not fit the broker's queue of 20,000 in one filling for all
BARE = 12_000  # for the C program, which would otherwise be over before the clock has moved
NAIVE = 1500
BATCH = 250
POSITION = struct.Struct("<16sqiihh")  # what one position in a message needs at least


class Speaker:
    """Signs what terminals send, and knows where their logs stand."""

    def __init__(self, terminals: Sequence[Identity]) -> None:
        self._terminals = terminals
        self._seq = dict.fromkeys((one.device for one in terminals), 0)
        self._mono_ms = 0

    def records(self, count: int, fixes: int, *, is_mixed: bool = False) -> list[tuple[str, bytes]]:
        """`count` records, a terminal after the other; mixed: every tenth is a press of a status."""
        bodies = trails.drives(fixes, 50)
        out = []
        for number in range(count):
            one = self._terminals[number % len(self._terminals)]
            is_press = is_mixed and number % 10 == 9
            kind = Kind.STATUS if is_press else Kind.TRAIL
            press = StatusFact(unit=one.unit, status=("available", "break")[number % 2], by="crew")
            body = encode(press) if is_press else bodies[number % len(bodies)]
            out.append((topics.text(UpTopic(one.device, Up.LOG)), self._signed(one, kind, body)))
        return out

    def positions(self, count: int) -> list[tuple[str, bytes]]:
        """`count` messages of one position each, unsigned: what the bare subscribers are given."""
        out = []
        for number in range(count):
            one = self._terminals[number % len(self._terminals)]
            self._mono_ms += 1
            data = POSITION.pack(bytes(16), time.time_ns(), 41_000_000, -83_000_000, 130, 90)
            out.append((topics.text(UpTopic(one.device, Up.LOG)), data + struct.pack("<q", self._mono_ms)))
        return out

    def _signed(self, one: Identity, kind: Kind, body: bytes) -> bytes:
        self._seq[one.device] += 1
        self._mono_ms += 1000
        stamp = Stamp(boot=bytes(16), mono_ms=self._mono_ms, wall_ms=int(time.time() * 1000), quality="gps")
        record = Record(
            v=records.VERSION,
            device=one.device,
            log_id=one.device.encode().ljust(16, b"\0"),
            seq=self._seq[one.device],
            kind=kind,
            stamp=stamp,
            body=body,
        )
        return records.sign_record(record, one.key)


class Result(Struct, frozen=True, kw_only=True):
    """What a subscriber did."""

    messages: int
    seconds: float
    cpu_s: float


class Ground(Struct, frozen=True, kw_only=True):
    """Where everything happens. `limit` is the C program, None when it could not be built."""

    folder: Path
    agency: Agency
    publisher: Identity
    limit: Path | None

    def start(self, who: str, count: int, times: Path | None = None) -> subprocess.Popen[str]:
        """Start a subscriber: "hub", "naive" or "limit"."""
        home = self.agency.home
        if who == "limit":
            assert self.limit is not None
            pem = self.folder / "ingest.pem"
            words = [str(self.limit), str(self.agency.port), str(self.agency.root), str(pem), str(home / "limit.db")]
            command = [*words, str(count)]
        else:
            command = [sys.executable, "-m", "bench.intake_alone", who, str(home), str(count)]
        return subprocess.Popen([*command, *([str(times)] if times else [])], stdout=subprocess.PIPE, text=True)


@click.command()
@click.option("--rounds", default=5, show_default=True)
@click.option("--terminals", default="20,200,1000", show_default=True)
@click.option("--scale", default=1.0, show_default=True, help="Of the messages of a round.")
def cli(rounds: int, terminals: str, scale: float) -> None:
    """Print fixes a second and CPU per fix, milliseconds until durable, and bytes on the disk."""
    for count in (int(word) for word in terminals.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            _measure(Path(folder), count, rounds, scale, is_last=count == int(terminals.split(",")[-1]))


def _measure(folder: Path, terminals: int, rounds: int, scale: float, *, is_last: bool) -> None:
    agency = made.make(folder, terminals)
    publisher = made.identity(open_ca(agency.home, agency.settings), folder, "bench-publisher", "none")
    ground = Ground(folder=folder, agency=agency, publisher=publisher, limit=_built(folder))
    tls = agency.home / TLS_FOLDER
    pem = (tls / f"{Service.INGEST}.crt").read_bytes() + (tls / f"{Service.INGEST}.key").read_bytes()
    (folder / "ingest.pem").write_bytes(pem)
    broker = Broker(agency.home, agency.settings, say)
    broker.start()
    try:
        with (agency.home / BROKER_FOLDER / "acl").open("a") as allowed:
            allowed.write("\nuser bench-publisher\ntopic write tandem/v1/+/up/#\n")
        broker.reload()
        speaker = Speaker(agency.terminals)
        _rates(ground, speaker, rounds, scale)
        if is_last:
            _delays(ground, speaker)
            _bytes(ground)
    finally:
        broker.stop()


# --- rates ------------------------------------------------------------------------------------------------------------


def _rates(ground: Ground, speaker: Speaker, rounds: int, scale: float) -> None:
    many, bare, naive = (int(count * scale) for count in (RECORDS, BARE, NAIVE))
    ways: dict[str, tuple[str, int, int, Callable[[int], list[tuple[str, bytes]]]]] = {
        "hub, records of 60 fixes": ("hub", many, 60, lambda n: speaker.records(n, 60)),
        "hub, records of 10 fixes": ("hub", many, 10, lambda n: speaker.records(n, 10)),
        "hub, 60 fixes, every tenth a status": ("hub", many, 54, lambda n: speaker.records(n, 60, is_mixed=True)),
        "a commit for each position": ("naive", naive, 1, speaker.positions),
    }
    if ground.limit is not None:
        ways["C, one position a message"] = ("limit", bare, 1, speaker.positions)
        ways["C, messages as large as 60 fixes"] = ("limit", bare, 60, lambda n: _opaque(ground, n))
    found: dict[str, list[Result]] = {name: [] for name in ways}
    chance = Random(1)
    _hold_session(ground)
    for number in range(rounds):
        say(f"{len(ground.agency.terminals)} terminals, round {number + 1} of {rounds}")
        for name in chance.sample(sorted(ways), len(ways)):
            who, count, _, messages = ways[name]
            asyncio.run(_fill(ground, messages(count)))
            found[name].append(_drain(ground, who, count))
    click.echo(f"\n{len(ground.agency.terminals)} terminals, {rounds} rounds; median (least to most)")
    for name, results in found.items():
        fixes = ways[name][2]
        click.echo(
            f"  {name:38} {_spread([r.messages * fixes / r.seconds for r in results], '{:,.0f}')} fixes/s   "
            f"{_spread([r.messages / r.seconds for r in results], '{:,.0f}')} messages/s   "
            f"CPU {_spread([1e6 * r.cpu_s / r.messages / fixes for r in results], '{:.2f}')} us a fix, "
            f"{median(1e6 * r.cpu_s / r.messages for r in results):.0f} us a message"
        )
    for name in ("hub, records of 60 fixes", "hub, records of 10 fixes"):
        for other in ("C, one position a message", "C, messages as large as 60 fixes", "a commit for each position"):
            if other in found and not (other.startswith("C, messages") and "10" in name):
                _print_ratio(name, other, found, ways[name][2], ways[other][2])


def _print_ratio(name: str, other: str, found: dict[str, list[Result]], fixes: int, other_fixes: int) -> None:
    pairs = list(zip(found[name], found[other], strict=True))
    rate = [(a.messages * fixes / a.seconds) / (b.messages * other_fixes / b.seconds) for a, b in pairs]
    cpu = [(a.cpu_s / a.messages / fixes) / (b.cpu_s / b.messages / other_fixes) for a, b in pairs]
    click.echo(f"  {name} / {other}: fixes/s {_spread(rate, '{:.2f}')}, CPU a fix {_spread(cpu, '{:.2f}')}")


def _opaque(ground: Ground, count: int) -> list[tuple[str, bytes]]:
    """Messages as long as a signed record of 60 fixes, which the C program does not open."""
    body = os.urandom(len(trails.drive(60)) + 140)
    devices = [one.device for one in ground.agency.terminals]
    return [(topics.text(UpTopic(devices[n % len(devices)], Up.LOG)), body) for n in range(count)]


def _hold_session(ground: Ground) -> None:
    """Let the broker know the hub's session, so that it keeps what comes while nobody drains it."""
    if ground.limit is not None:
        ground.start("limit", 0).communicate(timeout=30)
        return
    naive = ground.start("naive", 1)
    _await_ready(naive)
    naive.kill()
    naive.wait()


def _await_ready(child: subprocess.Popen[str]) -> None:
    assert child.stdout is not None
    if child.stdout.readline() != "ready\n":
        raise RuntimeError("a subscriber did not subscribe")


def _drain(ground: Ground, who: str, count: int) -> Result:
    child = ground.start(who, count)
    said, _ = child.communicate(timeout=300)
    if child.returncode != 0:
        raise RuntimeError(f"{who} ended with {child.returncode}")
    (figures,) = [line for line in said.splitlines() if line != "ready"]  # it may say so late, when a queue waited
    messages, seconds, cpu_s = figures.split()
    return Result(messages=int(messages), seconds=float(seconds), cpu_s=float(cpu_s))


# --- delay ------------------------------------------------------------------------------------------------------------


def _delays(ground: Ground, speaker: Speaker) -> None:
    click.echo(
        f"\nfrom publishing to durable, {RATE:,} positions a second from {len(ground.agency.terminals)} terminals"
    )
    seconds = DELAY_S
    ways: dict[str, tuple[str, float, Callable[[int], list[tuple[str, bytes]]]]] = {
        "hub, records of 60 fixes": ("hub", RATE / 60, lambda n: speaker.records(n, 60)),
        "hub, records of 10 fixes": ("hub", RATE / 10, lambda n: speaker.records(n, 10)),
        "a commit for each record of 10": ("naive", RATE / 10, lambda n: _large(ground, n)),
        "a commit for each position": ("naive", float(RATE), speaker.positions),
    }
    if ground.limit is not None:
        ways["C, one position a message"] = ("limit", float(RATE), speaker.positions)
    for name, (who, per_s, messages) in ways.items():
        wanted = messages(int(per_s * seconds))
        times = ground.folder / "times"
        child = ground.start(who, len(wanted), times)
        _await_ready(child)
        sent = asyncio.run(_fill(ground, wanted, per_s))
        child.communicate(timeout=120)
        print_ms(name, _took_ms(sent, times))


def _large(ground: Ground, count: int) -> list[tuple[str, bytes]]:
    size = len(trails.drive(10)) + 140
    device = ground.agency.terminals[0].device
    return [(topics.text(UpTopic(device, Up.LOG)), os.urandom(size)) for _ in range(count)]


def _took_ms(sent: dict[bytes, int], times: Path) -> list[float]:
    data = times.read_bytes()
    rows = ((data[at : at + 8], struct.unpack("<q", data[at + 8 : at + 16])[0]) for at in range(0, len(data), 16))
    return [(at_ns - sent[key]) / 1e6 for key, at_ns in rows if key in sent]


# --- bytes ------------------------------------------------------------------------------------------------------------


def _bytes(ground: Ground) -> None:
    """Grow a hub's database by a drive of each terminal, and an ordinary table by the same positions."""
    click.echo("\nbytes on the hub's disk for each position, indexes, signatures and names included")
    indexed = _row_bytes(ground.folder / "indexed.db", ground.agency.terminals, 100_000, is_indexed=True)
    per_row = _row_bytes(ground.folder / "rows.db", ground.agency.terminals, 100_000, is_indexed=False)
    click.echo(f"  {'one SQLite row each, indexed by device and time':48} {indexed:6.1f}")
    click.echo(f"  {'one SQLite row each, found by reading all':48} {per_row:6.1f}")
    for fixes in (60, 10):
        per = _hub_bytes(ground, fixes, 240_000)
        click.echo(
            f"  {f'hub, records of {fixes} fixes':48} {per:6.1f}   1/{indexed / per:.1f} and 1/{per_row / per:.1f} of these"
        )


def _row_bytes(path: Path, terminals: Sequence[Identity], count: int, *, is_indexed: bool) -> float:
    with closing(sqlite3.connect(path)) as database:
        database.execute(
            "create table position (id integer primary key, device text not null, at_ms integer not null,"
            " lat real not null, lon real not null, speed_mps real, heading_deg real)"
        )
        if is_indexed:
            database.execute("create index position_by_device on position (device, at_ms)")
        before = _size(database)
        drive = trails.points(1)
        with database:
            for number in range(count):
                point, one = next(drive), terminals[number % len(terminals)]
                row = (one.device, 1_780_000_000_000 + point.mono_ms, point.lat, point.lon, point.speed_mps)
                database.execute(
                    "insert into position (device, at_ms, lat, lon, speed_mps, heading_deg) values (?, ?, ?, ?, ?, ?)",
                    (*row, point.heading_deg),
                )
        return (_size(database) - before) / count


def _hub_bytes(ground: Ground, fixes: int, count: int) -> float:
    home = ground.folder / f"fresh-{fixes}"
    home.mkdir()
    engine, speaker, marks = store.open_store(home), Speaker(ground.agency.terminals), Marks()
    try:
        made.enroll(engine, ground.agency.terminals)
        _take(engine, speaker.records(len(ground.agency.terminals), fixes), marks)  # keys and logs, once for each
        before, taken = _stored(engine), 0
        while taken < count:
            batch = speaker.records(BATCH, fixes)
            _take(engine, batch, marks)
            taken += fixes * len(batch)
        return (_stored(engine) - before) / taken
    finally:
        engine.dispose()


def _take(engine: Engine, messages: list[tuple[str, bytes]], marks: Marks) -> None:
    ingest.take(
        engine, [Arrival(topic=topic, payload=data) for topic, data in messages], 1_780_000_000_000, marks=marks
    )


def _stored(engine: Engine) -> int:
    """Bytes of the database's pages, what still waits in the write-ahead log included."""
    with engine.begin() as connection:
        pages, size = (
            connection.exec_driver_sql(f"pragma {what}").scalar_one() for what in ("page_count", "page_size")
        )
        return int(pages) * int(size)


# --- publishing -------------------------------------------------------------------------------------------------------


async def _fill(ground: Ground, messages: list[tuple[str, bytes]], per_s: float | None = None) -> dict[bytes, int]:
    """Publish `messages` at QoS 1, as fast as the broker takes them or `per_s`; when each went out, by its last bytes."""
    context = ssl.create_default_context(cafile=str(ground.agency.root))
    context.load_cert_chain(str(ground.publisher.pem))
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", ground.agency.port, ssl=context, server_hostname="localhost"
    )
    writer.write(packets.connect(ground.publisher.device, 60, 0, None))
    if packets.reason(await packets.read(reader)):
        raise RuntimeError("the broker refuses the publisher")
    places = asyncio.Semaphore(WINDOW)
    counting = asyncio.create_task(_count_answers(reader, places, len(messages)))
    sent, began_s = {}, time.monotonic()
    for number, (topic, payload) in enumerate(messages):
        if per_s is not None and (early_s := began_s + number / per_s - time.monotonic()) > 0:
            await asyncio.sleep(early_s)
        await places.acquire()
        sent[payload[-8:]] = time.monotonic_ns()
        writer.write(packets.publish(topic, payload, number % 65535 + 1))
    refused = await counting
    if refused:
        raise RuntimeError(f"the broker refused {refused} messages")
    writer.write(packets.DISCONNECT)
    writer.close()
    return sent


async def _count_answers(reader: asyncio.StreamReader, places: asyncio.Semaphore, count: int) -> int:
    refused = 0
    while count:
        packet = await packets.read(reader)
        if packet.type == Type.PUBACK:
            refused += packets.reason(packet) >= 0x80
            count -= 1
            places.release()
    return refused


# --- the C program, and how figures are written -----------------------------------------------------------------------


def _built(folder: Path) -> Path | None:
    """The C program, compiled; None, and said, when this machine cannot."""
    program = folder / "subscriber"
    source = Path(__file__).with_name("subscriber.c")
    command = ["cc", "-O2", "-o", str(program), str(source), "-lssl", "-lcrypto", "-lsqlite3"]
    if shutil.which("cc") and subprocess.run(command, capture_output=True).returncode == 0:
        return program
    click.echo("No C compiler, or libssl-dev or libsqlite3-dev is missing: the C program is left out.")
    return None


def _spread(values: Sequence[float], form: str) -> str:
    return f"{form.format(median(values))} ({form.format(min(values))} to {form.format(max(values))})"


def _size(database: sqlite3.Connection) -> int:
    pages, size = (database.execute(f"pragma {what}").fetchone()[0] for what in ("page_count", "page_size"))
    return int(pages) * int(size)


if __name__ == "__main__":
    cli()
