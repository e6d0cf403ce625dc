"""A signature is on one thing of one kind by one key, in one form, and no byte of it can change."""

from __future__ import annotations

from itertools import product

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from wire import signature
from wire.codec import Malformed, encode
from wire.enrollment import Bundle, open_bundle, sign_bundle
from wire.signature import Context, Signed

KEY = ec.generate_private_key(ec.SECP256R1())
ROOT = ec.generate_private_key(ec.SECP384R1())
ORDER = {
    "secp256r1": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "secp384r1": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
}
keys = pytest.mark.parametrize("key", [KEY, ROOT], ids=["P-256", "P-384"])


def is_accepted(context: Context, payload: bytes, made: bytes, key: ec.EllipticCurvePrivateKey) -> bool:
    try:
        signature.verify(context, payload, made, key.public_key())
    except Malformed:
        return False
    return True


@keys
@given(payload=st.binary(max_size=300))
def test_what_was_signed_is_accepted_and_twice_the_curve_long(key: ec.EllipticCurvePrivateKey, payload: bytes) -> None:
    made = signature.sign(Context.RECORD, payload, key)
    assert len(made) == 2 * key.curve.key_size // 8
    assert is_accepted(Context.RECORD, payload, made, key)


def test_a_signature_on_one_kind_is_none_on_another() -> None:
    made = {context: signature.sign(context, b"payload", KEY) for context in Context}
    accepted = [(a, b) for a, b in product(Context, Context) if is_accepted(b, b"payload", made[a], KEY)]
    assert accepted == [(context, context) for context in Context]


def test_a_context_cannot_run_into_the_payload() -> None:
    # "tandem-live-v1" ‖ 0 ‖ x must not be "tandem-live-v" ‖ … of anything: each context ends at its own zero byte.
    assert all("\0" not in context for context in Context)
    assert len({context.encode() + b"\0" for context in Context}) == len(Context)


@keys
@given(payload=st.binary(max_size=50))
def test_the_second_form_of_a_signature_is_refused(key: ec.EllipticCurvePrivateKey, payload: bytes) -> None:
    made = signature.sign(Context.STATE, payload, key)
    size = len(made) // 2
    s = int.from_bytes(made[size:], "big")
    high = made[:size] + (ORDER[key.curve.name] - s).to_bytes(size, "big")
    assert s <= ORDER[key.curve.name] // 2
    assert not is_accepted(Context.STATE, payload, high, key)


@keys
@pytest.mark.parametrize("mask", [0x01, 0x80])
def test_no_bit_of_payload_or_signature_can_change(key: ec.EllipticCurvePrivateKey, mask: int) -> None:
    payload = b"the unit is on scene"
    made = signature.sign(Context.RECORD, payload, key)
    for at in range(len(made)):
        assert not is_accepted(Context.RECORD, payload, _flipped(made, at, mask), key)
    for at in range(len(payload)):
        assert not is_accepted(Context.RECORD, _flipped(payload, at, mask), made, key)


@keys
def test_a_signature_of_another_length_is_refused(key: ec.EllipticCurvePrivateKey) -> None:
    made = signature.sign(Context.RECORD, b"payload", key)
    half = len(made) // 2
    padded = made[:half] + b"\0" + made[half:]  # the same two numbers, one byte longer
    for other in (b"", made[:-1], made + b"\0", padded, bytes(len(made)), b"\xff" * len(made)):
        assert not is_accepted(Context.RECORD, b"payload", other, key)


def test_another_key_has_not_signed_it() -> None:
    made = signature.sign(Context.RECORD, b"payload", KEY)
    assert not is_accepted(Context.RECORD, b"payload", made, ec.generate_private_key(ec.SECP256R1()))
    assert not is_accepted(Context.RECORD, b"payload", made, ROOT)


@pytest.mark.parametrize("mask", [0x01, 0x80])
def test_no_flip_and_no_cut_of_a_whole_signed_message_is_accepted(mask: int) -> None:
    bundle = Bundle(
        v=1,
        device="t-1a2b3c4d",
        hub_url="https://localhost:8443",
        tid=b"t" * 16,
        secret=b"s" * 32,
        exp_s=1_789_155_550,
        root_spki_sha256=b"r" * 32,
        issued_s=1_789_069_150,
        profile="default",
        kind="vehicle",
    )
    data = sign_bundle(bundle, KEY)
    assert open_bundle(data, KEY.public_key()) == bundle
    for altered in [
        *(_flipped(data, at, mask) for at in range(len(data))),
        *(data[:end] for end in range(len(data))),
        data + b"\0",
    ]:
        with pytest.raises(Malformed):
            open_bundle(altered, KEY.public_key())


def test_a_message_with_more_than_payload_and_signature_is_read_by_its_first_two() -> None:
    # A later version may add a third element; what it signs is still the payload as it came.
    made = signature.sign(Context.RECORD, b"payload", KEY)
    assert signature.opened(Context.RECORD, encode([b"payload", made, b"later"]), KEY.public_key()) == b"payload"
    assert encode(Signed(payload=b"payload", signature=made)) == encode([b"payload", made])


@pytest.mark.parametrize(
    "data",
    [b"", b"rubbish", signature.public_der(ec.generate_private_key(ec.SECP521R1()).public_key())],
    ids=["nothing", "rubbish", "P-521"],
)
def test_a_key_on_another_curve_is_none_of_ours(data: bytes) -> None:
    with pytest.raises(Malformed):
        signature.public_from(data)


def _flipped(data: bytes, at: int, mask: int) -> bytes:
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]
