"""How good forecasts are: errors of points, quantiles and intervals, and how sure a difference is.

Shapes: N origins, C channels, H leads, Q levels. Targets are NaN where nothing was observed; such a place counts for
nobody.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from edgeseq.core.types import F32, F64

DAYS_PER_WEEK = 7
LEAST_BLOCKS = 8
"""An interval from fewer blocks would be a guess."""


def targets(z: F64, origins: slice, horizon: int) -> F32:
    """Cut what came after each origin: (N, C, H), NaN where it lies beyond the end of z (T, C)."""
    padded = np.pad(z, ((0, horizon), (0, 0)), constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, horizon, axis=0)
    return windows[origins.start + 1 : origins.stop + 1].astype(np.float32)


# --- means ------------------------------------------------------------------------------------------------------


def up_to(values: F64 | F32, h: int) -> F64:
    """Average (N, C, H) over leads 1 … h of the origins that have them all within the part → (C,)."""
    return _mean(values[: len(values) - h + 1, :, :h], (0, 2))


def at_lead(values: F64 | F32, h: int) -> F64:
    """Average (N, C, H) at lead h over the origins that have it → (C,)."""
    return _mean(values[: len(values) - h + 1, :, h - 1], (0,))


def by_lead(values: F64 | F32) -> F64:
    """Average (N, C, H) at each lead → (C, H)."""
    return _mean(values, (0,))


def _mean(values: F64 | F32, axes: tuple[int, ...]) -> F64:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # nothing was observed there: NaN
        return np.asarray(np.nanmean(values.astype(np.float64), axis=axes))


# --- points -----------------------------------------------------------------------------------------------------


class PointScore(NamedTuple):
    """Mean errors over the origins whose leads 1 … h were all within the part."""

    mase: float
    """Mean over channels of mean |error| / mean |z_t - z_{t-season}| of the training part."""
    mae: float
    """Of z-scores."""
    mse: float


def point(forecast: F32, y: F32, season_error: F64, h: int) -> PointScore:
    """Score point forecasts (N, C, H) against targets (N, C, H) over leads 1 … h.

    >>> y = np.zeros((5, 1, 2), np.float32)
    >>> point(y + 2, y, np.array([4.0]), 2)
    PointScore(mase=0.5, mae=2.0, mse=4.0)
    """
    error = (forecast - y)[:, :, :h]
    mae, mse = up_to(np.abs(error), h), up_to(np.square(error), h)
    return PointScore(float(np.mean(mae / season_error)), float(mae.mean()), float(mse.mean()))


def by_origin(forecast: F32, y: F32, season_error: F64, h: int) -> F64:
    """Sum |error| / season error over channels and leads 1 … h of each origin (N - h + 1,)."""
    error = np.abs((forecast - y)[: len(y) - h + 1, :, :h].astype(np.float64))
    return np.asarray(np.nansum(error / season_error[:, None], axis=(1, 2)))


# --- quantiles and intervals --------------------------------------------------------------------------------------


def pinball(quantiles: F32, y: F32, levels: Sequence[float]) -> F32:
    """Compute pinball loss × 2, averaged over levels: quantiles (N, C, H, Q) → (N, C, H). It approximates the CRPS.

    Source: Koenker & Bassett 1978; the factor makes the median's loss its absolute error.

    >>> pinball(np.array([[[[0.0]]]], np.float32), np.array([[[3.0]]], np.float32), (0.9,)).item()
    5.4
    """
    total = np.zeros(y.shape, np.float32)
    for k, level in enumerate(levels):
        error = y - quantiles[..., k]
        total += 2 * np.maximum(level * error, (level - 1) * error)
    return total / np.float32(len(levels))


def winkler(lower: F32, upper: F32, y: F32, coverage: float) -> F32:
    """Compute the interval score (N, C, H): the width, and 2 / (1 - coverage) times how far the target lies outside.

    Source: Gneiting & Raftery 2007, "Strictly proper scoring rules", section 6.2 (Winkler 1972).

    >>> zero = np.zeros((1, 1, 1), np.float32)
    >>> winkler(zero, zero + 2, zero + 3, 0.9).item(), winkler(zero, zero + 2, zero + 1, 0.9).item()
    (22.0, 2.0)
    """
    missed = np.maximum(lower - y, 0) + np.maximum(y - upper, 0)
    return np.asarray(upper - lower + np.float32(2 / (1 - coverage)) * missed)


def inside(lower: F32, upper: F32, y: F32) -> F32:
    """Tell where targets lie within an interval: 1 or 0, NaN where unknown."""
    known = np.isfinite(y) & np.isfinite(lower) & np.isfinite(upper)
    return np.where(known, (lower <= y) & (y <= upper), np.nan).astype(np.float32)


# --- how sure -----------------------------------------------------------------------------------------------------


def block_steps(origins: int, day: int, horizon: int) -> int:
    """Choose the block of a bootstrap: a week or a day, where that makes LEAST_BLOCKS, else an eighth of the origins.

    Errors of origins less than a horizon apart are of the same targets: a shorter block would be too sure.

    >>> block_steps(2880, 24, 96), block_steps(1200, 24, 96), block_steps(1200, 24, 12), block_steps(4548, 1440, 96)
    (168, 150, 24, 568)
    """
    for block in (DAYS_PER_WEEK * day, day):
        if block >= horizon and origins >= LEAST_BLOCKS * block:
            return block
    return max(min(horizon, origins), origins // LEAST_BLOCKS)


def ratio_interval(
    a: F64, b: F64, block: int, miss: float = 0.05, draws: int = 4000, seed: int = 0
) -> tuple[float, float]:
    """Bound sum(a) / sum(b) by a paired bootstrap over blocks of consecutive origins, wrong with probability `miss`.

    Source: Künsch 1989, "The jackknife and the bootstrap for general stationary observations" (blocks that do not
    overlap); Hesterberg 2015, "What teachers should know about the bootstrap" (quantiles widened for few blocks).

    >>> ratio_interval(np.ones(80), np.full(80, 2.0), block=10)
    (0.5, 0.5)
    """
    edges = np.arange(0, len(a), block)
    sums = np.stack([np.add.reduceat(a, edges), np.add.reduceat(b, edges)])
    drawn = np.random.default_rng(seed).integers(0, len(edges), (draws, len(edges)))
    top, bottom = sums[0][drawn].sum(axis=1), sums[1][drawn].sum(axis=1)
    tail = _expanded_tail(miss / 2, len(edges))
    low, high = np.quantile(top / bottom, (tail, 1 - tail))
    return float(low), float(high)


def _expanded_tail(tail: float, blocks: int) -> float:
    """Move a quantile level outward as Student's t does for a mean of so few blocks.

    The quantile of t is Abramowitz & Stegun 26.7.5.

    >>> round(_expanded_tail(0.025, 10), 4), round(_expanded_tail(0.025, 10_000), 4)
    (0.0086, 0.025)
    """
    normal = NormalDist()
    z, nu = normal.inv_cdf(1 - tail), max(1, blocks - 1)
    t = z + (z**3 + z) / (4 * nu) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * nu**2)
    return normal.cdf(-t * math.sqrt((nu + 1) / nu))


class Verdict(NamedTuple):
    """Who wins: the simplest of those that nobody beats by more than chance."""

    winner: str
    lowest: str
    """Who has the least error."""
    low: float
    """Interval of the least error ÷ the winner's; 1, 1 where they are the same."""
    high: float


def judge(losses: Mapping[str, F64], block: int) -> Verdict:
    """Name the winner by losses per origin (N,) of each forecaster, the simplest first.

    The more forecasters were tried, the luckier the best of them is: the 5 % that an interval may be wrong are shared
    among all comparisons (Bonferroni).

    >>> even, odd = np.tile([1.0, 2.0], 50), np.tile([2.0, 0.99], 50)
    >>> judge({"simple": even, "clever": odd}, block=1).winner, judge({"simple": even, "clever": even / 2}, 1).winner
    ('simple', 'clever')
    """
    lowest = min(losses, key=lambda name: losses[name].sum())
    for name, loss in losses.items():
        if name == lowest:
            break
        low, high = ratio_interval(losses[lowest], loss, block, miss=0.05 / (len(losses) - 1))
        if high >= 1:
            return Verdict(name, lowest, low, high)
    return Verdict(lowest, lowest, 1.0, 1.0)
