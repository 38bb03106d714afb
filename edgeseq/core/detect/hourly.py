"""Unusual for the hour: the mean of three residuals leaves the range that such means had, by how much of that range.

The residual is that of a quick profile of the day's two-hour bins, or of the week's, whichever erred less lately.
Within a bin the profile follows the readings, so it is also a test for sudden moves. The range shrinks a little with
every reading (records, not quantiles: those hurt).
"""

from __future__ import annotations

import numpy as np

from edgeseq.core.detect import record
from edgeseq.core.detect.step import BINS, Step
from edgeseq.core.table import Column, Table, Work
from edgeseq.core.types import F64, I64, Bool, Index

DAY_RATE, WEEK_RATE = 0.2, 0.3
"""Of the two profiles per reading: the last five readings of a bin, and the last three."""

_RATES = np.array([DAY_RATE, WEEK_RATE])[:, None, None]

ERROR_RATE = 0.001
"""Of the errors that choose between them: a thousand readings."""

SHRINKING = 1e-4
"""Share of the range that it loses at each end with a reading: it halves in 3,500."""

WARM = 50
"""Readings until the range grows by at most twice itself at a time: one glitch must not blind it."""
MOST_GROWTH = 2.0

WEEK = 7 * BINS
MOST_COUNT = 255

PROFILES = ("hourly_day", "hourly_week")


def columns(channels: int) -> dict[str, Column]:
    """Declare both profiles, the count of their readings as far as it matters, residuals, errors and the range."""
    day, week, c = (channels, BINS), (channels, WEEK), (channels,)
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


def excess(table: Table, work: Work, step: Step, value: F64) -> F64:
    """Score readings (C, n), bounded, by the profiles as they were before, then learn; 0 where nothing was seen."""
    seen, base, error = step.samples.observed, work["hourly_base"], work["hourly_error"]
    if np.count_nonzero(np.isnan(base)):
        np.copyto(base, value, where=np.isnan(base) & seen)
    # In single precision relative to the first reading, so that large levels lose nothing.
    x = value - base
    if not step.all_seen:
        x[~seen] = 0.0
    places = step.bin, step.place * WEEK + (step.since % WEEK).astype(np.intp, copy=False)
    mean, count = _profiles(table, places)
    expected = mean
    if np.count_nonzero(count) < count.size:
        by_day = np.where(count[0] > 0, mean[0], x)
        expected = np.stack([by_day, np.where(count[1] > 0, mean[1], by_day)])
    residual = x - np.where(error[0] <= error[1], expected[0], expected[1])
    np.copyto(error, error + ERROR_RATE * (np.abs(x - expected) - error), where=seen)
    # Faster while it is young.
    rate = np.maximum(_RATES, 1 / (count + 1)) * seen
    _keep(table, places, mean + rate * (x - mean), np.minimum(count + seen, MOST_COUNT))
    return _beyond(work, _mean_of_three(work, residual, seen), step)


def threshold(step: Step) -> F64:
    """Give the excess from which a reading is unusual (C, n): half the range is a record of so many days (`record`)."""
    days = step.age * np.float64(step.period_ns / record.DAY_NS)
    most: F64 = (record.stretch(days) - 1) / 2
    return most


def _profiles(table: Table, places: tuple[Index, Index]) -> tuple[F64, I64]:
    """Look up what the day and the week expect, and how many readings say so (2, C, n)."""
    shape = len(PROFILES), *places[0].shape
    mean, count = np.empty(shape), np.empty(shape, np.int64)
    for k, (name, at) in enumerate(zip(PROFILES, places, strict=True)):
        mean[k] = table[name].reshape(-1).take(at)
        count[k] = table[f"{name}_count"].reshape(-1).take(at)
    return mean, count


def _keep(table: Table, places: tuple[Index, Index], mean: F64, count: I64) -> None:
    """Write back what `_profiles` gave."""
    for k, (name, at) in enumerate(zip(PROFILES, places, strict=True)):
        table[name].reshape(-1)[at] = mean[k]
        table[f"{name}_count"].reshape(-1)[at] = count[k]


def _mean_of_three(work: Work, residual: F64, seen: Bool) -> F64:
    """Average the last three residuals, or as many as there are."""
    before = work["hourly_before"]
    known = np.isfinite(before)
    if np.count_nonzero(known) == known.size:
        mean: F64 = (residual + before[0] + before[1]) / 3.0
    else:
        total = residual + np.where(known[0], before[0], 0.0) + np.where(known[1], before[1], 0.0)
        mean = total / (1.0 + known[0] + known[1])
    np.copyto(before[0], before[1], where=seen)
    np.copyto(before[1], residual, where=seen)
    return mean


def _beyond(work: Work, mean: F64, step: Step) -> F64:
    """Say how far means lie outside their range, in ranges; then move the range."""
    low, high, seen = work["hourly_low"], work["hourly_high"], step.samples.observed
    width = high - low
    outside = np.maximum(np.maximum(mean - high, low - mean), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        found: F64 = outside / width
    unknown = width <= 0
    if not step.all_seen or np.count_nonzero(unknown):
        found[unknown | ~seen] = 0.0
    most, young = MOST_GROWTH * width, step.age <= WARM
    if np.count_nonzero(young):
        most[young] = np.inf
    shrunk = SHRINKING * width
    np.copyto(high, np.maximum(high - shrunk, np.minimum(mean, high + most)), where=seen)
    np.copyto(low, np.minimum(low + shrunk, np.maximum(mean, low - most)), where=seen)
    return found
