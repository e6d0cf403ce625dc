"""The two things a terminal says that are not records: where it is now, and that it is there.

Both are signed and carry (boot, mono_ms), so that the hub can drop a replayed one without remembering any of them.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct

from wire import compact, signature
from wire.codec import Malformed, decode, encode
from wire.compact import CompactLive
from wire.fix import Fix
from wire.ids import device_id, id_bytes
from wire.signature import Context


class Live(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The newest position. `v`: 1, or 2 when it travels as `wire.compact` has it; `mono_ms`: when this was sent; `age_ms`:
    from the last byte of the receiver's sentence to the sending; `fix`: None says that the terminal has no position, which is different from saying nothing;
    `reason`: why it was sent ("first", "drift", "cadence", "no_fix", "emergency"). `owed`: records of the ledger that
    the terminal has no receipt for; `owed_ms`: how long the oldest of them has waited, None when none does or nobody
    knows; both None from a program that did not say yet."""

    v: int
    device: str
    boot: bytes
    mono_ms: int
    age_ms: int
    fix: Fix | None
    reason: str
    owed: int | None = None
    owed_ms: int | None = None

    def __post_init__(self) -> None:
        device_id(self.device)
        id_bytes(self.boot)
        if min(self.mono_ms, self.age_ms, self.owed or 0, self.owed_ms or 0) < 0:
            raise ValueError("time runs forward")


class Mark(Struct, frozen=True, array_like=True):
    """By which bytes a terminal knows number `seq` of its log: `wire.records.tip` of them."""

    seq: int
    tip: bytes


class LogRange(Struct, frozen=True, kw_only=True, array_like=True):
    """What a terminal has of one log: its lowest seq still held, the lowest one still owed, the next to be given.

    `marks`: the newest record that was receipted and the lowest that is owed, where there are such. A hub that holds
    other bytes under one of these numbers has heard another board with the same identity."""

    log_id: bytes
    name: str
    lowest_held: int
    lowest_owed: int
    next: int
    marks: tuple[Mark, ...] = ()

    def __post_init__(self) -> None:
        id_bytes(self.log_id)
        if not 1 <= self.lowest_held <= self.lowest_owed <= self.next:
            raise ValueError("a log's numbers are out of order")


class Presence(Struct, frozen=True, kw_only=True):
    """`is_here` true: a birth; false: the will that the broker speaks for a terminal that is gone.

    A will counts only against the birth of the same `boot` and `session` (larger with each connection of that boot), so
    that a late will of an old connection does not bury the new one. `logs` is empty in a will.
    """

    v: int
    device: str
    boot: bytes
    session: int
    mono_ms: int
    is_here: bool
    software: str
    logs: tuple[LogRange, ...] = ()

    def __post_init__(self) -> None:
        device_id(self.device)
        id_bytes(self.boot)


class HubPresence(Struct, frozen=True, kw_only=True):
    """Whether the hub listens. `epoch`: its state epoch; `spread_s`: over how long terminals spread their return after
    the broker closed on everyone; `wall_ms`: the hub's clock."""

    v: int
    is_here: bool
    epoch: int
    spread_s: float
    wall_ms: int


def sign_live(live: Live, key: ec.EllipticCurvePrivateKey) -> bytes:
    """`live` as the terminal sends it, in the form of its version."""
    if live.v >= 2:
        said = compact.packed(live.fix, live.boot, live.mono_ms, live.age_ms, live.reason, live.owed, live.owed_ms)
        return compact.sign(said, live.device, key)
    return signature.signed(Context.LIVE, encode(live), key)


def open_live(data: bytes, device: str, key: ec.EllipticCurvePublicKey) -> Live:
    """The position in `data`, which came on `device`'s topic and must be signed by `key`, in any version;
    Malformed otherwise."""
    if compact.is_compact(data):
        return _unpacked(compact.opened(data, device, key), device)
    live = decode(signature.opened(Context.LIVE, data, key), Live)
    if live.device != device:
        raise Malformed("a position of another device")
    return live


def as_told(fix: Fix) -> Fix:
    """`fix` as the hub will have it: who judges the hub's belief must start from the same numbers."""
    told = compact.fix_of(compact.packed(fix, b"", 0, 0, ""))
    assert told is not None  # a place goes in, so a place comes out
    return told


def _unpacked(said: CompactLive, device: str) -> Live:
    try:
        return Live(
            v=2,
            device=device,
            boot=said.boot,
            mono_ms=said.mono_ms,
            age_ms=said.age_ms,
            fix=compact.fix_of(said),
            reason=compact.reason_of(said),
            owed=said.owed or 0,
            owed_ms=said.owed_ms,
        )
    except ValueError as wrong:
        raise Malformed(f"position: {wrong}") from None


def sign_presence(presence: Presence, key: ec.EllipticCurvePrivateKey) -> bytes:
    """`presence` as the terminal, or the broker on its behalf, sends it."""
    return signature.signed(Context.PRESENCE, encode(presence), key)


def open_presence(data: bytes, device: str, key: ec.EllipticCurvePublicKey) -> Presence:
    """The birth or will in `data`, which came on `device`'s topic and must be signed by `key`; Malformed otherwise."""
    presence = decode(signature.opened(Context.PRESENCE, data, key), Presence)
    if presence.device != device:
        raise Malformed("a presence of another device")
    return presence


def sign_hub_presence(presence: HubPresence, key: ec.EllipticCurvePrivateKey) -> bytes:
    """`presence` as the hub sends it, signed by the snapshot key."""
    return signature.signed(Context.HUB_PRESENCE, encode(presence), key)


def open_hub_presence(data: bytes, key: ec.EllipticCurvePublicKey) -> HubPresence:
    """The hub's presence in `data`, signed by the snapshot `key`; Malformed otherwise."""
    return decode(signature.opened(Context.HUB_PRESENCE, data, key), HubPresence)
