"""Rows: readings as they are found in messages, and what every way of reading needs for them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from edgeseq.core.identity import Identity, name_seed, packet_seed
from edgeseq.core.instants import format_instant, parse_instant
from edgeseq.core.parsing import Fault, type_name
from edgeseq.core.registry import Registry
from edgeseq.core.routes import ABSENT, Target, find
from edgeseq.core.topics import MAX_TOPIC_CHARS
from edgeseq.core.types import Message, Options, Reason, Rejection, StreamRule

FUTURE_TOLERANCE_NS = 300 * 10**9
"""Clocks of sensors go wrong by minutes; a longer period tolerates more (stamps at the end of an interval)."""

MAX_DETAIL_CHARS = 80

# What identifies a reading, times two, and 1 where that may be compared.
NOTHING, BY_TIME, BY_PACKET, BY_NAME = (
    Identity.NONE << 1,
    Identity.TIME << 1 | 1,
    Identity.PACKET << 1,
    Identity.NAME << 1 | 1,
)

_NO_VALUE_YET = "missing, and no reading before it"

Row = tuple[int, int, float, int, int]
"""A reading as it is found: place (`registry.place_of`), time, value; kind and seed of its identity."""


def rejection(index: int, message: Message, fault: Fault) -> Rejection:
    """Make a rejection with a detail that any log can take."""
    printable = fault.detail[:MAX_DETAIL_CHARS]
    if not printable.isprintable():
        printable = "".join(c if c.isprintable() else "?" for c in printable)
    return Rejection(index, fault.reason, message.topic[:MAX_TOPIC_CHARS], printable)


def admit(
    registry: Registry,
    options: Options,
    message: Message,
    rule: StreamRule,
    target: Target,
    value: float,
    time_ns: int,
) -> int | Fault:
    """Give the stream of a reading. A new one needs a value, a recent enough time and room."""
    stream = registry.stream_of(target)
    if stream is not None:
        return stream
    if math.isnan(value):
        return Fault(Reason.NO_FIELD, f"{target.field or 'value'}: {_NO_VALUE_YET}")
    if rule.max_age_ns and message.received_ns - time_ns > rule.max_age_ns:
        return Fault(Reason.TOO_OLD, f"first reading of {format_instant(time_ns)}")
    if lack := registry.lack_of_room(rule, options.max_streams):
        return Fault(Reason.TOO_MANY_STREAMS, lack)
    return registry.create(rule, target, target.topic or message.topic, message.received_ns)


def event_time(
    rule: StreamRule, options: Options, message: Message, document: Mapping[str, Any]
) -> int | Fault:
    """Give the reading's own time, else that of its arrival."""
    if rule.time_field is None:
        return message.received_ns
    raw = field_of(document, rule.time_field)
    time_ns = None if raw is ABSENT else parse_instant(raw)
    if time_ns is None:
        found = (
            "missing"
            if raw is ABSENT
            else f"{raw!r:.40}"
            if isinstance(raw, str | int | float)
            else type_name(raw)
        )
        return Fault(Reason.BAD_TIME, f"{rule.time_field}: {found}")
    if options.synchronised and time_ns > message.received_ns + max(FUTURE_TOLERANCE_NS, rule.period_ns):
        return Fault(Reason.TIME_IN_FUTURE, f"{rule.time_field}: {format_instant(time_ns)}")
    return time_ns


def is_good(rule: StreamRule, document: Mapping[str, Any]) -> bool:
    """Tell whether the quality mark, if any is configured, is one of the good ones."""
    if rule.quality_field is None:
        return True
    mark = field_of(document, rule.quality_field)
    # 1 and true are equal in Python but not in a payload.
    return any(
        mark == good and isinstance(mark, bool) is isinstance(good, bool) for good in rule.quality_good
    )


def identity(
    rule: StreamRule, message: Message, document: Mapping[str, Any], time_ns: int
) -> tuple[int, int]:
    """Give what identifies the rule's readings in this message: kind and whether it may be compared, and seed.

    Packet id and payload identify a reading only against a redelivery (DUP).
    """
    if rule.id_field is not None:
        name = field_of(document, rule.id_field)
        if isinstance(name, str | int | float):
            return BY_NAME, name_seed(name)
    if rule.time_field is not None:
        return BY_TIME, time_ns
    if message.mid:
        return BY_PACKET | message.dup, packet_seed(message.mid, message.payload)
    return NOTHING, 0


def field_of(document: Mapping[str, Any], path: str) -> Any:
    """Follow a JSON path of the configuration."""
    value = document.get(path, ABSENT)
    if value is not ABSENT:
        return value
    return find(document, path, path.split("."))
