"""Decode: messages → readings and rejections.

Total: no bytes raise. What cannot be used is a Rejection with a reason of a closed set, and never disturbs the
readings beside it.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

from edgeseq.core.instants import format_instant, parse_instant
from edgeseq.core.parsing import (
    Fault,
    parse_document,
    parse_json,
    parse_number,
    parse_plain_number,
    type_name,
)
from edgeseq.core.registry import ABSENT, KnownPart, Part, Registry, Target, find
from edgeseq.core.topics import MAX_TOPIC_CHARS
from edgeseq.core.types import (
    KnownSource,
    Message,
    Options,
    Readings,
    Reason,
    Rejection,
    StreamInfo,
    StreamRule,
)

FUTURE_TOLERANCE_NS = 300 * 10**9
"""Clocks of sensors go wrong by minutes; a longer period tolerates more (stamps at the end of an interval)."""

MAX_DETAIL_CHARS = 80

_NO_VALUE_YET = "missing, and no reading before it"


class _Item(NamedTuple):
    """What a message says of one time, as it came."""

    time: Any
    value: Any


Row = tuple[int, int, int, int, float, int, bool]
"""A row of Readings without its message index."""


def decode(
    registry: Registry, options: Options, messages: Sequence[Message]
) -> tuple[Readings, list[Rejection], list[StreamInfo]]:
    """Turn messages into readings, rejections and the streams that were seen for the first time.

    One message may give many readings, all with its index, and several rejections. New streams are registered.
    """
    rows: list[tuple[int, int, int, int, int, float, int, bool]] = []
    rejections: list[Rejection] = []
    before = len(registry)
    for index, message in enumerate(messages):
        for item in _read(registry, options, message):
            if isinstance(item, Fault):
                rejections.append(_reject(index, message, item))
            else:
                rows.append((index, *item))
    return Readings.from_rows(rows), rejections, registry.infos[before:]


def _reject(index: int, message: Message, fault: Fault) -> Rejection:
    """Make a rejection with a detail that any log can take."""
    printable = "".join(c if c.isprintable() else "?" for c in fault.detail[:MAX_DETAIL_CHARS])
    return Rejection(index, fault.reason, message.topic[:MAX_TOPIC_CHARS], printable)


def _read(registry: Registry, options: Options, message: Message) -> Iterator[Row | Fault]:
    """Read one message."""
    route, known = registry.route(message.topic), registry.known_parts(message.topic)
    if not route and not known:
        yield Fault(Reason.UNKNOWN_TOPIC)
        return
    if message.retained:
        route = tuple(part for part in route if part.rule.use_retained)
    if not route and not known:
        yield Fault(Reason.RETAINED)
        return
    size = len(message.payload)
    if size > options.max_payload_bytes:
        yield Fault(Reason.PAYLOAD_TOO_LARGE, f"{size} bytes, allowed {options.max_payload_bytes}")
        return
    if known:
        yield from _read_known(registry, message, known)
    plain = [part for part in route if part.is_plain]
    if plain:
        yield from _read_plain(registry, options, message, plain)
    if len(plain) < len(route):
        yield from _read_document(registry, options, message, [part for part in route if not part.is_plain])


def _read_known(registry: Registry, message: Message, parts: Sequence[KnownPart]) -> Iterator[Row | Fault]:
    """Read times and values of the future; a covariate whose part cannot be used leaves the others alone."""
    content = parse_json(message.payload)
    if isinstance(content, Fault):
        yield content
        return
    for part in parts:
        source = part.source
        items = content
        if source.field is not None:
            items = _field(content, source.field) if isinstance(content, dict) else ABSENT
        if items is ABSENT:
            yield Fault(Reason.NO_FIELD, f"wanted {source.field}")
        elif not isinstance(items, list | dict):
            found = f"{source.field or 'the payload'} is {type_name(items)}"
            yield Fault(Reason.WRONG_TYPE, f"{found}, not an array or an object of arrays")
        else:
            yield from _read_items(registry, message, part, items)


def _read_items(
    registry: Registry, message: Message, part: KnownPart, content: list[Any] | dict[str, Any]
) -> Iterator[Row | Fault]:
    """Read the items of one covariate; null takes back what was said of its time."""
    source = part.source
    for item in _items(source, content):
        if isinstance(item, Fault):
            yield item
            continue
        time_ns = parse_instant(item.time)
        if time_ns is None:
            yield Fault(Reason.BAD_TIME, f"{source.time} of an item of {part.name}")
            continue
        value = (
            Fault(Reason.NO_FIELD, f"wanted {source.value}")
            if item.value is ABSENT
            else parse_number(item.value, source.value)
        )
        if isinstance(value, Fault):
            yield value
            continue
        stream = registry.hidden_stream(part, message.topic, message.received_ns)
        yield stream, 0, time_ns, message.received_ns, value, 0, False


def _items(source: KnownSource, content: list[Any] | dict[str, Any]) -> Iterator[_Item | Fault]:
    """List times and values as they came: of an array of objects, or of an object of two arrays of one length."""
    if isinstance(content, list):
        for item in content:
            if isinstance(item, dict):
                yield _Item(_field(item, source.time), _field(item, source.value))
            else:
                yield Fault(Reason.WRONG_TYPE, f"an item is {type_name(item)}, not an object")
        return
    columns = [(name, _field(content, name)) for name in (source.time, source.value)]
    for name, column in columns:
        if column is ABSENT:
            yield Fault(Reason.NO_FIELD, f"wanted {name}")
            return
        if not isinstance(column, list):
            yield Fault(Reason.WRONG_TYPE, f"{name} is {type_name(column)}, not an array")
            return
    (_, times), (_, values) = columns
    if len(times) != len(values):
        yield Fault(Reason.WRONG_TYPE, f"{len(times)} of {source.time}, {len(values)} of {source.value}")
        return
    yield from map(_Item, times, values)


def _read_plain(
    registry: Registry, options: Options, message: Message, parts: Sequence[Part]
) -> Iterator[Row | Fault]:
    """Read a payload that is the number itself."""
    number = parse_plain_number(message.payload)
    if isinstance(number, Fault):
        yield number
        return
    for part in parts:
        yield from _read_part(
            registry, options, message, part, {}, [(target, number) for target in part.targets]
        )


def _read_document(
    registry: Registry, options: Options, message: Message, parts: Sequence[Part]
) -> Iterator[Row | Fault]:
    """Read a payload that is a JSON object, for one or several rules."""
    document = parse_document(message.payload)
    if isinstance(document, Fault):
        yield document
        return
    found = [(part, _found(part, document)) for part in parts]
    if not any(values for _, values in found):
        wanted = ", ".join(target.field or "" for part in parts for target in part.targets)
        yield Fault(Reason.NO_FIELD, f"wanted {wanted}")
        return
    for part, values in found:
        if values:
            yield from _read_part(registry, options, message, part, document, values)


def _found(part: Part, document: dict[str, Any]) -> list[tuple[Target, Any]]:
    """List the values that a document has for a rule."""
    pairs = ((target, find(document, target.field or "", target.keys)) for target in part.targets)
    return [(target, value) for target, value in pairs if value is not ABSENT]


def _read_part(
    registry: Registry,
    options: Options,
    message: Message,
    part: Part,
    document: dict[str, Any],
    values: Sequence[tuple[Target, Any]],
) -> Iterator[Row | Fault]:
    """Make readings of the values that one rule found in one message."""
    rule = part.rule
    time_ns = _event_time(rule, options, message, document)
    if isinstance(time_ns, Fault):
        yield time_ns
        return
    is_good = _is_good(rule, document)
    seed, comparable = _identity(rule, message, document, time_ns)
    for target, raw in values:
        value = parse_number(raw, target.field or "value") if is_good else math.nan
        if isinstance(value, Fault):
            yield value
            continue
        stream = _admit(registry, options, message, rule, target, value, time_ns)
        if isinstance(stream, Fault):
            yield stream
            continue
        id_hash = _hash(seed, target.channel, value)
        yield stream, target.channel, time_ns, message.received_ns, value, id_hash, comparable


def _admit(
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
    if rule.max_streams and registry.streams_of[rule.key] >= rule.max_streams:
        return Fault(Reason.TOO_MANY_STREAMS, f"allowed {rule.max_streams} of streams {rule.key}")
    if registry.streams >= options.max_streams:
        return Fault(Reason.TOO_MANY_STREAMS, f"allowed {options.max_streams}")
    return registry.create(rule, target, message.topic, message.received_ns)


# --- time, quality and identity -------------------------------------------------------------------------------


def _event_time(
    rule: StreamRule, options: Options, message: Message, document: dict[str, Any]
) -> int | Fault:
    """Give the reading's own time, else that of its arrival."""
    if rule.time_field is None:
        return message.received_ns
    raw = _field(document, rule.time_field)
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


