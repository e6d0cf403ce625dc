"""hub.toml: what the agency decides about its hub, read once into a frozen value; an unknown key is refused.

Everything that keeps the hub from starting is a `SettingsError`: one sentence that says what to do.
"""

from __future__ import annotations

import re
import tomllib
from datetime import time
from ipaddress import ip_address
from pathlib import Path

import msgspec
from msgspec import Struct

from hub.rank import Rules
from wire import typed

SETTINGS_FILE = "hub.toml"
KEYS_FOLDER = "keys"
TLS_FOLDER = "tls"
MAPS_FOLDER = "maps"


class SettingsError(Exception):
    """The hub cannot run like this. The message is one sentence that says what to do."""


class Console(Struct, frozen=True, kw_only=True):
    """Where dispatchers' browsers come, and programs with a token. `certificate` and `key` are PEM files, relative to
    the hub's home; `names`: under which they come, beside the loopback's own; any other name is refused."""

    host: str = "127.0.0.1"
    port: int = 8080
    names: tuple[str, ...] = ()
    certificate: str | None = None
    key: str | None = None

    @property
    def is_tls(self) -> bool:
        """Whether browsers come over HTTPS."""
        return self.certificate is not None


class DeviceApi(Struct, frozen=True, kw_only=True):
    """Where boards and fleet techs come, over HTTPS. `name` is what the certificate says and bundles carry."""

    host: str = "127.0.0.1"
    port: int = 8443
    name: str = "localhost"


class BrokerSettings(Struct, frozen=True, kw_only=True):
    """Where terminals come, over mutual TLS. `name` is what the certificate says and terminals are told."""

    host: str = "127.0.0.1"
    port: int = 8883
    name: str = "localhost"


class Backups(Struct, frozen=True, kw_only=True):
    """Where backups go (relative to the hub's home, or anywhere), at what local time one is made each night, and how
    many of those are kept; with 0 none is made by itself."""

    folder: str = "backups"
    at: str = "03:15"
    keep: int = 7

    @property
    def time(self) -> time:
        """`at`, as a time of the day."""
        return time.fromisoformat(self.at)


class RoadsSettings(Struct, frozen=True, kw_only=True):
    """Where the programs of the road engine are (relative to the hub's home, or anywhere); empty: in the usual places."""

    engine: str = ""


class Settings(Struct, frozen=True, kw_only=True):
    """All of hub.toml. `state_spread_s`: over how long terminals spread their return after the broker was away; a
    fleet too large for that takes longer, see `hub.presence`."""

    agency: str
    state_spread_s: float = 10.0
    console: Console = Console()
    device_api: DeviceApi = DeviceApi()
    broker: BrokerSettings = BrokerSettings()
    backup: Backups = Backups()
    ranking: Rules = Rules()
    roads: RoadsSettings = RoadsSettings()


_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\]")
_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_SECTIONS: dict[str, type[Struct]] = {
    "console": Console,
    "device_api": DeviceApi,
    "broker": BrokerSettings,
    "backup": Backups,
    "ranking": Rules,
    "roads": RoadsSettings,
}


def load(home: Path) -> Settings:
    """The settings of the hub at `home`; SettingsError when there are none or they are wrong."""
    path = home / SETTINGS_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SettingsError(f"{path} is missing; make the hub's home with: tandem-hub init --home {home}") from None
    except (OSError, UnicodeDecodeError) as wrong:
        raise SettingsError(f"{path} cannot be read: {wrong}") from None
    return parse(text, str(path))


def parse(text: str, where: str = SETTINGS_FILE) -> Settings:
    """The settings in `text`; SettingsError, naming `where`, when they are wrong."""
    try:
        table: dict[str, object] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as wrong:
        raise SettingsError(f"{where} is not TOML: {wrong}") from None
    if unknown := _unknown(table):
        raise SettingsError(f'{where}: unknown key "{unknown}"; remove it or correct its spelling')
    try:
        settings = typed.plain(table, Settings)
    except msgspec.ValidationError as wrong:
        raise SettingsError(f"{where}: {wrong}") from None
    if sentence := _wrong(settings):
        raise SettingsError(f"{where}: {sentence}")
    return settings


def text_of(settings: Settings) -> str:
    """`settings` as hub.toml, every key written out, so that an operator sees what can be said."""
    lines = [f"agency = {_quoted(settings.agency)}", f"state_spread_s = {settings.state_spread_s}"]
    for name in _SECTIONS:
        section: dict[str, object] = msgspec.structs.asdict(getattr(settings, name))
        lines += ["", f"[{name}]"]
        lines += [f"{key} = {_written(value)}" for key, value in section.items() if value is not None]
    return "\n".join(lines) + "\n"


def is_loopback(host: str) -> bool:
    """Whether `host` is an address that only this machine reaches."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _unknown(table: dict[str, object]) -> str | None:
    for key, value in table.items():
        if key not in Settings.__struct_fields__:
            return key
        if key in _SECTIONS and isinstance(value, dict):
            for inner in value:
                if inner not in _SECTIONS[key].__struct_fields__:
                    return f"{key}.{inner}"
    return None


def _wrong(settings: Settings) -> str | None:
    if not settings.agency.strip():
        return "agency is empty; say the agency's name"
    if not 0 <= settings.state_spread_s <= 60:
        return "state_spread_s is not within 0 and 60 seconds"
    ports = {
        "console.port": settings.console.port,
        "device_api.port": settings.device_api.port,
        "broker.port": settings.broker.port,
    }
    for name, port in ports.items():
        if not 1 <= port <= 65535:
            return f"{name} is {port}; a port is 1 to 65535"
    if len(set(ports.values())) != len(ports):
        return "console, device_api and broker need three different ports"
    console = settings.console
    if (console.certificate is None) != (console.key is None):
        return "console.certificate and console.key come together; set both or neither"
    if wrong := [name for name in console.names if not _HOST_NAME.fullmatch(name)]:
        return f'console.names has {wrong[0]!r}; say names as in an address, without a port: "hub.example.gov"'
    if not console.is_tls and not is_loopback(console.host):
        return f"console.host {console.host} can be reached from outside; set console.certificate and console.key"
    return _wrong_backup(settings.backup)


def _wrong_backup(backup: Backups) -> str | None:
    if not 0 <= backup.keep <= 366:
        return f"backup.keep is {backup.keep}; keep 1 to 366 nightly backups, or 0 to make none by itself"
    if not _CLOCK.fullmatch(backup.at):
        return f'backup.at is {backup.at!r}; say a time of the day as "03:15"'
    return None if backup.folder else 'backup.folder is empty; "backups" is the usual one'


def _written(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_written(one) for one in value)}]"
    return _quoted(value) if isinstance(value, str) else str(value)


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()  # a JSON string is a TOML basic string
