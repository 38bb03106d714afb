"""Decode: messages → readings and rejections.

Total: no bytes raise. What cannot be used is a Rejection with a reason of a closed set, and never disturbs the
readings beside it.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from edgeseq.core.instants import format_instant, parse_instant
from edgeseq.core.registry import ABSENT, KnownPart, Part, Registry, Target, find
from edgeseq.core.topics import MAX_TOPIC_CHARS
from edgeseq.core.types import Message, Options, Readings, Reason, Rejection, StreamInfo, StreamRule

FUTURE_TOLERANCE_NS = 300 * 10**9
"""Clocks of sensors go wrong by minutes; a longer period tolerates more (stamps at the end of an interval)."""

MAX_DETAIL_CHARS = 80

_DECIMAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_NOT_FINITE = frozenset({"nan", "inf", "infinity"})
_NAMES = {bool: "a boolean", str: "a string", list: "an array", dict: "an object", type(None): "null"}
_NO_VALUE_YET = "missing, and no reading before it"


class Fault(NamedTuple):
    """Why something was not used."""

    reason: Reason
    detail: str = ""


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
    """Read arrays of times and values of the future; one that cannot be used leaves the others alone."""
    content = _parse_json(message.payload)
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
        elif not isinstance(items, list):
            yield Fault(Reason.WRONG_TYPE, f"{source.field or 'the payload'} is {_name(items)}, not an array")
        else:
            yield from _read_items(registry, message, part, items)


def _read_items(
    registry: Registry, message: Message, part: KnownPart, items: list[Any]
) -> Iterator[Row | Fault]:
    """Read the items of one covariate; null takes back what was said of its time."""
    source = part.source
    for item in items:
        if not isinstance(item, dict):
            yield Fault(Reason.WRONG_TYPE, f"an item is {_name(item)}, not an object")
            continue
        time_ns = parse_instant(_field(item, source.time))
        if time_ns is None:
            yield Fault(Reason.BAD_TIME, f"{source.time} of an item of {part.name}")
            continue
        raw = _field(item, source.value)
        value = (
            Fault(Reason.NO_FIELD, f"wanted {source.value}")
            if raw is ABSENT
            else parse_number(raw, source.value)
        )
        if isinstance(value, Fault):
            yield value
            continue
        stream = registry.hidden_stream(part, message.topic, message.received_ns)
        yield stream, 0, time_ns, message.received_ns, value, 0, False


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
    if registry.streams >= options.max_streams:
        return Fault(Reason.TOO_MANY_STREAMS, f"allowed {options.max_streams}")
    return registry.create(rule, target, message.topic, message.received_ns)


# --- payloads -------------------------------------------------------------------------------------------------


def parse_plain_number(payload: bytes) -> float | Fault:
    """Read a payload that is decimal text.

    >>> parse_plain_number(b" 21.5 ")
    21.5
    >>> parse_plain_number(b"ON").reason
    <Reason.WRONG_TYPE: 'wrong_type'>
    """
    try:
        text = payload.decode().strip()
    except UnicodeDecodeError as error:
        return _bad_utf8(error)
    if text.lstrip("+-").lower() in _NOT_FINITE:
        return Fault(Reason.NOT_FINITE, text)
    if _DECIMAL.fullmatch(text) is None:
        return Fault(Reason.WRONG_TYPE, f"no number: {text}" if text else "empty payload")
    number = float(text)
    return number if math.isfinite(number) else Fault(Reason.NOT_FINITE, text)


def parse_document(payload: bytes) -> dict[str, Any] | Fault:
    """Read a payload that is a JSON object."""
    document = _parse_json(payload)
    if isinstance(document, Fault | dict):
        return document
    return Fault(Reason.WRONG_TYPE, f"the payload is {_name(document)}, not an object")


def _parse_json(payload: bytes) -> Any:
    """Read a payload that is JSON of any kind, or say why it is none."""
    try:
        return msgspec.json.decode(payload)
    except RecursionError:
        return Fault(Reason.TOO_DEEP)
    except UnicodeDecodeError as error:
        return _bad_utf8(error)
    except msgspec.DecodeError as error:
        return _parse_odd(payload, error)


def _parse_odd(payload: bytes, error: msgspec.DecodeError) -> Any:
    """Read JSON that msgspec refuses: NaN and numbers beyond float are common, and spoil only their own field."""
    try:
        text = payload.decode()
    except UnicodeDecodeError as utf8_error:
        return _bad_utf8(utf8_error)
    malformed = Fault(Reason.MALFORMED_JSON, str(error))
    if not ("NaN" in text or "Infinity" in text or "out of range" in str(error)):
        return malformed
    try:
        # As floats, since Python refuses to read integers of more than 4300 digits.
        return json.loads(text, parse_int=_parse_integer)
    except RecursionError:
        return Fault(Reason.TOO_DEEP)
    except ValueError:
        return malformed


def _parse_integer(text: str) -> float:
    """Read an integer exactly while it is short: it may be a time in ns."""
    return int(text) if len(text) <= 20 else float(text)


def parse_number(value: object, name: str) -> float | Fault:
    """Take a JSON value as a reading's value. null is a reading known to be missing.

    >>> parse_number(21, "temperature"), parse_number(None, "temperature")
    (21.0, nan)
    >>> parse_number("21", "temperature").detail
    'temperature is a string'
    """
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Fault(Reason.WRONG_TYPE, f"{name} is {_name(value)}")
    try:
        number = float(value)
    except OverflowError:
        return Fault(Reason.NOT_FINITE, f"{name} is beyond float")
    return number if math.isfinite(number) else Fault(Reason.NOT_FINITE, f"{name} is {number}")


def _bad_utf8(error: UnicodeDecodeError) -> Fault:
    """Tell where the bytes stop being text."""
    return Fault(Reason.BAD_UTF8, f"byte {error.object[error.start]:#04x}")


def _name(value: object) -> str:
    """Name a JSON type."""
    return _NAMES.get(type(value), "a number")


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
            else _name(raw)
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
