"""The registry: which streams exist, and which messages belong to them.

Streams are numbered in the order of their first sight and never renumbered. A topic is matched against the rules
once; the compiled route is kept while there is room.

What others forecast of a rule's known covariates comes as readings of hidden streams, one a covariate: they have a
number, so that journal and order are theirs as any stream's, but no row, no topic and no place in the count. So is what
tells whether a rule's machine is on.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from edgeseq.core.listeners import (
    MAX_NAMES,
    NOBODY,
    Audience,
    Listener,
    audience_of,
    is_of_use,
    memories_of,
)
from edgeseq.core.room import doors, rules_for
from edgeseq.core.routes import (
    KnownPart,
    Make,
    Part,
    Source,
    Target,
    Usual,
    compile_route,
    source_of,
    target_of,
)
from edgeseq.core.topics import MAX_TOPIC_CHARS, has_wildcard, is_match, slug
from edgeseq.core.types import I64, Heard, StreamInfo, StreamRule

CHANNEL_BITS = 15
"""Channels are numbers of 16 bits with a sign."""

MAX_ROUTES = 4096
"""Compiled topics kept at a time beside one for each stream; a flood of others costs time, not memory."""


HIDDEN = "~known/"
"""How ids of hidden streams begin; slugs of others cannot."""

SWITCH = "~active"
"""Field of the hidden stream that tells whether a rule's machine is on."""


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
        self._makes: dict[Make | None, Make | None] = {}
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
        self._sources[source_of(self.rules[info.rule], info.topic, info.field)] = index
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
            route = compile_route(self.rules.values(), topic)
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
                has_others=bool(
                    compile_route(self.rules.values(), topic)
                    or self.known_parts(topic)
                    or self.switches(topic)
                )
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
        return Target(source_of(rule, topic, field), field, (), 0, unit)

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
        places = tuple(place for _, place, _ in targets if place is not None)
        make = _make_of(part, len(places))
        self.usual[topic] = Usual(
            part.rule, part.is_plain, targets, places, self._makes.setdefault(make, make)
        )

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


def _make_of(part: Part, streams: int) -> Make | None:
    """Say what a part's messages have in common with others; None where a stream or a time of theirs is missing."""
    rule, fields = part.rule, tuple(target.field for target in part.targets if target.field is not None)
    if part.is_plain or streams < len(part.targets) or rule.time_field is None or rule.id_field is not None:
        return None
    return fields, rule.time_field


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
            registry.create(rule, target_of(rule, "", None, 0), "", 0)
        for topic in rule.topics:
            if has_wildcard(topic):
                continue
            targets = (t for part in registry.route(topic) if part.rule is rule for t in part.targets)
            for target in targets:
                registry.create(rule, target, topic, 0)
    return {rule.key: [info for info in registry.infos if info.rule == rule.key] for rule in rules}
