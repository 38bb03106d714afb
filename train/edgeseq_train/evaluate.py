"""Measure as the device forecasts: one reading at a time, the state carried from the start, in the real runtime."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from edgeseq.core.forecast import Stepper, initial_state
from edgeseq.core.types import F32, F64, I64
from edgeseq_train import ridge


@dataclass(frozen=True, slots=True)
class Rollout:
    """Quantiles made at the test origins, in x: (T, S, C, H, Q), and the running scale there (T, S, C)."""

    quantiles: F32
    scale: F32


def origins(start: int, stop: int, horizon: int) -> slice:
    """Choose the origins whose targets lie wholly in [start, stop)."""
    return slice(start - 1, stop - horizon)


def roll(
    stepper: Stepper, x: F32, wanted: slice, known: F32 | None = None, targets: int | None = None
) -> Rollout:
    """Step through x (T, S, C) from the initial state; keep what was forecast at the wanted origins.

    known (T, K): inputs that are known for the future too, reaching as far as the last origin's leads.
    targets: only of so many channels, the first ones.
    """
    ahead = None if known is None else np.broadcast_to(known, (x.shape[1], *known.shape))
    H = stepper.horizon
    state = initial_state(stepper.state_spec, x.shape[1])
    kept, scales = [], []
    variance = [s.name for s in stepper.state_spec].index("variance")
    if wanted.start > 1:
        before = None if ahead is None else ahead[:, : wanted.start + H]
        _, state = stepper.replay(np.ascontiguousarray(np.moveaxis(x[: wanted.start], 0, 1)), state, before)
    for t, row in enumerate(x[wanted], start=wanted.start):
        q, state = stepper.step(row, state, None if ahead is None else ahead[:, t : t + 1 + H])
        kept.append(q[:, :targets])
        scales.append(np.sqrt(state[variance][:, :targets]))
    return Rollout(np.stack(kept), np.stack(scales))


@dataclass(frozen=True, slots=True)
class Truth:
    """What came after each test origin, and the units errors are counted in."""

    y: F32
    """(T, S, C, H) in x, NaN where missing."""
    mase: F64
    """(S, C) seasonal-naive error of the training part in x."""
    unit: F64
    """(S, C) sensor units per x."""


def truth(x: F32, wanted: slice, horizon: int, mase: F64, unit: F64) -> Truth:
    """Cut the targets of the test origins."""
    windows = sliding_window_view(x, horizon, axis=0)[wanted.start + 1 : wanted.stop + 1]
    return Truth(windows, mase, unit)


def errors(median: F32, t: Truth) -> dict[str, dict[str, float]]:
    """Mean absolute error of medians (T, S, C, H): at lead 1 and over 1 … H, as MASE and in sensor units.

    MASE is the mean over the streams' channels of error / seasonal-naive error of the training part.
    """
    error = np.abs(median.astype(np.float64) - t.y)
    h = str(error.shape[-1])
    per_lead = np.nanmean(error, axis=0)
    short, all_leads = per_lead[..., 0], np.nanmean(np.nanmean(error, axis=0), axis=-1)
    return {
        "mase": {"1": float(np.mean(short / t.mase)), h: float(np.mean(all_leads / t.mase))},
        "mae": {"1": float(np.mean(short * t.unit)), h: float(np.mean(all_leads * t.unit))},
    }


def pinball(q: F32, t: Truth, levels: tuple[float, ...]) -> float:
    """Mean pinball loss × 2 over levels, leads and origins, in seasonal-naive errors."""
    total = np.zeros(t.mase.shape)
    for k, level in enumerate(levels):
        error = t.y.astype(np.float64) - q[..., k]
        total += np.nanmean(2 * np.maximum(level * error, (level - 1) * error), axis=(0, 3))
    return float(np.mean(total / len(levels) / t.mase))


def coverage(q: F32, t: Truth) -> dict[str, float]:
    """Share of observations within the outermost quantiles, at lead 1 and at lead H."""
    inside = (t.y >= q[..., 0]) & (t.y <= q[..., -1])
    known = np.isfinite(t.y)
    share = inside.sum(axis=(0, 1, 2)) / np.maximum(known.sum(axis=(0, 1, 2)), 1)
    return {"1": float(share[0]), str(len(share)): float(share[-1])}


def difference(q: Rollout, reference: Rollout) -> tuple[float, float]:
    """Largest and 99.9 % difference to a reference roll-out, in running scales."""
    apart = np.abs(q.quantiles - reference.quantiles) / reference.scale[..., None, None]
    return float(apart.max()), float(np.quantile(apart, 0.999))


# --- what to beat -------------------------------------------------------------------------------------------------


def hold(clean: F32) -> F32:
    """Carry the last value of (T, S, C) over missing ones; 0 before the first."""
    known = np.isfinite(clean)
    reached = np.maximum.accumulate(np.where(known, np.arange(len(clean))[:, None, None], 0), axis=0)
    return np.nan_to_num(np.take_along_axis(clean, reached, axis=0))


def persistence(x: F32, wanted: slice, horizon: int) -> F32:
    """Forecast the last value for all leads."""
    return np.repeat(hold(x)[wanted][..., None], horizon, axis=-1)


def seasonal_naive(x: F32, wanted: slice, horizon: int, season: int) -> F32:
    """Forecast the value one season before each target (of the latest season already seen)."""
    held = _hold_season(x, season)
    leads = np.arange(1, horizon + 1)
    back = season * (1 + (leads - 1) // season) - leads
    t = np.arange(wanted.start, wanted.stop)[:, None] - back
    return np.moveaxis(held[t], 1, -1)


def _hold_season(x: F32, season: int) -> F32:
    """Fill a missing value with the one a season before, and what is left with the last value."""
    filled = x.copy()
    for t in range(season, len(filled)):
        row = filled[t]
        filled[t] = np.where(np.isfinite(row), row, filled[t - season])
    return hold(filled)


def ridge_forecast(clean: F32, lags: I64, weights: F64, wanted: slice) -> F32:
    """Forecast by ridge weights (L, H) from clean values (T, S, C)."""
    out = np.empty((wanted.stop - wanted.start, *clean.shape[1:], weights.shape[1]), np.float32)
    for s in range(clean.shape[1]):
        for c in range(clean.shape[2]):
            column = clean[:, s, c].astype(np.float64)
            d = ridge.differences(column, lags, wanted.start, wanted.stop)
            out[:, s, c] = column[wanted, None] + d @ weights
    return out
