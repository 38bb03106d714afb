"""The registry: which streams exist, and which messages belong to them.

Streams are numbered in the order of their first sight and never renumbered. A topic is matched against the rules
once; the compiled route is kept while there is room.

What others forecast of a rule's known covariates comes as readings of hidden streams, one a covariate: they have a
number, so that journal and order are theirs as any stream's, but no row, no topic and no place in the count. So is what
tells whether a rule's machine is on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from edgeseq.core.decoders import FAMILIES
from edgeseq.core.listeners import (
    MAX_NAMES,
    NOBODY,
    Audience,
    Listener,
    audience_of,
    is_of_use,
    is_wanted,
    memories_of,
)
from edgeseq.core.room import doors, rules_for
from edgeseq.core.topics import MAX_TOPIC_CHARS, has_wildcard, is_match, slug
from edgeseq.core.types import I64, Heard, KnownSource, StreamInfo, StreamRule

CHANNEL_BITS = 15
"""Channels are numbers of 16 bits with a sign."""

MAX_ROUTES = 4096
"""Compiled topics kept at a time beside one for each stream; a flood of others costs time, not memory."""

ABSENT: Any = object()
"""What a JSON path yields that leads nowhere (null is a value)."""


HIDDEN = "~known/"
"""How ids of hidden streams begin; slugs of others cannot."""

SWITCH = "~active"
"""Field of the hidden stream that tells whether a rule's machine is on."""

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


class Usual(NamedTuple):
    """What a topic's messages usually are: of one rule, and of streams that exist."""

    rule: StreamRule
    is_plain: bool
    targets: tuple[tuple[str | None, int | None, bool], ...]
    """Field, place (None: no stream yet), whether the field may be a path."""


