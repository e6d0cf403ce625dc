"""What the broker says of itself under $SYS, listened to with a certificate of the tests' own."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.soak.agency import Agency, until
from tests.terminal_fleet import new_key

NAME = "soak-watch"
STORED = "$SYS/broker/store/messages/count"  # retained and queued, each once
DROPPED = "$SYS/broker/publish/messages/dropped"


class View:
    """The highest numbers that were told; every ten seconds, so a peak between two is not seen."""

    def __init__(self) -> None:
        self.stored_max = self.dropped = 0
        self.stored = -1

    def hear(self, message: MQTTMessage) -> None:
        said = int(message.payload)
        if message.topic == STORED:
            self.stored, self.stored_max = said, max(said, self.stored_max)
        else:
            self.dropped = max(said, self.dropped)


@contextmanager
def view(agency: Agency, scratch: Path) -> Iterator[View]:
    """Listen until the block ends; the broker must live as long."""
    acl = agency.hub.home / "broker" / "acl"
    acl.write_text(acl.read_text() + f"\nuser {NAME}\ntopic read $SYS/#\n")
    agency.reload_broker()
    key = new_key()
    leaf = agency.hub.fleet.device_certificate(NAME, key)
    identity = scratch / f"{NAME}.pem"
    identity.write_bytes(
        leaf.public_bytes(Encoding.PEM)
        + agency.hub.fleet.ca.public_bytes(Encoding.PEM)
        + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    root = scratch / "root.pem"
    root.write_bytes(agency.hub.fleet.root.public_bytes(Encoding.PEM))
    context = ssl.create_default_context(cafile=str(root))
    context.load_cert_chain(str(identity))
    seen = View()
    client = Client(CallbackAPIVersion.VERSION2, client_id=NAME, protocol=MQTTProtocolVersion.MQTTv5)
    client.tls_set_context(context)
    client.on_message = lambda _client, _data, message: seen.hear(message)
    client.on_connect = lambda *_: client.subscribe([(STORED, 0), (DROPPED, 0)])
    client.connect("localhost", agency.hub.ports["broker"])
    client.loop_start()
    try:
        until("the broker's word on itself", lambda: seen.stored >= 0, 60)
        yield seen
    finally:
        client.disconnect()
        client.loop_stop()
