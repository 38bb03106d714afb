"""Decode: messages → readings and rejections.

Total: no bytes raise. What cannot be used is a Rejection with a reason of a closed set, and never disturbs the
readings beside it.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from edgeseq.core.identity import Identity, identities, name_seed, packet_seed, session_seed
from edgeseq.core.instants import format_instant, parse_instant
from edgeseq.core.parsing import (
    Fault,
    parse_document,
    parse_json,
    parse_number,
    parse_plain_number,
    type_name,
)
from edgeseq.core.registry import (
    ABSENT,
    KnownPart,
    Part,
    Registry,
    Target,
    Usual,
    find,
    place_of,
    places,
)
from edgeseq.core.topics import MAX_TOPIC_CHARS
from edgeseq.core.types import (
    I64,
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

_LARGEST = 1e308
"""Numbers beyond are rare enough to be looked at closely."""

_SECONDS_LIMIT = 2**32
"""Whole numbers below it are an epoch's seconds, of a time that edgeseq computes with."""

_NUMBERS = frozenset({float, int})

# What identifies a reading, times two, and 1 where that may be compared.
_NOTHING, _BY_TIME, _BY_PACKET, _BY_NAME = (
    Identity.NONE << 1,
    Identity.TIME << 1 | 1,
    Identity.PACKET << 1,
    Identity.NAME << 1 | 1,
)

_decode = msgspec.json.Decoder().decode

_NO_VALUE_YET = "missing, and no reading before it"


class _Item(NamedTuple):
    """What a message says of one time, as it came."""

    time: Any
    value: Any


Row = tuple[int, int, float, int, int]
"""A reading as it is found: place (`registry.place_of`), time, value; kind and seed of its identity."""


def decode(
    registry: Registry, options: Options, messages: Sequence[Message], session: int = 0
) -> tuple[Readings, list[Rejection], list[StreamInfo]]:
    """Turn messages into readings, rejections and the streams that were seen for the first time.

    One message may give many readings, all with its index, and several rejections. New streams are registered.
    A message of a topic that has no stream and finds no room for one is not read: one rejection, whatever it holds.
    `session` is the number of the broker's session, within which packet ids tell messages apart.
    """
    indices: list[int] = []
    rows: list[Row] = []
    rejections: list[Rejection] = []
    before = len(registry)
    usual_of = registry.usual.get
    for index, message in enumerate(messages):
        usual = usual_of(message.topic)
        if usual is None or not (found := _read_usual(usual, options, message)):
            lack = registry.refusal(message.topic, options.max_streams)
            if lack is not None and not message.retained:
                rejections.append(_reject(index, message, Fault(Reason.TOO_MANY_STREAMS, lack)))
                continue
            found = []
            for item in _read(registry, options, message):
                if isinstance(item, Fault):
                    rejections.append(_reject(index, message, item))
                else:
                    found.append(item)
            registry.learn_usual(message.topic)
        for row in found:
            indices.append(index)
            rows.append(row)
    return _columns(messages, indices, rows, session), rejections, registry.infos[before:]


def _columns(messages: Sequence[Message], indices: list[int], rows: list[Row], session: int) -> Readings:
    """Make columns, and compute the identities of all."""
    if not rows:
        return Readings.empty()
    place, time_ns, value, kind, seed = zip(*rows, strict=True)
    received_ns = _integers([message.received_ns for message in messages])
    stream, channel = places(_integers(place))
    values, kinds = np.frombuffer(array("d", value), dtype=np.float64), _integers(kind)
    named, seeds = kinds >> 1, _integers(seed)
    if session:
        seeds = np.where(named == Identity.PACKET, seeds | session_seed(session), seeds)
    return Readings(
        message_index=np.array(indices, dtype=np.int32),
        stream_index=stream.astype(np.int32),
        channel=channel.astype(np.int16),
        time_ns=_integers(time_ns),
        received_ns=received_ns[indices],
        value=values,
        id_hash=identities(named, seeds, channel, values),
        comparable=(kinds & 1).astype(np.bool_),
    )


def _integers(column: Sequence[int]) -> I64:
    """Make a column: NumPy alone takes twice as long."""
    return np.frombuffer(array("q", column), dtype=np.int64)


def _read_usual(usual: Usual, options: Options, message: Message) -> list[Row]:
    """Read a message in which all is as it should be, quickly; nothing where `_read` must look closer."""
    if message.retained or len(message.payload) > options.max_payload_bytes:
        return []
    try:
        content = _decode(message.payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    rule, is_plain, targets = usual
    time_field = rule.time_field
    document: Any = {} if is_plain else content
    if type(document) is not dict:
        return []
    # Whole seconds, the usual time, are worth a line of their own.
    raw: Any = document.get(time_field)
    whole = type(raw) is int and 0 <= raw < _SECONDS_LIMIT
    time_ns = raw * 10**9 if whole else _own_time(time_field, message, document)
    if time_ns is None or (options.synchronised and time_ns > message.received_ns + FUTURE_TOLERANCE_NS):
        return []
    is_by_time = time_field is not None and rule.id_field is None
    kind, seed = (_BY_TIME, time_ns) if is_by_time else _identity(rule, message, document, time_ns)
    rows = []
    for name, place, is_path in targets:
        value = content if name is None else document.get(name, ABSENT)
        if value is ABSENT and not is_path:
            continue
        if place is None or type(value) not in _NUMBERS or not -_LARGEST < value < _LARGEST:
            return []
        rows.append((place, time_ns, float(value) + 0.0, kind, seed))  # no negative zero, as in `parsing`
    return rows


def _own_time(time_field: str | None, message: Message, document: dict[str, Any]) -> int | None:
    """Give a reading's own time, None where it is none; that of its arrival where the rule names no field."""
    return message.received_ns if time_field is None else parse_instant(_field(document, time_field))


def _reject(index: int, message: Message, fault: Fault) -> Rejection:
    """Make a rejection with a detail that any log can take."""
    printable = fault.detail[:MAX_DETAIL_CHARS]
    if not printable.isprintable():
        printable = "".join(c if c.isprintable() else "?" for c in printable)
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
        yield place_of(stream, 0), time_ns, value, _NOTHING, 0


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
    kind, seed = _identity(rule, message, document, time_ns)
    for target, raw in values:
        value = parse_number(raw, target.field or "value") if is_good else math.nan
        if isinstance(value, Fault):
            yield value
            continue
        stream = _admit(registry, options, message, rule, target, value, time_ns)
        if isinstance(stream, Fault):
            yield stream
            continue
        yield place_of(stream, target.channel), time_ns, value, kind, seed


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
    if lack := registry.lack_of_room(rule, options.max_streams):
        return Fault(Reason.TOO_MANY_STREAMS, lack)
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


def _identity(rule: StreamRule, message: Message, document: dict[str, Any], time_ns: int) -> tuple[int, int]:
    """Give what identifies the rule's readings in this message: kind and whether it may be compared, and seed.

    Packet id and payload identify a reading only against a redelivery (DUP).
    """
    if rule.id_field is not None:
        name = _field(document, rule.id_field)
        if isinstance(name, str | int | float):
            return _BY_NAME, name_seed(name)
    if rule.time_field is not None:
        return _BY_TIME, time_ns
    if message.mid:
        return _BY_PACKET | message.dup, packet_seed(message.mid, message.payload)
    return _NOTHING, 0


def _field(document: dict[str, Any], path: str) -> Any:
    """Follow a JSON path of the configuration."""
    value = document.get(path, ABSENT)
    if value is not ABSENT:
        return value
    return find(document, path, path.split("."))
