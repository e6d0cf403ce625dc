"""The bad network meets the packets it is meant for, however their topic is said."""

from __future__ import annotations

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.soak.proxy import split


def publish(topic: str, number: int | None, qos: int) -> bytes:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    if number is not None:
        properties.TopicAlias = number
    name, packet_id = topic.encode(), b"\x00\x07" if qos else b""
    packed: bytes = properties.pack()  # type: ignore[no-untyped-call]
    rest = len(name).to_bytes(2, "big") + name + packet_id + packed + b"body"
    return bytes([0x30 | qos << 1, len(rest)]) + rest


def test_a_topic_that_is_said_by_its_number_is_known_once_it_was_named() -> None:
    said = [("a/up/log", 2, 1), ("", 2, 1), ("a/up/live", 1, 0), ("", 1, 0), ("", 2, 1), ("a/up/presence", None, 1)]
    stream = b"".join(publish(*one) for one in said)
    numbered: dict[int, str] = {}
    first, rest = split(stream[:40], numbered)
    second, rest = split(rest + stream[40:], numbered)
    topics = [packet.topic for packet in (*first, *second)]
    assert topics == ["a/up/log", "a/up/log", "a/up/live", "a/up/live", "a/up/log", "a/up/presence"]
    assert (rest, b"".join(packet.data for packet in (*first, *second))) == (b"", stream)


def test_each_connection_has_numbers_of_its_own() -> None:
    split(publish("a/up/log", 2, 1), {})
    ((packet,), _) = split(publish("", 2, 1), {})
    assert packet.topic == ""
