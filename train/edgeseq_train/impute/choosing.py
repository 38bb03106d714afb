"""Choose, for each channel and class of gap lengths, what fills gaps: the method with the least error on hidden ones.

The band around a filled value is the network's own, widened or narrowed to hold 90 % of the hidden values; around a
baseline's it is made of that baseline's errors.
"""

from __future__ import annotations

import msgspec
import numpy as np

from edgeseq.core.types import F64, Bool
from edgeseq_train.impute import baselines
from edgeseq_train.impute.filling import NETWORK, Estimates
from edgeseq_train.impute.network import LEVELS
from edgeseq_train.impute.trials import Trials, class_of

LEAST_STRETCHES = 12
"""Fewer hidden stretches than these decide nothing: the next shorter class decides …"""
WIDEST = 10.0


class Rule(msgspec.Struct, frozen=True):
    """What fills the gaps of one channel and class."""

    method: str
    below: float
    """Edges of the band: for the network factors of its own half-widths, else distances in sensor units."""
    above: float


class Choice(msgspec.Struct, frozen=True):
    """What fills which gap."""

    ends: tuple[int, ...]
    """Longest gap of each class, in steps."""
    rules: tuple[tuple[Rule, ...], ...]
    """Of each channel, by class."""


def choose(trials: Trials, ends: tuple[int, ...], channels: int) -> Choice:
    """Choose by trials on the validation part."""
    classes = class_of(trials.estimates.gap, ends)
    rules = []
    for c in range(channels):
        row: list[Rule] = []
        for k in range(len(ends)):
            which = (trials.estimates.channel == c) & (classes == k)
            row.append(_rule(trials, which, row[-1] if row else None))
        rules.append(tuple(row))
    return Choice(ends, tuple(rules))


def _rule(trials: Trials, which: Bool, shorter: Rule | None) -> Rule:
    if len(np.unique(trials.stretches[which])) < LEAST_STRETCHES:
        # … and linear interpolation where that has none either.
        return shorter or Rule(baselines.LINEAR, 0.0, 0.0)
    errors = {name: float(np.nanmean(e[which])) for name, e in trials.errors().items()}
    method = min(errors, key=lambda name: errors[name])
    if method == NETWORK:
        return Rule(method, *half_width_factors(trials.truth[which], trials.estimates, which))
    off = trials.truth[which] - trials.estimates.values[method][which]
    low, high = np.nanquantile(off, [LEVELS[0], LEVELS[-1]])
    return Rule(method, float(max(-low, 0.0)), float(max(high, 0.0)))


def half_width_factors(truth: F64, estimates: Estimates, which: Bool) -> tuple[float, float]:
    """Scale the network's half-widths of some estimates so that each side misses the truth as often as its level says.

    Returns:
        factors below and above the median; 1 where there are too few to tell.
    """
    if len(truth) < LEAST_STRETCHES:
        return 1.0, 1.0
    median = estimates.values[NETWORK][which]
    off = truth - median
    below, above = median - estimates.lower[which], estimates.upper[which] - median
    low = np.quantile(-off / np.maximum(below, 1e-12), 1 - LEVELS[0])
    high = np.quantile(off / np.maximum(above, 1e-12), LEVELS[-1])
    return float(np.clip(low, 0.0, WIDEST)), float(np.clip(high, 0.0, WIDEST))


def apply(choice: Choice, estimates: Estimates) -> tuple[F64, F64, F64, list[str]]:
    """Take of each estimate what the rules say → value, lower, upper (n,) each, and the method's name."""
    n = len(estimates.step)
    value, lower, upper = np.full(n, np.nan), np.full(n, np.nan), np.full(n, np.nan)
    methods = np.full(n, "", dtype=object)
    classes = class_of(estimates.gap, choice.ends)
    median = estimates.values[NETWORK]
    for c, rules in enumerate(choice.rules):
        for k, rule in enumerate(rules):
            which = (estimates.channel == c) & (classes == k)
            value[which] = estimates.values[rule.method][which]
            is_network = rule.method == NETWORK
            below = (median - estimates.lower)[which] if is_network else 1.0
            above = (estimates.upper - median)[which] if is_network else 1.0
            lower[which] = value[which] - rule.below * below
            upper[which] = value[which] + rule.above * above
            methods[which] = rule.method
    return value, lower, upper, methods.tolist()
