"""A backup each night by itself, so that a hub whose keeper forgot it still has yesterday's.

When the hub was off at that time, or could not make one, it is made as soon as it can be.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from sqlalchemy.exc import SQLAlchemyError

from hub import backup
from hub.backup import BackupError, BackupParts
from hub.settings import SETTINGS_FILE, Backups

KIND = "nightly"
LOOK_S = 30.0
AGAIN_S = 3600.0  # after one that failed: a full disk stays full for a while
_NAME = re.compile(rf"{KIND}-(\d{{8}}T\d{{6}}Z)\.tandem-backup")

_log = structlog.get_logger("hub.nightly")


def is_due(newest: datetime, now: datetime, settings: Backups) -> bool:
    """Whether the newest nightly backup is older than the last moment at which one should have been made."""
    at = settings.time
    moment = now.replace(hour=at.hour, minute=at.minute, second=0, microsecond=0)
    if moment > now:
        moment -= timedelta(days=1)
    return newest < moment


def made_at(name: str) -> datetime | None:
    """When the nightly backup of this name was made; None when it is another file."""
    found = _NAME.fullmatch(name)
    return None if found is None else datetime.strptime(found[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def surplus(names: Iterable[str], keep: int) -> list[str]:
    """Which nightly backups may go, the newest `keep` staying; what people named otherwise always stays."""
    nightly = sorted((name for name in names if made_at(name)), reverse=True)
    return nightly[keep:]


def run(parts: BackupParts, now: Callable[[], datetime], *, look_s: float = LOOK_S) -> None:
    """Make one whenever it is due, until `parts.stopping`. `now` in the hub's own time zone."""
    settings = parts.settings.backup
    if settings.keep == 0:
        parts.stopping.wait()
        return
    folder = parts.home / settings.folder
    _sweep(folder)
    while not parts.stopping.wait(look_s):
        try:
            if is_due(_newest(parts.home, folder), now(), settings):
                _make(parts, folder, settings.keep)
        except (BackupError, SQLAlchemyError, OSError) as wrong:  # a hub without a backup is better than no hub
            _log.error("no backup this night", why=str(wrong))  # audited, so that the console says it too
            parts.stopping.wait(AGAIN_S)


def _make(parts: BackupParts, folder: Path, keep: int) -> None:
    with suppress(OSError):  # then the next line says what is wrong with the folder
        folder.mkdir(mode=0o700, exist_ok=True)
    made = backup.make(parts, folder / backup.usual_name(parts.now_ms(), KIND), None, lambda _: None)
    _log.info("backup made", bytes=made.size, records=made.records, sealed=made.is_sealed, took_s=round(made.took_s, 1))
    for name in surplus((file.name for file in folder.iterdir()), keep):
        with suppress(OSError):
            (folder / name).unlink()


def _newest(home: Path, folder: Path) -> datetime:
    """When the newest was made; a hub that has none yet began when its settings were written."""
    made = [at for file in folder.glob(f"{KIND}-*") if (at := made_at(file.name))]
    return max(made, default=datetime.fromtimestamp((home / SETTINGS_FILE).stat().st_mtime, UTC))


def _sweep(folder: Path) -> None:
    """What a hub that was killed had begun."""
    for part in folder.glob(f".{KIND}-*{backup.PART}"):
        with suppress(OSError):
            part.unlink()
