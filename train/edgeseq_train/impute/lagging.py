"""Re-label past readings with a fixed lag N: what each should have been, by all others up to N steps after it.

The estimate of step t looks at readings up to t + N - 1 and never at its own; whether t is outside also depends on
whether t + 1 is. So nothing said of t depends on a reading after t + N.

A wrong reading pulls the estimates beside it its own way, and then its neighbours seem to lie off the other way: of two
neighbouring readings outside on opposite sides only the farther one is told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from edgeseq.core.types import F64, I64, Bool
from edgeseq_train.impute.choosing import half_width_factors
from edgeseq_train.impute.filling import NETWORK, Estimates, Frame, run_windows
from edgeseq_train.impute.imputer import LagRule
from edgeseq_train.impute.network import Passes
from edgeseq_train.impute.windows import Windows

TAIL = (0.9, 0.99)
"""The edge stands where one good reading in a thousand would be farther off, were the tail exponential between these
two levels: q(99.9 %) = 2 q(99 %) - q(90 %). Taken directly, a few bad readings would move it."""
EDGE_LIMITS = (2.0, 10.0)
"""The edge lies within so many half-widths of the 90 % band."""


class Relabelled(NamedTuple):
    """What is said of each step, (T, S) each, in sensor units; NaN where nothing is known."""

    smoothed: F64
    """The estimate by all others."""
    lower: F64
    upper: F64
    score: F64
    """Distance of the reading from its estimate, in half-widths of the band; negative below it."""
    outside: Bool


def estimate(
    frame: Frame, passes: Passes, values: F64, lag: int, wanted: Bool,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Estimates:  # fmt: skip
    """Estimate each wanted (T, S) step of values from the others up to lag - 1 steps later."""
    step, channel = np.nonzero(wanted)
    windows = Windows(channel, step - frame.margin, step + lag, step)
    length = frame.margin + max(lag, 2)

    def chosen(part: Windows) -> Bool:
        flags = np.zeros((len(part.start), length), dtype=bool)
        flags[:, frame.margin] = True
        return flags

    return run_windows(frame, passes, values, windows, length, chosen, progress)


def calibrate(estimates: Estimates, values: F64) -> tuple[LagRule, ...]:
    """Make the band hold 90 % of the readings (T, S) that were estimated, and find its outer edge."""
    truth = values[estimates.step, estimates.channel]
    rules = []
    for c in range(values.shape[1]):
        which = (estimates.channel == c) & np.isfinite(truth)
        below, above = half_width_factors(truth[which], estimates, which)
        rule = LagRule(below, above, 1.0)
        near, far = np.quantile(np.abs(_score(rule, estimates, which, truth[which])), TAIL)
        rules.append(LagRule(below, above, float(np.clip(2 * far - near, *EDGE_LIMITS))))
    return tuple(rules)


def _score(rule: LagRule, estimates: Estimates, which: Bool, truth: F64) -> F64:
    median = estimates.values[NETWORK][which]
    off = truth - median
    below = rule.below * (median - estimates.lower[which])
    above = rule.above * (estimates.upper[which] - median)
    score: F64 = off / np.maximum(np.where(off < 0, below, above), 1e-12)
    return score


def relabel(rules: tuple[LagRule, ...], estimates: Estimates, values: F64, longest: int) -> Relabelled:
    """Say of each step of values (T, S) what it should have been, and whether the reading is outside."""
    smoothed, lower, upper, score = (np.full(values.shape, np.nan) for _ in range(4))
    for c, rule in enumerate(rules):
        which = estimates.channel == c
        at, median = estimates.step[which], estimates.values[NETWORK][which]
        smoothed[at, c] = median
        lower[at, c] = median - rule.below * (median - estimates.lower[which])
        upper[at, c] = median + rule.above * (estimates.upper[which] - median)
        score[at, c] = _score(rule, estimates, which, values[at, c])
    # Where nothing was seen for long, an estimate would be made of nothing.
    unknown = since_known(values) > longest
    for a in (smoothed, lower, upper, score):
        a[unknown] = np.nan
    return Relabelled(
        smoothed, lower, upper, score, _outside(score, np.array([rule.outside for rule in rules]))
    )


def since_known(values: F64) -> I64:
    """Count steps from the last known value before each step (T, S); T where there is none.

    >>> since_known(np.array([[1.0], [2.0], [np.nan], [np.nan], [3.0]])).ravel().tolist()
    [5, 1, 1, 2, 3]
    """
    steps = np.arange(len(values))[:, None]
    last = np.maximum.accumulate(np.where(np.isfinite(values), steps, -1), axis=0)
    before = np.concatenate([np.full_like(last[:1], -1), last[:-1]])
    return np.where(before < 0, len(values), steps - before)


def _outside(score: F64, edge: F64) -> Bool:
    """Tell the readings beyond the edge (S,) that are no echo of a farther one beside them."""
    beyond = np.where(np.abs(score) > edge, score, 0.0)
    none = np.zeros_like(beyond[:1])
    before, after = np.concatenate([none, beyond[:-1]]), np.concatenate([beyond[1:], none])
    echo = np.zeros(score.shape, dtype=bool)
    for beside in (before, after):
        echo |= (beside * beyond < 0) & (np.abs(beside) > np.abs(beyond))
    outside: Bool = (beyond != 0) & ~echo
    return outside
