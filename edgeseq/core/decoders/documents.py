"""What decoders of JSON objects share: every value by its path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from edgeseq.core.decoders.family import Point, Said
from edgeseq.core.parsing import Fault, parse_document

DEEPEST = 8
"""Objects further down are no readings of any family."""

LONGEST_ARRAY = 16
"""Phases, outputs, probes; what is longer is a history."""

_decode = msgspec.json.Decoder().decode


def read_object(payload: bytes) -> dict[str, Any] | Fault:
    """Read a JSON object, quickly where nothing is odd about it."""
    try:
        document = _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return parse_document(payload)
    return document if type(document) is dict else parse_document(payload)


def said_of(payload: bytes) -> Said:
    """Say all values of a payload that is an object."""
    document = read_object(payload)
    if isinstance(document, Fault):
        return Said(faults=(document,))
    return Said(values(document), (), document)


def values(document: Mapping[str, Any], above: str = "", depth: int = 1) -> list[Point]:
    """List the values of an object and of those within it, by path; elements of short arrays by their number.

    >>> values({"a": 1, "b": {"c": None, "d": [2.5, "x"]}})
    [('a', 1, None), ('b.c', None, None), ('b.d.0', 2.5, None), ('b.d.1', 'x', None)]
    """
    points: list[Point] = []
    for key, value in document.items():
        kind = type(value)
        if kind is dict:
            if depth < DEEPEST:
                points += values(value, f"{above}{key}.", depth + 1)
        elif kind is list:
            if depth < DEEPEST and len(value) <= LONGEST_ARRAY:
                points += values({str(i): item for i, item in enumerate(value)}, f"{above}{key}.", depth + 1)
        else:
            points.append((above + key, value, None))
    return points
