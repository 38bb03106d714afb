"""How good forecasts are: errors of points, quantiles and intervals, and how sure a difference is.

Shapes: N origins, C channels, H leads, Q levels. Targets are NaN where nothing was observed; such a place counts for
nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
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


class PointScore(NamedTuple):
    """Mean errors over the origins whose leads 1 … h were all within the part."""

    mase: float
    """Mean over channels of mean |error| / mean |z_t - z_{t-season}| of the training part."""
    mae: float
    """Of z-scores."""
    mse: float


def point(forecast: F32, y: F32, season_error: F64, h: int) -> PointScore:
    """Score point forecasts (N, C, H) against targets (N, C, H) over leads 1 … h."""
    error = (forecast - y)[: len(y) - h + 1, :, :h].astype(np.float64)
    mae = np.nanmean(np.abs(error), axis=(0, 2))
    mse = np.nanmean(np.square(error), axis=(0, 2))
    return PointScore(float(np.mean(mae / season_error)), float(mae.mean()), float(mse.mean()))


def by_origin(forecast: F32, y: F32, season_error: F64, h: int) -> F64:
    """Sum |error| / season error over channels and leads 1 … h of each origin (N - h + 1,)."""
    error = np.abs((forecast - y)[: len(y) - h + 1, :, :h].astype(np.float64))
    return np.asarray(np.nansum(error / season_error[:, None], axis=(1, 2)))


def block_steps(origins: int, day: int) -> int:
    """Choose the block of a bootstrap: a week, or a day where the weeks are fewer than LEAST_BLOCKS, or an eighth.

    >>> block_steps(2880, 24), block_steps(500, 24), block_steps(4548, 1440)
    (168, 24, 568)
    """
    for block in (DAYS_PER_WEEK * day, day):
        if origins >= LEAST_BLOCKS * block:
            return block
    return max(1, origins // LEAST_BLOCKS)


def ratio_interval(a: F64, b: F64, block: int, draws: int = 2000, seed: int = 0) -> tuple[float, float]:
    """Bound sum(a) / sum(b) at 95 % by a paired bootstrap over blocks of consecutive origins.

    Source: Künsch 1989, "The jackknife and the bootstrap for general stationary observations"; blocks do not overlap.
    """
    edges = np.arange(0, len(a), block)
    sums = np.stack([np.add.reduceat(a, edges), np.add.reduceat(b, edges)])
    drawn = np.random.default_rng(seed).integers(0, len(edges), (draws, len(edges)))
    top, bottom = sums[0][drawn].sum(axis=1), sums[1][drawn].sum(axis=1)
    low, high = np.quantile(top / bottom, (0.025, 0.975))
    return float(low), float(high)


class Verdict(NamedTuple):
    """Who wins: the simplest of those that nobody beats by more than chance."""

    winner: str
    lowest: str
    """Who has the least error."""
    low: float
    """95 % interval of the least error ÷ the winner's; 1, 1 where they are the same."""
    high: float


def judge(losses: Mapping[str, F64], block: int) -> Verdict:
    """Name the winner by losses per origin (N,) of each forecaster, the simplest first.

    >>> even, odd = np.tile([1.0, 2.0], 50), np.tile([2.0, 0.99], 50)
    >>> judge({"simple": even, "clever": odd}, block=1).winner, judge({"simple": even, "clever": even / 2}, 1).winner
    ('simple', 'clever')
    """
    lowest = min(losses, key=lambda name: losses[name].sum())
    for name, loss in losses.items():
        if name == lowest:
            break
        low, high = ratio_interval(losses[lowest], loss, block)
        if high >= 1:
            return Verdict(name, lowest, low, high)
    return Verdict(lowest, lowest, 1.0, 1.0)
