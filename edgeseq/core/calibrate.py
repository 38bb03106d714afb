"""Adaptive conformal prediction intervals per stream, channel, forecaster and calibrated lead.

A forecaster's raw interval [lower, upper] is widened (or narrowed) by an offset that is moved a little after each
outcome: out by step x coverage when the outcome fell outside, in by step x (1 - coverage) when inside (the quantile
tracking step of conformal PID control, Angelopoulos et al. 2023; adaptive conformal inference, Gibbs & Candès 2021).
The outcome for lead h arrives h steps late, so the step shrinks by min(1, 4/h), or long leads oscillate.

What serves is calibrated: the baseline, and the blend of it with the model. Of the model alone only the errors are
followed, which the blend comes from.

Forecasts wait for their outcome in a packed ring: lead l needs those of the l closed steps and of the open one, slot
(step mod l + 1). What the model said waits in its own float32 and scale, and the blend as its share of it, so that
nothing of them is lost.

Batches lie along the last axis (`table.Work`), n; axes before it as ever: F forecasters, C channels, K leads.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeseq.core.table import Column, Table, Work
from edgeseq.core.types import CALIBRATED_LEADS, COVERAGE, F32, F64, I64, Bool

FORECASTERS = ("baseline", "blend", "model")
"""The blend is what serves where there is a model: for each lead a mean of the two, weighted by their late errors."""
BASELINE, BLEND, MODEL = 0, 1, 2
CALIBRATED = 2
"""How many of them, the first ones, are calibrated."""
LOWER, VALUE, UPPER = 0, 1, 2

STEP = 0.08
"""Share of the error scale that the offset moves per outcome; measured best of .02 and .08 for lead 1."""

ERROR_HALF_LIFE_STEPS = 150
"""Memory of the mean absolute errors."""

SCALE_CLIP = 8.0
"""One outcome moves the error scale as if it erred by at most so many scales: an outage must not blow it up."""

ALERT_MISS = 0.001
"""The alert band is left by one outcome in a thousand."""

ALERT_START = 3.0
"""First width of the alert band in half-widths of the 90 % interval: an exponential tail that has 10 % beyond the
interval has 0.1 % beyond three of it."""

ALERT_LEAST, ALERT_MOST = 2.0, 10.0
"""Bounds of that width: 2 is the Gaussian tail; beyond 10 a stream would be blind after a few outages."""

ALERT_STEP = 0.35
"""Step of the tracked logarithm of that width: an episode widens by 42 %, a thousand calm outcomes undo it."""

STRIDE_RATE = 0.125
"""Memory of the typical error among those that are no zero: the last dozen of them."""

BLEND_SHARPNESS, BLEND_TRUST = 20.0, 1.0
"""Log-weight that a forecaster loses per unit of error above the better one's, and that the model has in advance:
at equal errors it weighs 73 %, where it errs 5 % more half, where it errs a quarter more 2 %."""
BLEND_MEMORY_LEADS = 20
"""Those errors are remembered with a half-life of so many leads, or ERROR_HALF_LIFE_STEPS where that is more: errors
of neighbouring origins at lead 96 are nearly the same ones. Trust of 1 to 3, sharpness of 10 to 40 and memory of 0 to
40 leads were tried on parts of eleven recordings that neither trained nor tested: all lie within 0.3 %, these are
among the best both on average and in the worst case."""
BLEND_AFTER = 24
"""Outcomes of a lead that both forecast before its errors count; until then the next shorter lead's do."""

CALM_AFTER = 6
"""Outcomes inside that end an episode: the outcomes of one outage count once."""

_SLOW = 1 - 0.5 ** (1 / ERROR_HALF_LIFE_STEPS)


def leads_up_to(horizon: int) -> tuple[int, ...]:
    """Give the calibrated leads within a horizon.

    >>> leads_up_to(24)
    (1, 2, 4, 8, 16, 24)
    """
    return tuple(lead for lead in CALIBRATED_LEADS if lead <= horizon)


