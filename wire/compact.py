"""The newest position in as few bytes as its signature allows: two fifths of what its first version took.

    0x02 ‖ signature, 64 bytes ‖ CompactLive, a MessagePack array

What goes out every few seconds, all day, from every vehicle is worth a form of its own. The device stands in the topic
and is signed with the rest, so that it need not be said again. Whole numbers stand for the receiver's decimals; what is
left off is far below what any receiver knows.
"""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct
from msgspec.structs import astuple

from wire import signature
from wire.codec import Malformed, decode, encode
from wire.fix import Fix
from wire.signature import Context

FIRST_BYTE = b"\x02"  # a `Signed` begins with 0x92
SIGNATURE_BYTES = 64
DEGREES_SCALE = 10_000_000  # 1 cm; the most that fits 32 bits
SPEED_SCALE = 100
HEADING_SCALE = 10
HDOP_SCALE = 100
ACCURACY_SCALE = 10
HELD = 1  # in `marks`; the dimensions stand above it
QUALITIES = ("autonomous", "differential", "rtk", "estimated")
REASONS = ("first", "drift", "cadence", "no_fix", "emergency")


class CompactLive(Struct, frozen=True, kw_only=True, array_like=True):
    """`Live` as it travels. `reason`, `quality`: the number of a known word, or another word itself; `lat`, `lon`: 1e-7
    degrees; `speed`: 0.01 m/s; `heading`: 0.1 degrees; `at_s`, `at_ms`: Unix time of the fix; `hdop`: 0.01; `accuracy`:
    0.1 m; `marks`: 1 when held, plus twice the dimensions. `owed`, `owed_ms` as in `Live`, nil when nothing is
    owed. Without a fix everything from `lat` to `quality` is nil; what is nil at the end is left out."""

    boot: bytes
    mono_ms: int
    age_ms: int
    reason: int | str
    lat: int | None = None
    lon: int | None = None
    speed: int | None = None
    heading: int | None = None
    at_s: int | None = None
    at_ms: int | None = None
    hdop: int | None = None
    satellites: int | None = None
    accuracy: int | None = None
    marks: int | None = None
    quality: int | str | None = None
    owed: int | None = None
    owed_ms: int | None = None


def is_compact(data: bytes) -> bool:
    """Whether `data` claims to be of this form."""
    return data[:1] == FIRST_BYTE


def sign(said: CompactLive, device: str, key: ec.EllipticCurvePrivateKey) -> bytes:
    """`said` as `device` sends it."""
    fields = list(astuple(said))
    while fields[-1] is None:
        fields.pop()
    body = encode(fields)
    return FIRST_BYTE + signature.sign(Context.LIVE_2, _tagged(device, body), key) + body


def opened(data: bytes, device: str, key: ec.EllipticCurvePublicKey) -> CompactLive:
    """What is said in `data`, which came on `device`'s topic and must be signed by `key`; Malformed otherwise."""
    body = data[1 + SIGNATURE_BYTES :]
    if not is_compact(data):
        raise Malformed("not a compact position")
    signature.verify(Context.LIVE_2, _tagged(device, body), data[1 : 1 + SIGNATURE_BYTES], key)
    return decode(body, CompactLive)


def reads(data: bytes) -> bool:
    """Whether `data` is of this form, whoever signed it."""
    try:
        fix_of(decode(data[1 + SIGNATURE_BYTES :], CompactLive))
    except ValueError:  # Malformed is one
        return False
    return is_compact(data)


def packed(
    fix: Fix | None,
    boot: bytes,
    mono_ms: int,
    age_ms: int,
    reason: str,
    owed: int | None = None,
    owed_ms: int | None = None,
) -> CompactLive:
    """These values as they travel."""
    said = REASONS.index(reason) if reason in REASONS else reason
    owed = owed or None
    if fix is None:
        return CompactLive(boot=boot, mono_ms=mono_ms, age_ms=age_ms, reason=said, owed=owed, owed_ms=owed_ms)
    at_ms = None if fix.at is None else round(fix.at.timestamp() * 1000)
    return CompactLive(
        boot=boot,
        mono_ms=mono_ms,
        age_ms=age_ms,
        reason=said,
        lat=round(fix.lat * DEGREES_SCALE),
        lon=round(fix.lon * DEGREES_SCALE),
        speed=_scaled(fix.speed_mps, SPEED_SCALE),
        heading=None if fix.heading_deg is None else round(fix.heading_deg * HEADING_SCALE) % (360 * HEADING_SCALE),
        at_s=None if at_ms is None else at_ms // 1000,
        at_ms=None if at_ms is None else at_ms % 1000,
        hdop=_scaled(fix.hdop, HDOP_SCALE),
        satellites=fix.satellites,
        accuracy=_scaled(fix.accuracy_m, ACCURACY_SCALE),
        marks=(HELD if fix.is_held else 0) + 2 * (fix.dimensions or 0),
        quality=QUALITIES.index(fix.quality) if fix.quality in QUALITIES else fix.quality,
        owed=owed,
        owed_ms=owed_ms,
    )


def fix_of(said: CompactLive) -> Fix | None:
    """The fix that `said` carries; ValueError when it is not one."""
    if said.lat is None or said.lon is None:
        return None
    marks = said.marks or 0
    at = None
    if said.at_s is not None:
        try:
            at = datetime.fromtimestamp(said.at_s, UTC).replace(microsecond=(said.at_ms or 0) * 1000)
        except (OverflowError, OSError):
            raise ValueError("a time that no calendar has") from None
    return Fix(
        lat=said.lat / DEGREES_SCALE,
        lon=said.lon / DEGREES_SCALE,
        at=at,
        speed_mps=_unscaled(said.speed, SPEED_SCALE),
        heading_deg=_unscaled(said.heading, HEADING_SCALE),
        hdop=_unscaled(said.hdop, HDOP_SCALE),
        satellites=said.satellites,
        accuracy_m=_unscaled(said.accuracy, ACCURACY_SCALE),
        dimensions=marks >> 1 or None,
        quality=_word(said.quality, QUALITIES) or QUALITIES[0],
        is_held=bool(marks & HELD),
    )


def reason_of(said: CompactLive) -> str:
    """Why it was sent, as a word."""
    return _word(said.reason, REASONS) or "unknown"


def _word(said: int | str | None, known: tuple[str, ...]) -> str | None:
    """The word; None for a number that a newer program gave one to."""
    if isinstance(said, int):
        return known[said] if 0 <= said < len(known) else None
    return said


def _scaled(value: float | None, scale: int) -> int | None:
    return None if value is None else round(value * scale)


def _unscaled(value: int | None, scale: int) -> float | None:
    return None if value is None else value / scale


def _tagged(device: str, body: bytes) -> bytes:
    return device.encode() + b"\0" + body
