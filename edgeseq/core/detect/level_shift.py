"""Level shift: a channel is suddenly elsewhere, and stays.

Two statistics, each by its own record; the greater one scores. The sooner: three readings in a row lie on one side of
what was forecast eight steps earlier (a forecast of one step has followed by then), their least distance. The surer:
the mean departure from the slow daily profile. Neither counts where the way there was gradual.
"""

from __future__ import annotations

import numpy as np

from edgeseq.core.detect import departure, record
from edgeseq.core.detect.kinds import Closed, Scores
from edgeseq.core.table import Column, Table, Work
from edgeseq.core.types import F64

LEAD = 8
"""Of the forecasts that are compared: beyond the three readings that show a shift, near enough to be narrow."""

SCATTER = 2.0
"""Times the nearest of the three that the farthest is away at most: of noise that has grown three may lie on one side,
too, but seldom together."""

NOISES = 3.0
"""Mean differences of neighbouring residuals that their distance is at least: what they share, not how they differ."""

SOON_SHARE = 0.7
"""Least share of that distance that must have come with one reading; the noise of the last hundred may do for less."""

PASSING = ("level_before", *departure.PASSING)
"""Columns that a gap longer than the history makes worthless."""


def columns(channels: int) -> dict[str, Column]:
    """Declare the last two residuals and the records of both statistics; and the departure, which `drift` uses, too."""
    return {
        "level_before": Column((2, channels), init=np.nan),
        **departure.columns(channels),
        **record.columns("level", channels),
        "departure_ratio": Column((channels,)),
    }


def score(table: Table, work: Work, closed: Closed) -> Scores:
    """Score a closed step. Asked before `drift` and `profile`, which read the departure that it follows."""
    departure.follow(table, work, closed)
    value, age, period_ns = closed.samples.value, work["run_samples"], closed.period_ns
    expected = _expected(closed)
    least = record.ROUNDING * np.abs(value)
    off = _same_side(work, value - expected)
    # Where noise has grown three readings may lie on one side, too; `variance` follows it.
    off = np.where(off < NOISES * work["variance_mean"], 0.0, off)
    learning = age <= closed.learning_steps
    soon = record.judge(work, "level", off, period_ns, learning, least)
    # On its first day a stream has no profile to depart from.
    day = record.DAY_NS / period_ns
    found = np.where(age > day, np.abs(work["departure_mean"]), np.nan)
    found[~closed.samples.observed] = np.nan
    still = age <= max(closed.learning_steps, 2 * day)
    sure = record.judge(work, "departure_mean", found, period_ns, still, least)
    sure = np.where(still, np.nan, sure)
    work["departure_ratio"][...] = sure
    sudden = np.where(departure.jumped(work, off, SOON_SHARE), soon, 0.0)
    stays = np.where(departure.jumped(work, found), sure, 0.0)
    return Scores(np.where(learning, np.nan, np.fmax(sudden, stays)), expected=expected)


def _expected(closed: Closed) -> F64:
    """Give what was forecast LEAD steps earlier, or as near to it as is calibrated, by what serves (C, n)."""
    k = int(np.searchsorted(closed.leads, LEAD, side="right")) - 1
    return np.where(closed.band.is_model, closed.forecasts[1, :, k], closed.forecasts[0, :, k])


def _same_side(work: Work, residual: F64) -> F64:
    """Give the least distance of three residuals in a row, 0 where they are not on one side, or scatter (C, n)."""
    before = work["level_before"]
    least = np.minimum(np.minimum(before[0], before[1]), residual)
    most = np.maximum(np.maximum(before[0], before[1]), residual)
    before[0], before[1] = before[1], residual
    # Never -0.0: which of two zeros a maximum gives depends on the batch, and states are compared bit for bit.
    near, far = np.maximum(least, -most) + 0.0, np.maximum(most, -least)
    return np.where(np.isnan(near), np.nan, np.where(far <= SCATTER * near, near, 0.0))