class Registry:
    """The streams of a node and the rules that make them."""

    def __init__(self, rules: Sequence[StreamRule], *, max_routes: int = MAX_ROUTES) -> None:
        self.rules = {rule.key: rule for rule in rules}
        """Key → rule."""
        self.infos: list[StreamInfo] = []
        """The streams by index. Append only, through `register`."""
        self.hidden: dict[int, tuple[str, str]] = {}
        """Index of a hidden stream → key of its rule, name of the covariate."""
        self.streams_of = dict.fromkeys(self.rules, 0)
        """Key of a rule → number of its streams."""
        self.topics: set[str] = set()
        """Topics that streams were made of."""
        self._ids: dict[str, int] = {}
        self._sources: dict[Source, int] = {}
        self._routes: dict[str, tuple[Part, ...]] = {}
        self.usual: dict[str, Usual] = {}
        """Topic → how its messages are usually read, of some topics that have streams."""
        self._known = [KnownPart(rule, *item) for rule in rules for item in rule.known.items()]
        self._switches = [rule for rule in rules if rule.active_when]
        self._doors = doors(rules)
        self._max_routes = max_routes
        self.memories = memories_of(rules)
        """Key of a rule with a decoder → what that knows beyond one message."""
        self.ignored = 0
        """Messages without a reading, as is normal for their family, since somebody took the number."""
        self.heard: list[Heard] = []
        """Messages that said what others mean, and are to be kept, since somebody took them."""
        self.conversions: dict[int, tuple[float, float]] = {}
        """Place → factor and offset, where a rule without a decoder converts units."""
        self.audiences: dict[str, Audience] = {}
        """Topic → who reads it by decoders, as far as that was looked up and there is room."""
        self._names = 0

    def __len__(self) -> int:
        return len(self.infos)

    @property
    def streams(self) -> int:
        """Count the streams without the hidden ones."""
        return len(self.infos) - len(self.hidden)

    def rule_of(self, stream: int) -> StreamRule:
        """Find the rule of a stream by its index."""
        return self.rules[self.infos[stream].rule]

    def index_of(self, stream_id: str) -> int | None:
        """Find a stream's index by its id."""
        return self._ids.get(stream_id)

    def register(self, info: StreamInfo) -> int:
        """Add a stream, recovered or new, and give its index.

        A stream whose rule is gone, or has other channels by now, keeps its number, since the journal speaks in
        numbers, but not its id; nor does it get that back with the rule, whose streams are new ones by then.
        """
        index = len(self.infos)
        is_hidden = info.id.startswith(HIDDEN)
        if info.id in self._ids or not self._is_served(info):
            self.infos.append(msgspec.structs.replace(info, id=f"~{index}", rule=""))
            return index
        self.infos.append(info)
        self._ids[info.id] = index
        if is_hidden:
            self.hidden[index] = info.rule, str(info.field)
            return index
        self.streams_of[info.rule] += 1
        self.topics.add(info.topic)
        self._sources[_source(self.rules[info.rule], info.topic, info.field)] = index
        rule = self.rules[info.rule]
        for channel, name in enumerate(rule.channel_names if rule.conversions else ()):
            if name in rule.conversions:
                self.conversions[place_of(index, channel)] = rule.conversions[name]
        return index

    def stream_of(self, target: Target) -> int | None:
        """Find the target's stream, None before its first valid reading."""
        return self._sources.get(target.source)

    def lack_of_room(self, rule: StreamRule, max_streams: int) -> str | None:
        """Say what leaves no room for a new stream of a rule: its own limit or the node's. None where there is room."""
        if rule.max_streams and self.streams_of[rule.key] >= rule.max_streams:
            return f"allowed {rule.max_streams} of streams {rule.key}"
        return f"allowed {max_streams}" if self.streams >= max_streams else None

    def refusal(self, topic: str, max_streams: int) -> str | None:
        """Say why no message of a topic can be a reading now; None where one may be, or where nobody wants it.

        That is so where the topic has no stream, and no rule that wants it has room for one. While it is so, it stays
        so: streams are never given up.
        """
        if topic in self.topics or topic in self._doors.named or len(topic) > MAX_TOPIC_CHARS:
            return None
        told = None
        for rule in rules_for(self._doors, topic):
            if rule.decoder is not None and is_of_use(rule.decoder, topic):
                return None
            lack = self.lack_of_room(rule, max_streams)
            if lack is None:
                return None
            told = told or lack
        return None if told is None or self._doors.shared.fullmatch(topic) else told

    def create(self, rule: StreamRule, target: Target, topic: str, created_ns: int) -> int:
        """Make the target's stream and give its index."""
        stream_id = self._free_id(rule, topic, target.field)
        channels = tuple(rule.channels) or None
        info = StreamInfo(stream_id, rule.key, topic, target.field, created_ns, channels, target.unit)
        return self.register(info)

    def hidden_stream(self, part: KnownPart, topic: str, created_ns: int) -> int:
        """Give the index of a covariate's hidden stream, which is made on first sight."""
        return self._hidden(part.rule, part.name, topic, created_ns)

    def switch_stream(self, rule: StreamRule, topic: str, created_ns: int) -> int:
        """Give the index of the hidden stream of a rule's switch, which is made on first sight."""
        return self._hidden(rule, SWITCH, topic, created_ns)

    def _hidden(self, rule: StreamRule, field: str, topic: str, created_ns: int) -> int:
        stream_id = f"{HIDDEN}{rule.key}/{field}"
        known = self._ids.get(stream_id)
        if known is not None:
            return known
        return self.register(StreamInfo(stream_id, rule.key, topic, field, created_ns))

    def known_parts(self, topic: str) -> list[KnownPart]:
        """List the covariates that a topic brings the future of."""
        return [part for part in self._known if is_match(part.source.topic, topic)] if self._known else []

    def switches(self, topic: str) -> list[StreamRule]:
        """List the rules whose machine a topic switches on and off."""
        return [rule for rule in self._switches if rule.active_when and rule.active_when.topic == topic]

    def route(self, topic: str) -> tuple[Part, ...]:
        """Give what the rules want of a topic; empty where none wants anything."""
        if len(topic) > MAX_TOPIC_CHARS:
            return ()
        route = self._routes.get(topic)
        if route is None:
            route = self._compile(topic)
            if len(self._routes) >= self._max_routes + len(self.infos):
                del self._routes[next(iter(self._routes))]
            self._routes[topic] = route
        return route

    def audience(self, topic: str) -> Audience:
        """Find who reads a topic by decoders, and keep it."""
        if not self.memories or len(topic) > MAX_TOPIC_CHARS:
            return NOBODY
        found = audience_of(self.rules.values(), self.memories, topic)
        if found.is_any:
            found = found._replace(
                has_others=bool(self._compile(topic) or self.known_parts(topic) or self.switches(topic))
            )
            if len(self.audiences) >= self._max_routes + len(self.infos):
                gone = self.audiences.pop(next(iter(self.audiences)))
                self._names -= sum(len(listener.places) for listener in gone.listeners)
            self.audiences[topic] = found
        return found

    def remember_name(self, listener: Listener, name: str, place: int) -> None:
        """Keep where a name's readings go; of too many names all are forgotten, and looked up anew."""
        if self._names >= MAX_NAMES + len(self.infos):
            self.forget_listeners()
        listener.places[name] = place
        self._names += 1

    def forget_listeners(self) -> None:
        """Look up anew what names and units mean."""
        for audience in self.audiences.values():
            for listener in audience.listeners:
                listener.places.clear()
                listener.conversions.clear()
        self.audiences.clear()
        self._names = 0

    def target(self, rule: StreamRule, topic: str, field: str | None, unit: str | None) -> Target:
        """Prepare a stream of a decoder's quantity."""
        return Target(_source(rule, topic, field), field, (), 0, unit)

    def learn_usual(self, topic: str) -> None:
        """Keep how a topic's messages are usually read, once there is a stream; what asks for more care has none."""
        parts = self._routes.get(topic, ())
        if len(parts) != 1 or parts[0].rule.quality_field is not None:
            return
        if self.known_parts(topic) or self.switches(topic):
            return
        if topic in self.audiences:
            return
        (part,) = parts
        streams = [self.stream_of(target) for target in part.targets]
        if all(stream is None for stream in streams):
            return
        targets = tuple(
            (target.field, None if stream is None else place_of(stream, target.channel), len(target.keys) > 1)
            for target, stream in zip(part.targets, streams, strict=True)
        )
        if topic not in self.usual:
            if len(self.usual) >= self._max_routes + len(self.infos):
                del self.usual[next(iter(self.usual))]
            del self._routes[topic]  # asked for no more, while its messages are as usual
        self.usual[topic] = Usual(part.rule, part.is_plain, targets)

    def _compile(self, topic: str) -> tuple[Part, ...]:
        """Match a topic against all rules. Of several rules for the same field, the first one takes it."""
        if len(topic) > MAX_TOPIC_CHARS:
            return ()
        parts = []
        taken: set[str | None] = set()
        decoded: list[StreamRule] = []
        for rule in self.rules.values():
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
                    targets = (_target(rule, topic, field, channel) for field, channel in chosen)
                    parts.append(Part(rule, is_plain, tuple(targets)))
        return tuple(parts)

    def _is_served(self, info: StreamInfo) -> bool:
        """Tell whether there is a rule for a stream, in which its channels have the numbers that they had."""
        rule = self.rules.get(info.rule)
        if rule is None:
            return False
        if info.id.startswith(HIDDEN):
            return rule.active_when is not None if info.field == SWITCH else info.field in rule.known
        return info.channels is None or info.channels == tuple(rule.channels)

    def _free_id(self, rule: StreamRule, topic: str, field: str | None) -> str:
        """Name a new stream. Two sources may share a plain slug (a/b and a-b): the later one gets a digest."""
        source = (topic,) if field is None else (topic, field)
        parts = (rule.name or rule.key,) if rule.channels else source
        stream_id = slug(*parts)
        while stream_id in self._ids:
            parts = (*parts, "")
            stream_id = slug(*parts, distinct=True)
        return stream_id


