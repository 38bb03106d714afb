"""When an alert is not told: snoozes and maintenance windows, as times and what they are about.

Whether an alert is muted follows from its own times and from what was asked, never from when somebody looked: so what
is said again after a crash is what was said before. A person's wish begins later than everything that was told before
it (`edgeseq.desk`), so that it changes nothing of the past.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

import msgspec

from edgeseq.core.types import AlertKind

FOR_EVER_NS = 2**62


class Mute(msgspec.Struct, frozen=True):
    """Alerts of what it names are not told in [begin_ns, end_ns)."""

    begin_ns: int
    end_ns: int
    streams: tuple[str, ...] = ()
    """Patterns of stream ids, with * and ?; none means all."""
    table: str | None = None
    """Key of a [[streams]] table, or None for all."""
    kind: str | None = None
    """Kind of anomaly, or None for all."""


MutesAt = Callable[[int], Sequence[Mute]]
"""Time → all mutes that hold then, and perhaps others; a pure function."""

_MOST_IN_A_ROW = 1000
"""Mutes that begin as the one before ends: more are taken as never ending."""


class Subject(NamedTuple):
    """What an alert is about."""

    stream: str
    table: str
    kind: AlertKind


def is_about(mute: Mute, subject: Subject) -> bool:
    """Tell whether a mute concerns an alert.

    >>> pump = Subject("pump1", "pumps", AlertKind.SPIKE)
    >>> is_about(Mute(0, 1, ("pump*",)), pump), is_about(Mute(0, 1, kind="silent"), pump)
    (True, False)
    """
    if mute.table is not None and mute.table != subject.table:
        return False
    if mute.kind is not None and mute.kind != subject.kind:
        return False
    return not mute.streams or any(fnmatchcase(subject.stream, pattern) for pattern in mute.streams)


def told_from(mutes_at: MutesAt, subject: Subject, time_ns: int) -> int:
    """Give the first moment from `time_ns` on at which an alert may be told.

    >>> pump = Subject("pump1", "pumps", AlertKind.SPIKE)
    >>> mutes = [Mute(5, 9), Mute(0, 6)]
    >>> told_from(lambda _: mutes, pump, 2), told_from(lambda _: mutes[:1], pump, 2)
    (9, 2)
    """
    moment_ns = time_ns
    for _ in range(_MOST_IN_A_ROW):
        ends = [mute.end_ns for mute in mutes_at(moment_ns) if _holds(mute, subject, moment_ns)]
        if not ends:
            return moment_ns
        moment_ns = max(ends)
    return FOR_EVER_NS


def is_muted(mutes_at: MutesAt, subject: Subject, time_ns: int) -> bool:
    """Tell whether an alert may not be told at a time."""
    return any(_holds(mute, subject, time_ns) for mute in mutes_at(time_ns))


def nothing_muted(_time_ns: int) -> Sequence[Mute]:
    """Mute nothing at any time."""
    return ()


def _holds(mute: Mute, subject: Subject, time_ns: int) -> bool:
    return mute.begin_ns <= time_ns < mute.end_ns and is_about(mute, subject)


def next_change_ns(mutes: Iterable[Mute], after_ns: int) -> int:
    """Give the next moment after which another set of alerts is muted.

    >>> next_change_ns([Mute(5, 9)], 5), next_change_ns([], 0) == FOR_EVER_NS
    (9, True)
    """
    edges = (edge_ns for mute in mutes for edge_ns in (mute.begin_ns, mute.end_ns) if edge_ns > after_ns)
    return min(edges, default=FOR_EVER_NS)
