"""Hold every published message against its schema: tests call validate on whatever a node publishes."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from edgeseq.config.schema import message_of, message_schema, struct_of

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

PLAIN_TEXT = {"anomaly", "availability"}


def validate(topic: str, payload: bytes) -> None:
    """Fail unless edgeseq publishes on this topic and the payload is what the schema says, to the last field.

    Stricter than the schema: unknown fields fail, and so do numbers of more than 5 significant digits in forecasts
    and alerts.
    """
    name = message_of(topic)
    assert name is not None, f"no message is documented for {topic}"
    content = payload.decode() if name in PLAIN_TEXT else _parse(payload)
    errors = [f"{error.json_path}: {error.message}" for error in _validator(name).iter_errors(content)]
    assert not errors, f"{topic}: {errors}\n{payload.decode()}"
    if name in ("forecast", "latest", "alert"):
        _check_digits(topic, content)


def _parse(payload: bytes) -> object:
    """Read strict JSON: NaN and Infinity are none."""

    def refuse(word: str) -> object:
        raise AssertionError(f"{word} is no JSON: {payload!r}")

    try:
        parsed: object = json.loads(payload, parse_constant=refuse)
    except ValueError as error:
        raise AssertionError(f"{error} is no JSON: {payload!r}") from error
    return parsed


@cache
def _validator(name: str) -> Draft202012Validator:
    """Compile a schema, closed against unknown fields."""
    from jsonschema import Draft202012Validator  # not in the environment of the other runtime

    schema = message_schema(name)
    for component in schema.get("$defs", {}).values():
        if "properties" in component:
            component["additionalProperties"] = False
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def _check_digits(topic: str, content: object) -> None:
    """Fail on floats with more than 5 significant digits."""
    if isinstance(content, dict):
        for value in content.values():
            _check_digits(topic, value)
    elif isinstance(content, list):
        for value in content:
            _check_digits(topic, value)
    elif isinstance(content, float):
        assert content == float(f"{content:.5g}"), f"{topic}: {content!r} has more than 5 significant digits"


FOREIGN = ("/bridge/request/", "/bridge/doctor", "/bridge/update/")
"""Parts of topics that others than a node publish to."""

_seen: set[object] = set()
"""Shapes of messages that have been held against their schema in full."""


def fault_of(topic: str, payload: bytes) -> str | None:
    """Say what is wrong with a message that a test has received, or None; for all of them, so it is quick.

    The first message of each shape is held against its schema by `validate`, those like it are read as their struct,
    which the schema is generated from.
    """
    is_ours = topic.startswith("edgeseq/") and payload and not any(part in topic for part in FOREIGN)
    if not is_ours:
        return None
    name = message_of(topic)
    try:
        shape = name, _shape(_parse(payload)) if name not in PLAIN_TEXT else payload
        if shape not in _seen:
            validate(topic, payload)
            _seen.add(shape)
        elif name is not None and name not in PLAIN_TEXT:
            msgspec.json.decode(payload, type=struct_of(name))
    except (AssertionError, msgspec.ValidationError) as fault:
        return f"{topic}: {fault}"
    return None


def _shape(content: object) -> object:
    """Give the keys and types of a message, whatever the values are."""
    if isinstance(content, dict):
        return frozenset((key, _shape(value)) for key, value in content.items())
    if isinstance(content, list):
        return ("list", frozenset(_shape(value) for value in content))
    return type(content).__name__
