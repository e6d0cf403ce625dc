"""Many terminals in one process: each the product's own stores, outbox, link, uplink and downlink, without a screen.

A whole `tandem-edge run` costs 40 MB and a receiver; where the fault is in the network, the broker or the hub, and two
hundred terminals are to suffer it, what sends is run and what crews look at is left out. A crew presses the statuses of
`ROUND` in order, so that whoever reads the records can tell a missing press from a doubled one.

`python -m tests.soak.senders HURRY SAVED HOME …` obeys lines of standard input: `press COUNT BATCH PAUSE_S`,
`track COUNT BATCH PAUSE_S`, `owed`, `end`.
"""

from __future__ import annotations

import json
import logging
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from queue import Queue

import structlog
from msgspec import Struct
from sqlite_utils import Database

from edge import downlink, identity, link, outbox, schema, sync, uplink
from edge.clock import Clock, boot_id
from edge.downlink import Downlink
from edge.link import Backoff, Link
from edge.outbox import LEDGER, TRAIL, Signer
from edge.store import Store
from edge.tls import TlsFiles
from edge.uplink import LiveSlot, Uplink
from tests.soak.crew import ROUND
from tests.soak.saved import Saved, SavedFile
from wire.facts import StatusFact
from wire.records import Kind
from wire.trail import Trail, TrailPoint, pack

ROOT = Path(__file__).parents[2]
PER_PROCESS = 25
FIXES = 2  # in a record of the trail: what is counted here are records
_WAITS = (  # of the product, in seconds; a hurry divides them, for tests that have half a minute
    *((link, name) for name in ("KEEPALIVE_S", "WILL_DELAY_S")),
    *((sync, name) for name in ("RESEND_S", "RESEND_S_MAX", "ANSWER_S_MAX", "REFUSED_PAUSE_S")),
)


class Sender:
    """The terminal in `home`, running until `stop`."""

    def __init__(self, home: Path, unit: str, saved: SavedFile, backoff: Backoff) -> None:
        who = identity.load(home)
        self.device, self._unit, self._saved = who.device, unit, saved
        self._pressed = self._driven = 0
        self._stores = {
            LEDGER: Store(home / "ledger.db", schema.LEDGER, died=_died),
            TRAIL: Store(home / "trail.db", schema.TRAIL, died=_died),
        }
        self._clock = Clock(boot_id())
        self._signer = Signer(who.device, who.key)
        chance = random.SystemRandom()
        notices, heard = uplink.inbox(), downlink.inbox()
        self._link = Link(
            who.device,
            who.admission.broker,
            TlsFiles(chain=who.chain_path, key=who.key_path, root=who.root_path),
            next_session=lambda: self._stores[LEDGER].do(_next_session),
            farewell=lambda session: uplink.farewell(self._signer, self._clock, "soak", session),
            noticed=notices.put,
            heard=heard.put,
            chance=chance,
            backoff=backoff,
        )
        live = LiveSlot(self._signer, self._clock, self._link.publish)
        self._up = Uplink(
            notices,
            self._stores,
            self._signer,
            self._clock,
            self._link.publish,
            live,
            software="soak",
            chance=chance,
        )
        self._down = Downlink(
            heard,
            self._stores,
            who,
            self._signer,
            self._clock,
            hub_said=self._up.hub_said,
            spread=self._link.spread,
            settings=lambda _: None,
            wake=self._up.wake,
            refused=self._up.refused,
            desk=None,
        )
        self._threads = [
            threading.Thread(target=part.run, name=f"{who.device}-{name}", daemon=True)
            for name, part in (("up", self._up), ("down", self._down), ("link", self._link))
        ]
        for thread in self._threads:
            thread.start()

    def press(self, count: int) -> None:
        """The next `count` statuses, in one transaction; noted as saved once it is committed."""
        first = self._pressed
        words = [ROUND[number % len(ROUND)] for number in range(first, first + count)]
        self._stores[LEDGER].do(partial(self._append, words=words))
        self._pressed += count
        self._up.wake()
        last = self._pressed - 1
        self._saved.note(
            Saved(device=self.device, what="status", word=f"{last}:{ROUND[last % len(ROUND)]}", is_sure=True)
        )

    def track(self, count: int) -> None:
        """`count` records of where it drove, in one transaction; nobody was told that they are saved."""
        self._stores[TRAIL].do(partial(self._append_trail, count=count))
        self._up.wake()

    def owed(self) -> int:
        return sum(store.do(outbox.numbers).unsent for store in self._stores.values())

    def receipted(self) -> int:
        return sum(store.do(outbox.numbers).through for store in self._stores.values())

    def hears_us(self) -> str:
        return self._up.hears_us()

    def stop(self) -> None:
        for part in (self._link, self._down, self._up):
            part.stop()
        for thread in self._threads:
            thread.join(5)
        for store in self._stores.values():
            if store.is_alive:
                store.close()

    def _append(self, db: Database, words: Sequence[str]) -> None:
        for word in words:
            fact = StatusFact(unit=self._unit, status=word, by="crew")
            outbox.append(db, self._signer, self._clock.stamp(), Kind.STATUS, fact)

    def _append_trail(self, db: Database, count: int) -> None:
        for _ in range(count):
            points = tuple(
                TrailPoint(mono_ms=1000 * (self._driven + n), lat=41.0, lon=-83.0, speed_mps=13.0, heading_deg=90.0)
                for n in range(FIXES)
            )
            outbox.append(db, self._signer, self._clock.stamp(), Kind.TRAIL, pack(Trail(points=points)))
            self._driven += FIXES


