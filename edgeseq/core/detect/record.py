"""A threshold of each stream's own: the record of what it did, held back, stretched while little was seen.

A statistic (a mean departure, a scatter, …) is divided by its own record. The next of n days exceeds the record of the
first n with chance 1/(n + 1), whatever the distribution (exchangeability, as in conformal prediction); by a factor m
less often by m^-TAIL where tails are powers. So the record of n days times (MEMORY_DAYS/n)^(1/TAIL) is exceeded about
once in MEMORY_DAYS.

What is new enters the record late and bounded: an anomaly shall not explain itself while it lasts, one outage not blind
the stream for good.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from edgeseq.core.detect.kinds import MOST_SCORE
from edgeseq.core.table import Column, Work
from edgeseq.core.types import F64, I64, Bool

DAY_NS = 86_400 * 10**9

MEMORY_DAYS = 28.0
"""One false alarm of a kind in four weeks: four kinds keep a record, so together one a week."""

TAIL = 4.0
"""Exponent of the tails of what is recorded: means and scatters of sensors have about that (the median record of two to
eight weeks was 1.1 to 1.5 times that of two weeks of hours); Gaussian ones are lighter."""

MARGIN = 1.25
"""What the record is stretched by however old it is: ties and near misses are no news."""

FADE = math.log(MARGIN) / MEMORY_DAYS
"""Logarithm that a record loses a day: an alarm raises it by the margin at least, MEMORY_DAYS without one undo that. So
a stream that grew calm is watched closely again, yet by fading alone it alarms no more often than it should."""

HELD = 100
"""Readings that what is new waits before it enters the record, at least; at most twice as many."""

MOST_GROWTH = 2.0
"""Thresholds that a record grows by at most at once."""

ROUNDING = 1e-6
"""Least threshold as a share of the reading: single precision's resolution is no anomaly."""

TINY = 5e-324
"""Least threshold of all, so that nothing is divided by 0: the smallest positive number."""


class Record(NamedTuple):
    """A record of a stream's own."""

    name: str
    """Its columns begin so."""
    learning_days: float = 0.0
    """What is seen enters it at once for so long, or as long as a new stream learns."""
    least: float = 0.0
    """The threshold is never lower."""


RECORDS = (
    Record("level"),
    # On its first day a stream has no profile to depart from.
    Record("departure_mean", learning_days=2),
    Record("departure_change"),
    Record("variance"),
    # Of two days one cannot tell which is the ordinary one; a day that keeps half of its profile is none that is
    # broken, however regular the others were.
    Record("profile", learning_days=3, least=0.5),
)
"""All of them (axis R): they are judged together, since NumPy's cost is by the call."""

LEVEL, MEAN, CHANGE, VARIANCE, PROFILE = range(len(RECORDS))


def columns(channels: int, records: Sequence[Record] = RECORDS) -> dict[str, Column]:
    """Declare records, and what waits to enter them: each part of all records stands together."""
    return {name: Column((channels,)) for name in _names(tuple(records))}


@cache
def _names(records: tuple[Record, ...]) -> tuple[str, ...]:
    return tuple(f"{one.name}_{part}" for part in ("record", "held", "fresh") for one in records)


@cache
def learning_steps(least: int, day: float, records: tuple[Record, ...] = RECORDS) -> F64:
    """Give the readings for which each record learns at once (R, 1, 1), for a day of so many steps."""
    return np.array([max(least, one.learning_days * day) for one in records])[:, None, None]


def judge(
    work: Work,
    found: F64,
    period_ns: int,
    learning: Bool,
    least: F64,
    records: tuple[Record, ...] = RECORDS,
) -> F64:
    """Divide statistics by their thresholds, then let the records learn.

    Args:
        work: the rows; `run_samples` counts their readings, this one included.
        found: (R, C, n) at least 0; NaN where there is nothing to judge.
        period_ns: time between two steps.
        learning: (R, C, n) what is seen enters the record at once.
        least: (R, C, n) thresholds are never lower.

    Returns:
        (R, C, n): 1 is the threshold; NaN where nothing is found.
    """
    kept, held, fresh = work.together(_names(records)).reshape(3, *found.shape)
    age = work["run_samples"]
    threshold = kept * stretch(age * (period_ns / DAY_NS))
    with np.errstate(over="ignore"):
        ratio: F64 = found / np.maximum(np.maximum(threshold, least), TINY)
    np.minimum(ratio, MOST_SCORE, out=ratio)
    kept *= _fade(period_ns)
    if np.count_nonzero(learning):
        np.fmax(kept, found, out=kept, where=learning)
    np.fmax(fresh, found, out=fresh)
    at = (age % HELD == 0).any(axis=0).nonzero()[0]
    if len(at):
        _enter(kept, held, fresh, at, (age[:, at] % HELD == 0) & np.isfinite(found[..., at]), threshold)
    return ratio


@cache
def _fade(period_ns: int) -> float:
    """Give what is left of a record after a step."""
    return float(np.exp(-FADE * (period_ns / DAY_NS)))


def stretch(days: F64) -> F64:
    """Give what a record of so many days is multiplied by.

    >>> stretch(np.array([28 / 16, 28.0, 99.0]))
    array([2.5 , 1.25, 1.25])
    """
    stretched: F64 = MEMORY_DAYS / np.minimum(np.maximum(days, 1e-3), MEMORY_DAYS)
    return MARGIN * np.sqrt(np.sqrt(stretched))


def _enter(kept: F64, held: F64, fresh: F64, at: I64, enters: Bool, threshold: F64) -> None:
    """Let what was held enter the records of the rows at `at` (m,), where it is time to (R, C, m)."""
    most = several(MOST_GROWTH, threshold[..., at])
    grown = np.maximum(kept[..., at], np.minimum(held[..., at], most))
    kept[..., at] = np.where(enters, grown, kept[..., at])
    held[..., at] = np.where(enters, fresh[..., at], held[..., at])
    fresh[..., at] = np.where(enters, 0.0, fresh[..., at])


# --- bounds -----------------------------------------------------------------------------------------------------


def several(times: float, kept: F64) -> F64:
    """Multiply records, or what else is at least 0; infinite where it is 0: nothing is known there yet."""
    most: F64 = times * kept
    if np.count_nonzero(kept) < kept.size:
        most[kept == 0] = np.inf
    return most


def bounded(value: F64, most: F64 | float) -> F64:
    """Bound to both sides of 0; NaN stays NaN."""
    # np.clip costs ten times as much, four microseconds a call.
    within: F64 = np.minimum(np.maximum(value, -most), most)
    return within
