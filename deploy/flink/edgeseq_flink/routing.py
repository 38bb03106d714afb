"""Which bucket a message belongs to: those of one stream must meet in one."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

from edgeseq.core.topics import is_match
from edgeseq.core.types import StreamRule

TOGETHER = 0
"""Bucket of all rules whose streams are made of several topics."""


class Router:
    """Finds the bucket of a topic."""

    def __init__(self, rules: Sequence[StreamRule], buckets: int) -> None:
        self._buckets = buckets
        self._filters = [topic for rule in rules if _is_bound(rule) for topic in _filters(rule)]
        self._known: dict[str, int] = {}

    def bucket(self, topic: str) -> int:
        """Give the bucket of a topic: the same one always and everywhere."""
        known = self._known.get(topic)
        if known is not None:
            return known
        is_bound = any(is_match(wanted, topic) for wanted in self._filters)
        found = TOGETHER if is_bound else crc32(topic.encode("utf-8", "surrogatepass")) % self._buckets
        if len(self._known) < 2**20:  # a flood of topics costs time, not memory
            self._known[topic] = found
        return found


def _is_bound(rule: StreamRule) -> bool:
    """Tell whether what a message does depends on messages of other topics."""
    return bool(rule.channels or rule.known or rule.active_when or rule.decoder)


def _filters(rule: StreamRule) -> list[str]:
    """List all filters that a rule listens to."""
    channels = [source.topic for source in rule.channels.values()]
    known = [source.topic for source in rule.known.values()]
    switch = [rule.active_when.topic] if rule.active_when else []
    return [*rule.topics, *channels, *known, *switch]