def columns(channels: int, horizon: int) -> dict[str, Column]:
    """Declare the state; axes F forecasters, C channels, K leads, S slots."""
    leads = leads_up_to(horizon)
    fck = (CALIBRATED, channels, len(leads))
    fc = fck[:2]
    slots = sum(lead + 1 for lead in leads)
    return {
        "pending": Column((slots, channels), init=np.nan, apart=True),
        "pending_model": Column((slots, channels, 4), "float32", np.nan),
        "offset": Column(fck, init=np.nan),
        "error": Column(fck, init=np.nan),
        "scored": Column(fck),
        "paired_error": Column((len(FORECASTERS), *fck[1:]), init=np.nan),
        "paired": Column(fck[1:]),
        "log_ratio": Column((channels,), init=np.nan),
        "alert_width": Column(fc, init=ALERT_START),
        "calm": Column(fc, init=CALM_AFTER),
        "stride": Column(fc),
    }


# --- forecasts that wait --------------------------------------------------------------------------------------


class Waiting(NamedTuple):
    """Forecasts of K leads for n rows, in sensor units; NaN where there is none."""

    value: F64
    """(3, C, K, n) of FORECASTERS."""
    lower: F64
    """(C, K, n) of the blend; the baseline has no width of its own."""
    upper: F64


@functools.cache
def _ring(leads: tuple[int, ...]) -> tuple[I64, I64]:
    """Give the first slot of each lead, and its number of slots (K,) each."""
    lengths = np.array(leads) + 1
    return np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths


def _slots(table: Table, leads: tuple[int, ...], rows: I64, step: I64) -> I64:
    """Place each lead's forecast for origin `step` (n,) among the slots of all rows → (n, K)."""
    starts, lengths = _ring(leads)
    at: I64 = step[:, None] % lengths
    at += starts
    at += (rows * table.columns["pending"].shape[0])[:, None]
    return at


def push(
    table: Table, leads: tuple[int, ...], rows: I64, step: I64, baseline: F64, model: F32 | None, share: F32 | None
) -> None:  # fmt: skip
    """Keep forecasts made at `step` until their outcomes come; again for the same step replaces them.

    Args:
        table: whose rings they are put into.
        leads: K.
        rows: (n,) all different.
        step: (n,) origins.
        baseline: (n, C, K) values in sensor units.
        model: (n, C, K, 3) lower, value, upper in the model's scale, NaN where it says nothing; None: no model.
        share: (n, C, K) of the model in the blend.
    """
    at = _slots(table, leads, rows, step)
    n, K = at.shape
    C = table.columns["pending"].shape[1]
    table["pending"].reshape(-1, C)[at] = baseline.swapaxes(1, 2)
    if model is None or share is None:
        return
    said = np.empty((n, K, C, 4), np.float32)
    said[..., :3] = model.swapaxes(1, 2)
    said[..., 3] = share.swapaxes(1, 2)
    table["pending_model"].reshape(-1, C * 4)[at] = said.reshape(n, K, C * 4)


def due(
    table: Table, leads: tuple[int, ...], rows: I64, step: I64, anchor: F64, unit: F64
) -> Waiting:  # fmt: skip
    """Give the forecasts whose target is `step` (n,); anchor and unit (C, n) are the model's scale.

    What was forecast l steps before stands in the slot after that of `step` itself.
    """
    at = _slots(table, leads, rows, step + 1)
    n, K = at.shape
    C = table.columns["pending"].shape[1]
    value = np.empty((len(FORECASTERS), C, K, n))
    value[BASELINE] = table["pending"].reshape(-1, C).take(at, axis=0).transpose(2, 1, 0)
    said = table["pending_model"].reshape(-1, C * 4).take(at, axis=0)
    said = said.reshape(n, K, C, 4).transpose(3, 2, 1, 0)
    model: F64 = np.empty((3, C, K, n))
    model[...] = said[:3]
    model *= unit[:, None]
    model += anchor[:, None]
    value[MODEL] = model[VALUE]
    mixed = blend(value[BASELINE], model, said[3].astype(np.float64))
    value[BLEND] = mixed[VALUE]
    return Waiting(value, mixed[LOWER], mixed[UPPER])


