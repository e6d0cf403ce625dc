"""The hub as a fleet tech sees it, over HTTPS with a name and a password."""

from __future__ import annotations

import ssl
from base64 import b64encode
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from msgspec import Struct

from provisioning import https
from provisioning.errors import CannotDo
from wire.codec import Malformed, decode, encode
from wire.enrollment import Refusal
from wire.fleet import CONTENT_TYPE, DEVICES_PATH, AddedDevice, DeviceEntry, DeviceList, NewDevice

T = TypeVar("T", AddedDevice, DeviceEntry, DeviceList)


class Hub(Struct, frozen=True, kw_only=True):
    """A hub, and as whom we ask."""

    url: str
    context: ssl.SSLContext
    account: str
    password: str

    def add(self, unit: str, kind: str) -> AddedDevice:
        """A device for `unit` and its bundle; CannotDo, in the hub's own words, when it refuses."""
        return self._asked("POST", DEVICES_PATH, AddedDevice, encode(NewDevice(unit=unit, kind=kind)))

    def devices(self) -> tuple[DeviceEntry, ...]:
        """Every device, newest first."""
        return self._asked("GET", DEVICES_PATH, DeviceList).devices

    def device(self, name: str) -> DeviceEntry:
        """The device of that id."""
        return self._asked("GET", f"{DEVICES_PATH}/{quote(name, safe='')}", DeviceEntry)

    def _asked(self, method: str, path: str, kind: type[T], body: bytes | None = None) -> T:
        answer = https.ask(self.url, method, path, self.context, body, self._headers())
        try:
            if answer.status in (200, 201):
                return decode(answer.body, kind)
            refusal = decode(answer.body, Refusal)
        except Malformed:
            raise CannotDo(f"{self.url} answers {answer.status} in a way no hub of this version does") from None
        raise CannotDo(refusal.what)

    def _headers(self) -> dict[str, str]:
        token = b64encode(f"{self.account}:{self.password}".encode()).decode("ascii")
        return {"Authorization": f"Basic {token}", "Content-Type": CONTENT_TYPE}


def hub_from(url: str, root: Path, account: str, password_file: Path) -> Hub:
    """The hub at `url`, believed by `root` only; CannotDo when a file cannot be read."""
    https.address(url)
    try:
        first, *_ = password_file.read_text("utf-8").splitlines() or [""]
    except (OSError, UnicodeDecodeError):
        raise CannotDo(f"the password file {password_file} cannot be read") from None
    return Hub(url=url, context=https.pinned_file(root), account=account, password=first)
