"""Topics that find no room, told by the topic alone, before anything of a message is read.

A crowd of strangers that a wildcard matches costs a full node some microseconds each, and no memory: nothing is kept
of a topic that has no stream. Its message counts as one reading, whatever it would have said, and as one rejected.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from re import Pattern
from typing import NamedTuple

from edgeseq.core.topics import compiled, has_wildcard
from edgeseq.core.types import StreamRule


class Door(NamedTuple):
    """By what topics streams of one rule come in."""

    rule: StreamRule
    wanted: Pattern[str]
    """Fully matches the topics of its filters with a wildcard, …"""
    unwanted: Pattern[str]
    """… and those that it leaves out."""


class Doors(NamedTuple):
    """By what topics new streams come in, and which topics ask for more care."""

    of_rules: tuple[Door, ...]
    named: frozenset[str]
    """Topics that a rule names: as many as the configuration has."""
    shared: Pattern[str]
    """Fully matches topics of channels, whose stream other topics make too, of known covariates and switches."""


def doors(rules: Sequence[StreamRule]) -> Doors:
    """Prepare the look-up of topics."""
    of_rules = tuple(
        Door(rule, compiled(list(filter(has_wildcard, rule.topics))), compiled(rule.exclude))
        for rule in rules
        if not rule.channels and any(map(has_wildcard, rule.topics))
    )
    named = frozenset(topic for rule in rules for topic in rule.topics if not has_wildcard(topic))
    shared = [source.topic for rule in rules for source in rule.channels.values()]
    shared += [source.topic for rule in rules for source in rule.known.values()]
    shared += [rule.active_when.topic for rule in rules if rule.active_when]
    return Doors(of_rules, named, compiled(shared))


def rules_for(doors: Doors, topic: str) -> Iterator[StreamRule]:
    """List the rules that want a topic by a wildcard."""
    for rule, wanted, unwanted in doors.of_rules:
        if wanted.fullmatch(topic) and not unwanted.fullmatch(topic):
            yield rule
