"""What systemd does for a program of `Type=notify` with `WatchdogSec=` and `Restart=always`; and a cage of memory around it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

from tests.patience import PATIENCE_S

RESTART_S = 0.5
MEMORY = Path("/sys/fs/cgroup/memory")  # the first version of cgroups


def why_no_cage() -> str | None:
    """Why a program's memory cannot be bounded here; None when it can."""
    if os.geteuid() != 0:
        return "bounding a program's memory needs root"
    return None if (MEMORY / "memory.limit_in_bytes").exists() else "this machine has no memory controller of version 1"


class Cage:
    """A bound on the memory of a program; the kernel kills it when it wants more."""

    def __init__(self, name: str) -> None:
        self._folder = MEMORY / name
        self._folder.mkdir()

    def put(self, pid: int) -> None:
        """`pid`, which has just been started: what it takes from now on is counted."""
        (self._folder / "cgroup.procs").write_text(str(pid))

    def squeeze(self, more: int) -> None:
        """Nobody in here gets more than these bytes beyond what they have.

        Files that were only read are no possession: the kernel would give them up first, megabytes of them after a cold start.
        """
        has = int((self._folder / "memory.usage_in_bytes").read_text())
        told = dict(line.split() for line in (self._folder / "memory.stat").read_text().splitlines())
        only_read = int(told["cache"]) - int(told["mapped_file"])
        (self._folder / "memory.limit_in_bytes").write_text(str(has - only_read + more))

    def close(self) -> None:
        for _ in range(50):
            with suppress(OSError):
                self._folder.rmdir()
                return
            time.sleep(0.1)


class Watched:
    """A program that is killed when it has not said for `watchdog_s` that it is well, and started again when it ends.

    `cage`: for its first start.
    """

    def __init__(
        self,
        argv: Sequence[str],
        log: Path,
        watchdog_s: float,
        environment: Mapping[str, str],
        cage: Cage | None = None,
    ) -> None:
        self._cage = cage
        self._argv, self._log, self._watchdog_s = argv, log, watchdog_s
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = log.with_suffix(".notify")
        path.unlink(missing_ok=True)
        self._socket.bind(str(path))
        self._socket.settimeout(0.1)
        self._environment = {**environment, "NOTIFY_SOCKET": str(path)}
        self._stopping = Event()
        self._child: subprocess.Popen[bytes] | None = None
        self.starts = self.bites = 0  # how often it was started, and killed because it said nothing
        self.is_ready = Event()
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    def wait_start(self, number: int) -> None:
        """Until it is ready for the `number`th time."""
        end_s = time.monotonic() + PATIENCE_S
        while self.starts < number or not self.is_ready.is_set():
            assert time.monotonic() < end_s, f"it was started {self.starts} times"
            time.sleep(0.05)

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(20)
        self._socket.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._once()
            self._stopping.wait(RESTART_S)

    def _once(self) -> None:
        self.is_ready.clear()
        with self._log.open("ab") as log:
            self._child = child = subprocess.Popen(self._argv, stdout=log, stderr=log, env=self._environment)
        if self._cage is not None and self.starts == 0:
            self._cage.put(child.pid)
        self.starts += 1
        heard_s = time.monotonic() + PATIENCE_S  # the watchdog begins with READY
        while child.poll() is None and not self._stopping.is_set():
            with suppress(TimeoutError):
                said = self._socket.recv(4096)
                if b"READY=1" in said:
                    self.is_ready.set()
                if b"READY=1" in said or b"WATCHDOG=1" in said:
                    heard_s = time.monotonic()
            if time.monotonic() - heard_s > self._watchdog_s:
                self.bites += 1
                break
        if child.poll() is None and self._stopping.is_set():
            child.terminate()
            with suppress(subprocess.TimeoutExpired):
                child.wait(10)
        if child.poll() is None:
            child.send_signal(signal.SIGKILL)
        child.wait()
