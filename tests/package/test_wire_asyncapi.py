"""The published description of the wire: made from the message types, in step with them, and valid by its standard."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from wire import asyncapi, contract
from wire.records import Kind
from wire.topics import Section, Up, parse

ROOT = Path(__file__).parent.parent.parent
STANDARD = ROOT / "node_modules" / "@asyncapi" / "specs" / "schemas" / "3.0.0-without-$id.json"


def test_the_description_that_is_kept_is_the_one_that_the_message_types_make() -> None:
    kept = (ROOT / "docs" / "asyncapi.json").read_text()
    assert kept == asyncapi.text(), "the wire has changed: run `make asyncapi` and read what it says"


def test_the_description_is_valid_by_the_standard() -> None:
    if not STANDARD.exists():
        pytest.skip("the standard's own schema is not here: npm ci brings it")
    jsonschema.validate(asyncapi.document(), json.loads(STANDARD.read_text()), cls=jsonschema.Draft7Validator)


def test_every_schema_in_it_is_one() -> None:
    schemas = asyncapi.document()["components"]["schemas"]  # type: ignore[index,call-overload]
    assert schemas
    for schema in schemas.values():  # type: ignore[union-attr]
        jsonschema.Draft7Validator.check_schema(schema)  # type: ignore[arg-type]


def test_every_reference_in_it_leads_somewhere() -> None:
    whole = asyncapi.document()
    references = set(_references(whole))
    assert len(references) > 30
    for reference in references:
        place: object = whole
        for step in reference.removeprefix("#/").split("/"):
            assert isinstance(place, dict) and step in place, reference
            place = place[step]


def test_every_kind_of_record_section_and_channel_is_in_it() -> None:
    assert set(contract.BODIES) == {str(kind) for kind in Kind}
    assert set(contract.SECTIONS) == {str(section) for section in Section}
    assert {channel.name for channel in contract.CHANNELS} >= {str(channel) for channel in Up}


@pytest.mark.parametrize("channel", contract.CHANNELS, ids=lambda channel: channel.name)
def test_an_address_is_a_topic_of_the_tree(channel: contract.Channel) -> None:
    if channel.name != "hub":
        parse(channel.address.format(device="t-golden", section="roster"))


def _references(place: object) -> Iterator[str]:
    if isinstance(place, dict):
        for key, value in place.items():
            if key == "$ref":
                yield value
            else:
                yield from _references(value)
    elif isinstance(place, list):
        for value in place:
            yield from _references(value)
