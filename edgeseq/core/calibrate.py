"""Adaptive conformal prediction intervals per stream, channel, forecaster and calibrated lead.

A forecaster's raw interval [lower, upper] is widened (or narrowed) by an offset that is moved a little after each
outcome: out by step x coverage when the outcome fell outside, in by step x (1 - coverage) when inside (the quantile
tracking step of conformal PID control, Angelopoulos et al. 2023; adaptive conformal inference, Gibbs & Candès 2021).
The outcome for lead h arrives h steps late, so the step shrinks by min(1, 4/h), or long leads oscillate.

What serves is calibrated: the baseline, and the blend of it with the model. Of the model alone only the errors are
followed, which the blend comes from.

Batches lie along the last axis (`table.Work`), n; axes before it as ever: F forecasters, C channels, K leads.
"""

from __future__ import annotations

import functools

import numpy as np

from edgeseq.core import alert_band
from edgeseq.core.alert_band import SCALE_CLIP
from edgeseq.core.pending import BLEND, CALIBRATED, FORECASTERS, Waiting, leads_up_to
from edgeseq.core.table import Column, Work
from edgeseq.core.types import F64, Bool

STEP = 0.08
"""Share of the error scale that the offset moves per outcome; measured best of .02 and .08 for lead 1."""

ERROR_HALF_LIFE_STEPS = 150
"""Memory of the mean absolute errors."""

BLEND_MEMORY_LEADS = 20
"""Those errors are remembered with a half-life of so many leads, or ERROR_HALF_LIFE_STEPS where that is more: errors
of neighbouring origins at lead 96 are nearly the same ones. Trust of 1 to 3, sharpness of 10 to 40 and memory of 0 to
40 leads were tried on parts of eleven recordings that neither trained nor tested: all lie within 0.3 %, these are
among the best both on average and in the worst case."""

_SLOW = 1 - 0.5 ** (1 / ERROR_HALF_LIFE_STEPS)


def columns(channels: int, horizon: int) -> dict[str, Column]:
    """Declare the state; axes F forecasters, C channels, K leads."""
    ck = (channels, len(leads_up_to(horizon)))
    return {
        "offset": Column((CALIBRATED, *ck), init=np.nan),
        "error": Column((CALIBRATED, *ck), init=np.nan),
        "scored": Column((CALIBRATED, *ck)),
        "paired_error": Column((len(FORECASTERS), *ck), init=np.nan),
        "paired": Column(ck),
        "log_ratio": Column((channels,), init=np.nan),
    }


def learn(work: Work, leads: tuple[int, ...], outcome: F64, forecasts: Waiting, coverage: float) -> None:
    """Move offsets, errors and alert bands after outcomes (test-then-train: the forecasts were published before).

    Args:
        work: the rows that have an outcome.
        leads: K.
        outcome: (C, n), NaN where missing.
        forecasts: from `due`.
        coverage: share of the outcomes that the interval is to hold.
    """
    y = outcome[:, None]
    absolute = np.abs(y - forecasts.value)
    miss = absolute[:CALIBRATED].copy()
    np.maximum(forecasts.lower - y, y - forecasts.upper, out=miss[BLEND])
    finite = np.isfinite(absolute)
    both: Bool = np.all(finite, axis=0)
    valid = finite[:CALIBRATED]
    valid[BLEND] &= np.isfinite(miss[BLEND])
    alert_band.learn(work, outcome, forecasts, absolute[:CALIBRATED, :, 0], coverage)
    _learn_scored(work, leads, absolute[:CALIBRATED], miss, valid, coverage)
    _learn_pairs(work, leads, absolute, both)


def _learn_scored(
    work: Work, leads: tuple[int, ...], absolute: F64, miss: F64, valid: Bool, coverage: float
) -> None:
    """Move mean absolute errors and offsets, those by the error before this outcome; all (F, C, K, n)."""
    error, offset, count = work["error"], work["offset"], work["scored"]
    scale = _started(error, absolute)
    clip = np.where((count > 16) & (error > 0), SCALE_CLIP * scale, np.inf)
    moved = np.minimum(absolute, clip)
    moved -= scale
    moved *= np.maximum(1.0 / (count + 1.0), _SLOW)
    moved += scale
    started = _started(offset, np.maximum(miss, 0))
    # Large steps at first, so that a new stream finds its level within some twenty outcomes.
    rate = np.minimum(0.5, 1.0 / np.sqrt(count + 1.0))
    np.maximum(_offset_rates(leads), rate, out=rate)
    rate *= scale
    rate *= (miss > started) - (1 - coverage)
    rate += started
    # Written last: `scale` may be the errors themselves.
    np.copyto(offset, rate, where=valid)
    np.copyto(error, moved, where=valid)
    count += valid


@functools.cache
def _offset_rates(leads: tuple[int, ...]) -> F64:
    return (STEP * np.minimum(1.0, 4.0 / np.array(leads)))[:, None]


def _started(old: F64, first: F64) -> F64:
    """Let a mean that has no value yet start at its first one."""
    new = np.isnan(old)
    return np.where(new, first, old) if np.count_nonzero(new) else old


def _learn_pairs(work: Work, leads: tuple[int, ...], absolute: F64, both: Bool) -> None:
    """Compare model and baseline where both had a forecast; absolute (3, C, K, n), both (C, K, n)."""
    if not np.count_nonzero(both):
        return
    count, error = work["paired"], work["paired_error"]
    rate = np.maximum(1.0 / (count + 1.0), _pair_rates(leads))
    started = _started(error, absolute)
    np.copyto(error, started + rate * (absolute - started), where=both)
    count += both


@functools.cache
def _pair_rates(leads: tuple[int, ...]) -> F64:
    half_life = np.maximum(ERROR_HALF_LIFE_STEPS, BLEND_MEMORY_LEADS * np.array(leads, np.float64))
    rates: F64 = (1 - 0.5 ** (1 / half_life))[:, None]
    return rates
