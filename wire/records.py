"""Facts flow up: numbered, signed records of a log, and the receipts that end the debt.

A record is named by (device, log_id, seq). `log_id` is minted with the file that numbers it, so that a log which was
lost or replaced can never be taken for the one before. The body stays bytes: the hub receipts what it has stored, not
what it has understood.
"""

from __future__ import annotations

from enum import StrEnum
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct

from wire import signature
from wire.codec import Malformed, decode, encode
from wire.ids import device_id, id_bytes
from wire.signature import Context
from wire.stamp import Stamp

RECORD_BYTES_MAX = 256 * 1024  # half of what a packet may hold; larger things become several records
BODY_BYTES_MAX = RECORD_BYTES_MAX - 1024  # what is around a body has less than 300 bytes
TIP_BYTES = 8  # of SHA-256: tells two records of one number apart; nothing is proven by it
VERSION = 1


class Kind(StrEnum):
    """What a record's body is. The field itself is plain text: a kind the hub does not know is kept all the same."""

    STATUS = "status"
    STATE_HELD = "state_held"
    SHIFT = "shift"
    NOTE = "note"
    SHELF_WANTED = "shelf_wanted"
    EMERGENCY = "emergency"
    AUDIT = "audit"
    TRAIL = "trail"
    CLOCK_CORRECTED = "clock_corrected"
    LEDGER_DAMAGED = "ledger_damaged"
    SALVAGED = "salvaged"
    PART = "part"
    DAMAGED = "damaged"
    REFUSED = "refused"
    ORDER_DONE = "order_done"


class Record(Struct, frozen=True, kw_only=True, array_like=True):
    """One entry of a terminal's log. `seq` counts from 1 within `log_id`; `body` is MessagePack by `kind`."""

    v: int
    device: str
    log_id: bytes
    seq: int
    kind: str
    stamp: Stamp
    body: bytes

    def __post_init__(self) -> None:
        device_id(self.device)
        id_bytes(self.log_id)
        if self.seq < 1:
            raise ValueError("records count from 1")


class Alarm(Struct, frozen=True, kw_only=True, array_like=True):
    """An emergency that the terminal could not save in time: the same fact, signed, without a number.

    It goes out on `up/alarm` until dispatch has answered; no receipt ever covers it. `body`: MessagePack of a
    `wire.facts.EmergencyFact`.
    """

    v: int
    device: str
    stamp: Stamp
    body: bytes

    def __post_init__(self) -> None:
        device_id(self.device)


class Receipt(Struct, frozen=True, kw_only=True, array_like=True):
    """The hub holds everything of `log_id` through `through` (0: nothing yet).

    `epoch` is the hub's state epoch: it rises when the hub was restored from a backup, and only a higher epoch makes a
    lower `through` believable. `tip`: of the record that the hub holds under `through`, empty where it holds none; a
    terminal whose own record of that number is another one was not meant, for there are two boards with its identity. `is_contested`: the hub has heard two of them lately.
    """

    v: int
    device: str
    log_id: bytes
    through: int
    epoch: int
    tip: bytes = b""
    is_contested: bool = False

    def __post_init__(self) -> None:
        device_id(self.device)
        id_bytes(self.log_id)
        if self.through < 0 or self.epoch < 0:
            raise ValueError("receipts and epochs count from 0")


def tip(data: bytes) -> bytes:
    """By what the signed bytes of a record are told from others of the same number."""
    return sha256(data).digest()[:TIP_BYTES]


def sign_record(record: Record, key: ec.EllipticCurvePrivateKey) -> bytes:
    """The bytes that go into the outbox, and later to the hub unchanged; ValueError when they are too many."""
    data = signature.signed(Context.RECORD, encode(record), key)
    if len(data) > RECORD_BYTES_MAX:
        raise ValueError(f"a record of {len(data)} bytes; at most {RECORD_BYTES_MAX} are carried")
    return data


def open_record(data: bytes, device: str, key: ec.EllipticCurvePublicKey) -> Record:
    """The record in `data`, which came on `device`'s topic and must be signed by `key`; Malformed otherwise."""
    record = decode(signature.opened(Context.RECORD, data, key), Record)
    if record.device != device:
        raise Malformed("a record of another device")
    return record


def sign_alarm(alarm: Alarm, key: ec.EllipticCurvePrivateKey) -> bytes:
    """`alarm` as the terminal sends it."""
    return signature.signed(Context.ALARM, encode(alarm), key)


def open_alarm(data: bytes, device: str, key: ec.EllipticCurvePublicKey) -> Alarm:
    """The unnumbered emergency in `data`, which came on `device`'s topic and must be signed by `key`; Malformed
    otherwise, also for a record, whose copy comes on the same topic."""
    alarm = decode(signature.opened(Context.ALARM, data, key), Alarm)
    if alarm.device != device:
        raise Malformed("an emergency of another device")
    return alarm


def sign_receipt(receipt: Receipt, key: ec.EllipticCurvePrivateKey) -> bytes:
    """The receipt as the hub sends it, signed by the snapshot key."""
    return signature.signed(Context.RECEIPT, encode(receipt), key)


def open_receipt(data: bytes, device: str, key: ec.EllipticCurvePublicKey) -> Receipt:
    """The receipt in `data` for `device`, signed by the hub's snapshot `key`; Malformed otherwise."""
    receipt = decode(signature.opened(Context.RECEIPT, data, key), Receipt)
    if receipt.device != device:
        raise Malformed("a receipt for another device")
    return receipt
