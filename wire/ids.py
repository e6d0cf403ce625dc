"""Names of things: who may be called what, and the sixteen random bytes that name the rest."""

from __future__ import annotations

import re

from wire.codec import Malformed

ID_BYTES = 16  # boot, log, note, encounter, shift: minted by the terminal, never by a counter two boards could share

_DEVICE = re.compile(r"[a-z0-9][a-z0-9-]{1,30}[a-z0-9]")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def device_id(text: str) -> str:
    """`text` if it may name a device, else Malformed.

    The id is a topic level, an MQTT client id, a user in the broker's access list and a certificate's CN, so it may hold
    nothing that any of them gives a meaning to; ids that begin with "hub" belong to the hub's own processes.
    """
    if not _DEVICE.fullmatch(text) or text.startswith("hub"):
        raise Malformed("a device id is 3 to 32 of a-z, 0-9 and '-', and does not begin with 'hub'")
    return text


def name(text: str) -> str:
    """`text` if it may name a unit, a person, an incident or an assignment, else Malformed."""
    if not _NAME.fullmatch(text):
        raise Malformed("an id is 1 to 64 of letters, digits, '.', '_' and '-', and begins with a letter or digit")
    return text


def id_bytes(value: bytes) -> bytes:
    """`value` if it is sixteen bytes, else Malformed."""
    if len(value) != ID_BYTES:
        raise Malformed(f"an id of {len(value)} bytes")
    return value
