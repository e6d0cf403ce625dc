"""A disk of its own: an ext4 image on a loop device, whose power can be cut, or which can be filled, or fail.

A power cut is ext4's own shutdown without flushing its log: every write after it fails, nothing that was not yet durable
survives. It models a clean stop of the machine, not lying flash or torn pages; those are F03.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.soak.ground import Ground, is_root
from tests.soak.report import NotRun

_SHUTDOWN, _NO_LOG_FLUSH = 0x8004587D, 2  # EXT4_IOC_SHUTDOWN = _IOR('X', 125, __u32)
GUARD_FILE = ".alive"
UNMOUNT_S_MAX = 20.0  # a process that was killed lets go of its files a little later
HELD_S_MAX = 1.0  # between the last use of a file system and its end
_ENVIRONMENT = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}


class Image:
    """The mounted file system. `at` is where."""

    def __init__(self, file: Path, at: Path) -> None:
        self._file = file
        self.at = at

    def cut_power(self) -> None:
        """From now on nothing is written any more, and what was not durable never was."""
        folder = os.open(self.at, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(folder)

    def power_on(self) -> None:
        """Mount it again as a machine does that starts: the journal is replayed, nobody helps."""
        device = self._device()
        self._unmount()
        if _is_held(device):
            # Somebody who has copied our mounts into a namespace of their own keeps the dead file system alive, and
            # would be given to us again: its image is taken to another machine, so to speak.
            copy = self._file.with_name(f"{self._file.name}-")
            _run("cp", "--sparse=always", str(self._file), str(copy))
            self._file = copy
        _run("mount", "-o", "loop", str(self._file), str(self.at))

    def abort(self) -> None:
        """As after an error of the disk: from now on it can be read, and nothing can be written."""
        wrong = _try("mount", "-o", "remount,abort", str(self.at))
        try:
            (self.at / ".probe").touch()
        except OSError as failed:
            if failed.errno == errno.EROFS:
                return
            raise
        raise NotRun(f"this kernel does not make a file system fail on demand ({wrong or 'it can be written'})")

    def fill(self, leave_bytes: int = 0) -> int:
        """Take all room but `leave_bytes`; how much was taken."""
        ballast = self.at / "ballast"
        taken = ballast.stat().st_size if ballast.exists() else 0
        with ballast.open("ab") as file:
            for piece in (1 << 22, 1 << 16, 1 << 12):
                while self.free_bytes() >= leave_bytes + piece:
                    try:
                        os.posix_fallocate(file.fileno(), taken, piece)
                    except OSError as full:
                        if full.errno != errno.ENOSPC:
                            raise
                        break
                    taken += piece
        return taken

    def free(self) -> None:
        """Give the room back."""
        (self.at / "ballast").unlink(missing_ok=True)

    def free_bytes(self) -> int:
        found = os.statvfs(self.at)
        return found.f_bavail * found.f_frsize

    def _device(self) -> str:
        """The loop device that is mounted, as "loop3"."""
        mounts = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
        return next((Path(words[0]).name for words in mounts if words[1] == str(self.at)), "")

    def _unmount(self) -> None:
        """A path cannot be asked whether it is a mount after its power was cut; `umount` is, until it has done it."""
        deadline_s = time.monotonic() + UNMOUNT_S_MAX
        while (done := _try("umount", str(self.at))) is not None:
            if "not mounted" in done:
                return
            if time.monotonic() > deadline_s:
                raise RuntimeError(done)
            time.sleep(0.02)

    def close(self) -> None:
        with suppress(RuntimeError):
            self._unmount()


@contextmanager
def open_image(ground: Ground, name: str, size_mb: int) -> Iterator[Image]:
    """A new, empty file system of `size_mb`; NotRun where this machine cannot have one."""
    if not is_root():
        raise NotRun("needs root, for a file system of its own on a loop device")
    if shutil.which("mkfs.ext4", path=_ENVIRONMENT["PATH"]) is None:
        raise NotRun("needs mkfs.ext4 (e2fsprogs)")
    file, at = ground.scratch / f"{name}.ext4", ground.folder(name)
    with file.open("wb") as made:
        made.truncate(size_mb << 20)
    # No reserve for root: the terminals run as root here, and would never see the disk full.
    _run("mkfs.ext4", "-q", "-F", "-m", "0", str(file))
    try:
        _run("mount", "-o", "loop", str(file), str(at))
    except RuntimeError as wrong:
        raise NotRun(f"cannot mount an image here ({wrong})") from None
    image = Image(file, at)
    try:
        (at / GUARD_FILE).touch()
        os.sync()
        yield image
    finally:
        image.close()


def _is_held(device: str) -> bool:
    """Whether the file system of a device lives on, a moment after it was unmounted."""
    alive = Path("/proc/fs/ext4") / device
    deadline_s = time.monotonic() + HELD_S_MAX
    while device and alive.exists():
        if time.monotonic() > deadline_s:
            return True
        time.sleep(0.01)
    return False


def _run(*command: str) -> None:
    if (wrong := _try(*command)) is not None:
        raise RuntimeError(f"{command[0]}: {wrong}")


def _try(*command: str) -> str | None:
    """None when it went well, else what it said."""
    done = subprocess.run(command, capture_output=True, text=True, env=_ENVIRONMENT)
    return None if done.returncode == 0 else done.stderr.strip() or "failed without a word"
