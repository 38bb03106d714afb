"""Variance change: a channel scatters around its forecasts as it never did.

Measured by how much each residual differs from the one before: a level shift or a drift moves residuals, too, but all
of them alike.
"""

from __future__ import annotations

import numpy as np

from edgeseq.core.detect import record, surprise
from edgeseq.core.detect.kinds import Scores
from edgeseq.core.detect.step import Step
from edgeseq.core.table import Column, Table, Work

APART = 3
"""A difference counts by the lesser of it and the one so many readings before: a spike makes three large ones in a row
(it, and the reading after it, forecast by it), noise makes them at any distance."""

RATE = 1 / 16
"""Of the mean: 16 readings, a quarter of an hour of minutes. Longer ones see less change, but later."""

PASSING = ("variance_before", "variance_last")
"""Columns that a gap longer than the history makes worthless."""


def columns(channels: int) -> dict[str, Column]:
    """Declare the last residuals and their mean."""
    return {
        "variance_before": Column((APART, channels), init=np.nan),
        "variance_last": Column((channels,), init=np.nan),
        "variance_mean": Column((channels,)),
    }


def measure(table: Table, work: Work, step: Step) -> None:
    """Find the scatter of the residuals of lead 1 up to a closed step."""
    last, residual = work["variance_last"], step.value - step.band.expected
    change = np.abs(residual - last)
    last[...] = residual
    before, mean, found = work["variance_before"], work["variance_mean"], step.found[record.VARIANCE]
    # Nor shall two wild readings move the mean by more than a record.
    both = np.minimum(np.minimum(change, before[0]), record.several(1 / RATE, work["variance_record"]))
    before[:-1] = before[1:]
    before[-1] = change
    known = np.isfinite(both)
    np.copyto(mean, mean + RATE * (both - mean), where=known)
    found[...] = mean
    if np.count_nonzero(known) < known.size:
        found[~known] = np.nan


def score(table: Table, work: Work, step: Step) -> Scores:
    """Score that scatter."""
    found, ratio = step.found[record.VARIANCE], step.ratio[record.VARIANCE]
    return Scores(
        ratio,
        observed=found,
        expected=np.full(found.shape, np.nan),
        lower=np.zeros(found.shape),
        upper=found / np.maximum(ratio, 1e-9) * surprise.factor(work),
    )
