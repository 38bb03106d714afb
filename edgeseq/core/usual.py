"""The quick way: messages of a topic that has streams, in which all is as it should be."""

from __future__ import annotations

from typing import Any

import msgspec

from edgeseq.core.instants import parse_instant
from edgeseq.core.routes import ABSENT, Usual
from edgeseq.core.rows import BY_TIME, FUTURE_TOLERANCE_NS, Row, field_of, identity
from edgeseq.core.types import Message, Options

LARGEST = 1e308
"""Numbers beyond are rare enough to be looked at closely."""

SECONDS_LIMIT = 2**32
"""Whole numbers below it are an epoch's seconds, of a time that edgeseq computes with."""

NUMBERS = frozenset({float, int})

decode_json = msgspec.json.Decoder().decode


def read_usual(usual: Usual, options: Options, message: Message) -> list[Row]:
    """Read a message in which all is as it should be, quickly; nothing where `careful.read` must look closer."""
    if message.retained or len(message.payload) > options.max_payload_bytes:
        return []
    try:
        content = decode_json(message.payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    rule, is_plain, targets, *_ = usual
    time_field = rule.time_field
    document: Any = {} if is_plain else content
    if type(document) is not dict:
        return []
    # Whole seconds, the usual time, are worth a line of their own.
    raw: Any = document.get(time_field)
    whole = type(raw) is int and 0 <= raw < SECONDS_LIMIT
    time_ns = raw * 10**9 if whole else _own_time(time_field, message, document)
    if time_ns is None or (options.synchronised and time_ns > message.received_ns + FUTURE_TOLERANCE_NS):
        return []
    is_by_time = time_field is not None and rule.id_field is None
    kind, seed = (BY_TIME, time_ns) if is_by_time else identity(rule, message, document, time_ns)
    rows = []
    for name, place, is_path in targets:
        value = content if name is None else document.get(name, ABSENT)
        if value is ABSENT and not is_path:
            continue
        if place is None or type(value) not in NUMBERS or not -LARGEST < value < LARGEST:
            return []
        rows.append((place, time_ns, float(value) + 0.0, kind, seed))  # no negative zero, as in `parsing`
    return rows


def _own_time(time_field: str | None, message: Message, document: dict[str, Any]) -> int | None:
    """Give a reading's own time, None where it is none; that of its arrival where the rule names no field."""
    return message.received_ns if time_field is None else parse_instant(field_of(document, time_field))