# --- learning -------------------------------------------------------------------------------------------------


def learn(work: Work, leads: tuple[int, ...], outcome: F64, forecasts: Waiting) -> None:
    """Move offsets, errors and alert bands after outcomes (test-then-train: the forecasts were published before).

    Args:
        work: the rows that have an outcome.
        leads: K.
        outcome: (C, n), NaN where missing.
        forecasts: from `due`.
    """
    y = outcome[:, None]
    absolute = np.abs(y - forecasts.value)
    miss = absolute[:CALIBRATED].copy()
    np.maximum(forecasts.lower - y, y - forecasts.upper, out=miss[BLEND])
    finite = np.isfinite(absolute)
    both: Bool = np.all(finite, axis=0)
    valid = finite[:CALIBRATED]
    valid[BLEND] &= np.isfinite(miss[BLEND])
    _learn_alert_width(work, outcome, forecasts)
    _learn_stride(work, absolute[:CALIBRATED, :, 0])
    _learn_scored(work, leads, absolute[:CALIBRATED], miss, valid)
    _learn_pairs(work, leads, absolute, both)


def _learn_scored(work: Work, leads: tuple[int, ...], absolute: F64, miss: F64, valid: Bool) -> None:
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
    rate *= (miss > started) - (1 - COVERAGE)
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


def _learn_alert_width(work: Work, outcome: F64, forecasts: Waiting) -> None:
    """Widen the alert band after the first outcome of an episode outside, narrow it after each calm one."""
    lower, upper = served_bands(work, forecasts)
    with np.errstate(invalid="ignore"):
        outside = (outcome < lower) | (outcome > upper)
    judged = np.isfinite(lower) & np.isfinite(outcome)
    outside &= judged
    calm, width = work["calm"], work["alert_width"]
    moving = judged & (calm >= CALM_AFTER)
    calm += judged
    np.copyto(calm, 0, where=outside)
    moved = width * np.where(outside, _WIDENED, _NARROWED)
    np.copyto(width, np.clip(moved, ALERT_LEAST, ALERT_MOST), where=moving)


_WIDENED, _NARROWED = float(np.exp(ALERT_STEP * (1 - ALERT_MISS))), float(np.exp(-ALERT_STEP * ALERT_MISS))


def _learn_stride(work: Work, absolute: F64) -> None:
    """Follow the mean absolute error of lead 1 among the outcomes that were not met exactly; absolute (F, C, n)."""
    stride = work["stride"]
    erred = np.isfinite(absolute) & (absolute > 0)
    moved = stride + STRIDE_RATE * (np.minimum(absolute, SCALE_CLIP * stride) - stride)
    np.copyto(stride, np.where(stride > 0, moved, absolute), where=erred)


def served_bands(work: Work, forecasts: Waiting) -> tuple[F64, F64]:
    """Give the alert bands of what is calibrated from its forecasts of lead 1 → lower, upper (F, C, n)."""
    value = forecasts.value[:CALIBRATED, :, 0]
    below, above = value.copy(), value.copy()
    below[BLEND], above[BLEND] = forecasts.lower[:, 0], forecasts.upper[:, 0]
    return alert_band(work["offset"][:, :, 0], work["alert_width"], work["stride"], below, value, above)


