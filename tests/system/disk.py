"""A disk for a terminal that can fail without taking the machine with it: ext4 in a file, mounted. Needs root."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from shutil import copytree, rmtree

EXT4_IOC_SHUTDOWN = 0x8004587D
NOLOGFLUSH = 2
SIZE = "96M"


def why_not() -> str | None:
    """Why no such disk can be had here; None when it can."""
    if os.geteuid() != 0:
        return "mounting a file system needs root"
    return None if Path("/dev/loop-control").exists() else "this machine has no loop devices"


class Disk:
    """A folder on a file system of its own. What was in the folder moves there."""

    def __init__(self, image: Path, folder: Path) -> None:
        self.image, self.folder = image, folder
        subprocess.run(["truncate", "-s", SIZE, image], check=True)
        subprocess.run(["mkfs.ext4", "-q", image], check=True)
        before = folder.with_name(folder.name + ".before")
        folder.rename(before)
        folder.mkdir()
        self.mount()
        copytree(before, folder, symlinks=True, dirs_exist_ok=True)
        rmtree(before)
        os.sync()

    def mount(self, *options: str) -> None:
        said = ",".join(("loop", "errors=remount-ro", *options))
        subprocess.run(["mount", "-o", said, self.image, self.folder], check=True)

    def fail(self) -> None:
        """The kernel finds the file system broken, and from now on only lets it be read."""
        found = subprocess.run(["findmnt", "-no", "SOURCE", self.folder], check=True, capture_output=True, text=True)
        Path("/sys/fs/ext4", Path(found.stdout.strip()).name, "trigger_fs_error").write_text("tandem")

    def vanish(self) -> None:
        """Every read and write fails from now on, and what was not on the disk is gone."""
        descriptor = os.open(self.folder, os.O_RDONLY)
        fcntl.ioctl(descriptor, EXT4_IOC_SHUTDOWN, struct.pack("I", NOLOGFLUSH))
        os.close(descriptor)

    def read_only(self, is_read_only: bool) -> None:
        """As an administrator would; refused while somebody has a file open for writing."""
        subprocess.run(["mount", "-o", f"remount,{'ro' if is_read_only else 'rw'}", self.folder], check=True)

    def fill(self) -> None:
        """Not a byte more fits, for anybody: root's own share is taken as well."""
        filler = os.open(self.folder / "filler", os.O_WRONLY | os.O_CREAT)
        for size in (1 << 20, 1 << 12, 1):
            with suppress(OSError):
                while True:
                    os.write(filler, bytes(size))
        with suppress(OSError):
            os.fsync(filler)
        os.close(filler)

    def empty(self) -> None:
        (self.folder / "filler").unlink()

    def mend(self) -> None:
        """Unmounted, checked, mounted again, as somebody or a restart of the board would.

        Under another name: who made a mount namespace of their own meanwhile holds the file system as it was.
        """
        self.unmount()
        before, self.image = self.image, self.image.with_suffix(f".{time.monotonic_ns()}")
        subprocess.run(["cp", "--sparse=always", before, self.image], check=True)
        before.unlink()
        subprocess.run(["e2fsck", "-fy", self.image], capture_output=True)
        self.mount()

    def unmount(self, timeout_s: float = 20.0) -> None:
        """Whoever still holds a file there must let go of it soon."""
        end_s = time.monotonic() + timeout_s
        while subprocess.run(["umount", self.folder], capture_output=True).returncode != 0:
            assert time.monotonic() < end_s, f"somebody still holds a file in {self.folder}"
            time.sleep(0.2)

    def close(self) -> None:
        subprocess.run(["umount", "-l", self.folder], capture_output=True)
        self.image.unlink(missing_ok=True)
