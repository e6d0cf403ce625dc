"""F07, F20, F25, F26: no link for long, clocks that jump, a process that hangs or has no memory, an upgrade taken back."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct

from tests.shifted_clock import ShiftedClock
from tests.soak import auditor
from tests.soak.crew import Crew, Ended, Refused
from tests.soak.duty import Lived, crews_of, heal_and_audit, introduce, last_words, outcome, slow_s, with_more
from tests.soak.ground import Ground, is_root
from tests.soak.images import open_image
from tests.soak.machine import ROOT
from tests.soak.nursery import Life
from tests.soak.report import NotRun, Outcome, Row
from tests.soak.site import LITTLE_RESERVE, Site, open_site, resident_mb, until

WORK_S = 2.0
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
GROWTH_MB_MAX = 8.0  # of a terminal without a link: pages of its database and nothing that grows
FIX_S_MAX = 10.0
BACK_S_MAX = 180.0  # it tries again within two minutes, and then drains
NOTICED_S_MAX = 60.0  # a link that swallows everything is found out by then
WATCHDOG_S = 15.0  # three times the beat: whoever has not fed systemd for this long is ended
HANG_S_MAX = 30.0
NEW_MB_MAX = 24.0  # of memory asked for from then on; checking a PIN takes 64
OLD_RELEASE = "0102708"  # where there is no tag yet: the last commit before a terminal's files took steps

JUMPS_S = {
    "1970": None,  # made when it is needed: the clock of a board without a battery
    "+6 h": 6 * 3600,
    "-2 h": -2 * 3600,
    "+1 s, a leap second": 1,
    "-1 s": -1,
    "+1,024 weeks": 1024 * 7 * 86400,
    "-1,024 weeks, a receiver's rollover": -1024 * 7 * 86400,
}


class Scene(Struct, frozen=True, kw_only=True):
    """One terminal and its hub."""

    ground: Ground
    site: Site
    crew: Crew
    life: Lived


@contextmanager
def _opened(ground: Ground) -> Iterator[Scene]:
    with open_site(ground.folder("agency"), {"care-0": ground.folder("board")}) as site:
        (crew,) = crews_of(site, ground)
        introduce(site, [crew])
        yield Scene(ground=ground, site=site, crew=crew, life=Lived())


# --- F07 --------------------------------------------------------------------------------------------------------------


def unlinked(ground: Ground) -> Outcome:
    """Nothing passes between terminal and broker for a long time, and the crew works on."""
    away_s = ground.long(quick_s=20.0, full_s=600.0)
    with _opened(ground) as scene:
        crew, life = scene.crew, scene.life
        running = _start(scene)
        _work(crew, WORK_S)
        with _no_link(scene.site.hub.ports["broker"]):
            began_mb = resident_mb(running.pid)
            ends_s = time.monotonic() + away_s
            while time.monotonic() < ends_s:
                _work(crew, 0.3)
                time.sleep(0.7)
            grown_mb = resident_mb(running.pid) - began_mb
            owed = crew.state()["link"]["unsent"]
            if away_s > NOTICED_S_MAX and crew.state()["link"]["link"] != "down":
                life.findings.append("F07: the screen says that the link is up, and nothing passes")
        healed_s = time.monotonic()
        until("the link", lambda: crew.state()["link"]["link"] == "up", 300)
        up_s = time.monotonic()
        fix = "select arrived_ms from position_last"
        before = scene.site.hub.rows(fix)
        until("a newer fix", lambda: scene.site.hub.rows(fix) != before)
        fix_s = time.monotonic() - up_s
        until("nothing owed", lambda: crew.state()["link"]["unsent"] == 0)
        life.recoveries_s.append(time.monotonic() - healed_s)
        if fix_s > FIX_S_MAX:
            life.findings.append(f"F07: the first fix came {fix_s:.0f} s after the link")
        if grown_mb > GROWTH_MB_MAX:
            life.findings.append(f"F07: the terminal grew by {grown_mb:.0f} MB without a link")
        running.kill_all()
        life.kills = 1
        verdict = heal_and_audit(scene.site, [crew], ground)
    more = f"{away_s:.0f} s away, {owed} owed then, memory {grown_mb:+.1f} MB, first fix {fix_s:.1f} s after the link"
    return with_more(outcome([life], [crew], verdict, slow_s=slow_s(ground, BACK_S_MAX)), more)


@contextmanager
def _no_link(port: int) -> Iterator[None]:
    """Every packet to and from the broker is dropped; nobody is told."""
    if not is_root() or shutil.which("nft", path=PATH) is None:
        raise NotRun("needs root and nft (nftables), to drop the packets of one port")
    table = f"soak_{secrets.token_hex(4)}"
    rules = (
        f"add table inet {table}; "
        f"add chain inet {table} out {{ type filter hook output priority 0; }}; "
        f"add rule inet {table} out tcp dport {port} drop; add rule inet {table} out tcp sport {port} drop"
    )
    done = subprocess.run(["nft", rules], capture_output=True, text=True, env={**os.environ, "PATH": PATH})
    if done.returncode != 0:
        raise NotRun(f"nft does not work here: {done.stderr.strip().splitlines()[0]}")
    try:
        yield
    finally:
        subprocess.run(["nft", f"delete table inet {table}"], check=True, env={**os.environ, "PATH": PATH})


# --- F20 --------------------------------------------------------------------------------------------------------------


def jumping(ground: Ground) -> Outcome:
    """The board's clock jumps while a crew works, and is as wrong when the terminal starts again."""
    if shutil.which("cc") is None and shutil.which("gcc") is None:
        raise NotRun("needs a C compiler, for a clock of its own")
    jumps = list(JUMPS_S.items())[: ground.often(quick=3, full=len(JUMPS_S))]
    links_s = []
    with _opened(ground) as scene:
        crew, life = scene.crew, scene.life
        clock = ShiftedClock(ground.folder("clock"), 0)
        for name, shift_s in jumps:
            shift_s = int(-time.time()) + 3600 if shift_s is None else shift_s
            clock.set(0)
            running = _start(scene, clock.environment)
            _work(crew, WORK_S)
            clock.set(shift_s)
            _work(crew, WORK_S)
            running.kill_all()
            began_s = time.monotonic()
            running = _start(scene, clock.environment)
            life.executed_s.append(time.monotonic() - began_s)
            try:
                until("the link", lambda: crew.state()["link"]["link"] == "up", 60)
                links_s.append(time.monotonic() - began_s)
            except TimeoutError:
                life.findings.append(f"F20: no link with a clock {name}: {crew.state()['link']['words']}")
            _work(crew, WORK_S)
            running.kill_all()
            life.kills += 1
        verdict = heal_and_audit(scene.site, [crew], ground)
    return with_more(
        outcome([life], [crew], verdict, slow_s=slow_s(ground)),
        f"connected {max(links_s, default=0):.1f} s after the start at the latest",
    )


