"""How a command reaches the hub that runs: a socket in its home, for the hub's own user and root only.

The hub alone may have its database open, so what needs the database while it serves is asked of it. One line of JSON asks;
lines of JSON answer until one of them is the end. The socket is reached through the folder's descriptor, because the path of
a socket may have 107 bytes and a home may be anywhere.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import TypeVar

import msgspec
import structlog
from msgspec import Struct

from hub.audit_check import Checked, Head
from hub.backup import BackupError, Made, Say, Stopped, user_name
from hub.errors import Refused
from hub.tokens import Asking, Kept
from wire import typed

SOCKET = "control"
LINE_BYTES_MAX = 8192
ASKERS_MAX = 4  # people at a keyboard
LOOK_S = 0.3  # how soon a stop is seen
ASKER_S_MAX = 5.0  # an asker that does not read is left alone; what it asked for is done all the same

T = TypeVar("T", Kept, Checked)

_log = structlog.get_logger("hub.control")


class AskBackup(Struct, frozen=True, kw_only=True, tag="backup"):
    """Make a backup in this file."""

    out: str


class AskAudit(Struct, frozen=True, kw_only=True, tag="audit"):
    """Say whether the audit is what was written; `heads`: what others hold of it."""

    heads: tuple[Head, ...]


class Told(Struct, frozen=True, kw_only=True, tag="told"):
    """How far it is."""

    text: str


class Ready(Struct, frozen=True, kw_only=True, tag="made"):
    """It is on the disk."""

    made: Made


class No(Struct, frozen=True, kw_only=True, tag="no"):
    """It was not done; one sentence, and its code when it was refused."""

    sentence: str
    code: str | None = None


Ask = AskBackup | AskAudit | Asking
Answer = Told | Ready | Checked | Kept | No
KeepTokens = Callable[[Asking, str], Kept]  # what is asked, and who asks
MakeBackup = Callable[[Path, str, Say], Made]  # the file, who asks, who hears how far it is
CheckAudit = Callable[[Sequence[Head]], Checked]


class Deeds(Struct, frozen=True, kw_only=True):
    """What a command may have done."""

    make: MakeBackup
    keep: KeepTokens
    check: CheckAudit


def serve(home: Path, deeds: Deeds, stopping: Event) -> None:
    """Answer commands until `stopping`."""
    with _listening(home) as listener:
        while not stopping.is_set():
            try:
                asker, _ = listener.accept()
            except TimeoutError:
                continue
            asker.settimeout(ASKER_S_MAX)
            Thread(target=_answer, args=(asker, deeds), name="control", daemon=True).start()
    (home / SOCKET).unlink(missing_ok=True)


def ask_backup(home: Path, out: Path, say: Say) -> Made | None:
    """Let the hub that runs in `home` make a backup; None when none runs there, BackupError when it makes none."""
    try:
        with _asking(home, AskBackup(out=str(out))) as answers:
            for answer in answers:
                match answer:
                    case Told(text=text):
                        say(text)
                    case Ready(made=made):
                        return made
                    case No(sentence=sentence):
                        raise BackupError(sentence)
        raise ConnectionResetError
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    except ConnectionError:
        raise Stopped("the hub ended before the backup was made; start it, and make the backup again") from None


def ask_tokens(home: Path, asking: Asking) -> Kept | None:
    """Let the hub that runs in `home` do this to its tokens; None when none runs there, Refused when it does not."""
    return _answered(home, asking, Kept, "The hub ended meanwhile. See what it did: tandem-hub tokens list")


def ask_audit(home: Path, heads: Sequence[Head]) -> Checked | None:
    """Let the hub that runs in `home` check its audit; None when none runs there, Refused when it does not."""
    ended = "The hub ended meanwhile, and the audit was not checked. Try again."
    return _answered(home, AskAudit(heads=tuple(heads)), Checked, ended)


def _answered(home: Path, ask: Ask, kind: type[T], ended: str) -> T | None:
    try:
        with _asking(home, ask) as answers:
            for answer in answers:
                if isinstance(answer, kind):
                    return answer
                if isinstance(answer, No):
                    raise Refused(answer.code or "failed", answer.sentence)
        raise ConnectionResetError
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    except ConnectionError:
        raise Refused("unavailable", ended) from None


@contextmanager
def _asking(home: Path, ask: Ask) -> Iterator[Iterator[Answer]]:
    with _in(home) as path, socket.socket(socket.AF_UNIX) as hub:
        hub.connect(path)
        hub.sendall(msgspec.json.encode(ask) + b"\n")
        with hub.makefile("rb") as lines:
            yield (_read(line) for line in lines)


def _read(line: bytes) -> Answer:
    answer: Answer = typed.json(line, Answer)  # type: ignore[arg-type]  # mypy has no type[…] of a union
    return answer


def _answer(asker: socket.socket, deeds: Deeds) -> None:
    def tell(answer: Answer) -> None:
        with suppress(OSError):  # whoever asked has gone
            asker.sendall(msgspec.json.encode(answer) + b"\n")

    with asker:
        try:
            asked, by = _asked(asker)
            if isinstance(asked, AskBackup):
                tell(Ready(made=deeds.make(Path(asked.out), by, lambda text: tell(Told(text=text)))))
            elif isinstance(asked, AskAudit):
                tell(deeds.check(asked.heads))
            else:
                tell(deeds.keep(asked, by))
        except BackupError as wrong:
            tell(No(sentence=str(wrong)))
        except Refused as refused:
            tell(No(sentence=refused.sentence, code=refused.code))
        except (OSError, msgspec.DecodeError) as wrong:
            _log.warning("not a command", why=str(wrong))
        except Exception:
            _log.exception("a command broke")
            tell(No(sentence="the hub could not do it; its log says why"))


def _asked(asker: socket.socket) -> tuple[Ask, str]:
    _pid, uid, _gid = struct.unpack("3i", asker.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if uid not in (0, os.geteuid()):
        raise BackupError("only the hub's own user may ask for this")
    with asker.makefile("rb") as lines:
        asked: Ask = typed.json(lines.readline(LINE_BYTES_MAX), Ask)  # type: ignore[arg-type]  # as above
        return asked, user_name(uid)


@contextmanager
def _listening(home: Path) -> Iterator[socket.socket]:
    (home / SOCKET).unlink(missing_ok=True)  # of a hub that was killed: the home is locked by us
    with _in(home) as path, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        (home / SOCKET).chmod(0o600)
        listener.listen(ASKERS_MAX)
        listener.settimeout(LOOK_S)
        yield listener


@contextmanager
def _in(home: Path) -> Iterator[str]:
    folder = os.open(home, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET}"
    finally:
        os.close(folder)
