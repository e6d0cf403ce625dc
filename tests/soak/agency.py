"""A real hub whose broker can be killed alone, and boards that are enrolled and send through whatever stands between.

The hub starts `mosquitto` from the PATH and finds a small script there, which keeps the real one running as a service
manager would: so a fault can take the broker and leave the hub, or wipe the broker's store while it is down.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from typing import TypeVar

import msgspec
from sqlalchemy import insert

from demo.fleet import Login
from demo.story import sign_in
from demo.web import Browser
from edge import vault
from hub import roster, schema, store
from hub.ca import TRUST_FILE
from hub.settings import TLS_FOLDER
from tests.ports import free_port
from tests.soak import auditor
from tests.soak.auditor import Evidence
from tests.soak.crew import ROUND
from tests.soak.proxy import Credentials, Proxy
from tests.soak.report import Outcome
from tests.soak.saved import SavedFile
from tests.soak.senders import Owed, Senders
from tests.soak.site import LITTLE_RESERVE, Board
from tests.system.test_hub_ingest import PROGRAM, Hub
from wire.codec import decode, encode
from wire.enrollment import (
    DEVICE_CHAIN_FILE,
    DEVICE_KEY_FILE,
    ENROLLED_FILE,
    IDENTITY_FOLDER,
    BrokerAddress,
    Enrolled,
)
from wire.signature import public_der

T = TypeVar("T")
PATIENCE_S = 300.0
DISPATCHER = Login(account="dee", password="a long secret", role="dispatcher")
NAME = "Lakeshore CARE"

_KEEPER = """\
#!/bin/sh
# Keeps Mosquitto running; {home}/down: not before that is gone; {home}/wipe: with an empty store, once.
sed 's/^max_queued_messages .*/max_queued_messages {queue}/' "$2" > {home}/conf
trap 'over=1; kill $child' TERM
trap 'kill -HUP $child' HUP
while [ -z "$over" ]; do
  while [ -e {home}/down ]; do sleep 0.02; done
  if [ -e {home}/wipe ]; then rm -f {data}/* {home}/wipe; fi
  setpriv --pdeathsig KILL {real} -c {home}/conf &
  child=$!
  echo $child > {home}/pid.new && mv {home}/pid.new {home}/pid
  while kill -0 $child 2>/dev/null; do wait $child; done
done
"""


class Agency:
    """The hub in `folder`, perhaps on a disk of its own (`hub_folder`), and `count` boards; nothing runs yet."""

    def __init__(
        self,
        folder: Path,
        count: int,
        *,
        hub_folder: Path | None = None,
        broker_host: str = "",
        broker_queue: int = 20_000,
    ) -> None:
        self.folder = folder
        self.hub = Hub(hub_folder or folder)
        if broker_host:
            settings = self.hub.home / "hub.toml"
            text = settings.read_text()
            head, _, tail = text.partition("[broker]")
            settings.write_text(head + "[broker]" + tail.replace('host = "127.0.0.1"', f'host = "{broker_host}"', 1))
        self.saved = SavedFile(folder / "saved")
        self._keeper = folder / "keeper"
        self._keeper.mkdir()
        self._write_keeper(broker_queue)
        words = ("account", "add", DISPATCHER.account, "--role", DISPATCHER.role, "--password-stdin")
        self.hub.command(*words, stdin=DISPATCHER.password)
        self.boards = tuple(self._board(number) for number in range(count))
        self._enroll()

    def start_hub(self, timeout_s: float = 60.0) -> None:
        path = f"{self._keeper}:{os.environ['PATH']}:/usr/sbin"
        with (self.folder / "hub.log").open("a") as log:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *PROGRAM, "serve", "--home", str(self.hub.home)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "PATH": path},
            )
        self.hub.process = process
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith("ready "):
            raise RuntimeError((self.folder / "hub.log").read_text()[-2000:])

    def kill_hub(self) -> None:
        """SIGKILL; the broker goes with it."""
        broker = self.broker_pid()
        self.hub.stop(signal.SIGKILL)
        until("the end of the broker", lambda: not Path(f"/proc/{broker}").exists(), every_s=0.005)

    @property
    def hub_pid(self) -> int:
        assert self.hub.process is not None
        return self.hub.process.pid

    def broker_pid(self) -> int:
        return int((self._keeper / "pid").read_text())

    def kill_broker(self, *, wipe: bool = False, down_s: float = 0.0) -> None:
        """SIGKILL of the broker alone; it is started again after `down_s`, with an empty store if `wipe`."""
        (self._keeper / "down").touch()
        if wipe:
            (self._keeper / "wipe").touch()
        pid = self.broker_pid()
        os.kill(pid, signal.SIGKILL)
        until("the end of the broker", lambda: _is_gone(pid), every_s=0.005)
        time.sleep(down_s)
        (self._keeper / "down").unlink()
        until("another broker", lambda: self.broker_pid() != pid, every_s=0.005)

    def reload_broker(self) -> None:
        os.kill(self.broker_pid(), signal.SIGHUP)

    def point_to(self, port: int) -> None:
        """Where every board finds its broker from its next start on."""
        for board in self.boards:
            file = board.home / IDENTITY_FOLDER / ENROLLED_FILE
            said = decode(file.read_bytes(), Enrolled)
            admission = msgspec.structs.replace(said.admission, broker=BrokerAddress(host="localhost", port=port))
            file.write_bytes(encode(msgspec.structs.replace(said, admission=admission)))

    def proxy(self, chance: Random, host: str = "127.0.0.1") -> Proxy:
        """A bad network before the broker; the boards are sent there."""
        tls = self.hub.home / TLS_FOLDER
        made = Proxy(
            self.hub.ports["broker"],
            tls / TRUST_FILE,
            Credentials(chain=tls / "broker.crt", key=tls / "broker.key"),
            self.credentials,
            chance,
            host=host,
        )
        self.point_to(made.port)
        return made

    def credentials(self, device: str) -> Credentials:
        folder = self.folder / device / IDENTITY_FOLDER
        return Credentials(chain=folder / DEVICE_CHAIN_FILE, key=folder / DEVICE_KEY_FILE)

    def senders(self, hurry: int = 1) -> Senders:
        homes = [(board.home, board.unit) for board in self.boards]
        return Senders(homes, self.saved.path, self.folder / "senders.log", hurry)

    def complaints(self) -> list[str]:
        """What the hub said of itself that it should not have to: its link ended although its broker lived, or a pipe
        broke."""
        lines = (self.folder / "hub.log").read_text().splitlines()
        bad = ("why=dropped", "why='dropped'", "a pipe broke")
        return [line for line in lines if any(word in line for word in bad)]

    def console(self) -> Browser:
        return sign_in(f"http://127.0.0.1:{self.hub.ports['console']}", DISPATCHER)

    def ask(self, sql: str) -> list[tuple[object, ...]]:
        """The hub's database, only looked at."""
        with closing(sqlite3.connect(f"file:{self.hub.home / 'hub.db'}?mode=ro", uri=True, timeout=30)) as connection:
            return connection.execute(sql).fetchall()

    def held(self) -> int:
        return int(str(self.ask("select coalesce(sum(through), 0) from log")[0][0]))

    def evidence(self, scratch: Path, *, is_healed: bool = True) -> Evidence:
        return Evidence(
            hub=self.hub.home / "hub.db",
            boards=[auditor.Board(device=b.device, home=b.home, public=b.public) for b in self.boards],
            saved=self.saved.read(),
            words=ROUND,
            is_healed=is_healed,
            scratch=scratch,
        )

    def close(self) -> None:
        if self.hub.process is not None:
            self.hub.stop(signal.SIGKILL)

    def _write_keeper(self, queue: int) -> None:
        script = self._keeper / "mosquitto"
        real = next(p for p in ("/usr/sbin/mosquitto", "/usr/bin/mosquitto") if Path(p).exists())
        data = self.hub.home / "broker" / "data"
        script.write_text(_KEEPER.format(home=self._keeper, data=data, real=real, queue=queue))
        script.chmod(0o755)

    def _board(self, number: int) -> Board:
        device = f"d-{number}"
        home = self.folder / device
        home.mkdir(mode=0o700)
        who = self.hub.fleet.terminal(home, device)
        port = free_port()
        (home / "terminal.toml").write_text(
            f'[receiver]\nport = "{home / "receiver"}"\nbaud = 9600\n\n{LITTLE_RESERVE}[screen]\nport = {port}\n'
        )
        staff = f"s{number}"
        (home / "kem.der").write_bytes(public_der(who.kem.public_key()))
        (home / "leaf.der").write_bytes(who.admission.chain[0])
        return Board(
            device=device,
            unit=f"u{number}",
            home=home,
            log=self.folder / f"{device}.log",
            public=public_der(who.key.public_key()),
            screen_port=port,
            staff=staff,
            pin=vault.issue(home, staff) if number < 10 else "",  # hashing a PIN takes its time, and senders have none
        )

    def _enroll(self) -> None:
        now_ms = int(time.time() * 1000)
        read = roster.RosterFile(
            unit=tuple(
                roster.Unit(unit=board.unit, call_sign=f"CARE-{number}", kind="vehicle")
                for number, board in enumerate(self.boards)
            ),
            staff=tuple(
                roster.Staff(staff=b.staff, name=f"Crew {b.staff}", role="specialist", skills=(), languages=())
                for b in self.boards
            ),
            duty=tuple(roster.Duty(unit=b.unit, staff=(b.staff,)) for b in self.boards),
        )
        engine = store.open_store(self.hub.home)
        with engine.begin() as connection:
            roster.load(connection, read, NAME, now_ms)
            for board in self.boards:
                connection.execute(
                    insert(schema.device).values(
                        device=board.device,
                        unit=board.unit,
                        kind="vehicle",
                        state="enrolled",
                        public=board.public,
                        kem_public=(board.home / "kem.der").read_bytes(),
                        certificate=(board.home / "leaf.der").read_bytes(),
                        added_ms=now_ms,
                        enrolled_ms=now_ms,
                    )
                )
        engine.dispose()
        self.point_to(self.hub.ports["broker"])


@contextmanager
def open_agency(
    folder: Path, count: int, *, hub_folder: Path | None = None, broker_host: str = "", broker_queue: int = 20_000
) -> Iterator[Agency]:
    """An agency whose hub runs; every process of it is gone afterwards."""
    agency = Agency(folder, count, hub_folder=hub_folder, broker_host=broker_host, broker_queue=broker_queue)
    try:
        agency.start_hub()
        yield agency
    finally:
        agency.close()


def until(what: str, look: Callable[[], T | None], timeout_s: float = PATIENCE_S, every_s: float = 0.05) -> T:
    """What `look` sees as soon as it sees something; TimeoutError naming `what` when it never does."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        if seen := look():
            return seen
        time.sleep(every_s)
    raise TimeoutError(f"waited {timeout_s:.0f} s in vain for {what}")


def drained(senders: Senders, timeout_s: float = PATIENCE_S) -> Owed:
    """Wait until everything is pressed and nothing owed."""

    def look() -> Owed | None:
        owed = senders.owed()
        return owed if owed.records == owed.to_press == 0 else None

    return until("nothing owed", look, timeout_s, every_s=0.2)


def settle(agency: Agency, senders: Senders) -> None:
    """Wait until every section is held as the hub wants it, and the hub has heard so: pressing a status changes some."""
    question = "select count(*) from desired where held_epoch is not epoch or held_n is not n"

    def look() -> bool:
        return agency.ask(question) == [(0,)] and drained(senders).records == 0 and agency.ask(question) == [(0,)]

    until("the newest state held", look, every_s=0.3)


def concluded(
    agency: Agency,
    scratch: Path,
    *,
    repetitions: int,
    recovery_s_max: float | None,
    also: str = "",
    findings: tuple[str, ...] = (),
    is_healed: bool = True,
) -> Outcome:
    """What the auditor says after the run, as a row's outcome."""
    scratch.mkdir(exist_ok=True)
    verdict = auditor.audit(agency.evidence(scratch, is_healed=is_healed))
    return Outcome(
        repetitions=repetitions,
        lost=len(verdict.lost),
        duplicated=len(verdict.duplicated),
        recovery_s_max=recovery_s_max,
        also=f"{verdict.records:,} records{'; ' if also else ''}{also}",
        findings=(*findings, *verdict.findings),
    )


def _is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
