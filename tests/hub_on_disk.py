"""A hub's home with real keys, and its API for boards behind real TLS: for tests of enrollment and of the broker."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from msgspec import Struct
from sqlalchemy import Engine, insert, select

from hub import accounts, schema
from hub.ca import Ca, ensure_tls, open_ca
from hub.enroll import DeviceApiParts, Limits, device_api_server
from hub.fleet_api import add_device
from hub.settings import BrokerSettings, Console, DeviceApi, Settings
from provisioning import ceremony
from provisioning.fleet import Hub
from provisioning.https import pinned_file
from tests.new_store import new_store
from tests.ports import free_port
from wire.fleet import AddedDevice, NewDevice

AGENCY = "Lakeshore CARE"
PASSPHRASE = b"four words and a comma"
PASSWORD = "a password for a tech"
NOW_S = 1_789_069_150
NO_LIMITS = Limits(attempts_per_min=10_000, challenges_per_hour=10_000)
UNITS = (("care-1", "CARE-1", "vehicle"), ("care-2", "CARE-2", "vehicle"), ("desk-1", "DESK-1", "desk"))


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self, now_s: int) -> None:
        self.now_ms = now_s * 1000

    def __call__(self) -> int:
        return self.now_ms


class Site(Struct, frozen=True, kw_only=True):
    """A hub that listens. `changes`: how often the rest of the hub was told to look."""

    home: Path
    fleet: Path
    engine: Engine
    ca: Ca
    settings: Settings
    clock: Clock
    changes: list[None]

    @property
    def url(self) -> str:
        return f"https://{self.settings.device_api.name}:{self.settings.device_api.port}"

    @property
    def root(self) -> Path:
        return self.fleet / ceremony.ROOT_CERTIFICATE

    def tech(self, account: str = "tech", password: str = PASSWORD) -> Hub:
        return Hub(url=self.url, context=pinned_file(self.root), account=account, password=password)

    def bundle(self, unit: str = "CARE-1", kind: str = "vehicle") -> AddedDevice:
        """A bundle, made without the password that a tech would need: hashing it takes a third of a second."""
        with self.engine.begin() as connection:
            return add_device(connection, self.ca, self.settings, NewDevice(unit=unit, kind=kind), "tech", self.clock())

    def audited(self) -> list[tuple[str, str]]:
        with self.engine.begin() as connection:
            audit = schema.audit
            return [(row.what, row.outcome) for row in connection.execute(select(audit).order_by(audit.c.seq))]

    def certificates(self) -> int:
        return self.audited().count(("certificate_issued", "ok"))


@cache
def fleet_files(now_s: int = NOW_S) -> dict[str, bytes]:
    """The keys of the tests' agency: made once, for they take a second."""
    return ceremony.make_fleet(AGENCY, PASSPHRASE, now_s)


def make_home(folder: Path, now_s: int = NOW_S) -> tuple[Path, Path, Settings]:
    """A fleet's folder, a hub's home with its keys and certificates, and the hub's settings."""
    fleet, home = folder / "fleet", folder / "hub"
    ceremony.write_fleet(fleet, fleet_files(now_s))
    home.mkdir(mode=0o700)
    shutil.copytree(fleet / "hub", home / "keys")
    settings = Settings(
        agency=AGENCY,
        console=Console(port=free_port()),
        device_api=DeviceApi(port=free_port()),
        broker=BrokerSettings(port=free_port()),
    )
    ensure_tls(home, settings, now_s)
    return fleet, home, settings


def stock(engine: Engine) -> None:
    """Three units."""
    with engine.begin() as connection:
        for unit, call_sign, kind in UNITS:
            connection.execute(insert(schema.unit).values(unit=unit, call_sign=call_sign, agency=AGENCY, kind=kind))


def hire(engine: Engine, now_s: int = NOW_S) -> None:
    """A fleet tech and a dispatcher."""
    with engine.begin() as connection:
        accounts.add(connection, "tech", accounts.Role.FLEET_TECH, now_s * 1000, password=PASSWORD)
        accounts.add(connection, "dispatch", accounts.Role.DISPATCHER, now_s * 1000, password=PASSWORD)


@contextmanager
def open_site(folder: Path, now_s: int = NOW_S, limits: Limits | None = None) -> Iterator[Site]:
    """A hub whose API for boards listens, and whose clock the test holds."""
    fleet, home, settings = make_home(folder, now_s)
    engine, clock, changes = new_store(home), Clock(now_s), list[None]()
    try:
        stock(engine)
        ca = open_ca(home, settings)
        parts = DeviceApiParts(
            engine=engine,
            ca=ca,
            settings=settings,
            changed=lambda: changes.append(None),
            now_ms=clock,
            limits=limits or NO_LIMITS,
        )
        server = device_api_server(parts, home)
        server.prepare()
        serving = threading.Thread(target=server.serve, daemon=True)
        serving.start()
        try:
            yield Site(home=home, fleet=fleet, engine=engine, ca=ca, settings=settings, clock=clock, changes=changes)
        finally:
            server.stop()
            serving.join(5)
    finally:
        engine.dispose()