class Owed(Struct, frozen=True, kw_only=True):
    """What senders answer: records owed and records with a receipt, presses still to come, memory in use, how many have a
    link, and how many a hub that listens."""

    records: int
    receipted: int
    to_press: int
    resident_mb: float
    linked: int
    heard: int


class Senders:
    """So many terminals in so few processes, seen from outside. Every press of all of them is noted in `saved`."""

    def __init__(self, homes: Sequence[tuple[Path, str]], saved: Path, log: Path, hurry: int = 1) -> None:
        groups = [homes[start : start + PER_PROCESS] for start in range(0, len(homes), PER_PROCESS)]
        self._processes = []
        for group in groups:
            with log.open("a") as out:
                self._processes.append(
                    subprocess.Popen(
                        [
                            "setpriv",
                            "--pdeathsig",
                            "KILL",
                            "--",
                            sys.executable,
                            "-m",
                            "tests.soak.senders",
                            str(hurry),
                            str(saved),
                        ]
                        + [f"{home}={unit}" for home, unit in group],
                        cwd=ROOT,
                        env={**os.environ, "PYTHONPATH": str(ROOT)},
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        stderr=out,
                        text=True,
                    )
                )
        for process in self._processes:
            self._answer(process)

    def press(self, each: int, *, batch: int = 1, pause_s: float = 0.0) -> None:
        """Every crew presses `each` more, a `batch` to a transaction, with a pause between; this does not wait for it."""
        for process in self._processes:
            self._ask(process, f"press {each} {batch} {pause_s}")

    def track(self, each: int, *, batch: int = 1, pause_s: float = 0.0) -> None:
        """The same with records of where every car drove."""
        for process in self._processes:
            self._ask(process, f"track {each} {batch} {pause_s}")

    def owed(self) -> Owed:
        for process in self._processes:
            self._write(process, "owed")
        answers = [json.loads(self._answer(process)) for process in self._processes]
        return Owed(
            records=sum(answer[0] for answer in answers),
            receipted=sum(answer[1] for answer in answers),
            to_press=sum(answer[2] for answer in answers),
            resident_mb=sum(answer[3] for answer in answers),
            linked=sum(answer[4] for answer in answers),
            heard=sum(answer[5] for answer in answers),
        )

    def stop(self) -> None:
        """An orderly end of all; nothing when they have ended."""
        for process in self._processes:
            if process.poll() is None:
                self._write(process, "end")
        for process in self._processes:
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def _ask(self, process: subprocess.Popen[str], line: str) -> str:
        self._write(process, line)
        return self._answer(process)

    def _write(self, process: subprocess.Popen[str], line: str) -> None:
        assert process.stdin is not None
        process.stdin.write(line + "\n")
        process.stdin.flush()

    def _answer(self, process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError("a process of senders has ended; its last words are in senders.log")
        return line


def _next_session(db: Database) -> int:
    row: tuple[int] = db.execute(
        "insert into fact (name, value) values ('session', 1)"
        " on conflict (name) do update set value = value + 1 returning value"
    ).fetchone()
    return row[0]


def _died(why: str) -> None:
    print(f"a store died: {why}", file=sys.stderr)
    os._exit(1)


def _press(senders: Sequence[Sender], jobs: Queue[tuple[str, int, int, float]], to_press: list[int]) -> None:
    while True:
        what, count, batch, pause_s = jobs.get()
        done = 0
        while done < count:
            now = min(batch, count - done)
            for sender in senders:
                (sender.press if what == "press" else sender.track)(now)
                to_press[0] -= now
            done += now
            time.sleep(pause_s)


def main(hurry: int, saved: Path, homes: Sequence[str]) -> None:
    for module, name in _WAITS:
        setattr(module, name, type(getattr(module, name))(getattr(module, name) / hurry))
    logging.disable()
    structlog.configure(
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
    )
    threading.excepthook = lambda args: _died(f"{args.thread}: {args.exc_type}: {args.exc_value}")
    file = SavedFile(saved)
    usual = Backoff()
    backoff = Backoff(
        first_s=usual.first_s / hurry,
        s_min=usual.s_min / hurry,
        s_max=usual.s_max / hurry,
        healthy_s=usual.healthy_s / hurry,
    )
    senders = [Sender(Path(home), unit, file, backoff) for home, _, unit in (pair.rpartition("=") for pair in homes)]
    jobs: Queue[tuple[str, int, int, float]] = Queue()
    to_press = [0]
    threading.Thread(target=_press, args=(senders, jobs, to_press), daemon=True).start()
    print("ready", flush=True)
    for line in sys.stdin:
        match line.split():
            case ["press" | "track" as what, count, batch, pause_s]:
                to_press[0] += int(count) * len(senders)
                jobs.put((what, int(count), int(batch), float(pause_s)))
                print("ok", flush=True)
            case ["owed"]:
                pages = int(Path("/proc/self/statm").read_text().split()[1])
                resident_mb = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
                words = [sender.hears_us() for sender in senders]
                up = len(words) - words.count("down"), words.count("up")
                logs = sum(s.owed() for s in senders), sum(s.receipted() for s in senders)
                print(json.dumps([*logs, to_press[0], resident_mb, *up]), flush=True)
            case _:
                break
    enders = [threading.Thread(target=sender.stop) for sender in senders]
    for ender in enders:
        ender.start()
    for ender in enders:
        ender.join()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
