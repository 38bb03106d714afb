"""The quickest way: messages that are all of one make, read column by column.

A batch is of one make where every topic has streams and every message is an object with the same fields of numbers and
a time beside them, as nearly all batches of nearly all nodes are. What a message says is read as `usual` does; where
any of them is otherwise, none is read here.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from edgeseq.core.instants import parse_instant
from edgeseq.core.registry import Registry
from edgeseq.core.routes import ABSENT
from edgeseq.core.rows import BY_TIME, FUTURE_TOLERANCE_NS
from edgeseq.core.types import F64, I64, Message, Options
from edgeseq.core.usual import LARGEST, NUMBERS, SECONDS_LIMIT, decode_json


class Columns(NamedTuple):
    """Readings as they are found, `rows.Row` by columns (n,) each."""

    message: I64
    """Its index."""
    place: I64
    time_ns: I64
    value: F64
    kind: I64
    seed: I64


def integers(column: Sequence[int]) -> I64:
    """Make a column: NumPy alone takes twice as long."""
    return np.frombuffer(array("q", column), dtype=np.int64)


def read_alike(registry: Registry, options: Options, messages: Sequence[Message]) -> Columns | None:
    """Read messages that are all of one make and as they should be; None where one of them is not."""
    usuals = list(map(registry.usual.get, [message.topic for message in messages]))
    makes = {None if usual is None else usual.make for usual in usuals}
    make = makes.pop()
    if makes or make is None or True in [message.retained for message in messages]:
        return None
    payloads = [message.payload for message in messages]
    if max(map(len, payloads)) > options.max_payload_bytes:
        return None
    try:
        documents: list[Any] = list(map(decode_json, payloads))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if set(map(type, documents)) != {dict}:
        return None
    fields, time_field = make
    values = _numbers([document.get(name, ABSENT) for document in documents for name in fields])
    time_ns = _instants([document.get(time_field) for document in documents])
    if values is None or time_ns is None:
        return None
    if options.synchronised:
        latest_ns = integers([message.received_ns for message in messages]) + FUTURE_TOLERANCE_NS
        if np.count_nonzero(time_ns > latest_ns):
            return None
    n, each = len(messages), len(fields)
    place = integers([place for usual in usuals if usual is not None for place in usual.places])
    index = np.arange(n).repeat(each)
    time_ns = time_ns.repeat(each)
    return Columns(index, place, time_ns, values, np.full(n * each, BY_TIME), time_ns)


def _numbers(column: list[Any]) -> F64 | None:
    """Make a column of numbers; None where one of them is none, or beyond what is usual."""
    if not set(map(type, column)) <= NUMBERS:
        return None
    try:
        # No negative zero, as in `parsing`.
        values = np.frombuffer(array("d", column), dtype=np.float64) + 0.0
    except OverflowError:
        return None
    return values if np.maximum.reduce(np.abs(values)) < LARGEST else None


def _instants(column: list[Any]) -> I64 | None:
    """Make a column of instants (ns); None where one of them is none."""
    if set(map(type, column)) == {int} and min(column) >= 0 and max(column) < SECONDS_LIMIT:
        return integers(column) * 10**9
    found = list(map(parse_instant, column))
    return None if None in found else integers([time_ns for time_ns in found if time_ns is not None])
