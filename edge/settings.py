"""What this board's owner decides, once, in `terminal.toml`: where the receiver is, what is wired to which pin, and where
the screen listens.

Parsed whole at the start; a key that is not known is refused, because a misspelled one would silently do nothing.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from firmware_bridge.pins import PinsSettings
from wire import typed

SETTINGS_FILE = "terminal.toml"
BAUD_MAX = 4_000_000  # Linux knows no faster name
RESERVE_MB_MAX = 4096
SOCKET_BYTES_MAX = 107  # sun_path, less its end
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class SettingsError(Exception):
    """The terminal cannot start as it is set up. One sentence that says what to do."""


class Source(StrEnum):
    """Who reads the receiver: this program from its serial port, or gpsd, which then has the port."""

    SERIAL = "serial"
    GPSD = "gpsd"


class ReceiverSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The satellite receiver. `port` "auto" looks for it, `baud` "auto" or 0 finds its speed.

    `estimates`: positions that the receiver itself calls estimated (dead reckoning in a tunnel) are told, and marked.
    """

    source: Source = Source.SERIAL
    port: str = "auto"
    baud: int | Literal["auto"] = 0
    estimates: bool = False
    gpsd_host: str = "127.0.0.1"
    gpsd_port: int = 2947

    def __post_init__(self) -> None:
        if not self.port:
            raise ValueError('receiver.port is empty; say "auto" or name it')
        if self.baud != "auto" and self.baud != 0 and not 300 <= self.baud <= BAUD_MAX:
            raise ValueError(f'receiver.baud {self.baud} is not a speed of a serial port; say "auto" to have it found')
        if not 1 <= self.gpsd_port <= 65535:
            raise ValueError(f"receiver.gpsd_port {self.gpsd_port} is not between 1 and 65535")

    @property
    def speed(self) -> int:
        """`baud` as a number; 0 when it is to be found."""
        return 0 if self.baud == "auto" else self.baud


class ScreenSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the touchscreen's pages are served: to this board and to nobody else."""

    host: str = "127.0.0.1"
    port: int = 8101

    def __post_init__(self) -> None:
        if self.host not in LOOPBACK:
            raise ValueError(f"screen.host {self.host} is not loopback; use 127.0.0.1")
        if not 1 <= self.port <= 65535:
            raise ValueError(f"screen.port {self.port} is not between 1 and 65535")


class TimeSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is done with satellite time. `chrony_socket`: the socket of chrony's `refclock SOCK`; empty: nothing."""

    chrony_socket: str = ""

    def __post_init__(self) -> None:
        if self.chrony_socket and not self.chrony_socket.startswith("/"):
            raise ValueError(
                f"time.chrony_socket {self.chrony_socket} is not a path from the root, as /run/chrony/gps.sock"
            )
        if len(self.chrony_socket.encode()) > SOCKET_BYTES_MAX:
            raise ValueError(
                f"time.chrony_socket is longer than {SOCKET_BYTES_MAX} bytes, which no socket's name may be"
            )


class CopiesSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the ledger is copied to while notes are unsent. `folder`: best on another disk, as a USB stick; while it is not
    there, and when it is empty, the terminal's own folder."""

    folder: str = ""

    def __post_init__(self) -> None:
        if self.folder and not self.folder.startswith("/"):
            raise ValueError(f"copies.folder {self.folder} is not a path from the root, as /media/stick")

    @property
    def place(self) -> Path | None:
        """`folder` as a path."""
        return Path(self.folder) if self.folder else None


class DiskSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is kept free for notes on a disk that fills: `reserve_mb`, and never more than an eighth of the disk."""

    reserve_mb: int = 64

    def __post_init__(self) -> None:
        if not 1 <= self.reserve_mb <= RESERVE_MB_MAX:
            raise ValueError(f"disk.reserve_mb {self.reserve_mb} is not between 1 and {RESERVE_MB_MAX}")


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of `terminal.toml`. A desk has no `receiver` and no `pins`; neither has a vehicle where they are not fitted."""

    screen: ScreenSettings = ScreenSettings()
    receiver: ReceiverSettings | None = None
    pins: PinsSettings | None = None
    time: TimeSettings = TimeSettings()
    copies: CopiesSettings = CopiesSettings()
    disk: DiskSettings = DiskSettings()


def load(home: Path) -> Settings:
    """The settings in `home`; SettingsError when there are none or they are wrong."""
    path = home / SETTINGS_FILE
    try:
        return typed.toml(path.read_bytes(), Settings)
    except FileNotFoundError:
        raise SettingsError(f"{path} is missing: make it, or name the terminal's folder with --home.") from None
    except OSError as wrong:
        raise SettingsError(f"{path} cannot be read: {wrong.strerror}.") from None
    except (msgspec.DecodeError, ValueError) as wrong:
        raise SettingsError(f"{path} is wrong: {wrong}. Correct it and start again.") from None
