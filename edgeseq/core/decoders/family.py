"""What a decoder is: how one family of devices says its numbers. One file of this folder each, one line in `__init__`.

A decoder is chosen by the configuration, by topic; no bytes are ever guessed from. It is pure: what it must remember
(aliases, descriptions) stands in a Memory, whose facts are kept with the state. It never raises on any bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from edgeseq.core.parsing import Fault
from edgeseq.core.types import Message, Outgoing

Point = tuple[str, Any, int | None]
"""What a message says under a name: a number, None (known to be missing) or, where that is normal, text or a boolean,
which are no reading; and its own time (ns), None where that is the message's."""

Name = str
"""Of a quantity within its topic, such as `ENERGY.Power`."""


class Said(NamedTuple):
    """What a message says."""

    points: Sequence[Point] = ()
    faults: Sequence[Fault] = ()
    """Each counts as one rejected reading."""
    document: Mapping[str, Any] = {}
    """Where `time`, `id` and `quality` of the configuration are looked up."""


NOTHING = Said()
"""A message without numbers, as is normal for the family: it is ignored, and counted as that."""


class Memory(msgspec.Struct):
    """What a decoder knows beyond one message, of one rule."""

    may_ask: bool = False
    """Whether the configuration lets it ask devices for something (`rebirth`)."""
    facts: dict[str, Any] = {}
    """Bounded, of JSON's types: kept in snapshots."""
    is_changed: bool = False
    """Set where names, units or aliases mean something else from here on: what was looked up is looked up anew."""
    asks: list[Outgoing] = []
    """What devices are to be asked; taken and published by whoever decodes."""


def _no(_: str) -> bool:
    return False


def _own(topic: str, name: Name) -> tuple[str, str | None]:
    return topic, name


def _nothing(memory: Memory) -> None:
    """Keep everything."""


def _unitless(memory: Memory, topic: str, name: Name) -> str | None:
    return ""


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """A decoder. Only `name`, `topics` and `read` are a must."""

    name: str
    """As the configuration calls it."""
    topics: tuple[str, ...]
    """Filters of its usual topics: what is subscribed where the configuration names none."""
    read: Callable[[Memory, Message], Said]
    """Says what a message says. Total."""
    passes_by: Callable[[str], bool] = _no
    """Whether messages of a topic are never read: commands, availability."""
    tells: Callable[[str], bool] = _no
    """Whether messages of a topic say what others mean (births, descriptions): retained ones are read, too."""
    is_lasting: bool = False
    """Whether such messages come but once, retained, so that they are kept in the journal where they bring news."""
    source: Callable[[str, Name], tuple[str, str | None]] = _own
    """Names a quantity's stream by topic and field, whichever topic it came on; no field: the payload is the number."""
    unit: Callable[[Memory, str, Name], str | None] = _unitless
    """Unit of a quantity; "" where it has none or nobody knows, None where that may still be learned."""
    is_bookkeeping: Callable[[Name], bool] = _no
    """Whether a quantity is of the device, not of what it measures: a stream only where it is asked for by name."""
    distrust: Callable[[Memory], None] = _nothing
    """Forgets what may not hold any more where messages may have come that nobody kept: after a crash."""
    is_shared: bool = False
    """Whether several topics tell of one stream."""
    is_document: bool = False
    """Whether messages are JSON objects, in which `time`, `id` and `quality` can be looked up."""
    has_times: bool = False
    """Whether its messages carry their own times by themselves."""
    needs: str | None = None
    """Module of another distribution without which nothing can be read."""
    extra: str | None = None
    """Extra of edgeseq that brings it."""
