"""Who listens to a topic by a decoder: for one rule and topic, which names are wanted and where their values go."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from edgeseq.core.decoders import FAMILIES
from edgeseq.core.decoders.family import Family, Memory
from edgeseq.core.topics import is_match
from edgeseq.core.types import StreamRule
from edgeseq.core.units import Conversion

SKIPPED = -1
"""Place of a name that makes no stream here."""

UNBORN = -2
"""Place of a name that no number has come under yet."""

MAX_NAMES = 65_536
"""Names whose places are remembered at a time, of all topics, beside those of streams."""


class Listener:
    """What one rule makes of one topic's messages."""

    __slots__ = (
        *(
            "conversions",
            "earlier",
            "family",
            "is_idle",
            "looks_up",
            "memory",
            "places",
            "rule",
            "taken",
            "tells",
        ),
    )

    def __init__(self, rule: StreamRule, memory: Memory, topic: str, earlier: Sequence[Listener]) -> None:
        self.rule = rule
        self.memory = memory
        self.family: Family = FAMILIES[rule.decoder or ""]
        self.is_idle = self.family.passes_by(topic)
        """Whether no message of this topic is ever read."""
        self.looks_up = self.family.is_document and bool(
            rule.time_field or rule.id_field or rule.quality_field
        )
        """Whether time, id or quality stand in the message."""
        self.tells = self.family.tells(topic)
        """Whether retained messages are read as well: for what they say of others."""
        self.earlier = tuple(earlier)
        """Those of rules before this one: of several, the first takes a name."""
        self.taken: frozenset[str | None] = frozenset()
        """JSON paths that rules before this one read by themselves."""
        self.places: dict[str, int] = {}
        """Name → place (`registry.place_of`), SKIPPED or UNBORN, of names that were looked up."""
        self.conversions: dict[str, Conversion] = {}
        """Name → how its numbers become those of another unit."""

    def is_free(self, name: str) -> bool:
        """Tell whether a name is wanted here, and by no rule before."""
        if name in self.taken or not is_wanted(self.rule, self.family, name):
            return False
        return not any(is_wanted(other.rule, other.family, name) for other in self.earlier)


class Audience(NamedTuple):
    """Who listens to a topic by decoders."""

    listeners: tuple[Listener, ...] = ()
    """Those that read its messages."""
    is_any: bool = False
    """Whether a decoder is in charge of it, though it may never read its messages."""
    has_others: bool = False
    """Whether rules without a decoder read it, too."""


NOBODY = Audience()


def is_of_use(decoder: str, topic: str) -> bool:
    """Tell whether a topic's messages are of use, or of no harm, where none of its numbers finds room."""
    family = FAMILIES[decoder]
    return family.passes_by(topic) or family.tells(topic)


def is_wanted(rule: StreamRule, family: Family, name: str) -> bool:
    """Tell whether a rule wants a name: one of its `fields`, or without any whatever is no bookkeeping."""
    if rule.fields:
        return _chosen(rule.fields).fullmatch(name) is not None
    return not family.is_bookkeeping(name)


@lru_cache(maxsize=256)
def _chosen(fields: tuple[str, ...]) -> re.Pattern[str]:
    """Make one pattern that fully matches the names that are asked for.

    A name may be given whole or by its end, from a separator on; * stands for anything.

    >>> pattern = _chosen(("Temperature", "ENERGY.*"))
    >>> [bool(pattern.fullmatch(name)) for name in ("AM2301.Temperature", "ENERGY.Power", "DewTemperature")]
    [True, True, False]
    """
    texts = (re.escape(field).replace(r"\*", ".*") for field in fields)
    return re.compile(rf"(?:.*[./ :])?(?:{'|'.join(texts)})", re.DOTALL)


def memories_of(rules: Iterable[StreamRule]) -> dict[str, Memory]:
    """Give each rule with a decoder a memory of its own."""
    return {rule.key: Memory(rule.may_ask) for rule in rules if rule.decoder is not None}


def audience_of(rules: Iterable[StreamRule], memories: Mapping[str, Memory], topic: str) -> Audience:
    """Find who listens to a topic, in the order of the rules."""
    listeners: list[Listener] = []
    paths: set[str | None] = set()
    for rule in rules:
        if any(is_match(excluded, topic) for excluded in rule.exclude):
            continue
        if not any(is_match(topic_filter, topic) for topic_filter in rule.topics):
            continue
        if rule.decoder is None:
            paths.update(rule.fields)
            continue
        listener = Listener(rule, memories[rule.key], topic, listeners)
        listener.taken = frozenset(paths)
        listeners.append(listener)
    return Audience(tuple(one for one in listeners if not one.is_idle), bool(listeners))
