"""The newest position in its short form: what it says, whose it is, and that the long form is still read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.package.test_wire_golden import BOOT, FIX, GOLDEN
from wire import compact, trail
from wire.codec import Malformed, encode
from wire.compact import CompactLive
from wire.distance import nearby_m
from wire.fix import SPEED_MPS_MAX, Fix
from wire.live import Live, as_told, open_live, sign_live
from wire.trail import TrailPoint

KEY = ec.derive_private_key(7, ec.SECP256R1())
PUBLIC = KEY.public_key()
LONG = Live(v=1, device="t-golden", boot=BOOT, mono_ms=61_500, age_ms=12, fix=FIX, reason="drift")
SHORT = replace(LONG, v=2, owed=0)


def some(values: st.SearchStrategy[float]) -> st.SearchStrategy[float | None]:
    return st.none() | values


FIXES = st.builds(
    Fix,
    lat=st.floats(-90, 90),
    lon=st.floats(-180, 180),
    at=st.none() | st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1)).map(lambda at: at.replace(tzinfo=UTC)),
    speed_mps=some(st.floats(0, SPEED_MPS_MAX)),
    heading_deg=some(st.floats(0, 360, exclude_max=True)),
    hdop=some(st.floats(0, 100)),
    satellites=st.none() | st.integers(0, 255),
    accuracy_m=some(st.floats(0, 10_000)),
    dimensions=st.sampled_from([None, 2, 3]),
    quality=st.sampled_from(["autonomous", "differential", "rtk", "estimated", "a word of tomorrow"]),
    is_held=st.booleans(),
)


@given(FIXES)
def test_what_is_told_is_within_centimeters_of_what_the_receiver_said(fix: Fix) -> None:
    told = as_told(fix)
    assert nearby_m(told.lat, told.lon, fix.lat, fix.lon) < 0.01
    assert replace(
        told, lat=0, lon=0, at=None, speed_mps=None, heading_deg=None, hdop=None, accuracy_m=None
    ) == replace(fix, lat=0, lon=0, at=None, speed_mps=None, heading_deg=None, hdop=None, accuracy_m=None)
    for after, before, within in (
        (told.speed_mps, fix.speed_mps, 0.0051),
        (told.hdop, fix.hdop, 0.0051),
        (told.accuracy_m, fix.accuracy_m, 0.051),
    ):
        assert (after is None) == (before is None)
        assert after is None or before is None or abs(after - before) <= within
    assert (told.at is None) == (fix.at is None)
    assert told.at is None or fix.at is None or abs(told.at - fix.at) <= timedelta(milliseconds=1)


@given(FIXES)
def test_what_was_told_once_is_told_the_same_again(fix: Fix) -> None:
    assert as_told(as_told(fix)) == as_told(fix)


def test_both_forms_say_the_same() -> None:
    long, short = sign_live(LONG, KEY), sign_live(SHORT, KEY)
    assert open_live(long, "t-golden", PUBLIC) == LONG
    assert open_live(short, "t-golden", PUBLIC) == SHORT
    assert len(short) * 2 < len(long)


def test_a_terminal_without_a_position_says_so_in_both_forms() -> None:
    for said in (LONG, SHORT):
        none = replace(said, fix=None, reason="no_fix")
        assert open_live(sign_live(none, KEY), "t-golden", PUBLIC) == none


def test_a_signed_short_form_of_the_first_release_is_still_read() -> None:
    assert open_live((GOLDEN / "Live-2.signed").read_bytes(), "t-golden", PUBLIC) == SHORT


def test_what_is_owed_is_told_in_the_short_form_too() -> None:
    owing = replace(SHORT, owed=12, owed_ms=240_000)
    assert open_live(sign_live(owing, KEY), "t-golden", PUBLIC) == owing


def test_a_short_form_is_its_devices_alone() -> None:
    """The device is not in it, and signed all the same: one key under two names does not make one position of two."""
    with pytest.raises(Malformed, match="signature"):
        open_live(sign_live(SHORT, KEY), "t-other", PUBLIC)


@given(st.integers(0, 200), st.integers(1, 255))
def test_no_byte_of_a_short_form_can_be_changed(at: int, by: int) -> None:
    data = bytearray(sign_live(SHORT, KEY))
    data[1 + at % (len(data) - 1)] ^= by
    with pytest.raises(Malformed):
        open_live(bytes(data), "t-golden", PUBLIC)


@given(st.binary(max_size=200))
def test_noise_in_the_short_form_is_refused_and_raises_nothing_else(noise: bytes) -> None:
    data = compact.FIRST_BYTE + noise
    with pytest.raises(Malformed):
        open_live(data, "t-golden", PUBLIC)
    compact.reads(data)


@pytest.mark.parametrize(
    "wrong",
    [
        {"lat": 900_000_001, "lon": 0},
        {"lat": 0, "lon": 0, "at_s": 1 << 60},
        {"lat": 0, "lon": 0, "at_s": 0, "at_ms": 1000},
        {"lat": 0, "lon": 0, "speed": -1},
        {"lat": 0, "lon": 0, "heading": 3600},
        {"lat": 0, "lon": 0, "marks": 2},
        {"mono_ms": -1},
        {"boot": b"short"},
    ],
)
def test_a_short_form_with_a_wrong_value_is_refused(wrong: dict[str, int | bytes]) -> None:
    said = replace(CompactLive(boot=BOOT, mono_ms=1, age_ms=1, reason=0), **wrong)
    with pytest.raises(Malformed):
        open_live(compact.sign(said, "t-golden", KEY), "t-golden", PUBLIC)


def test_a_reason_that_a_newer_terminal_numbers_is_unknown_and_its_place_is_taken() -> None:
    said = replace(compact.packed(FIX, BOOT, 1, 1, "drift"), reason=99)
    read = open_live(compact.sign(said, "t-golden", KEY), "t-golden", PUBLIC)
    assert (read.reason, read.fix) == ("unknown", FIX)


def test_a_trail_of_the_first_version_is_still_read() -> None:
    body = encode([1, [1000, 1010, 990], [40_000_000, 100, -100], [-83_000_000, 5, 5], [131, -1, 130], [359, -1, 2], 7])
    assert trail.unpack(body) == trail.Trail(
        points=(
            TrailPoint(mono_ms=1000, lat=40.0, lon=-83.0, speed_mps=13.1, heading_deg=359.0),
            TrailPoint(mono_ms=2010, lat=40.0001, lon=-82.999995),
            TrailPoint(mono_ms=3000, lat=40.0, lon=-82.99999, speed_mps=13.0, heading_deg=2.0),
        ),
        dropped=7,
    )


if __name__ == "__main__":
    golden = Path(GOLDEN / "Live-2.signed")
    if not golden.exists():
        golden.write_bytes(sign_live(SHORT, KEY))
