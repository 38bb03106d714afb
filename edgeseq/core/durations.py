"""Durations as text, such as 10m: in configurations, on the command line and in messages."""

from __future__ import annotations

import re
from decimal import Decimal

UNITS_NS = {
    "w": 604_800 * 10**9,
    "d": 86_400 * 10**9,
    "h": 3600 * 10**9,
    "m": 60 * 10**9,
    "s": 10**9,
    "ms": 10**6,
}

WANTED = "a duration such as 90s, 10m, 1h30m or 7d"

_MAX_CHARS = 32
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|[wdhms])")


def parse_duration(text: str) -> int | None:
    """Read a positive duration as ns, or None where it is none.

    >>> parse_duration("90s"), parse_duration("1h30m"), parse_duration("10")
    (90000000000, 5400000000000, None)
    """
    parts = _PART.findall(text)
    if len(text) > _MAX_CHARS or "".join(number + unit for number, unit in parts) != text:
        return None
    total = sum(Decimal(number) * UNITS_NS[unit] for number, unit in parts)
    return int(total) or None


def format_duration(duration_ns: int) -> str:
    """Write a duration so that parse_duration reads it back; below 1 ms it is rounded up.

    >>> format_duration(5400 * 10**9), format_duration(604800 * 10**9)
    ('1h30m', '1w')
    """
    rest, parts = -(-duration_ns // UNITS_NS["ms"]) * UNITS_NS["ms"], []
    for unit, unit_ns in UNITS_NS.items():
        count, rest = divmod(rest, unit_ns)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)
