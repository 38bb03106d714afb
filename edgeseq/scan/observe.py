"""Messages → what is known of topics and of the numbers under them. Total on any bytes, and bounded."""

from __future__ import annotations

import importlib.util
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from edgeseq.core.decoders import FAMILIES
from edgeseq.core.decoders.documents import said_of
from edgeseq.core.decoders.family import Memory, Said
from edgeseq.core.instants import parse_instant
from edgeseq.core.parsing import Fault, parse_plain_number
from edgeseq.core.types import Message, Reason
from edgeseq.core.units import canonical
from edgeseq.scan.recognise import PLAIN, reader_of

MOST_TOPICS = 10_000
MOST_NUMBERS = 10_000
"""With what is kept of each they bound the memory: some 130 MB where all are full."""
MOST_KEPT = 256
"""Readings of a number that are kept, the newest: enough for some seasons."""
MOST_NAMES = 500
"""Numbers of one topic."""
LONGEST_NAME, LONGEST_TOPIC = 256, 1024
LONGEST_PAYLOAD = 65_536
"""Bytes; as the daemon's default."""

NEAR_NS = 86_400 * 10**9
"""A time in a message is that of its reading where it lies so near to the arrival."""


@dataclass(slots=True)
class Number:
    """A number that came under a name of a topic."""

    topic: str
    """On which it came."""
    name: str
    source: tuple[str, str | None]
    """Topic and field of its stream."""
    is_bookkeeping: bool = False
    unit: str = ""
    count: int = 0
    retained: int = 0
    missing: int = 0
    rises: int = 0
    falls: int = 0
    resets: int = 0
    """Falls to less than a tenth."""
    times_ns: array[int] = field(default_factory=lambda: array("q"))
    """Of live readings, the newest."""
    values: array[float] = field(default_factory=lambda: array("d"))
    last: float | None = None

    def take(self, time_ns: int, value: float, *, is_retained: bool) -> None:
        """Note a reading."""
        if is_retained:
            self.retained += 1
        else:
            self.count += 1
            self.times_ns.append(time_ns)
            self.values.append(value)
            if len(self.values) > 2 * MOST_KEPT:
                del self.times_ns[:-MOST_KEPT], self.values[:-MOST_KEPT]
        before, self.last = self.last, value
        if before is None or value == before:
            return
        self.rises += value > before
        self.falls += value < before
        self.resets += value < before and 0 <= value <= 0.1 * before


@dataclass(slots=True)
class Topic:
    """What is known of a topic."""

    name: str
    reader: str
    count: int = 0
    """Messages that were not retained."""
    retained: int = 0
    texts: int = 0
    """Messages without any number that are no faults."""
    documents: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    numbers: dict[str, Number] = field(default_factory=dict)
    time_fields: Counter[str] = field(default_factory=Counter)
    """JSON path → messages in which it held a time near their arrival."""


@dataclass(slots=True)
class Observed:
    """All that was seen."""

    prefix: str = "edgeseq"
    """Below which edgeseq itself publishes."""
    topics: dict[str, Topic] = field(default_factory=dict)
    memories: dict[str, Memory] = field(default_factory=dict)
    messages: int = 0
    own: int = 0
    """Messages of edgeseq."""
    unlisted: int = 0
    """Messages of topics beyond MOST_TOPICS, or with names too long."""
    too_large: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)
    """Family → messages that cannot be read, for a module is not installed."""
    numbers: int = 0
    first_ns: int = 0
    last_ns: int = 0

    @property
    def span_ns(self) -> int:
        """Time from the first to the last message."""
        return self.last_ns - self.first_ns


def observe(seen: Observed, message: Message) -> None:
    """Note a message."""
    seen.messages += 1
    seen.first_ns = seen.first_ns or message.received_ns
    seen.last_ns = message.received_ns
    if message.topic.startswith(f"{seen.prefix}/"):
        seen.own += 1
        return
    topic = _topic(seen, message)
    if topic is None:
        seen.unlisted += 1
        return
    topic.retained += message.retained
    topic.count += not message.retained
    if len(message.payload) > LONGEST_PAYLOAD:
        seen.too_large[message.topic] += 1
        return
    family = FAMILIES[topic.reader] if topic.reader else None
    if family and family.needs and importlib.util.find_spec(family.needs.partition(".")[0]) is None:
        seen.unread[topic.reader] += 1
        return
    if family and family.passes_by(message.topic):
        return
    memory = seen.memories.setdefault(topic.reader, Memory())
    said = family.read(memory, message) if family else _plain(message)
    _note(seen, topic, message, said)


