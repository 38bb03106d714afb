"""The careful way: any message of a topic that JSON paths or plain numbers are read from, or the reason why not."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from edgeseq.core.activity import meaning
from edgeseq.core.known_items import read_known
from edgeseq.core.parsing import Fault, parse_document, parse_number, parse_plain_number
from edgeseq.core.registry import Registry, place_of
from edgeseq.core.routes import ABSENT, Part, Target, find
from edgeseq.core.rows import NOTHING, Row, admit, event_time, identity, is_good
from edgeseq.core.types import Message, Options, Reason, StreamRule


def read(registry: Registry, options: Options, message: Message) -> Iterator[Row | Fault]:
    """Read one message."""
    route, known = registry.route(message.topic), registry.known_parts(message.topic)
    switches = registry.switches(message.topic)
    if not route and not known and not switches:
        yield Fault(Reason.UNKNOWN_TOPIC)
        return
    if message.retained:
        route = tuple(part for part in route if part.rule.use_retained)
    if not route and not known and not switches:
        yield Fault(Reason.RETAINED)
        return
    size = len(message.payload)
    if size > options.max_payload_bytes:
        yield Fault(Reason.PAYLOAD_TOO_LARGE, f"{size} bytes, allowed {options.max_payload_bytes}")
        return
    for rule in switches:
        yield _read_switch(registry, message, rule)
    if known:
        yield from read_known(registry, message, known)
    plain = [part for part in route if part.is_plain]
    if plain:
        yield from _read_plain(registry, options, message, plain)
    if len(plain) < len(route):
        yield from _read_document(registry, options, message, [part for part in route if not part.is_plain])


def _read_switch(registry: Registry, message: Message, rule: StreamRule) -> Row | Fault:
    """Read whether a rule's machine is on; the newest word counts, retained or not, from its arrival on."""
    field, equals = (rule.active_when.field, rule.active_when.equals) if rule.active_when else (None, None)
    raw: Any = message.payload.decode("utf-8", "replace")
    if field is not None:
        document = parse_document(message.payload)
        if isinstance(document, Fault):
            return document
        raw = find(document, field, field.split("."))
        if raw is ABSENT:
            return Fault(Reason.NO_FIELD, f"wanted {field}")
    value = meaning(raw, equals)
    if isinstance(value, Fault):
        return value
    stream = registry.switch_stream(rule, message.topic, message.received_ns)
    return place_of(stream, 0), message.received_ns, value, NOTHING, 0


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
    time_ns = event_time(rule, options, message, document)
    if isinstance(time_ns, Fault):
        yield time_ns
        return
    has_quality = is_good(rule, document)
    kind, seed = identity(rule, message, document, time_ns)
    for target, raw in values:
        value = parse_number(raw, target.field or "value") if has_quality else math.nan
        if isinstance(value, Fault):
            yield value
            continue
        stream = admit(registry, options, message, rule, target, value, time_ns)
        if isinstance(stream, Fault):
            yield stream
            continue
        yield place_of(stream, target.channel), time_ns, value, kind, seed
