"""Topics → as few filters as bring them, and nothing else that was seen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations

MOST_WILDCARDS = 3
"""Levels of a filter that may be +, …"""
MOST_VARYING = 8
"""… of so many that are tried."""


def cover(topics: Iterable[str], foreign: Iterable[str]) -> list[str]:
    """Choose filters that match all of the topics and none of the foreign ones; the first level is never a wildcard.

    Filters that match most come first; a topic that no filter shares with another stands as it is.

    >>> cover(["house/a/temperature", "house/b/temperature", "house/b/state"], ["house/a/state"])
    ['house/+/temperature', 'house/b/state']
    """
    left = set(topics)
    if len(left) < 2:
        return sorted(left)
    places = {shape: _varying(alike) for shape, alike in by_shape(left).items()}
    forbidden = {
        pattern
        for topic in foreign
        if (varying := places.get(_shape(topic)))
        for pattern in _patterns(topic, varying)
    }
    matched: dict[str, set[str]] = defaultdict(set)
    for topic in left:
        for pattern in _patterns(topic, places[_shape(topic)]):
            if pattern not in forbidden:
                matched[pattern].add(topic)
    chosen = []
    # The most topics first, of those that match as many the one with fewer wildcards.
    for pattern in sorted(matched, key=lambda p: (-len(matched[p]), p.count("+"), p)):
        if len(matched[pattern] & left) > 1:
            chosen.append(pattern)
            left -= matched[pattern]
    return chosen + sorted(left)


def by_shape(topics: Iterable[str]) -> dict[tuple[str, int], list[str]]:
    """Sort topics by what those have in common that one filter may match."""
    found = defaultdict(list)
    for topic in topics:
        found[_shape(topic)].append(topic)
    return found


def neighbours(topics: set[str], shapes: Mapping[tuple[str, int], list[str]]) -> list[str]:
    """List all other topics that a filter of these may match."""
    wanted = {_shape(topic) for topic in topics}
    return [other for shape in wanted for other in shapes.get(shape, ()) if other not in topics]


def _shape(topic: str) -> tuple[str, int]:
    """Give what all topics of a filter share here."""
    return topic.partition("/")[0], topic.count("/")


def _varying(topics: Sequence[str]) -> tuple[int, ...]:
    """List the levels, the first excepted, in which topics of one shape differ."""
    levels = zip(*(topic.split("/") for topic in topics), strict=True)
    return tuple(place for place, found in enumerate(levels) if place and len(set(found)) > 1)[:MOST_VARYING]


def _patterns(topic: str, places: Sequence[int]) -> Iterator[str]:
    """List the filters that one to three of these levels of a topic make."""
    levels = topic.split("/")
    for count in range(1, MOST_WILDCARDS + 1):
        for chosen in combinations(places, count):
            yield "/".join("+" if i in chosen else level for i, level in enumerate(levels))
