"""A hub's home with as many enrolled terminals as are wanted, made in seconds: real keys, real certificates of one CA."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Engine, insert

from hub import schema, store
from hub.ca import Ca, open_ca
from hub.settings import SETTINGS_FILE, Settings, load, text_of
from provisioning import ceremony
from wire.keys import ROOT_CERTIFICATE
from wire.signature import public_der

PROGRAM = [sys.executable, "-c", "from hub.main import cli; cli(prog_name='tandem-hub')"]
NAME = "Bench County"


class Identity(Struct, frozen=True, kw_only=True):
    """A terminal's name, keys and certificate. `pem`: the chain and the key, as TLS loads them."""

    device: str
    unit: str
    key: ec.EllipticCurvePrivateKey
    pem: Path


class Agency(Struct, frozen=True, kw_only=True):
    """A hub's home and its terminals. `root`: whom terminals trust."""

    home: Path
    settings: Settings
    terminals: tuple[Identity, ...]

    @property
    def root(self) -> Path:
        """The root certificate."""
        return self.home / "keys" / ROOT_CERTIFICATE

    @property
    def port(self) -> int:
        """Where the broker listens, on loopback."""
        return self.settings.broker.port


def make(folder: Path, terminals: int, *, spread_s: float | None = None) -> Agency:
    """An agency in `folder` with vehicle terminals `t-0000` and so on, enrolled."""
    ceremony.write_fleet(folder / "fleet", ceremony.make_fleet(NAME, b"four words and a comma", int(time.time())))
    home = folder / "hub"
    ports = dict(zip(("console", "api", "broker"), free_ports(3), strict=True))
    options = [part for name, port in ports.items() for part in (f"--{name}-port", str(port))]
    subprocess.run(
        [*PROGRAM, "init", "--home", str(home), "--keys", str(folder / "fleet" / "hub"), *options],
        check=True,
        capture_output=True,
    )
    settings = load(home)
    if spread_s is not None:
        settings = replace(settings, state_spread_s=spread_s)
        (home / SETTINGS_FILE).write_text(text_of(settings), encoding="utf-8")
    identities = folder / "identities"
    identities.mkdir(mode=0o700)
    ca = open_ca(home, settings)
    made = tuple(identity(ca, identities, f"t-{n:04}", f"u-{n:04}") for n in range(terminals))
    engine = store.open_store(home)
    enroll(engine, made)
    engine.dispose()
    return Agency(home=home, settings=settings, terminals=made)


def identity(ca: Ca, folder: Path, device: str, unit: str) -> Identity:
    """A new key and its certificate, in a file of `folder`."""
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = ca.device_certificate(key.public_key(), device, int(time.time()))
    pem = folder / f"{device}.pem"
    pem.touch(mode=0o600)
    chain = leaf.public_bytes(Encoding.PEM) + ca.certificate.public_bytes(Encoding.PEM)
    pem.write_bytes(chain + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return Identity(device=device, unit=unit, key=key, pem=pem)


def enroll(engine: Engine, terminals: Sequence[Identity]) -> None:
    """Write `terminals` down as vehicles that were enrolled and have been heard."""
    now_ms = int(time.time() * 1000)
    with engine.begin() as connection:
        for number, one in enumerate(terminals):
            connection.execute(
                insert(schema.unit).values(unit=one.unit, call_sign=f"CARE-{number}", agency=NAME, kind="vehicle")
            )
            connection.execute(
                insert(schema.device).values(
                    device=one.device,
                    unit=one.unit,
                    kind="vehicle",
                    state="active",
                    public=public_der(one.key.public_key()),
                    kem_public=public_der(ec.generate_private_key(ec.SECP256R1()).public_key()),
                    certificate=one.pem.read_bytes()[:600],  # as long as the DER that enrolling keeps
                    added_ms=now_ms,
                )
            )


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in taken:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in taken]
