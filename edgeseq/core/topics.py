"""MQTT topic filters and the slugs that name streams. Filters: MQTT 5.0, section 4.7."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence

MAX_TOPIC_CHARS = 1024
"""Longer topics and filters are refused: MQTT allows 64 KB, which a flood could fill the memory with."""

MAX_SLUG_CHARS = 96
"""A slug is one level of every output topic and a file name in places."""

DIGEST_CHARS = 5
"""Base32 characters (25 bits) appended to a slug that lost information."""

RESERVED_SLUGS = frozenset({"bridge"})
"""Levels that edgeseq itself uses beside the streams."""

_SEPARATOR = re.compile(r"[/.]")
_OTHER = re.compile(r"[^a-z0-9]+")


def filter_fault(topic_filter: str) -> str | None:
    """Say why a topic filter is invalid, or None when it is valid.

    >>> filter_fault("plant/+/flow")
    >>> filter_fault("plant/#/flow")
    '# must be the last level'
    """
    if not topic_filter:
        return "it is empty"
    if len(topic_filter) > MAX_TOPIC_CHARS:
        return f"it is longer than {MAX_TOPIC_CHARS} characters"
    if "\0" in topic_filter:
        return "it contains a NUL character"
    levels = topic_filter.split("/")
    if any("#" in level for level in levels[:-1]):
        return "# must be the last level"
    if any(level not in ("+", "#") and ("+" in level or "#" in level) for level in levels):
        return "a wildcard must be a whole level"
    return None


def has_wildcard(topic_filter: str) -> bool:
    """Tell whether a filter may match more than one topic."""
    return "+" in topic_filter or "#" in topic_filter


def is_match(topic_filter: str, topic: str) -> bool:
    """Tell whether a valid filter matches a topic. A leading wildcard does not match topics that begin with $.

    >>> is_match("plant/#", "plant"), is_match("+/flow", "plant/flow"), is_match("#", "$SYS/load")
    (True, True, False)
    """
    if topic.startswith("$") and topic_filter[:1] in ("+", "#"):
        return False
    wanted, given = topic_filter.split("/"), topic.split("/")
    for i, level in enumerate(wanted):
        if level == "#":
            return True
        if i >= len(given) or level not in ("+", given[i]):
            return False
    return len(wanted) == len(given)


def compiled(filters: Sequence[str]) -> re.Pattern[str]:
    """Make one pattern that fully matches the topics that any of these valid filters matches, as `is_match` has it.

    >>> pattern = compiled(["plant/#", "+/flow"])
    >>> [bool(pattern.fullmatch(topic)) for topic in ("plant", "plant/a/b", "x/flow", "$x/flow", "planta")]
    [True, True, True, False, False]
    """
    return re.compile("|".join(map(_pattern, filters)) or "(?!)", re.DOTALL)


def _pattern(topic_filter: str) -> str:
    """Write a filter as a regular expression."""
    if topic_filter == "#":
        return r"(?!\$).*"
    above, has_rest = (topic_filter[:-2], "(?:/.*)?") if topic_filter.endswith("/#") else (topic_filter, "")
    levels = ("[^/]*" if level == "+" else re.escape(level) for level in above.split("/"))
    return (r"(?!\$)" if above[:1] == "+" else "") + "/".join(levels) + has_rest


def is_overlap(one: str, other: str) -> bool:
    """Tell whether some topic matches both filters.

    >>> is_overlap("+/cellar/#", "edgeseq/+/status"), is_overlap("a/+", "b/#")
    (True, False)
    """
    if (one[:1] == "$" and other[:1] in ("+", "#")) or (other[:1] == "$" and one[:1] in ("+", "#")):
        return False
    a, b = one.split("/"), other.split("/")
    for i in range(max(len(a), len(b)) + 1):
        x, y = a[i] if i < len(a) else None, b[i] if i < len(b) else None
        if x == "#" or y == "#":
            return True
        if x is None or y is None:
            return x is y
        if x != y and "+" not in (x, y):
            return False
    return True


def is_covered(inner: str, outer: str) -> bool:
    """Tell whether every topic that matches `inner` also matches `outer`.

    >>> is_covered("edgeseq/attic/#", "edgeseq/#"), is_covered("edgeseq/#", "edgeseq/attic/#")
    (True, False)
    """
    if inner[:1] == "$" and outer[:1] in ("+", "#"):
        return False
    a, b = inner.split("/"), outer.split("/")
    for i, level in enumerate(b):
        if level == "#":
            return True
        # `a/#` matches `a` and everything below: only a `#` at the same place covers that.
        if i >= len(a) or a[i] == "#" or level not in ("+", a[i]):
            return False
    return len(a) == len(b)


def slug(*parts: str, distinct: bool = False) -> str:
    """Name something by [a-z0-9-]: a pure function of its parts (topic and field, or a name).

    Where the plain slug loses information (upper case, spaces, other letters, excessive length, a reserved word)
    a digest of the parts is appended; `distinct` asks for it in any case.

    >>> slug("cellar", "temperature")
    'cellar-temperature'
    >>> slug("zigbee2mqtt/Living Room", "temperature")
    'zigbee2mqtt-living-room-temperature-pf7hx'
    """
    text = "/".join(parts)
    plain = _OTHER.sub("-", text.lower()).strip("-")
    lost = plain != _SEPARATOR.sub("-", text) or not plain or len(plain) > MAX_SLUG_CHARS
    if not (lost or distinct or plain in RESERVED_SLUGS):
        return plain
    source = "\0".join(parts).encode("utf-8", "surrogatepass")
    digest = base64.b32encode(hashlib.sha256(source).digest()).decode().lower()[:DIGEST_CHARS]
    return f"{plain[:MAX_SLUG_CHARS].strip('-')}-{digest}".lstrip("-")
