"""What the bench and the hub say to each other about devices: MessagePack over HTTPS, with a tech's name and password.

POST /fleet/v1/devices          NewDevice → AddedDevice (201)
GET  /fleet/v1/devices          → DeviceList
GET  /fleet/v1/devices/{device} → DeviceEntry

Every other answer is a `wire.enrollment.Refusal`. The hub mints the device id and the one secret of the bundle; the
bench only carries it to the board.
"""

from __future__ import annotations

from msgspec import Struct

DEVICES_PATH = "/fleet/v1/devices"
CONTENT_TYPE = "application/msgpack"


class NewDevice(Struct, frozen=True, kw_only=True):
    """`unit`: its call sign or its id; `kind`: "vehicle" or "desk", as the unit is."""

    unit: str
    kind: str


class AddedDevice(Struct, frozen=True, kw_only=True):
    """`bundle`: a signed `wire.enrollment.Bundle`, to be carried to the board as it is; `exp_s`: Unix seconds."""

    device: str
    unit: str
    call_sign: str
    exp_s: int
    bundle: bytes


class DeviceEntry(Struct, frozen=True, kw_only=True):
    """A device as the hub knows it. `state`: "pending", "enrolled", "active" or "revoked"; times in Unix milliseconds;
    `serial`: of its certificate, hexadecimal; `kem_public`: SubjectPublicKeyInfo DER, None while pending; `software`
    and `model`: what the board said of itself."""

    device: str
    unit: str
    call_sign: str
    kind: str
    state: str
    added_ms: int
    enrolled_ms: int | None = None
    not_after_ms: int | None = None
    serial: str | None = None
    kem_public: bytes | None = None
    model: str | None = None
    software: str | None = None


class DeviceList(Struct, frozen=True, kw_only=True):
    """Every device there ever was, newest first."""

    devices: tuple[DeviceEntry, ...]