def alert_band(
    offset: F64, width: F64, stride: F64, lower: F64, value: F64, upper: F64
) -> tuple[F64, F64]:  # fmt: skip
    """Stretch the 90 % interval of lead 1 around its value to the 99.9 % band.

    A sensor of coarse resolution repeats itself nine times in ten: its interval has no width, which says nothing of
    how far it moves when it does. So the half-width is at least the stride, the typical error where there is one.

    Args:
        offset: (...) calibration offset of lead 1.
        width: (...) half-widths of the interval.
        stride: (...) least half-width.
        lower: (...) of the forecast before calibration.
        value: (...)
        upper: (...)

    Returns:
        lower and upper edge (...); NaN while nothing was scored.

    >>> alert_band(np.array(1.0), np.array(3.0), np.array(0.5), np.array(9.0), np.array(10.0), np.array(12.0))
    (np.float64(4.0), np.float64(19.0))
    """
    below = np.maximum(value - lower + offset, stride)
    above = np.maximum(upper + offset - value, stride)
    return value - width * below, value + width * above


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


# --- what serves ----------------------------------------------------------------------------------------------


def log_error_ratio(work: Work) -> F64:
    """Give the blend's error over the baseline's, mean logarithm over scored leads → (C, n); NaN while unknown."""
    error = work["paired_error"][:CALIBRATED]
    known = (work["paired"] >= 1) & (error > 0).all(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(known, error[BLEND] / error[BASELINE], 1.0)
        product = ratio[:, 0].copy()
        # One lead after the other: NumPy would add or multiply in an order that depends on the batch.
        for k in range(1, ratio.shape[1]):
            product *= ratio[:, k]
        mean: F64 = np.log(product) / known.sum(axis=1)
    return mean


def model_share(work: Work, leads: tuple[int, ...], horizon: int) -> F32:
    """Weigh the model against the baseline → (n, C, H), 0 … 1.

    Softmax over -sharpness · (error / least error - 1), plus the model's trust; between calibrated leads linear in
    the logarithm of the lead.
    """
    errors = work["paired_error"]
    model, baseline = errors[MODEL], errors[BASELINE]
    least = np.minimum(model, baseline)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Where the lesser error is 0 the ratio is infinite, or 0 / 0: equal errors, no excess.
        gap = (model - baseline) / least
        np.copyto(gap, 0.0, where=model == baseline)
        gap *= BLEND_SHARPNESS
    np.clip(gap, -50, 50, out=gap)
    gap -= BLEND_TRUST
    share = np.exp(gap)
    share += 1
    np.divide(1.0, share, out=share)
    unknown = (work["paired"] < BLEND_AFTER) | np.isnan(share)
    if np.count_nonzero(unknown):
        share = _carry_forward(np.where(unknown, np.nan, share))
        share = np.where(np.isnan(share), 1.0, share)
    return _by_rows(_between_leads(share, leads, horizon)).astype(np.float32)


def blend(baseline: F64, model: F64, share: F64) -> F64:
    """Mix the baseline's values (...) with the model's lower, value, upper (3, ...) by its share (...) → (3, ...).

    The mixture is as wide as the model's interval.
    """
    mixed: F64 = model + (1 - share) * (baseline - model[VALUE])
    return mixed


def spread(work: Work, leads: tuple[int, ...], pick: Pick, horizon: int) -> F64:
    """Give what the intervals are widened by: the offsets of what serves → (n, C, H).

    NaN while nothing was scored.
    """
    offset = _carry_forward(pick(work["offset"]))
    return _by_rows(_between_leads(offset, leads, horizon))


def interval(spread: F64, lower: F64, value: F64, upper: F64) -> tuple[F64, F64]:
    """Widen intervals (...) by offsets → lower and upper (...); the value always lies inside."""
    return np.minimum(lower - spread, value), np.maximum(upper + spread, value)


Pick = Callable[[NDArray[Any]], NDArray[Any]]
"""Takes of each row (F, ..., n) what belongs to the forecaster that serves it → (..., n)."""


def picking(blended: Bool) -> Pick:
    """Give what picks of each row the blend's part where `blended` (n,), else the baseline's."""
    served = np.count_nonzero(blended)
    if served == len(blended):
        return _BLENDS
    if served == 0:
        return _BASELINES
    return lambda served: np.where(blended, served[BLEND], served[BASELINE])


_BLENDS, _BASELINES = itemgetter(BLEND), itemgetter(BASELINE)


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
