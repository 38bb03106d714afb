"""Hold every published message against its schema: tests call validate on whatever a node publishes."""

from __future__ import annotations

import json
from functools import cache

from jsonschema import Draft202012Validator

from edgeseq.config.schema import message_of, message_schema

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
