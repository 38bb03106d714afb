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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseq.core.detect.kinds import MOST_SCORE
from edgeseq.core.table import Column, Work
from edgeseq.core.types import F64, Bool

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


def columns(name: str, channels: int) -> dict[str, Column]:
    """Declare a record, and what waits to enter it."""
    return {f"{name}_{part}": Column((channels,)) for part in ("record", "held", "fresh")}


def judge(
    work: Work, name: str, found: F64, period_ns: int, learning: Bool, least: F64 | float
) -> F64:  # fmt: skip
    """Divide a statistic by its threshold, then let the record learn.

    Args:
        work: the rows; `run_samples` counts their readings, this one included.
        name: of the record.
        found: (C, n) at least 0; NaN where there is nothing to judge.
        period_ns: time between two steps.
        learning: (C, n) what is seen enters the record at once.
        least: the threshold is never lower.

    Returns:
        (C, n): 1 is the threshold; NaN where nothing is found.
    """
    record: NDArray[Any] = work[f"{name}_record"]
    day, age = period_ns / DAY_NS, work["run_samples"]
    threshold = record * stretch(age * day)
    ratio = _ratio(found, np.maximum(threshold, least))
    record *= np.exp(-FADE * day)
    _learn(work, name, found, threshold, learning)
    return ratio


def stretch(days: F64) -> F64:
    """Give what a record of so many days is multiplied by.

    >>> stretch(np.array([28 / 16, 28.0, 99.0]))
    array([2.5 , 1.25, 1.25])
    """
    stretched: F64 = MEMORY_DAYS / np.clip(days, 1e-3, MEMORY_DAYS)
    return MARGIN * np.sqrt(np.sqrt(stretched))


def _ratio(found: F64, threshold: F64) -> F64:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.minimum(found / threshold, MOST_SCORE)
    return np.where((threshold == 0) & (found == 0), 0.0, ratio)


def _learn(work: Work, name: str, found: F64, threshold: F64, learning: Bool) -> None:
    record, held, fresh = (work[f"{name}_{part}"] for part in ("record", "held", "fresh"))
    np.fmax(record, found, out=record, where=learning)
    np.fmax(fresh, found, out=fresh)
    enters = (work["run_samples"] % HELD == 0) & np.isfinite(found)
    if not np.count_nonzero(enters):
        return
    most = np.where(threshold > 0, MOST_GROWTH * threshold, np.inf)
    np.copyto(record, np.maximum(record, np.minimum(held, most)), where=enters)
    np.copyto(held, fresh, where=enters)
    np.copyto(fresh, 0.0, where=enters)
