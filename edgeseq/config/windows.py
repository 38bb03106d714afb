"""Windows in which alerts are not told: once or every week, in local time, as concrete spans around a moment."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo

import msgspec

from edgeseq.core.instants import LIMIT_NS, parse_instant
from edgeseq.core.muting import FOR_EVER_NS, Mute

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

WANTED = 'a time such as 2026-03-01T10:00:00Z, or a weekday and time such as "Sun 02:00" for every week'

_WEEKLY = re.compile(rf"({'|'.join(DAYS)}) ([01][0-9]|2[0-3]):([0-5][0-9])")
_WEEK = timedelta(days=7)
_NEVER_NS = -(2**62)


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """A time in which alerts of what it names are not told."""

    begin: str
    end: str
    streams: tuple[str, ...] = ()
    """Patterns of stream ids; none means all."""
    table: str | None = None
    """Key of a [[streams]] table."""
    kind: str | None = None
    time_zone: str = "UTC"
    """Of weekdays and times without an offset."""
    not_before_ns: int = _NEVER_NS
    """When it was asked for: nothing before it is changed."""
    not_after_ns: int = FOR_EVER_NS
    """When it was ended."""


def fault_of(window: Window) -> str | None:
    """Say what is wrong with a window, or None."""
    zone = _zone(window.time_zone)
    if zone is None:
        return f"no such time zone: {window.time_zone}"
    weekly = [_WEEKLY.fullmatch(text) is not None for text in (window.begin, window.end)]
    for text, is_weekly in zip((window.begin, window.end), weekly, strict=True):
        if not is_weekly and _instant(text, zone) is None:
            return f"{text!r} is no time; wanted {WANTED}"
    if weekly[0] is not weekly[1]:
        return "one end is a weekday and the other a date; wanted two of a kind"
    if weekly[0]:
        return "it has no length" if window.begin == window.end else None
    begin_ns, end_ns = _instant(window.begin, zone), _instant(window.end, zone)
    is_backward = begin_ns is not None and end_ns is not None and end_ns <= begin_ns
    return "it ends before it begins" if is_backward else None


def is_weekly(window: Window) -> bool:
    """Tell whether it comes again every week."""
    return _WEEKLY.fullmatch(window.begin) is not None


def end_ns(window: Window) -> int:
    """Give the time after which it mutes nothing any more."""
    if is_weekly(window):
        return window.not_after_ns
    return min(_instant(window.end, _zone(window.time_zone) or UTC) or 0, window.not_after_ns)


def mutes_of(window: Window, time_ns: int) -> Iterator[Mute]:
    """Give what a window mutes within a week of a time; `fault_of` has found none."""
    zone = _zone(window.time_zone) or UTC
    spans = (
        _occurrences(window, zone, time_ns)
        if is_weekly(window)
        else [(_instant(window.begin, zone) or 0, _instant(window.end, zone) or 0)]
    )
    for begin, end in spans:
        begin_ns, end_ns = max(begin, window.not_before_ns), min(end, window.not_after_ns)
        if begin_ns < end_ns:
            yield Mute(begin_ns, end_ns, window.streams, window.table, window.kind)


def _occurrences(window: Window, zone: tzinfo, time_ns: int) -> Iterator[tuple[int, int]]:
    """Lay a weekly window on the weeks before, of and after a time, by the clock on the wall."""
    first, last = _minutes(window.begin), _minutes(window.end)
    length = (last - first) % _WEEK
    now = datetime.fromtimestamp(time_ns // 10**9, zone).replace(tzinfo=None)
    monday = datetime.combine(now.date(), datetime.min.time()) - timedelta(days=now.weekday())
    for weeks in (-1, 0, 1):
        begin = monday + weeks * _WEEK + first
        yield _ns(begin, zone), _ns(begin + length, zone)


def _minutes(text: str) -> timedelta:
    found = _WEEKLY.fullmatch(text)
    if found is None:
        raise ValueError(text)
    return timedelta(days=DAYS.index(found[1]), hours=int(found[2]), minutes=int(found[3]))


def _instant(text: str, zone: tzinfo) -> int | None:
    """Read a time; one without an offset is the zone's. None where it is none that edgeseq computes with."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            time_ns = _ns(moment, zone)
            return time_ns if abs(time_ns) < LIMIT_NS else None
    except (ValueError, OverflowError):
        return parse_instant(text)
    return parse_instant(text)


def _ns(local: datetime, zone: tzinfo) -> int:
    return int(local.replace(tzinfo=zone).timestamp()) * 10**9


def _zone(name: str) -> tzinfo | None:
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # of no use where all is in UTC

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