# --- F25 --------------------------------------------------------------------------------------------------------------


def hung(ground: Ground) -> Outcome:
    """Stop the process where it stands; whoever plays systemd sees that it feeds no watchdog, and starts it again."""
    with _opened(ground) as scene:
        crew, life = scene.crew, scene.life
        for _ in range(ground.often(quick=1, full=20)):
            with _Systemd(ground.scratch / "notify") as systemd:
                running = _start(scene, systemd.environment)
                _work(crew, WORK_S)
                systemd.wait_for_beat()
                running.kill(signal.SIGSTOP)
                began_s = time.monotonic()
                if not systemd.misses_a_beat(HANG_S_MAX):
                    life.findings.append("F25: a terminal that was stopped went on feeding the watchdog")
                running.kill_all()
                running = _start(scene, systemd.environment)
                life.executed_s.append(time.monotonic() - began_s)
                _work(crew, WORK_S)
                running.kill_all()
            life.kills += 1
        verdict = heal_and_audit(scene.site, [crew], ground)
    return outcome([life], [crew], verdict, slow_s=slow_s(ground, HANG_S_MAX))


class _Systemd:
    """What systemd is to a service with a watchdog: a socket that has to be written to, again and again."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self.environment = {"NOTIFY_SOCKET": str(path)}

    def __enter__(self) -> _Systemd:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def wait_for_beat(self) -> None:
        while b"WATCHDOG=1" not in self._heard(60.0):
            pass

    def misses_a_beat(self, within_s: float) -> bool:
        """Whether nothing comes for as long as systemd would wait."""
        ends_s = time.monotonic() + within_s
        with suppress(TimeoutError):
            while time.monotonic() < ends_s:
                self._heard(WATCHDOG_S)
            return False
        return True

    def _heard(self, timeout_s: float) -> bytes:
        self._socket.settimeout(timeout_s)
        return self._socket.recv(256)


def starved(ground: Ground) -> Outcome:
    """Leave a terminal less memory than it takes to check a PIN: the kernel ends it in the middle of its work."""
    ended = 0
    with _opened(ground) as scene:
        crew, life = scene.crew, scene.life
        for _ in range(ground.often(quick=2, full=20)):
            running = _start(scene, environment={})
            _work(crew, WORK_S)
            with _memory_limit(running.pid, NEW_MB_MAX):
                with suppress(Ended, Refused, TimeoutError):
                    crew.begin()
                    _work(crew, WORK_S)
                time.sleep(0.2)
                ended += not running.is_running()
                running.kill_all()
            began_s = time.monotonic()
            running = _start(scene, environment={})
            life.executed_s.append(time.monotonic() - began_s)
            _work(crew, WORK_S)
            running.kill_all()
            life.kills += 1
        if not ended:
            life.findings.append("F25: the kernel never ended the terminal: the limit was too high to prove anything")
        verdict = heal_and_audit(scene.site, [crew], ground)
    return with_more(outcome([life], [crew], verdict, slow_s=slow_s(ground)), f"ended by the kernel {ended} times")


@contextmanager
def _memory_limit(pid: int, limit_mb: float) -> Iterator[None]:
    """The process `pid` in a group of its own that may have `limit_mb`; NotRun where nobody can say so."""
    group, file = _memory_group()
    try:
        (group / "cgroup.procs").write_text(f"{pid}\n")
        (group / file).write_text(f"{int(limit_mb * 1e6)}\n")
        yield
    except OSError as wrong:
        raise NotRun(f"cannot limit memory here: {wrong.strerror}") from None
    finally:
        with suppress(TimeoutError):
            until("the group to be empty", lambda: not (group / "cgroup.procs").read_text(), 10)
        group.rmdir()


def _memory_group() -> tuple[Path, str]:
    for folder, file in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        group = Path(folder) / f"tandem-soak-{os.getpid()}"
        with suppress(OSError):
            group.mkdir()
            if (group / file).exists():
                return group, file
            group.rmdir()
    raise NotRun("needs root and a memory cgroup")


# --- F26 --------------------------------------------------------------------------------------------------------------


def rolled_back(ground: Ground) -> Outcome:
    """The release before owes a full outbox; the new one is put over it, with the power cut inside, and taken back."""
    chance, life = ground.chance("cuts in migrations"), Lived()
    with open_image(ground, "disk", size_mb=256) as image, _release_before(ground) as (old, name):
        home = image.at / "board"
        home.mkdir()
        with open_site(ground.folder("agency"), {"care-0": home}) as site:
            (crew,) = crews_of(site, ground, image.at)
            settings = home / "terminal.toml"  # nothing that the release before does not know
            settings.write_text(settings.read_text().replace(LITTLE_RESERVE, ""))
            scene = Scene(ground=ground, site=site, crew=crew, life=life)
            running = _started(scene, site.execute(crew.board, tree=old))
            until("the terminal to hear of its unit", crew.knows_its_unit)
            crew.begin()
            _work(crew, WORK_S)
            site.hub.stop()
            _work(crew, WORK_S)
            running.kill_all()
            owed = ground.scratch / "owed"
            shutil.copytree(home, owed, symlinks=True)
            before = _records(home, ground.scratch)
            for _ in range(ground.often(quick=3, full=100)):
                _copy_back(owed, home)
                running = site.start(crew.board)
                time.sleep(chance.uniform(0.02, 0.4))
                image.cut_power()
                running.kill_all()
                image.power_on()
                life.kills += 1
                life.findings += [
                    f"F26: after a cut in the migration {wrong}"
                    for log in auditor.LOGS
                    if (wrong := auditor.unsound(home / f"{log}.db", ground.scratch))
                ]
                if missing := before - _records(home, ground.scratch):
                    life.findings.append(f"F26: after a cut in the migration {len(missing)} records were gone")
            running = _start(scene)
            _work(crew, WORK_S)
            running.kill_all()
            went_back = _go_back(scene, old)
            running = _start(scene)
            _work(crew, WORK_S)
            running.kill_all()
            site.hub.start()
            verdict = heal_and_audit(site, [crew], ground)
    return with_more(
        outcome([life], [crew], verdict, slow_s=slow_s(ground)),
        f"{len(before)} records from {name}, which then {went_back}",
    )


def _go_back(scene: Scene, old: Path) -> str:
    """What the release before makes of a store that the new one has written: it works with it, or it refuses in words."""
    crew = scene.crew
    running = scene.site.execute(crew.board, tree=old)
    if crew.wait_for_screen(running.is_running):
        crew.begin()
        _work(crew, WORK_S)
        running.kill_all()
        return "read the store and worked on"
    running.wait()
    said = last_words(crew)
    if "newer" not in said and "install" not in said:
        scene.life.findings.append(f"F26: the release before ended without saying why: {said[:200]}")
    without_folder = said.removeprefix("Error: ").replace(f"{scene.crew.board.home}/", "")
    return f"refused: {without_folder[:160]}"


@contextmanager
def _release_before(ground: Ground) -> Iterator[tuple[Path, str]]:
    """The program as the newest tag has it, in a folder; NotRun where there is no history."""
    tags = _git("tag", "--merged", "HEAD", "--sort=-version:refname").split()
    name = tags[0] if tags else OLD_RELEASE
    tree = ground.folder("release-before")
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", name], capture_output=True)
    if archive.returncode != 0:
        raise NotRun(f"there is no {name} here: a copy of the repository with its history is needed")
    subprocess.run(["tar", "-x", "-C", str(tree)], input=archive.stdout, check=True)
    yield tree, f"release {name}" if tags else f"commit {name}"


def _git(*words: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else ""


def _copy_back(source: Path, home: Path) -> None:
    for name in (f"{log}.db{suffix}" for log in auditor.LOGS for suffix in ("", "-wal", "-shm")):
        (home / name).unlink(missing_ok=True)
        if (source / name).exists():
            shutil.copy2(source / name, home / name)
    os.sync()


def _records(home: Path, scratch: Path) -> set[tuple[str, int, bytes]]:
    return {
        (log, int(seq), bytes(data))
        for log in auditor.LOGS
        for seq, data in auditor.rows_of(scratch, home / f"{log}.db", "select seq, data from record")
    }


def _start(scene: Scene, environment: Mapping[str, str] | None = None) -> Life:
    """A terminal at work: its crew signed on. With an environment it is executed, else forked."""
    board = scene.crew.board
    running = _started(
        scene, scene.site.start(board) if environment is None else scene.site.execute(board, environment)
    )
    scene.crew.begin()
    return running


def _started(scene: Scene, running: Life) -> Life:
    """Wait for its screen."""
    if not scene.crew.wait_for_screen(running.is_running):
        raise RuntimeError(f"the terminal does not start: {last_words(scene.crew)}")
    return running


def _work(crew: Crew, for_s: float) -> None:
    ends_s = time.monotonic() + for_s
    while time.monotonic() < ends_s:
        crew.step()


ROWS = (
    Row("F07b", "terminal whose packets vanish for long", unlinked),
    Row("F20", "the board's clock jumps, and is wrong at a start", jumping),
    Row("F25a", "terminal hangs (SIGSTOP), with a watchdog", hung),
    Row("F25b", "terminal runs out of memory", starved),
    Row("F26", "upgrade cut inside the migration, and rollback", rolled_back),
)
