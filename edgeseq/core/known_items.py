"""What others forecast of known covariates: times and values of the future, out of an array or of two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from edgeseq.core.instants import parse_instant
from edgeseq.core.parsing import Fault, parse_json, parse_number, type_name
from edgeseq.core.registry import Registry, place_of
from edgeseq.core.routes import ABSENT, KnownPart
from edgeseq.core.rows import NOTHING, Row, field_of
from edgeseq.core.types import KnownSource, Message, Reason


class _Item(NamedTuple):
    """What a message says of one time, as it came."""

    time: Any
    value: Any


def read_known(registry: Registry, message: Message, parts: Sequence[KnownPart]) -> Iterator[Row | Fault]:
    """Read times and values of the future; a covariate whose part cannot be used leaves the others alone."""
    content = parse_json(message.payload)
    if isinstance(content, Fault):
        yield content
        return
    for part in parts:
        source = part.source
        items = content
        if source.field is not None:
            items = field_of(content, source.field) if isinstance(content, dict) else ABSENT
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
        yield place_of(stream, 0), time_ns, value, NOTHING, 0


def _items(source: KnownSource, content: list[Any] | dict[str, Any]) -> Iterator[_Item | Fault]:
    """List times and values as they came: of an array of objects, or of an object of two arrays of one length."""
    if isinstance(content, list):
        for item in content:
            if isinstance(item, dict):
                yield _Item(field_of(item, source.time), field_of(item, source.value))
            else:
                yield Fault(Reason.WRONG_TYPE, f"an item is {type_name(item)}, not an object")
        return
    columns = [(name, field_of(content, name)) for name in (source.time, source.value)]
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
