"""Unusual for the hour: the mean of three residuals leaves the range that such means had, by how much of that range.

The residual is that of a quick profile of the day's two-hour bins, or of the week's, whichever erred less lately.
Within a bin the profile follows the readings, so it is also a test for sudden moves. The range shrinks a little with
every reading (records, not quantiles: those hurt).
"""

from __future__ import annotations

import numpy as np

from edgeseq.core.detect.departure import BINS, bins
from edgeseq.core.table import Column, Table, Work
from edgeseq.core.types import F64, I64, Bool

DAY_RATE, WEEK_RATE = 0.2, 0.3
"""Of the two profiles per reading: the last five readings of a bin, and the last three."""

ERROR_RATE = 0.001
"""Of the errors that choose between them: a thousand readings."""

SHRINKING = 1e-4
"""Share of the range that it loses at each end with a reading: it halves in 3,500."""

WARM = 50
"""Readings until the range grows by at most twice itself at a time: one glitch must not blind it."""
MOST_GROWTH = 2.0

DAY_NS = 86_400 * 10**9


def columns(channels: int) -> dict[str, Column]:
    """Declare both profiles, the count of their readings as far as it matters, residuals, errors and the range."""
    day, week, c = (channels, BINS), (channels, 7 * BINS), (channels,)
    return {
        "hourly_day": Column(day, "float32", apart=True),
        "hourly_day_count": Column(day, "uint8", 0),
        "hourly_week": Column(week, "float32", apart=True),
        "hourly_week_count": Column(week, "uint8", 0),
        "hourly_base": Column(c, init=np.nan),
        "hourly_before": Column((2, channels), init=np.nan),
        "hourly_error": Column((2, channels)),
        "hourly_low": Column(c),
        "hourly_high": Column(c),
    }


def excess(table: Table, work: Work, value: F64, seen: Bool, time_ns: I64) -> F64:
    """Score readings (C, n) by the profiles as they were before, then learn; 0 where nothing was seen."""
    base = work["hourly_base"]
    np.copyto(base, value, where=np.isnan(base) & seen)
    # In single precision relative to the first reading, so that large levels lose nothing.
    x = np.where(seen, value - base, 0.0)
    at = bins(time_ns)
    in_week = time_ns // DAY_NS % 7 * BINS + at
    day, known = _profile(table, work, "hourly_day", at)
    week, known_week = _profile(table, work, "hourly_week", in_week)
    by_day = np.where(known > 0, day, x)
    by_week = np.where(known_week > 0, week, by_day)
    error = work["hourly_error"]
    residual = x - np.where(error[0] <= error[1], by_day, by_week)
    for mine, expected in zip(error, (by_day, by_week), strict=True):
        np.copyto(mine, mine + ERROR_RATE * (np.abs(x - expected) - mine), where=seen)
    _learn(table, work, "hourly_day", at, (day, known), x, np.where(seen, DAY_RATE, 0.0))
    _learn(table, work, "hourly_week", in_week, (week, known_week), x, np.where(seen, WEEK_RATE, 0.0))
    return _beyond(work, _mean_of_three(work, residual, seen), seen)


def _profile(table: Table, work: Work, name: str, at: I64) -> tuple[F64, I64]:
    """Look up what is expected, and how many readings say so, at most 255 (C, n)."""
    where = (work.rows, slice(None), at)
    return table[name][where].T.astype(np.float64), table[f"{name}_count"][where].T.astype(np.int64)


def _learn(table: Table, work: Work, name: str, at: I64, old: tuple[F64, I64], x: F64, rate: F64) -> None:
    """Move what `_profile` gave (C, n), faster while it is young, not at all where the rate is 0."""
    (mean, count), seen, where = old, rate > 0, (work.rows, slice(None), at)
    rate = np.where(seen, np.maximum(rate, 1 / (count + 1)), 0.0)
    table[name][where] = (mean + rate * (x - mean)).T
    table[f"{name}_count"][where] = np.minimum(count + seen, 255).T


def _mean_of_three(work: Work, residual: F64, seen: Bool) -> F64:
    """Average the last three residuals, or as many as there are."""
    before = work["hourly_before"]
    known = np.isfinite(before)
    total = residual + np.where(known[0], before[0], 0.0) + np.where(known[1], before[1], 0.0)
    mean: F64 = total / (1.0 + known[0] + known[1])
    np.copyto(before[0], before[1], where=seen)
    np.copyto(before[1], residual, where=seen)
    return mean


def _beyond(work: Work, mean: F64, seen: Bool) -> F64:
    """Say how far means lie outside their range, in ranges; then move the range."""
    low, high = work["hourly_low"], work["hourly_high"]
    width = high - low
    outside = np.maximum(np.maximum(mean - high, low - mean), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(seen & (width > 0), outside / width, 0.0)
    most = np.where(work["run_samples"] <= WARM, np.inf, MOST_GROWTH * width)
    shrunk = SHRINKING * width
    np.copyto(high, np.maximum(high - shrunk, np.minimum(mean, high + most)), where=seen)
    np.copyto(low, np.minimum(low + shrunk, np.maximum(mean, low - most)), where=seen)
    return found