def _is_good(rule: StreamRule, document: dict[str, Any]) -> bool:
    """Tell whether the quality mark, if any is configured, is one of the good ones."""
    if rule.quality_field is None:
        return True
    mark = _field(document, rule.quality_field)
    # 1 and true are equal in Python but not in a payload.
    return any(
        mark == good and isinstance(mark, bool) is isinstance(good, bool) for good in rule.quality_good
    )


def _identity(
    rule: StreamRule, message: Message, document: dict[str, Any], time_ns: int
) -> tuple[bytes, bool]:
    """Give what identifies the rule's readings in this message, and whether it may be compared.

    The configured id, else the payload's time (with the value, see _hash), else packet id and payload, which
    identify it only against a redelivery (DUP); empty where nothing does.
    """
    if rule.id_field is not None:
        name = _field(document, rule.id_field)
        if isinstance(name, str | int | float):
            return b"id" + repr(name).encode("ascii", "backslashreplace"), True
    if rule.time_field is not None:
        return b"at" + struct.pack("<q", time_ns), True
    if message.mid:
        digest = blake2b(message.payload, digest_size=16).digest()
        return b"mid" + struct.pack("<q", message.mid) + digest, message.dup
    return b"", False


def _hash(seed: bytes, channel: int, value: float) -> int:
    """Hash a reading's identity within its stream to 64 bits; 0 means that it has none."""
    if not seed:
        return 0
    source = seed + struct.pack("<h", channel)
    if seed.startswith(b"at"):
        source += struct.pack("<d", value)
    return int.from_bytes(blake2b(source, digest_size=8).digest(), "little") or 1


def _field(document: dict[str, Any], path: str) -> Any:
    """Follow a JSON path of the configuration."""
    return find(document, path, path.split("."))
