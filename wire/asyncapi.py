"""The wire as an AsyncAPI 3 document, made from the message types: `python -m wire.asyncapi > docs/asyncapi.json`.

Payloads are MessagePack, which JSON Schema can only describe by its JSON likeness: bytes are strings of format `binary`,
and a Struct that travels as an array is a tuple. What is inside a signed payload, an opened snapshot or a record's body
stands beside it as `x-contains`, `x-opens-to` and `x-bodies`.
"""

from __future__ import annotations

import json

import msgspec
from msgspec import Struct

from wire.compact import CompactLive
from wire.contract import BODIES, CHANNELS, SECTIONS, Channel, Opaque
from wire.records import VERSION, Record
from wire.signature import Context
from wire.state import Snapshot

MSGPACK = "application/vnd.msgpack"
_SCHEMAS = "#/components/schemas/"

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


def document() -> dict[str, Json]:
    """The whole description, seen from the terminal: it sends what goes up and receives what comes down."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Tandem terminal",
            "version": f"{VERSION}",
            "description": "What a terminal says to the hub and hears from it, over MQTT 5 with mutual TLS. "
            "Facts go up, numbered and signed; state comes down, whole and sealed. Every field with its unit: wire.md.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": MSGPACK,
        "servers": {
            "broker": {
                "host": "hub.care.example.gov:8883",
                "protocol": "secure-mqtt",
                "protocolVersion": "5.0",
                "security": [{"$ref": "#/components/securitySchemes/certificate"}],
            }
        },
        "channels": {channel.name: _channel(channel) for channel in CHANNELS},
        "operations": {
            f"{'send' if channel.is_up else 'receive'}_{channel.name}": _operation(channel) for channel in CHANNELS
        },
        "components": {
            "schemas": _schemas(),
            "messages": {
                _message_name(channel, kind): _message(kind, context, channel.signer)
                for channel in CHANNELS
                for kind, context in zip(channel.messages, channel.contexts, strict=True)
            },
            "parameters": {
                "device": {"description": "The CN of the device's certificate: 3 to 32 of a-z, 0-9 and -."},
                "section": {
                    "description": "Which part of the state; a terminal ignores one that it does not know.",
                    "enum": [*sorted(str(section) for section in SECTIONS)],
                },
            },
            "securitySchemes": {
                "certificate": {
                    "type": "X509",
                    "description": "A certificate of the fleet's CA, from enrollment. Its CN is the MQTT client id.",
                }
            },
        },
    }


def text() -> str:
    """The document as it is kept: the same types give the same bytes."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def _channel(channel: Channel) -> Json:
    names = [name for name in ("device", "section") if f"{{{name}}}" in channel.address]
    return {
        "address": channel.address,
        "summary": channel.summary,
        **({"parameters": {name: {"$ref": f"#/components/parameters/{name}"} for name in names}} if names else {}),
        "messages": {
            kind.__name__: {"$ref": f"#/components/messages/{_message_name(channel, kind)}"}
            for kind in channel.messages
        },
    }


def _operation(channel: Channel) -> Json:
    return {
        "action": "send" if channel.is_up else "receive",
        "channel": {"$ref": f"#/channels/{channel.name}"},
        "summary": channel.summary,
        "messages": [{"$ref": f"#/channels/{channel.name}/messages/{kind.__name__}"} for kind in channel.messages],
        "bindings": {"mqtt": {"qos": channel.qos, "retain": channel.is_retained, "bindingVersion": "0.2.0"}},
    }


def _message_name(channel: Channel, kind: type[Struct]) -> str:
    return f"{channel.name}_{kind.__name__}"


def _message(kind: type[Struct], context: Context, signer: str) -> Json:
    described: dict[str, Json] = {
        "name": kind.__name__,
        "title": kind.__name__,
        "summary": _summary(kind),
        "contentType": MSGPACK,
        "payload": _compact(kind, context, signer)
        if kind is CompactLive
        else {
            "type": "array",
            "title": "Signed",
            "minItems": 2,
            "items": [
                {
                    "type": "string",
                    "format": "binary",
                    "contentMediaType": MSGPACK,
                    "description": f"MessagePack of a {kind.__name__}, exactly as signed",
                    "x-contains": _ref(kind),
                },
                {
                    "type": "string",
                    "format": "binary",
                    "description": f"64 bytes r‖s by {signer}, over the context {context}, a zero byte and the payload",
                },
            ],
        },
        "x-signature-context": str(context),
    }
    if kind is Record:
        described["x-bodies"] = {str(name): _body(body) for name, body in BODIES.items()}
    if kind is Snapshot:
        described["x-opens-to"] = {str(section): _ref(content) for section, content in SECTIONS.items()}
    return described


def _compact(kind: type[Struct], context: Context, signer: str) -> Json:
    return {
        "type": "string",
        "format": "binary",
        "title": "Compact",
        "description": (
            f"0x02, 64 bytes r‖s by {signer}, MessagePack of a {kind.__name__}; the signature is over the context"
            f" {context}, a zero byte, the device id of the topic, a zero byte and the MessagePack"
        ),
        "x-contains": _ref(kind),
    }


def _body(body: type[Struct] | Opaque) -> Json:
    return str(body) if isinstance(body, Opaque) else _ref(body)


def _ref(kind: type[Struct]) -> Json:
    return {"$ref": f"{_SCHEMAS}{kind.__name__}"}


def _summary(kind: type[Struct]) -> str:
    return " ".join((kind.__doc__ or "").split("\n\n")[0].split())


def _schemas() -> dict[str, Json]:
    kinds = [kind for channel in CHANNELS for kind in channel.messages]
    kinds += [body for body in BODIES.values() if not isinstance(body, Opaque)]
    kinds += SECTIONS.values()
    _, components = msgspec.json.schema_components(dict.fromkeys(kinds), ref_template=_SCHEMAS + "{name}")
    return {name: _draft_07(schema) for name, schema in sorted(components.items())}


def _draft_07(schema: object) -> Json:
    """The same in the words of JSON Schema draft 07, which AsyncAPI 3 reads by itself; docstrings as one line."""
    match schema:
        case dict():
            renamed = {"prefixItems": "items"} if "prefixItems" in schema else {}
            plain: dict[str, Json] = {renamed.get(key, str(key)): _draft_07(value) for key, value in schema.items()}
            if plain.pop("contentEncoding", None) is not None:
                plain["format"] = "binary"
            if isinstance(said := plain.get("description"), str):
                plain["description"] = " ".join(said.split())
            return plain
        case list() | tuple():
            return [_draft_07(value) for value in schema]
        case None | bool() | int() | float() | str():
            return schema
        case _:
            raise TypeError(f"{type(schema).__name__} has no place in a schema")


if __name__ == "__main__":
    print(text(), end="")