def place_of(stream: int, channel: int) -> int:
    """Give stream and channel as one number."""
    return stream << CHANNEL_BITS | channel


def places(place: I64) -> tuple[I64, I64]:
    """Give streams and channels of places, each (n,)."""
    return place >> CHANNEL_BITS, place & (2**CHANNEL_BITS - 1)


def nameable(rules: Sequence[StreamRule]) -> dict[str, list[StreamInfo]]:
    """Name the streams that are known before a message has come: key of a rule → streams.

    Those are the streams of channels, and of topics without wildcards. Where two sources share a plain slug the order
    of the rules stands in for that of the first readings.
    """
    registry = Registry(rules)
    for rule in rules:
        if rule.channels:
            registry.create(rule, _target(rule, "", None, 0), "", 0)
        for topic in rule.topics:
            if has_wildcard(topic):
                continue
            targets = (t for part in registry.route(topic) if part.rule is rule for t in part.targets)
            for target in targets:
                registry.create(rule, target, topic, 0)
    return {rule.key: [info for info in registry.infos if info.rule == rule.key] for rule in rules}


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


def _target(rule: StreamRule, topic: str, field: str | None, channel: int) -> Target:
    """Prepare the look-up of one field."""
    return Target(_source(rule, topic, field), field, tuple((field or "").split(".")), channel)


def _source(rule: StreamRule, topic: str, field: str | None) -> Source:
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
