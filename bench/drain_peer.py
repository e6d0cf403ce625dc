"""Bare paho: the same bytes at QoS 1, with its default window, to the same broker. Told what to do a line at a time.

go FILE   publish them; answers with the seconds until the broker has acknowledged all
"""

from __future__ import annotations

import ssl
import sys
import time
from pathlib import Path
from threading import Event

import click
import msgspec
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion


@click.command()
@click.option("--identity", type=click.Path(path_type=Path), required=True)
@click.option("--device", required=True)
@click.option("--port", type=int, required=True)
def cli(identity: Path, device: str, port: int) -> None:
    """Do what standard input says."""
    is_connected = Event()
    client = Client(CallbackAPIVersion.VERSION2, client_id=device, protocol=MQTTv5)
    context = ssl.create_default_context(cafile=str(identity / "root.crt"))
    context.load_cert_chain(identity / "device.crt", identity / "device.key")
    client.tls_set_context(context)
    client.on_connect = lambda *_: is_connected.set()
    client.connect("localhost", port, keepalive=60)
    client.loop_start()
    is_connected.wait(10)
    print("ready", flush=True)
    for said in sys.stdin:
        payloads = msgspec.msgpack.decode(Path(said.split()[1]).read_bytes(), type=list[bytes])
        began_s = time.monotonic()
        infos = [client.publish(f"owntracks/{device}/log", payload, qos=1) for payload in payloads]
        for info in infos:
            info.wait_for_publish(600)
        print(time.monotonic() - began_s, flush=True)


if __name__ == "__main__":
    cli()