def _topic(seen: Observed, message: Message) -> Topic | None:
    """Find what is known of a topic; None where there is no room for one more."""
    name = message.topic
    known = seen.topics.get(name)
    if known is None and len(seen.topics) < MOST_TOPICS and len(name) <= LONGEST_TOPIC:
        known = seen.topics[name] = Topic(name, reader_of(name))
    return known


def _plain(message: Message) -> Said:
    """Read JSON or a plain number; anything else is text, and no fault."""
    payload = message.payload
    if payload.lstrip()[:1] == b"{":
        return said_of(payload)
    number = parse_plain_number(payload)
    return Said(((PLAIN, None if isinstance(number, Fault) else number, None),))


def _note(seen: Observed, topic: Topic, message: Message, said: Said) -> None:
    """Note what a message says."""
    for fault in said.faults[:MOST_NAMES]:
        topic.faults[str(fault.reason)] += 1
    topic.documents += bool(said.document)
    is_any = False
    for name, value, own_ns in said.points[:MOST_NAMES]:
        is_number = type(value) in (int, float)
        _note_time(topic, message, name, value)
        number = topic.numbers.get(name)
        if number is None and is_number:
            number = _admit(seen, topic, name)
        if number is None:
            continue
        number.missing += value is None
        if is_number and abs(value) < 1e308:
            is_any = True
            at_ns = message.received_ns if own_ns is None else own_ns
            number.take(at_ns, float(value), is_retained=message.retained)
    topic.texts += not is_any and not said.faults


def _note_time(topic: Topic, message: Message, name: str, value: Any) -> None:
    """Note which fields of a document hold the time of its reading."""
    if type(value) not in (str, int, float) or not name or message.retained:
        return
    if isinstance(value, str) and (len(value) > 40 or not value[:4].isdigit()):
        return
    is_naive = isinstance(value, str) and "-" in value and not value.endswith("Z") and "+" not in value
    time_ns = None if is_naive else parse_instant(value)
    if time_ns is not None and abs(time_ns - message.received_ns) < NEAR_NS and len(topic.time_fields) < 16:
        topic.time_fields[name] += 1


def _admit(seen: Observed, topic: Topic, name: str) -> Number | None:
    """Make room for a number; None where there is none."""
    if seen.numbers >= MOST_NUMBERS or len(topic.numbers) >= MOST_NAMES or len(name) > LONGEST_NAME:
        seen.unlisted += 1
        return None
    seen.numbers += 1
    family = FAMILIES[topic.reader] if topic.reader else None
    source = family.source(topic.name, name) if family else (topic.name, name or None)
    number = topic.numbers[name] = Number(topic.name, name, source)
    number.is_bookkeeping = family is not None and family.is_bookkeeping(name)
    return number


def settle(seen: Observed, families: dict[str, str]) -> None:
    """Take each topic for one of the family that it turned out to be of: names, streams and units are its."""
    for topic in seen.topics.values():
        found = families[topic.name]
        if found != topic.reader:
            _settle_as(topic, found)
        family = FAMILIES[found] if found else None
        memory = seen.memories.get(topic.reader, Memory())
        for number in topic.numbers.values():
            told = family.unit(memory, topic.name, number.name) if family else ""
            number.unit = canonical(told) if told else number.unit


def _settle_as(topic: Topic, found: str) -> None:
    """Name a topic's numbers as another family does, which reads the same."""
    family = FAMILIES[found] if found else None
    if family and family.passes_by(topic.name):
        topic.numbers = {}
        topic.faults.clear()
    if found == "esphome":
        topic.faults.pop(str(Reason.NOT_FINITE), None)  # a reading known to be missing
    if found in ("esphome", PLAIN) and topic.reader != PLAIN:  # a topic of one number, under another name
        for number in topic.numbers.values():
            number.name = topic.name.split("/")[-2] if family else PLAIN
            number.source = (topic.name, None)
            number.is_bookkeeping = False
    for number in topic.numbers.values():
        if family:
            number.is_bookkeeping = family.is_bookkeeping(number.name)
    topic.reader = found
