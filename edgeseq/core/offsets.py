"""By how much intervals are widened: offsets in scales of error, what a scale is now, and how offsets learn.

A scale is the mean absolute error of the lead. It follows slowly, and for a long lead late; so it is multiplied by
the swing, the square root of how much larger errors of lead 1 have been of late than usual. A sensor whose readings
scatter twice as wide so has wider intervals at all leads, long before their own outcomes have come.

After each outcome an offset moves: out by step x coverage when the outcome fell outside, in by step x (1 - coverage)
when inside (the quantile tracking step of conformal PID control, Angelopoulos et al. 2023; adaptive conformal
inference, Gibbs & Candès 2021). What is outside of it sums up to (offset now - offset at first) / step, so the share
inside is wrong in the long run by as much as the offset had to move. So the step grows with how far the offset is
from where one expects it: 1 + (distance / STRETCH)², as the derivative of the tangent by which that paper saturates
its integrator. Near to it a small step costs little width.

Forecasts made before a shock, an outcome of lead 1 outside the alert band, know nothing of it: their misses are one
event and not as many as there are leads. They neither widen the scale nor, for now, the offset, but are owed, and a
little more than promised is held until they are made good. Not so beyond MOST_DEFERRED_LEAD: what one shock costs
there is not made good within weeks, and in the meantime less would be held than is promised.

Axes: F calibrated forecasters, C channels, K calibrated leads, n rows of a batch.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

from edgeseq.core.pending import BASELINE, CALIBRATED, leads_up_to
from edgeseq.core.table import Column, Work
from edgeseq.core.types import F64, Bool

MOST_SWING, LEAST_SWING = 5.0, 0.2
"""Bounds of the recent error of lead 1 over the usual one."""

STEP, STEP_POWER = 0.035, -1 / 3
"""Scales that the offset moves per outcome: STEP · lead ^ STEP_POWER. Feedback of long leads comes late and repeats
itself, so that long strides oscillate and cost width; with short ones what has gone wrong is not made good in weeks."""

STRETCH, MOST_STRETCH = 0.5, 3.0
"""Scales from the expected offset at which the step is twice as long, and how often it is so long at most."""

FIRST_STEP, FIRST_SUM = 0.5, 5.0
"""Scales that the first offsets move: FIRST_SUM over the number of outcomes, FIRST_STEP at most. A new stream finds its
level within some twenty outcomes. With one over the square root of their number a lead of 96 steps still took longer
strides after 8,000 outcomes than it was meant to, and intervals there were 2 % worse."""

LEAST_OFFSET = (0.0, -50.0)
"""Scales, by forecaster: the baseline's interval has no width to be narrowed, and a sensor that stands still for long
has no scale that would bound how far it goes."""

MOST_DEFERRED_LEAD = 48
"""Steps. Deferred at 96, too, level shifts in the recording itself left the worst channel 10 points short there."""

DEFER_AFTER = 96
"""Outcomes of a lead before anything is deferred: a young stream's alert band is left often."""

REPAID = 0.03
"""Share of the outcomes that is held beyond what is promised while something is owed; never more than half of those
that may be missed."""

MOST_OWED = 10.0
"""Reaches that are owed at most; what goes beyond is learned from at once. A stream of shocks alone has no other."""

_LEAST = np.array(LEAST_OFFSET)[:, None, None, None]


def columns(channels: int, horizon: int) -> dict[str, Column]:
    """Declare the state."""
    fck = (CALIBRATED, channels, len(leads_up_to(horizon)))
    return {
        "offset_scales": Column(fck, init=np.nan),
        "owed": Column(fck),
        "error": Column(fck, init=np.nan),
        "recent_error": Column(fck[:2], init=np.nan),
    }


def in_sensor_units(work: Work) -> F64:
    """Give the offsets in sensor units (F, C, K, n); NaN while nothing was scored."""
    offsets: F64 = work["offset_scales"] * work["error"]
    offsets *= swing(work)[:, :, None]
    return offsets


def swing(work: Work) -> F64:
    """Give what scales are multiplied by for the recent errors of lead 1 (F, C, n); 1 while nothing is known."""
    usual = work["error"][:, :, 0]
    ratio: F64 = np.divide(work["recent_error"], usual, out=np.ones_like(usual), where=usual > 0)
    np.copyto(ratio, 1.0, where=np.isnan(ratio))
    np.maximum(ratio, LEAST_SWING, out=ratio)
    np.minimum(ratio, MOST_SWING, out=ratio)
    return np.sqrt(ratio, out=ratio)


def learn(
    work: Work,
    leads: tuple[int, ...],
    miss: F64,
    outside: Bool,
    valid: Bool,
    coverage: float,
    season_steps: int,
) -> Bool:
    """Move offsets → which outcomes are deferred; all (F, C, K, n) but the leads.

    miss: how far outcomes lay beyond the raw interval, negative inside of it.
    outside: which lay outside of the published one.
    """
    rule = _rule(leads, coverage, season_steps)
    offset, count, owed = work["offset_scales"], work["scored"], work["owed"]
    deferred = work["calm"][:, :, None] < rule.reach
    deferred &= outside
    deferred &= valid
    deferred &= count > DEFER_AFTER
    deferred &= owed < MOST_OWED * rule.reach
    repaid = np.minimum(owed, min(REPAID, (1 - coverage) / 2))
    hit = outside - (1 - coverage) + repaid
    np.copyto(hit, 0.0, where=deferred)
    started = np.where(np.isnan(offset), (miss > 0).astype(np.float64), offset)
    moved = _steps(started, count, rule)
    moved *= hit
    moved += started
    np.maximum(moved, _LEAST, out=moved)
    np.copyto(offset, moved, where=valid)
    owed += np.where(deferred, coverage, -repaid) * valid
    return deferred


def _steps(offset: F64, count: F64, rule: _Rule) -> F64:
    """Give how far offsets move: the farther, the farther they are from the expected one, and at first."""
    steps = offset - rule.expected
    steps *= 1 / STRETCH
    steps *= steps
    steps += 1
    np.minimum(steps, MOST_STRETCH, out=steps)
    steps *= rule.step
    first = np.minimum(FIRST_STEP, FIRST_SUM / (count + 1.0))
    return np.maximum(steps, first, out=steps)


class _Rule(NamedTuple):
    """What offsets learn by."""

    step: F64
    """(K, 1) scales."""
    expected: F64
    """(F, 1, 1, 1) scales: of the baseline the quantile of an exponential tail, of the blend none."""
    reach: F64
    """(F, 1, K, 1) outcomes after a shock of which it is the reason: those of forecasts made before it, and what the
    baseline repeats of the season before."""


@functools.cache
def _rule(leads: tuple[int, ...], coverage: float, season_steps: int) -> _Rule:
    lead = np.array(leads, np.float64)[:, None]
    expected, reach = np.zeros((CALIBRATED, 1, 1, 1)), np.empty((CALIBRATED, 1, len(leads), 1))
    expected[BASELINE] = -math.log(1 - coverage)
    reach[:] = lead
    reach[BASELINE] = np.maximum(lead, season_steps)
    # The outcome of lead 1 is the shock itself.
    reach[..., (lead[:, 0] == 1) | (lead[:, 0] > MOST_DEFERRED_LEAD), :] = 0
    return _Rule(STEP * lead**STEP_POWER, expected, reach)
