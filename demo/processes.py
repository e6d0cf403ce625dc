"""Children: the real programs, started, watched, started again when they die, and stopped in reverse order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from msgspec import Struct

STOP_S_MAX = 8.0  # every program promises to stop in three
READY_S_MAX = 120.0  # a busy machine, whose host may take its processors away for half a minute
RESTART_WAIT_S = 1.0  # what systemd would wait


class Failed(Exception):
    """A program did not do what it should; the sentence says which, and what it said last."""


def program(name: str) -> str:
    """The path of one of our console scripts, beside the Python that runs this."""
    return str(Path(sys.executable).parent / name)


class Said(Struct, frozen=True, kw_only=True):
    """What a command answered (standard output) and what it told the person beside it (standard error)."""

    answer: str
    told: str


def run(*argv: str, stdin: str | None = None) -> Said:
    """Run one of our commands to its end; Failed, with its own last words, when it did not succeed."""
    done = subprocess.run([program(argv[0]), *argv[1:]], input=stdin, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"{' '.join(argv[:3])}: {_last_line(done.stderr) or 'failed without a word'}")
    return Said(answer=done.stdout.strip(), told=done.stderr)


def spawned(
    argv: Sequence[str], *, stdin: int, stdout: int | IO[bytes], stderr: int | IO[bytes]
) -> subprocess.Popen[bytes]:
    """One of our commands, running.

    Should this process be killed outright, the kernel ends it (setpriv); nothing is left behind. It has a session of its
    own: Ctrl-C reaches only us, and we stop our programs in order.
    """
    name, *arguments = argv
    path = name if Path(name).is_absolute() else program(name)
    return subprocess.Popen(
        ["setpriv", "--pdeathsig", "TERM", "--", path, *arguments],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
        env=os.environ | {"PYTHONFAULTHANDLER": "1"},  # see `Child._where_it_stands`
    )


def end(*processes: subprocess.Popen[bytes]) -> None:
    """Ask them to stop, all at once, and insist after some seconds; their pipes are closed."""
    running = [process for process in processes if process.poll() is None]
    for process in running:
        process.terminate()
    for process in running:
        try:
            process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    for pipe in (pipe for process in processes for pipe in (process.stdin, process.stdout) if pipe is not None):
        with suppress(BrokenPipeError):
            pipe.close()


class Child:
    """One running program. Its output goes to `log`; it is up when it has printed a line that begins with "ready"."""

    def __init__(self, name: str, argv: Sequence[str], log: Path) -> None:
        self.name = name
        self._argv = argv
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._seen_bytes = 0

    def start(self) -> None:
        """Start it; `wait_ready` says when it is up."""
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._seen_bytes = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as out:
            self._process = spawned(self._argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def wait_ready(self, timeout_s: float = READY_S_MAX) -> None:
        """Return when it is up; Failed when it ended or took too long."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if any(line.startswith("ready") for line in self._said().splitlines()):
                return
            if self.pid is None:
                raise Failed(f"{self.name} ended at once: {_last_line(self._said()) or 'without a word'}")
            time.sleep(0.05)
        raise Failed(f"{self.name} was not up within {timeout_s:.0f} s:\n{self._where_it_stands()}")

    def stop(self) -> None:
        """Ask it to stop; insist after some seconds."""
        if self._process is not None:
            end(self._process)

    def kill(self) -> None:
        """End it as a power cut would, without a word."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _where_it_stands(self) -> str:
        """End it, and return all it said with, at the end, the line each of its threads was at."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGABRT)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_S_MAX)
        return self._said()

    def _said(self) -> str:
        with self._log.open("rb") as log:
            log.seek(self._seen_bytes)
            return log.read().decode(errors="replace")


class Children:
    """All of them, in the order in which they were started."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._all: list[Child] = []

    def start(self, *children: Child) -> None:
        """Start them together, and return when every one is up."""
        for child in children:
            child.start()
            self._all.append(child)
        for child in children:
            child.wait_ready()

    def __getitem__(self, name: str) -> Child:
        return next(child for child in self._all if child.name == name)

    def revive(self) -> None:
        """Start again whichever has died, as systemd would on a real machine."""
        for child in self._all:
            if child.pid is None:
                self._say(f"{child.name} ended; starting it again")
                time.sleep(RESTART_WAIT_S)
                child.start()

    def stop(self) -> None:
        """Stop all, the last one first; terminals together, because they do not wait for each other."""
        for child in reversed(self._all):
            if child.pid is not None:
                os.kill(child.pid, signal.SIGTERM)
        for child in reversed(self._all):
            child.stop()
        self._all.clear()


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
