"""Adaptive conformal prediction intervals per stream, channel, forecaster and calibrated lead.

A forecaster's raw interval [lower, upper] is widened (or narrowed) by an offset that follows the wanted quantile of
misses (`offsets`). A miss is what was outside of the interval as it was published: only so is the share inside the
promised one in the long run, since by the time the outcome for lead h is known, h steps later, the offset has moved on.

What serves is calibrated: the baseline, and the blend of it with the model. Of the model alone only the errors are
followed, which the blend comes from.

Batches lie along the last axis (`table.Work`), n; axes before it as ever: F forecasters, C channels, K leads.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from edgeseq.core import achieved, alert_band, mixture, offsets
from edgeseq.core.alert_band import SCALE_CLIP, Bands, served_bands
from edgeseq.core.pending import BASELINE, BLEND, CALIBRATED, FORECASTERS, MODEL, Waiting, leads_up_to
from edgeseq.core.table import Column, Work
from edgeseq.core.types import F64, Bool

RECENT_HALF_LIFE_STEPS = 48
"""Memory of the recent errors of lead 1."""

ERROR_HALF_LIFE_STEPS = 150
"""Memory of the mean absolute errors."""

BLEND_MEMORY_LEADS = 5
"""Those errors are remembered with a half-life of so many leads, or ERROR_HALF_LIFE_STEPS where that is more: errors
of neighbouring origins at lead 96 are nearly the same ones. With 10 leads a model that breaks costs 1 to 4 % more over
the next 3,000 steps of lead 96, with 20 it is 5 to 10 %, and what does not break gains .03 %."""

PAIR_CLIP = 8.0
"""An outcome that model and baseline together miss by more than so many times what both usually err counts as one that
is missed by that: one spike must not decide between them for days. All its errors are scaled alike, so that it
still says which of the two was nearer."""

PAIR_CLIP_AFTER = 16
"""Outcomes before that: the first ones do not know what is usual."""

_SLOW = 1 - 0.5 ** (1 / ERROR_HALF_LIFE_STEPS)
_RECENT = 1 - 0.5 ** (1 / RECENT_HALF_LIFE_STEPS)
_CALIBRATED = np.arange(CALIBRATED)[:, None, None, None]


def columns(channels: int, horizon: int) -> dict[str, Column]:
    """Declare the state; axes F forecasters, C channels, K leads."""
    ck = (channels, len(leads_up_to(horizon)))
    return offsets.columns(channels, horizon) | {
        "scored": Column((CALIBRATED, *ck)),
        "paired_error": Column((len(FORECASTERS), *ck), init=np.nan),
        "even_error": Column(ck, init=np.nan),
        "paired": Column(ck),
        "log_ratio": Column((channels,), init=np.nan),
    }


class Promised(NamedTuple):
    """What is promised of outcomes as long as nothing has learned from them."""

    offset: F64
    """(F, C, K, n) by how much intervals are widened, in sensor units; NaN while nothing was scored."""
    bands: Bands


def promised(work: Work, forecasts: Waiting, coverage: float) -> Promised:
    """Say what is promised of the outcomes that forecasts wait for; arguments as of `learn`."""
    offset = offsets.in_sensor_units(work)
    return Promised(offset, served_bands(work, forecasts, offset, coverage))


def learn(
    work: Work,
    leads: tuple[int, ...],
    outcome: F64,
    forecasts: Waiting,
    coverage: float,
    before: Promised | None = None,
    season_steps: int = 0,
) -> None:
    """Move offsets, errors and alert bands after outcomes (test-then-train: the forecasts were published before).

    Args:
        work: the rows that have an outcome.
        leads: K.
        outcome: (C, n), NaN where missing.
        forecasts: from `due`.
        coverage: share of the outcomes that the interval is to hold.
        before: from `promised`, where somebody needed it already.
        season_steps: of the baseline, 0 for none.
    """
    before = before or promised(work, forecasts, coverage)
    y = outcome[:, None]
    missed = y - forecasts.value
    absolute = np.abs(missed)
    miss = absolute[:CALIBRATED].copy()
    np.maximum(forecasts.lower - y, y - forecasts.upper, out=miss[BLEND])
    finite = np.isfinite(absolute)
    both: Bool = np.logical_and.reduce(finite)
    valid = finite[:CALIBRATED]
    valid[BLEND] &= np.isfinite(miss[BLEND])
    alert_band.learn(work, outcome, before.bands, absolute[:CALIBRATED, :, 0])
    achieved.learn(work, outcome, forecasts)
    published = _published(work, leads, forecasts.offset, before.offset)
    outside = miss > np.where(np.isnan(published), np.inf, published)
    deferred = offsets.learn(work, leads, miss, outside, valid, coverage, season_steps)
    _learn_errors(work, absolute[:CALIBRATED], valid & ~deferred)
    work["scored"][...] += valid
    even = np.abs(missed[BASELINE] + missed[MODEL]) / 2
    _learn_pairs(work, leads, absolute, even, both)


def _published(work: Work, leads: tuple[int, ...], offset: F64, now: F64) -> F64:
    """Give the offsets that outcomes are judged by (F, C, K, n): those published, or of now where none were.

    The first ones that a lead publishes are another lead's: outcomes beyond them say nothing of its own.
    """
    own = work["scored"] >= _lead(leads)
    own &= work["serving"] == _CALIBRATED
    own &= np.isfinite(offset)
    return np.where(own, offset, now)


@functools.cache
def _lead(leads: tuple[int, ...]) -> F64:
    return np.array(leads, np.float64)[:, None]


def _learn_errors(work: Work, absolute: F64, valid: Bool) -> None:
    """Move mean absolute errors, of late and as usual; all (F, C, K, n)."""
    error, recent, count = work["error"], work["recent_error"], work["scored"]
    scale = _started(error, absolute)
    clipped = np.minimum(absolute, np.where((count > 16) & (error > 0), SCALE_CLIP * scale, np.inf))
    moved = clipped - scale
    moved *= np.maximum(1.0 / (count + 1.0), _SLOW)
    moved += scale
    first = _started(recent, absolute[:, :, 0])
    rate = np.maximum(1.0 / (count[:, :, 0] + 1.0), _RECENT)
    np.copyto(recent, first + rate * (clipped[:, :, 0] - first), where=valid[:, :, 0])
    # Written last: `scale` may be the errors themselves.
    np.copyto(error, moved, where=valid)


def _started(old: F64, first: F64) -> F64:
    """Let a mean that has no value yet start at its first one."""
    new = np.isnan(old)
    return np.where(new, first, old) if np.count_nonzero(new) else old


def _learn_pairs(work: Work, leads: tuple[int, ...], absolute: F64, even: F64, both: Bool) -> None:
    """Compare model, baseline and their even mixture where both had a forecast.

    absolute: (3, C, K, n); even, both: (C, K, n).
    """
    if not np.count_nonzero(both):
        return
    count, error, mixed = work["paired"], work["paired_error"], work["even_error"]
    rate = np.maximum(1.0 / (count + 1.0), _pair_rates(leads))
    started = _started(error, absolute)
    # A snapshot from before there was this error lacks it: it is at most the mean of the others'.
    usual = mixture.even_error(started, mixed)
    weight = _weight(absolute, started, count)
    np.copyto(mixed, usual + rate * (weight * even - usual), where=both)
    np.copyto(error, started + rate * (weight * absolute - started), where=both)
    count += both


def _weight(absolute: F64, usual: F64, count: F64) -> F64:
    """Give what the errors of an outcome are scaled by: 1, less where they are far beyond the usual → (C, K, n)."""
    with np.errstate(over="ignore"):
        erred = absolute[BASELINE] + absolute[MODEL]
        most = PAIR_CLIP * (usual[BASELINE] + usual[MODEL])
    wild = (erred > most) & (most > 0) & (count > PAIR_CLIP_AFTER)
    weight = np.ones(erred.shape)
    np.divide(most, erred, out=weight, where=wild)
    return weight


@functools.cache
def _pair_rates(leads: tuple[int, ...]) -> F64:
    half_life = np.maximum(ERROR_HALF_LIFE_STEPS, BLEND_MEMORY_LEADS * np.array(leads, np.float64))
    rates: F64 = (1 - 0.5 ** (1 / half_life))[:, None]
    return rates
