"""A terminal that was forked behaves as one that was started: otherwise a thousand kills of it would prove little."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from edge.identity import Identity
from tests.ports import free_port
from tests.soak.nursery import Life, Nursery
from tests.soak.site import until
from tests.soak.touch import Ended, Touch
from tests.terminal_fleet import TerminalFleet

pytestmark = pytest.mark.system

SAME = ("SigBlk", "SigIgn", "SigCgt", "Umask", "Uid", "Gid", "NoNewPrivs")


class Home:
    """A terminal's folder, whose broker does not exist."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.log, self.port = folder, folder / "log", free_port()
        self.who: Identity = TerminalFleet().terminal(folder, "care-1")
        (folder / "terminal.toml").write_text(f"[screen]\nport = {self.port}\n")

    def is_up(self) -> bool:
        screen = Touch(self.port)
        try:
            return bool(screen.state())
        except Ended:
            return False
        finally:
            screen.close()


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    made = Nursery()
    yield made
    made.close()


def test_a_forked_terminal_is_like_one_that_was_started(tmp_path: Path, nursery: Nursery) -> None:
    seen = []
    for home, life in _both(tmp_path, nursery):
        until("the screen", home.is_up)
        process = Path(f"/proc/{life.pid}")
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        files = _settled(partial(_files, process, home.folder))  # one that is open for a moment is in neither
        names = sorted((task / "comm").read_text().strip() for task in (process / "task").iterdir())[1:]
        session = (process / "stat").read_text().rsplit(")", 1)[1].split()[3]
        life.kill(signal.SIGTERM)
        life.wait()
        said = [_shape(line, home.folder).partition(" level=")[2] for line in home.log.read_text().splitlines()]
        seen.append(
            {
                "status": {name: status[name].strip() for name in SAME},
                "files": files,
                "threads": names,
                "leads": session == str(life.pid),
                "ready": f"ready screen=http://127.0.0.1:{home.port}" in home.log.read_text(),
                "said": sorted(set(said)),
            }
        )
    assert seen[0] == seen[1]
    assert seen[0]["ready"] and seen[0]["leads"]


def _files(process: Path, home: Path) -> list[str]:
    found = []
    for file in (process / "fd").iterdir():
        with suppress(FileNotFoundError):
            found.append(_shape(str(file.readlink()), home))
    return sorted(found)


def _settled(look: Callable[[], list[str]]) -> list[str]:
    """What `look` sees three times in a row."""
    seen: list[list[str]] = []
    while len(seen) < 3 or not seen[-1] == seen[-2] == seen[-3]:
        seen.append(look())
        time.sleep(0.3)
    return seen[-1]


def test_a_forked_terminal_that_is_misused_says_the_same_sentence(tmp_path: Path, nursery: Nursery) -> None:
    nowhere = tmp_path / "nowhere"
    logs = []
    for name, life in (
        ("exec", nursery.execute(nowhere, tmp_path / "exec")),
        ("fork", nursery.start(nowhere, tmp_path / "fork")),
    ):
        life.wait()
        logs.append((tmp_path / name).read_text())
    assert logs[0] == logs[1]
    assert "is not a folder" in logs[0]


def test_a_child_that_was_killed_is_gone_with_what_it_started(tmp_path: Path, nursery: Nursery) -> None:
    home = Home(tmp_path / "killed")
    life = nursery.start(home.folder, home.log)
    until("the screen", home.is_up)
    assert life.is_running()
    life.kill_all()
    assert not home.is_up()


def _both(folder: Path, nursery: Nursery) -> Iterator[tuple[Home, Life]]:
    first, second = Home(folder / "one"), Home(folder / "two")
    yield first, nursery.execute(first.folder, first.log)
    yield second, nursery.start(second.folder, second.log)


def _shape(text: str, home: Path) -> str:
    """A file or a line without the numbers that differ each time."""
    plain = text.replace(str(home), "HOME")
    return plain.partition(":[")[0]
