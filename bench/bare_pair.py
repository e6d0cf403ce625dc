"""A bare publisher and a bare subscriber at a Mosquitto of their own, with the same mutual TLS as ours: the least that a path costs."""

from __future__ import annotations

import ssl
import subprocess
import threading
import time
from pathlib import Path

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from demo import fleet as made

LIVE_BYTES = 330  # of a live message, signature included


class Pair:
    """Both, with the certificate in `station`; their broker has the one of the hub in `home`."""

    def __init__(self, home: Path, station: Path, message_bytes: int = LIVE_BYTES) -> None:
        self.took_ms: list[float] = []
        self._bytes = message_bytes
        self._lock = threading.Lock()
        port = made.chance_ports(0)["broker"]
        tls = home / "hub" / "tls"
        config = home / "peer.conf"
        config.write_text(
            f"user root\nlistener {port} 127.0.0.1\ncafile {home / 'hub' / 'keys' / 'root.crt'}\n"
            f"certfile {tls / 'broker.crt'}\nkeyfile {tls / 'broker.key'}\nrequire_certificate true\n"
            "use_identity_as_username true\nallow_anonymous false\ntls_version tlsv1.3\nset_tcp_nodelay true\n"
        )
        self._broker = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", "/usr/sbin/mosquitto", "-c", str(config)],
            stderr=subprocess.DEVNULL,
        )
        time.sleep(0.5)
        self._subscriber = self._connected(station, port)
        self._subscriber.on_message = self._arrived
        self._subscriber.subscribe("peer/#", qos=0)
        self._publisher = self._connected(station, port)
        time.sleep(0.5)

    def publish(self, at_s: float) -> None:
        """Send a message."""
        self._publisher.publish("peer/live", f"{at_s:024.6f}".encode().ljust(self._bytes), qos=0)

    def stop(self) -> None:
        """Leave nothing running."""
        for client in (self._publisher, self._subscriber):
            client.disconnect()
            client.loop_stop()
        self._broker.terminate()
        self._broker.wait()

    def _connected(self, station: Path, port: int) -> Client:
        client = Client(CallbackAPIVersion.VERSION2, "", protocol=MQTTProtocolVersion.MQTTv5)
        context = ssl.create_default_context(cafile=str(station / "root.crt"))
        context.load_cert_chain(station / "device.crt", station / "device.key")
        client.tls_set_context(context)
        client.connect("localhost", port)
        client.loop_start()
        return client

    def _arrived(self, client: Client, data: object, message: MQTTMessage) -> None:
        took_ms = (time.monotonic() - float(message.payload[:24])) * 1000
        with self._lock:
            self.took_ms.append(took_ms)
