"""What rules want of a topic: which fields of its messages go to which channels of which streams."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from edgeseq.core.decoders import FAMILIES
from edgeseq.core.listeners import is_wanted
from edgeseq.core.topics import MAX_TOPIC_CHARS, is_match
from edgeseq.core.types import KnownSource, StreamRule

ABSENT: Any = object()
"""What a JSON path yields that leads nowhere (null is a value)."""

Source = tuple[str, str, str | None]
"""Rule key, topic, field: where a stream comes from. A rule of channels has one stream, whatever the topic."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where one value of a message goes: a channel of a stream, which may not exist yet."""

    source: Source
    field: str | None
    """JSON path, or None where the payload is the number itself."""
    keys: tuple[str, ...]
    """The path, split."""
    channel: int
    unit: str | None = None
    """What a decoder knows of it."""

    @property
    def topic(self) -> str:
        """Name the topic that the stream is of; empty where several make one."""
        return self.source[1]


@dataclass(frozen=True, slots=True)
class Part:
    """What one rule wants of a topic, either all as plain numbers or all as JSON fields."""

    rule: StreamRule
    is_plain: bool
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class KnownPart:
    """What one rule wants of a topic for one of its known covariates."""

    rule: StreamRule
    name: str
    source: KnownSource


Make = tuple[tuple[str, ...], str]
"""Fields of numbers and the field of their time: what messages that are read together (`alike`) have in common."""


class Usual(NamedTuple):
    """What a topic's messages usually are: of one rule, and of streams that exist."""

    rule: StreamRule
    is_plain: bool
    targets: tuple[tuple[str | None, int | None, bool], ...]
    """Field, place (None: no stream yet), whether the field may be a path."""
    places: tuple[int, ...] = ()
    """Those places, where there is a make."""
    make: Make | None = None
    """None where its messages are only read one by one."""


def compile_route(rules: Iterable[StreamRule], topic: str) -> tuple[Part, ...]:
    """Match a topic against all rules. Of several rules for the same field, the first one takes it."""
    if len(topic) > MAX_TOPIC_CHARS:
        return ()
    parts = []
    taken: set[str | None] = set()
    decoded: list[StreamRule] = []
    for rule in rules:
        if any(is_match(excluded, topic) for excluded in rule.exclude):
            continue
        wanted = _wanted(rule, topic)
        if rule.decoder is not None:
            decoded += [rule] if wanted else []
            continue
        wanted = [pair for pair in wanted if not _is_decoded(decoded, pair[0])]
        if not rule.channels:
            wanted = [(field, channel) for field, channel in wanted if field not in taken]
            taken.update(field for field, _ in wanted)
        for is_plain in (True, False):
            chosen = [(field, channel) for field, channel in wanted if (field is None) is is_plain]
            if chosen:
                targets = (target_of(rule, topic, field, channel) for field, channel in chosen)
                parts.append(Part(rule, is_plain, tuple(targets)))
    return tuple(parts)


def find(document: Mapping[str, Any], path: str, keys: Sequence[str]) -> Any:
    """Follow a JSON path; a key that itself contains dots (pm2.5) goes first. ABSENT where it leads nowhere."""
    value = document.get(path, ABSENT)
    if value is not ABSENT or len(keys) == 1:
        return value
    value = document
    for key in keys:
        if not isinstance(value, dict) or key not in value:
            return ABSENT
        value = value[key]
    return value


def target_of(rule: StreamRule, topic: str, field: str | None, channel: int) -> Target:
    """Prepare the look-up of one field."""
    return Target(source_of(rule, topic, field), field, tuple((field or "").split(".")), channel)


def source_of(rule: StreamRule, topic: str, field: str | None) -> Source:
    """Identify the stream that a rule makes of a topic and field."""
    return (rule.key, "", None) if rule.channels else (rule.key, topic, field)


def _is_decoded(decoded: Sequence[StreamRule], field: str | None) -> bool:
    """Tell whether a rule with a decoder takes a JSON path before others do."""
    return field is not None and any(is_wanted(rule, FAMILIES[rule.decoder or ""], field) for rule in decoded)


def _wanted(rule: StreamRule, topic: str) -> list[tuple[str | None, int]]:
    """List field and channel of all that a rule wants of a topic."""
    if rule.channels:
        sources = enumerate(rule.channels.values())
        return [(source.field, channel) for channel, source in sources if is_match(source.topic, topic)]
    if not any(is_match(topic_filter, topic) for topic_filter in rule.topics):
        return []
    return [(field, 0) for field in rule.fields] or [(None, 0)]
