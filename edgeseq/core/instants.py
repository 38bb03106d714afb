"""Instants as integers and as text: what payloads bring and what edgeseq publishes."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

LIMIT_NS = 2**62
"""Instants lie within ±146 years of 1970, so that sums and differences of two never leave 64 bits."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_NAIVE = _EPOCH.replace(tzinfo=None)
_FRACTION = re.compile(r"(?<=:[0-9]{2})[.,]([0-9]+)")
_NUMBER = re.compile(r"[+-]?[0-9]{1,20}(\.[0-9]{1,20})?", re.ASCII)


def parse_instant(value: object) -> int | None:
    """Read a payload's time as ns since the epoch, or None where it is none.

    Takes ISO 8601 (without an offset: UTC) and epoch numbers, also as text, in s, ms, µs or ns by magnitude.
    Fractions of an epoch number are kept to the µs: float64 holds no more.

    >>> parse_instant("2026-03-01T10:00:00.5Z") == parse_instant(1772359200.5) == parse_instant("1772359200500")
    True
    """
    if type(value) is int or (type(value) is float and math.isfinite(value)):
        return _within(_from_epoch(value))
    if not isinstance(value, str):
        return None
    text = value.strip()
    if text.endswith("Z") or _NUMBER.fullmatch(text) is None:
        return _within(_parse_iso(text))
    number = float(text) if "." in text else int(text)
    return _within(_from_epoch(number))


def format_instant(time_ns: int) -> str:
    """Write an instant as ISO 8601 in UTC, with a fraction only where there is one.

    >>> format_instant(1772359200_000000000), format_instant(1772359200_500000000)
    ('2026-03-01T10:00:00Z', '2026-03-01T10:00:00.5Z')
    """
    seconds, rest_ns = divmod(time_ns, 10**9)
    if not rest_ns:
        return f"{_format_second(seconds)}Z"
    fraction = f"{rest_ns:09d}".rstrip("0")
    return f"{_format_second(seconds)}.{fraction}Z"


@lru_cache(maxsize=1024)
def _format_second(seconds: int) -> str:
    """Write a whole second; streams share most of them."""
    return (_EPOCH_NAIVE + timedelta(seconds=seconds)).isoformat()


def _within(time_ns: int | None) -> int | None:
    """Drop instants that edgeseq does not compute with."""
    return time_ns if time_ns is not None and -LIMIT_NS <= time_ns < LIMIT_NS else None


def _from_epoch(value: float) -> int:
    """Turn an epoch number into ns.

    Whether it is of s, ms, µs or ns is told by its size: each bound is the year 5138 in its unit, and 1973 in the next.
    """
    size = abs(value)
    unit_ns = 10**9 if size < 10**11 else 10**6 if size < 10**14 else 10**3 if size < 10**17 else 1
    if isinstance(value, int):
        return value * unit_ns
    per_us = unit_ns // 1000
    return round(value * per_us) * 1000 if per_us else round(value)


def _parse_iso(text: str) -> int | None:
    """Turn ISO 8601 into ns. The fraction is read apart: datetime stops at µs."""
    fraction = _FRACTION.search(text) if "." in text or "," in text else None
    try:
        moment = datetime.fromisoformat(_FRACTION.sub("", text, count=1) if fraction else text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - _EPOCH
    seconds = since.days * 86_400 + since.seconds
    return seconds * 10**9 + (int(fraction[1][:9].ljust(9, "0")) if fraction else 0)
