"""What a fleet tech does at the hub: add a device for a unit, and look at the devices there are.

A device id is minted here and never reused. A unit has one live device; while that is still pending, adding it again
makes a new bundle for it and ends the old one, which is what a tech needs whose bundle expired or got lost.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from difflib import get_close_matches

from flask import Blueprint, Response, request
from sqlalchemy import Connection, Engine, Row, insert, select, update

from hub import accounts, audit
from hub.accounts import Account, Role
from hub.ca import Ca
from hub.errors import Refused
from hub.limits import Limiter
from hub.schema import bundle, device, unit
from hub.settings import Settings
from wire.certificates import spki_sha256
from wire.codec import Malformed, decode, encode
from wire.enrollment import Bundle, Facts, sign_bundle
from wire.fleet import CONTENT_TYPE, DEVICES_PATH, AddedDevice, DeviceEntry, DeviceList, NewDevice
from wire.ids import ID_BYTES

BUNDLE_MS = 24 * 3600_000
PROFILE = "default"
MAY_MANAGE_DEVICES = frozenset({str(Role.FLEET_TECH), str(Role.SUPERVISOR)})
WRONG_PASSWORDS_PER_MIN = 10  # from one address: each costs a third of a second that a person signing in would wait
_ID_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


def fleet_views(
    engine: Engine, ca: Ca, settings: Settings, changed: Callable[[], None], now_ms: Callable[[], int]
) -> Blueprint:
    """The routes of `wire.fleet`."""
    views = Blueprint("fleet", __name__)
    wrong_passwords = Limiter(WRONG_PASSWORDS_PER_MIN, 60_000)

    @views.post(DEVICES_PATH)
    def add() -> Response:
        tech = _tech(engine, wrong_passwords, now_ms())
        new = decode(request.get_data(), NewDevice)
        with engine.begin() as connection:
            added = add_device(connection, ca, settings, new, tech.account, now_ms())
        changed()
        return _answer(added, 201)

    @views.get(DEVICES_PATH)
    def every() -> Response:
        _tech(engine, wrong_passwords, now_ms())
        with engine.begin() as connection:
            return _answer(DeviceList(devices=devices(connection)), 200)

    @views.get(f"{DEVICES_PATH}/<name>")
    def one(name: str) -> Response:
        _tech(engine, wrong_passwords, now_ms())
        with engine.begin() as connection:
            found = devices(connection, name)
        if not found:
            raise Refused("not_found", f"There is no device {name}; `tandem-fleet device list` shows those there are.")
        return _answer(found[0], 200)

    return views


def add_device(
    connection: Connection, ca: Ca, settings: Settings, new: NewDevice, tech: str, now_ms: int
) -> AddedDevice:
    """A device for `new.unit` and the bundle that lets one board become it; Refused when that cannot be."""
    home = _unit(connection, new)
    live = connection.execute(select(device).where(device.c.unit == home.unit, device.c.state != "revoked")).first()
    if live is not None and live.state != "pending":
        day = datetime.fromtimestamp((live.enrolled_ms or live.added_ms) / 1000, UTC).date()
        raise Refused(
            "conflict", f"{home.call_sign} has had the device {live.device} since {day}; replace that one instead."
        )
    name = live.device if live is not None else _add_row(connection, home.unit, new.kind, now_ms)
    connection.execute(
        update(bundle)
        .where(bundle.c.device == name, bundle.c.used_ms.is_(None), bundle.c.exp_ms > now_ms)
        .values(exp_ms=now_ms)
    )
    made = Bundle(
        v=1,
        device=name,
        hub_url=f"https://{settings.device_api.name}:{settings.device_api.port}",
        tid=secrets.token_bytes(ID_BYTES),
        secret=secrets.token_bytes(32),
        exp_s=(now_ms + BUNDLE_MS) // 1000,
        root_spki_sha256=spki_sha256(ca.root),
        issued_s=now_ms // 1000,
        profile=PROFILE,
        kind=new.kind,
    )
    connection.execute(
        insert(bundle).values(tid=made.tid, device=name, secret=made.secret, exp_ms=made.exp_s * 1000, wrong_macs=0)
    )
    audit.append(connection, now_ms, "hub", tech, "bundle_made", name, audit.OK, f"unit {home.unit}")
    signed = sign_bundle(made, ca.snapshot_key)
    return AddedDevice(device=name, unit=home.unit, call_sign=home.call_sign, exp_s=made.exp_s, bundle=signed)


def devices(connection: Connection, name: str | None = None) -> tuple[DeviceEntry, ...]:
    """Every device, newest first; only the one of that `name` when given."""
    query = select(device, unit.c.call_sign).join(unit, unit.c.unit == device.c.unit)
    if name is not None:
        query = query.where(device.c.device == name)
    return tuple(_entry(row) for row in connection.execute(query.order_by(device.c.added_ms.desc(), device.c.device)))


def _tech(engine: Engine, wrong_passwords: Limiter, now_ms: int) -> Account:
    """Who asks, when they may manage devices; Refused otherwise."""
    given, address = request.authorization, request.remote_addr or ""
    if given is None or given.type != "basic" or not given.username or given.password is None:
        raise Refused("not_signed_in", "Give a name with --account and its password with --password-file.")
    if wrong_passwords.wait_ms(address, now_ms) > 0:
        raise Refused("too_many", "Too many wrong passwords from this address; wait a minute.")
    try:
        account = accounts.check(engine, given.username, given.password, now_ms)
    except Refused:
        wrong_passwords.take(address, now_ms)
        raise
    if account.role not in MAY_MANAGE_DEVICES:
        raise Refused(
            "not_your_role", f"{account.account} is a {account.role}; devices are for fleet techs and supervisors."
        )
    return account


def _unit(connection: Connection, new: NewDevice) -> Row[tuple[str, str, str, str]]:
    by_call_sign = connection.execute(select(unit).where(unit.c.call_sign == new.unit)).first()
    found = by_call_sign or connection.execute(select(unit).where(unit.c.unit == new.unit)).first()
    if found is None:
        known = list(connection.execute(select(unit.c.call_sign)).scalars())
        near = get_close_matches(new.unit, known, n=1)
        hint = f"did you mean {near[0]}?" if near else "import the roster first, or check the call sign."
        raise Refused("not_found", f"There is no unit {new.unit!r}; {hint}")
    if new.kind != found.kind:
        raise Refused("malformed", f"{found.call_sign} is a {found.kind}, not a {new.kind}; correct --kind or --unit.")
    return found


def _add_row(connection: Connection, of: str, kind: str, now_ms: int) -> str:
    name = "t-" + "".join(secrets.choice(_ID_LETTERS) for _ in range(8))
    connection.execute(insert(device).values(device=name, unit=of, kind=kind, state="pending", added_ms=now_ms))
    return name


def _entry(row: Row[tuple[object, ...]]) -> DeviceEntry:
    facts = _facts(row.facts)
    return DeviceEntry(
        device=row.device,
        unit=row.unit,
        call_sign=row.call_sign,
        kind=row.kind,
        state=row.state,
        added_ms=row.added_ms,
        enrolled_ms=row.enrolled_ms,
        not_after_ms=row.not_after_ms,
        serial=row.serial,
        kem_public=row.kem_public,
        model=None if facts is None else facts.model,
        software=None if facts is None else facts.software,
    )


def _facts(data: bytes | None) -> Facts | None:
    try:
        return None if data is None else decode(data, Facts)
    except Malformed:
        return None


def _answer(value: AddedDevice | DeviceEntry | DeviceList, status: int) -> Response:
    return Response(encode(value), status, content_type=CONTENT_TYPE, headers={"Cache-Control": "no-store"})
