"""What a household is, and what all of them are made with."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from edgeseq.core.types import Message, Reason

S = 10**9
START_NS = 1_772_359_200 * S  # 2026-03-01T10:00:00Z
EVERY_NS = 10 * S


class Sample(NamedTuple):
    """A message as a device publishes it."""

    topic: str
    payload: bytes
    retained: bool = False


class Household(NamedTuple):
    """Devices of one family."""

    decoder: str
    topics: tuple[str, ...]
    """Filters that bring all of their messages, and more than the readings."""
    start: Callable[[int], list[Sample]]
    """Time (ns) → what is there or said first."""
    at: Callable[[int, int], list[Sample]]
    """Step, time (ns) → what is said then."""
    streams: frozenset[tuple[str, str | None]]
    """Topic and field of every number that is one to forecast."""
    malformed: tuple[tuple[Sample, Reason], ...]
    units: dict[tuple[str, str | None], str] = {}
    """Of streams, as far as the family tells or defines them."""


def messages(samples: Iterable[Sample], time_ns: int, mid: int = 0) -> list[Message]:
    """Make what arrives at a time; what is retained comes as it does with a subscription."""
    return [Message(s.topic, s.payload, time_ns, retained=s.retained, mid=mid) for s in samples]


def level(step: int, base: float, swing: float = 1.0) -> float:
    """Give a plausible value of a step."""
    return round(base + swing * math.sin(step / 5), 2)


def json_sample(topic: str, content: Any, *, retained: bool = False) -> Sample:
    """Publish JSON, as terse as devices do."""
    return Sample(topic, json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode(), retained)


def nothing(_: int) -> list[Sample]:
    """Say nothing first."""
    return []


def text_samples(told: Mapping[str, object]) -> list[Sample]:
    """Publish each value as plain text: topic → value."""
    return [Sample(topic, str(value).encode()) for topic, value in told.items()]


def refused(topic: str, reasons: dict[bytes, Reason]) -> list[tuple[Sample, Reason]]:
    """List what a family must refuse of a topic: payload → why."""
    return [(Sample(topic, payload), reason) for payload, reason in reasons.items()]
