"""What serves: how much of the model is in the blend, how good it is, and the calibrated interval around it.

Axes: F calibrated forecasters, C channels, K calibrated leads, n rows of a batch.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from edgeseq.core.mixture import best_share
from edgeseq.core.pending import BASELINE, BLEND, CALIBRATED
from edgeseq.core.picking import Pick
from edgeseq.core.table import Work
from edgeseq.core.types import F32, F64, I64

BLEND_AFTER = 24
"""Outcomes of a lead that both forecast before its errors count; until then the next shorter lead's do."""

SERVE_AFTER = 24
"""Outcomes that model and baseline are compared on before the model may serve."""

SERVE_BELOW, DROP_ABOVE = 0.99, 1.02
"""The model serves once its error is 1 % below the baseline's, until it is 2 % above: hysteresis against flapping, and
no stream is to be worse off for long."""

_LOG_SERVE, _LOG_DROP = math.log(SERVE_BELOW), math.log(DROP_ABOVE)


def log_error_ratio(work: Work) -> F64:
    """Give the blend's error over the baseline's, mean logarithm over scored leads → (C, n); NaN while unknown."""
    error = work["paired_error"][:CALIBRATED]
    known = (work["paired"] >= 1) & (error[BASELINE] > 0) & (error[BLEND] > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(known, error[BLEND] / error[BASELINE], 1.0)
        product = ratio[:, 0].copy()
        # One lead after the other: NumPy would add or multiply in an order that depends on the batch.
        for k in range(1, ratio.shape[1]):
            product *= ratio[:, k]
        mean: F64 = np.log(product) / np.add.reduce(known, axis=1)
    return mean


def model_share(work: Work, leads: tuple[int, ...], horizon: int) -> F32:
    """Weigh the model against the baseline → (n, C, H), 0 … 1; between calibrated leads linear in log lead."""
    share = best_share(work["paired_error"], work["even_error"])
    unknown = (work["paired"] < BLEND_AFTER) | np.isnan(share)
    if np.count_nonzero(unknown):
        share = _carry_forward(np.where(unknown, np.nan, share))
        share = np.where(np.isnan(share), 1.0, share)
    return _by_rows(_between_leads(share, leads, horizon)).astype(np.float32)


def widening(offset: F64, pick: Pick) -> F64:
    """Give what the intervals of the calibrated leads are widened by: the offsets of what serves → (C, K, n).

    offset: (F, C, K, n) in sensor units, NaN while nothing was scored; so is the result.
    """
    return _carry_forward(pick(offset))


def spread(widened: F64, leads: tuple[int, ...], horizon: int) -> F64:
    """Spread `widening` (C, K, n) over all leads → (n, C, H)."""
    return _by_rows(_between_leads(widened, leads, horizon))


def interval(spread: F64, lower: F64, value: F64, upper: F64) -> tuple[F64, F64]:
    """Widen intervals (...) by offsets → lower and upper (...); the value always lies inside."""
    return np.minimum(lower - spread, value), np.maximum(upper + spread, value)


def _by_rows(a: F64) -> F64:
    """Lay (C, H, n) out by rows (n, C, H)."""
    return np.ascontiguousarray(a.transpose(2, 0, 1))


def _carry_forward(offset: F64) -> F64:
    """Use the nearest shorter lead's offset while a long lead has no outcome yet; (C, K, n)."""
    missing = np.isnan(offset)
    if not np.count_nonzero(missing):
        return offset
    reached = np.where(missing, 0, np.arange(offset.shape[1])[:, None])
    return np.take_along_axis(offset, np.maximum.accumulate(reached, axis=1), axis=1)


def _between_leads(offset: F64, leads: tuple[int, ...], horizon: int) -> F64:
    """Interpolate offsets (C, K, n) linearly in log lead → (C, H, n)."""
    if len(leads) == 1:
        return np.broadcast_to(offset, (offset.shape[0], horizon, offset.shape[2]))
    left, right, weight, rest = _neighbours(leads, horizon)
    spread: F64 = offset.take(left, axis=1)
    spread *= rest
    further = offset.take(right, axis=1)
    further *= weight
    spread += further
    return spread


@functools.cache
def _neighbours(leads: tuple[int, ...], horizon: int) -> tuple[I64, I64, F64, F64]:
    """Give the calibrated leads to the left and right of each step (H,), and the weights of right and left (H, 1)."""
    at = np.log(np.arange(1, horizon + 1))
    grid = np.log(np.array(leads))
    right = np.clip(np.searchsorted(grid, at), 1, len(leads) - 1)
    weight = np.clip((at - grid[right - 1]) / (grid[right] - grid[right - 1]), 0.0, 1.0)
    weight = weight[:, None]
    return right - 1, right, weight, 1 - weight


def choose(work: Work, targets: int) -> None:
    """Let the blend with the model serve rows whose model is warm, where it beats the baseline, with hysteresis.

    targets: channels that are forecast, the first ones.
    """
    warm = work["model_warm"] != 0
    if not np.count_nonzero(warm):
        return
    log_ratio = work["log_ratio"]
    # Only of warm rows: what stands there of others must not depend on whom they share a batch with.
    np.copyto(log_ratio, log_error_ratio(work), where=warm)
    ratio = mean_over_channels(log_ratio[:targets])
    enough = np.maximum.reduce(work["paired"], axis=(0, 1)) >= SERVE_AFTER
    serving = work["serving"]
    better = np.where(serving == BLEND, ratio <= _LOG_DROP, ratio < _LOG_SERVE)
    np.copyto(serving, np.where(enough & better, BLEND, BASELINE), where=warm)


def mean_over_channels(log_ratio: F64) -> F64:
    """Average over the channels that have a ratio (C, n) → (n,); NaN where none has."""
    if len(log_ratio) == 1:
        return np.where(np.isfinite(log_ratio[0]), log_ratio[0], np.nan)
    known = np.isfinite(log_ratio)
    total = np.zeros(log_ratio.shape[1])
    # One channel after the other: NumPy would add in an order that depends on the batch.
    for logs, one in zip(log_ratio, known, strict=True):
        total += np.where(one, logs, 0.0)
    count = known.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
