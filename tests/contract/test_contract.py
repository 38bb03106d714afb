"""The committed contract is what the structs say, and the AsyncAPI document keeps the specification's rules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft7Validator

from edgeseq.commands.config import config
from edgeseq.config.asyncapi import NOT_RETAINED, QOS_0, asyncapi
from edgeseq.config.schema import message_names, message_of
from edgeseq.core import payloads

FOLDER = Path(__file__).parents[2] / "docs" / "contract"
DOCUMENT = asyncapi()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("config.schema.json", []),
        ("messages.schema.json", ["--messages"]),
        ("asyncapi.json", ["--asyncapi"]),
    ],
)
def test_committed_file_is_what_is_generated(name: str, options: list[str]) -> None:
    """Who reads the committed file reads what this version publishes and takes; `make contract` renews it."""
    printed = CliRunner().invoke(config, ["schema", *options], catch_exceptions=False).output
    assert (FOLDER / name).read_text(encoding="utf-8") == printed, f"{name} is old: make contract"


def references(part: Any) -> Iterator[str]:
    """List all references within a part of the document."""
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def find(reference: str) -> Any:
    """Follow a reference within the document."""
    assert reference.startswith("#/"), reference
    found: Any = DOCUMENT
    for key in reference[2:].split("/"):
        found = found[key]
    return found


def test_references_lead_somewhere() -> None:
    """Each reference points into the document, and nothing in components is left over."""
    told = {*references(DOCUMENT)}
    for reference in told:
        assert find(reference), reference
    for kind, components in DOCUMENT["components"].items():
        for key in components:
            assert re.fullmatch(r"[A-Za-z0-9._-]+", key)  # the specification, Components Object
            assert f"#/components/{kind}/{key}" in told, f"nobody uses {key}"


def test_channels_have_all_parameters_of_their_addresses_and_no_others() -> None:
    """Parameters are those in braces; each address stands once."""
    addresses = [channel["address"] for channel in DOCUMENT["channels"].values()]
    assert len({*addresses}) == len(addresses)
    for channel in DOCUMENT["channels"].values():
        assert channel["parameters"].keys() == {*re.findall(r"\{(\w+)\}", channel["address"])}


def test_operations_use_messages_of_their_channels() -> None:
    """As the specification demands: messages are named by the channel's, replies by those of the reply's channel."""
    used = set()
    for operation in DOCUMENT["operations"].values():
        parts = [operation, operation["reply"]] if "reply" in operation else [operation]
        for part in parts:
            used.add(part["channel"]["$ref"])
            for message in part["messages"]:
                assert message["$ref"].startswith(f"{part['channel']['$ref']}/messages/")
        assert operation["action"] == ("receive" if "reply" in operation else "send")
    assert used == {f"#/channels/{key}" for key in DOCUMENT["channels"]}


def test_schemas_are_schemas_and_payloads_fit() -> None:
    """Each schema is valid in the dialect that AsyncAPI's own is a superset of, and tells right from wrong."""
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft7Validator.check_schema(schema)
    closed = Draft7Validator({**DOCUMENT, "$ref": "#/components/schemas/StatePayload"})
    assert closed.is_valid({"state": "online"})
    assert not closed.is_valid({"state": "gone"})


def test_addresses_lead_back_to_their_messages() -> None:
    """Each message has a channel, whose topic is told to carry that message."""
    seen = set()
    for channel in DOCUMENT["channels"].values():
        topic = re.sub(r"\{(\w+)\}", r"\1", channel["address"])
        (key,) = channel["messages"]
        name = DOCUMENT["components"]["messages"][key]["name"]
        assert message_of(topic) == name
        assert DOCUMENT["components"]["messages"][key]["summary"]
        seen.add(name)
    assert seen == {*message_names()}


def test_words_of_delivery_exist() -> None:
    """What is told of retained messages and of quality of service is told of messages that exist."""
    assert payloads.MESSAGES.keys() | payloads.WORDS.keys() | {"bridge/update/state"} >= NOT_RETAINED | QOS_0
