"""What a proof has to say about itself: which commit, on which machine, with which programs."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[2]


def header(seed: int, scale: str) -> str:
    """Several lines, ended by an empty one."""
    return "\n".join(
        [
            f"Tandem, every fault of the matrix provoked ({scale}), {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, seed {seed}",
            f"commit    {_commit()}",
            f"machine   {_cpu()}, {os.cpu_count()} cores, {_memory_gb():.0f} GB, {platform.platform()}",
            f"programs  Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, Mosquitto {_mosquitto()}, "
            f"paho-mqtt {version('paho-mqtt')}, cryptography {version('cryptography')}",
            "",
        ]
    )


def _commit() -> str:
    found = _output("git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD")
    changed = _output("git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no")
    return (found or "unknown") + (" with uncommitted changes" if changed else "")


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model"):
            return value.strip()
    return platform.machine()


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def _mosquitto() -> str:
    found = re.search(r"version (\S+)", _output("mosquitto", "-h"))
    return found.group(1) if found else "missing"


def _output(*command: str) -> str:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    try:
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PATH": path})
    except FileNotFoundError:
        return ""
    return done.stdout.strip()
