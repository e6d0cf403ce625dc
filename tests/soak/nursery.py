"""A thousand starts of a terminal: a process that has read its program once, and forks before there are any threads.

What runs is the real command, `tandem-edge run`, with its arguments, its signals and its standard error; only reading
Python's files again is saved (a second of processor a start). Each child leads a session of its own, so that whatever it
starts can be ended with it. The law: the nursery never has a second thread, and says so before each fork.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import NoReturn

from msgspec import Struct

from tests.system.edge_site import run_command

ROOT = Path(__file__).parents[2]
# sqlite-utils reads numpy where it finds it, which no vehicle has, and numpy's OpenBLAS starts a thread for each core.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
_PR_SET_PDEATHSIG = 1


class Start(Struct, frozen=True, kw_only=True):
    """What to run: the words after `tandem-edge`, and where its output goes (appended)."""

    words: tuple[str, ...]
    stdout: str
    stderr: str


class Life:
    """One running terminal, from its start to its end. The pid cannot mean another process while this is open."""

    def __init__(self, pid: int, bury: Callable[[], object] = lambda: None) -> None:
        self.pid = pid
        self._bury = bury
        self._watch: int | None = os.pidfd_open(pid)
        self._closing = Lock()

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal; nothing when it has ended."""
        if self._watch is not None:
            try:
                signal.pidfd_send_signal(self._watch, number)
            except ProcessLookupError:
                return

    def kill_all(self) -> None:
        """End it and whatever it has started, at once, and wait for that."""
        if self._watch is None:
            return  # its number may be somebody else's by now
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            self.kill()
        self.wait()

    def is_running(self) -> bool:
        with self._closing:
            return self._watch is not None and not select.select([self._watch], [], [], 0)[0]

    def wait(self, timeout_s: float = 60.0) -> None:
        """Return when it has ended; TimeoutError when it does not."""
        if self._watch is None:
            return
        if not select.select([self._watch], [], [], timeout_s)[0]:
            raise TimeoutError(f"process {self.pid} has not ended within {timeout_s:.0f} s")
        with self._closing:  # whoever looks after it in a thread of their own must not look at a number that is gone
            if self._watch is None:
                return
            os.close(self._watch)
            self._watch = None
        self._bury()


class Nursery:
    """The preloaded process, and how to ask it for a child. Any thread may ask."""

    def __init__(self, tree: Path = ROOT) -> None:
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", sys.executable, "-m", "tests.soak.nursery"],
            cwd=tree,
            env={**os.environ, "PYTHONPATH": str(tree), **ONE_THREAD},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._asking = Lock()
        self._children: list[int] = []
        self._executed: list[Life] = []

    def start(self, home: Path, log: Path) -> Life:
        """`tandem-edge run --home` of `home`; its output is added to `log`."""
        said = Start(words=("run", "--home", str(home)), stdout=str(log), stderr=str(log))
        assert self._process.stdin is not None and self._process.stdout is not None
        with self._asking:
            self._process.stdin.write(json.dumps([said.words, said.stdout, said.stderr]) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
            if not answer:
                raise RuntimeError("the nursery has ended")
            life = Life(int(answer))
            # The nursery buries its dead when it is next asked for a child: until then the number is nobody else's.
            self._children = [pid for pid in self._children if Path(f"/proc/{pid}").exists()] + [life.pid]
        return life

    def execute(self, home: Path, log: Path, environment: Mapping[str, str] | None = None, tree: Path = ROOT) -> Life:
        """The same terminal as a process that reads its program first, as after power has come back; `tree`: whose."""
        with log.open("ab") as out:
            process = subprocess.Popen(
                run_command(home),
                cwd=tree,
                env={**os.environ, "PYTHONPATH": str(tree), **ONE_THREAD, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        life = Life(process.pid, process.wait)
        with self._asking:
            self._executed = [other for other in self._executed if other.is_running()] + [life]
        return life

    def close(self) -> None:
        """End it and every terminal that still lives."""
        for life in self._executed:
            life.kill_all()
        for pid in self._children:
            try:
                os.killpg(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(10)


def threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def _serve() -> Start | None:
    """Fork for each line of standard input. In a child: what it shall run. In the nursery: None, at the end."""
    requests, answers = os.fdopen(os.dup(0), "r"), os.dup(1)
    os.set_inheritable(answers, False)
    gc.collect()
    gc.freeze()  # a collection in a child would copy every page it looks at
    for line in iter(requests.readline, ""):
        _bury()
        if (count := threads()) != 1:
            raise RuntimeError(f"the nursery has {count} threads, and a fork of those is not a clean start")
        words, stdout, stderr = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.close(answers)
            requests.close()
            return Start(words=tuple(words), stdout=stdout, stderr=stderr)
        os.write(answers, b"%d\n" % pid)
    deadline_s = time.monotonic() + 5
    while _bury() and time.monotonic() < deadline_s:
        time.sleep(0.02)
    return None


def _bury() -> bool:
    """Take leave of children that have ended; whether there are others."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True


def _become(start: Start) -> None:
    """As if this process had just been started so."""
    os.setsid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # nobody is left behind when all of this is killed
    os.closerange(3, 256)
    for number, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, start.stdout, os.O_WRONLY | os.O_CREAT | os.O_APPEND),
        (2, start.stderr, os.O_WRONLY | os.O_CREAT | os.O_APPEND),
    ):
        opened = os.open(path, flags, 0o644)
        if opened != number:
            os.dup2(opened, number)
            os.close(opened)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False, errors="backslashreplace")  # noqa: SIM115
    sys.argv = ["tandem-edge", *start.words]


def preload() -> None:
    """Read everything that a terminal reads in its life, without doing any of it."""
    import edge.main
    import edge.screen.app
    import edge.screen.guard  # noqa: F401


def main() -> NoReturn:
    preload()
    start = _serve()
    if start is not None:
        _become(start)
        from edge.main import cli

        cli()  # ends the process with its own exit code, as the console script does
    sys.exit(0)


def words_of(pid: int) -> Sequence[str]:
    """What a process was started with."""
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]


if __name__ == "__main__":
    main()
