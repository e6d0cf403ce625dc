"""The other ways to say where a vehicle is, as a process in a namespace of its own: JSON at QoS 1.

`second`: OwnTracks at 1 Hz, the fields that its booklet names for a location. `rule`: the same words when ten seconds,
50 m or 30 degrees have passed, as trackers do whose server draws what it was told last.
"""

from __future__ import annotations

import ssl
import sys
from pathlib import Path
from threading import Event

import click
import msgspec
from paho.mqtt.client import Client, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion

from bench.calm import Calm
from bench.journey import BEGAN, Journey
from wire.distance import nearby_m
from wire.fix import Fix

RULE_S, RULE_M, RULE_DEG = 10, 50.0, 30.0


@click.command()
@click.option("--journey", "file", type=click.Path(path_type=Path), required=True)
@click.option("--identity", type=click.Path(path_type=Path), required=True)
@click.option("--device", required=True)
@click.option("--port", type=int, required=True)
@click.option("--every", type=click.Choice(["second", "rule"]), required=True)
def cli(file: Path, identity: Path, device: str, port: int, every: str) -> None:
    """Drive the journey; "ready" on standard output, and at the end what was sent, as JSON."""
    drive = msgspec.msgpack.decode(file.read_bytes(), type=Journey)
    is_connected = Event()
    client = Client(CallbackAPIVersion.VERSION2, client_id=device, protocol=MQTTv311)
    context = ssl.create_default_context(cafile=str(identity / "root.crt"))
    context.load_cert_chain(identity / "device.crt", identity / "device.key")
    client.tls_set_context(context)
    client.on_connect = lambda *_: is_connected.set()
    client.connect("localhost", port, keepalive=60)
    client.loop_start()
    is_connected.wait(10)
    calm = Calm()
    calm.wait()
    print("ready", flush=True)
    sys.stdin.readline()
    told: tuple[int, Fix] | None = None
    messages, payload_bytes, errors = 0, 0, []
    for at_s, second in enumerate(drive.seconds):
        fix = second.fix
        if fix is not None and (every == "second" or told is None or _is_due(*told, at_s, fix)):
            payload = _location(at_s, fix)
            client.publish(f"owntracks/{device}/phone", payload, qos=1).wait_for_publish(10)
            messages += 1
            payload_bytes += len(payload)
            told = at_s, fix
            calm.wait()
        if told is not None:
            errors.append(nearby_m(told[1].lat, told[1].lon, second.truth.lat, second.truth.lon))
    print(msgspec.json.encode({"messages": messages, "payload_bytes": payload_bytes, "errors": errors}).decode())
    sys.stdout.flush()
    sys.stdin.readline()


def _is_due(told_s: int, told: Fix, at_s: int, fix: Fix) -> bool:
    if at_s - told_s >= RULE_S or nearby_m(told.lat, told.lon, fix.lat, fix.lon) >= RULE_M:
        return True
    if told.heading_deg is None or fix.heading_deg is None:
        return False
    return abs((fix.heading_deg - told.heading_deg + 180) % 360 - 180) >= RULE_DEG


def _location(at_s: int, fix: Fix) -> bytes:
    said = {
        "_type": "location",
        "acc": round(fix.accuracy_m or 5),
        "alt": 230,
        "batt": 87,
        "cog": round(fix.heading_deg or 0),
        "conn": "m",
        "lat": round(fix.lat, 6),
        "lon": round(fix.lon, 6),
        "tid": "C2",
        "tst": int(BEGAN.timestamp()) + at_s,
        "vac": 3,
        "vel": round((fix.speed_mps or 0) * 3.6),
    }
    return msgspec.json.encode(said)


if __name__ == "__main__":
    cli()
