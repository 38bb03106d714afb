"""Variance change: a channel scatters around its forecasts as it never did.

Measured by how much each residual differs from the one before: a level shift or a drift moves residuals, too, but all
of them alike.
"""

from __future__ import annotations

import numpy as np

from edgeseq.core.detect import record
from edgeseq.core.detect.kinds import Closed, Scores
from edgeseq.core.table import Column, Table, Work

APART = 3
"""A difference counts by the lesser of it and the one so many readings before: a spike makes three large ones in a row
(it, and the reading after it, forecast by it), noise makes them at any distance."""

RATE = 1 / 16
"""Of the mean: 16 readings, a quarter of an hour of minutes. Longer ones see less change, but later."""

PASSING = ("variance_before", "variance_last")
"""Columns that a gap longer than the history makes worthless."""


def columns(channels: int) -> dict[str, Column]:
    """Declare the last residuals, their mean and its record."""
    return {
        "variance_before": Column((APART, channels), init=np.nan),
        "variance_last": Column((channels,), init=np.nan),
        "variance_mean": Column((channels,)),
        **record.columns("variance", channels),
    }


def score(table: Table, work: Work, closed: Closed) -> Scores:
    """Score the scatter of the residuals of lead 1 up to a closed step."""
    last, residual = work["variance_last"], closed.samples.value - closed.band.expected
    change = np.abs(residual - last)
    last[...] = residual
    before, mean, kept = work["variance_before"], work["variance_mean"], work["variance_record"]
    # Nor shall two wild readings move the mean by more than a record.
    both = np.minimum(np.minimum(change, before[0]), np.where(kept > 0, kept / RATE, np.inf))
    before[:-1] = before[1:].copy()
    before[-1] = change
    known = np.isfinite(both)
    np.copyto(mean, mean + RATE * (both - mean), where=known)
    learning = work["run_samples"] <= closed.learning_steps
    found = np.where(known, mean, np.nan)
    least = record.ROUNDING * np.abs(closed.samples.value)
    ratio = record.judge(work, "variance", found, closed.period_ns, learning, least)
    return Scores(
        np.where(learning, np.nan, ratio),
        observed=found,
        expected=np.full_like(found, np.nan),
        lower=np.zeros_like(found),
        upper=found / np.maximum(ratio, 1e-9),
    )
