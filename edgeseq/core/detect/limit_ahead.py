"""limit_ahead: what is forecast crosses a configured limit within the horizon, more likely than not.

The forecast made at the step that has just closed is a value with a calibrated interval at each lead. It is taken for
a normal distribution of a width of its own on either side; between the calibrated leads it is linear. The probability
of an alert is that of lying beyond the limit at some lead, the largest there is: crossing and coming back within two
leads counts for nothing. The crossing lies where that probability reaches the configured one, its interval where it
reaches the share of outcomes below the calibrated interval and its complement.

Where persistence serves at all leads, which sees no ramp, and the last readings lie on a line (`trend`), the line is
the forecast; where a season serves some leads, a line through half a day of it would be none. A value beyond a limit
is out_of_range and no longer ahead.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edgeseq.core import pending
from edgeseq.core.detect import trend
from edgeseq.core.detect.kinds import Closed, Scores
from edgeseq.core.table import Column, Table, Work
from edgeseq.core.types import F64, I64, Bool

NEAR = 0.25
"""Share of the configured probability from which the crossing is worked out."""

LEAST_DEVIATION = 1e-12
"""Of a forecast, so that one without width crosses where its value does."""


class Ahead(NamedTuple):
    """Distributions at some leads (C, K, n)."""

    value: F64
    below: F64
    """Standard deviation below the value."""
    above: F64


def columns(channels: int) -> dict[str, Column]:
    """Keep nothing: all that it needs is there."""
    return {}


def score(table: Table, work: Work, closed: Closed) -> Scores:
    """Score the closed step: the probability of a crossing over the configured one."""
    value = closed.samples.value
    limits = closed.settings.limits
    nothing = np.full(value.shape, np.nan)
    if limits is None:
        return Scores(nothing)
    leads = np.array(closed.leads, np.float64)
    ahead = _ahead(table, work, closed, leads)
    probability = beyond(ahead, limits).max(axis=1, initial=0.0, where=np.isfinite(ahead.value))
    asked = closed.settings.crossing_probability
    crossing = [nothing.copy() for _ in range(3)]
    channels, rows = (closed.band.live & (probability >= NEAR * asked)).nonzero()
    if len(rows):
        tail = (1 - closed.settings.coverage) / 2
        chances = _by_lead(ahead, limits, leads, channels, rows)
        for found, level in zip(crossing, (asked, tail, 1 - tail), strict=True):
            found[channels, rows] = _first(chances, level)
    outside = (value < limits[:, :1]) | (value > limits[:, 1:])
    # The configured probability alone decides: it is no deviation that a sensitivity multiplies.
    scores = np.where(outside, 0.0, probability / asked / closed.settings.sensitivity)
    bounds = (np.broadcast_to(bound, value.shape) for bound in (limits[:, :1], limits[:, 1:]))
    lower, upper = (np.where(np.isfinite(bound), bound, np.nan) for bound in bounds)
    return Scores(np.where(closed.band.live, scores, np.nan), value, nothing, lower, upper, None, *crossing)


def _ahead(table: Table, work: Work, closed: Closed, leads: F64) -> Ahead:
    """Give the distributions of what serves, at the calibrated leads."""
    from statistics import NormalDist  # 0.2 MB, where there are limits

    step, deviations = closed.samples.step, NormalDist().inv_cdf((1 + closed.settings.coverage) / 2)
    made = pending.ahead(table, closed.leads, work.rows, step, work["anchor"], work["unit"])
    blended, naive = work["serving"] == pending.BLEND, made.value[pending.BASELINE]
    value, lower, upper = (
        np.where(blended, said, naive) for said in (made.value[pending.BLEND], made.lower, made.upper)
    )
    below, above = (
        np.maximum(side, LEAST_DEVIATION) / deviations
        for side in (value - lower + made.offset, upper - value + made.offset)
    )
    _follow_lines(table, work, closed, leads, Ahead(value, below, above))
    return Ahead(value, below, above)


def _follow_lines(table: Table, work: Work, closed: Closed, leads: F64, ahead: Ahead) -> None:
    """Put lines in the place of persistence, which repeats the last reading at each lead."""
    now = closed.samples.value
    persists = (work["serving"] == pending.BASELINE) & (ahead.value == now[:, None]).all(axis=1)
    lazy = persists.any(axis=0).nonzero()[0]
    if len(lazy) == 0:
        return
    window = trend.WINDOWS[-1]
    ring = table["history"].shape[2]
    at = (closed.samples.step[lazy, None] + np.arange(1 - window, 1)) % ring
    past = table["history"][work.rows[lazy][:, None, None], np.arange(len(now))[None, :, None], at[:, None]]
    past[:, :, -1] = now[:, lazy].T
    mean, deviation = trend.ahead(trend.fit(past), leads)
    lined = np.isfinite(mean) & persists[:, None, lazy]
    for part, put in zip(ahead, (mean, deviation, deviation), strict=True):
        part[:, :, lazy] = np.where(lined, put, part[:, :, lazy])


def beyond(ahead: Ahead, limits: F64) -> F64:
    """Give the probability (C, K, n) of lying beyond limits (C, 2)."""
    low, high = limits[:, 0, None, None], limits[:, 1, None, None]
    over = _normal((ahead.value - high) / np.maximum(ahead.above, LEAST_DEVIATION))
    under = _normal((low - ahead.value) / np.maximum(ahead.below, LEAST_DEVIATION))
    return np.fmax(over, under)


def _normal(z: F64) -> F64:
    """Give the normal distribution function within 0.0004 (Page 1977)."""
    probability: F64 = 0.5 * (1 + np.tanh(0.7978845608 * z * (1 + 0.044715 * z * z)))
    return probability


def _by_lead(ahead: Ahead, limits: F64, leads: F64, channels: I64, rows: I64) -> F64:
    """Give the probability beyond a limit at the leads 1 … H of some channels and rows (m, H)."""
    grid = np.arange(1, leads[-1] + 1)
    parts = []
    for part in ahead:
        own = part[channels, :, rows]
        parts.append(np.stack([np.interp(grid, leads, one) for one in own])[:, :, None])
    low, high = limits[channels, 0], limits[channels, 1]
    return beyond(Ahead(*parts), np.stack([low, high], axis=1))[:, :, 0]


def _first(chances: F64, level: float) -> F64:
    """Find the first lead (m,) at which chances (m, H) reach a level, linear between leads; NaN where none does."""
    reached: Bool = chances >= level
    at = reached.argmax(axis=1)
    rows = np.arange(len(chances))
    before, after = chances[rows, np.maximum(at - 1, 0)], chances[rows, at]
    share = np.divide(
        level - before, after - before, out=np.ones(len(chances)), where=(at > 0) & (after > before)
    )
    return np.where(reached.any(axis=1), at + np.where(at > 0, share, 1.0), np.nan)
