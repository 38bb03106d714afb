"""Adaptive conformal prediction intervals per stream, channel, forecaster and calibrated lead.

A forecaster's raw interval [lower, upper] is widened (or narrowed) by an offset that is moved a little after each
outcome: out by step x coverage when the outcome fell outside, in by step x (1 - coverage) when inside (the quantile
tracking step of conformal PID control, Angelopoulos et al. 2023; adaptive conformal inference, Gibbs & Candès 2021).
The outcome for lead h arrives h steps late, so the step shrinks by min(1, 4/h), or long leads oscillate.

Forecasts wait for their outcome in a packed ring: lead l needs the l newest ones, slot (step mod l).
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseq.core.table import Column, Table
from edgeseq.core.types import CALIBRATED_LEADS, COVERAGE, F64, I64, Bool

FORECASTERS = ("baseline", "model", "blend")
"""The blend is what serves where there is a model: for each lead a mean of the two, weighted by their late errors."""
BASELINE, MODEL, BLEND = 0, 1, 2
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


def leads_up_to(horizon: int) -> tuple[int, ...]:
    """Give the calibrated leads within a horizon.

    >>> leads_up_to(24)
    (1, 2, 4, 8, 16, 24)
    """
    return tuple(lead for lead in CALIBRATED_LEADS if lead <= horizon)


def columns(channels: int, horizon: int) -> dict[str, Column]:
    """Declare the state; axes F forecasters, C channels, K leads."""
    leads = leads_up_to(horizon)
    fck = (len(FORECASTERS), channels, len(leads))
    fc = fck[:2]
    return {
        "pending": Column((*fc, 3, sum(leads)), "float64", np.nan),
        "offset": Column(fck, init=np.nan),
        "error": Column(fck, init=np.nan),
        "scored": Column(fck, "int64", 0),
        "paired_error": Column(fck, init=np.nan),
        "paired": Column(fck[1:], "int64", 0),
        "alert_width": Column(fc, init=ALERT_START),
        "calm": Column(fc, "int64", CALM_AFTER),
        "stride": Column(fc, "float64", 0.0),
    }


def slots(leads: tuple[int, ...], step: I64) -> I64:
    """Place each lead's forecast for origin `step` (n,) in the packed ring → (n, K)."""
    starts = np.cumsum([0, *leads[:-1]])
    at: I64 = starts[None, :] + step[:, None] % np.array(leads)[None, :]
    return at


def push(table: Table, leads: tuple[int, ...], rows: I64, step: I64, raw: F64) -> None:
    """Keep forecasts made at `step` until their outcomes come; raw (n, F, C, 3, K)."""
    table["pending"][rows[:, None], :, :, :, slots(leads, step)] = raw.transpose(0, 4, 1, 2, 3)


def due(table: Table, leads: tuple[int, ...], rows: I64, step: I64) -> F64:
    """Give the forecasts whose target is `step` → (n, F, C, 3, K). Slot step mod l was filled at step - l."""
    # Only the due slots are gathered: the ring of a stream holds hundreds.
    return table["pending"][rows[:, None], :, :, :, slots(leads, step)].transpose(0, 2, 3, 4, 1)


def learn(table: Table, leads: tuple[int, ...], rows: I64, outcome: F64, forecasts: F64) -> None:
    """Move offsets, errors and alert bands after outcomes (test-then-train: the forecasts were published before).

    Args:
        outcome: (n, C), NaN where missing.
        forecasts: (n, F, C, 3, K) from `due`.
    """
    y = outcome[:, None, :, None]
    lower, value, upper = (forecasts[:, :, :, i] for i in (LOWER, VALUE, UPPER))
    miss = np.maximum(lower - y, y - upper)
    absolute = np.abs(y - value)
    valid = np.isfinite(miss) & np.isfinite(absolute)
    before = table["scored"][rows]
    _learn_alert_width(table, rows, outcome, forecasts[..., 0])
    _learn_stride(table, rows, absolute[..., 0])
    scale = _learn_errors(table, rows, absolute, valid)
    _learn_offset(table, leads, rows, miss, valid, before, scale)
    _learn_pairs(table, leads, rows, absolute)


def _ewma(
    old: F64, new: F64, count: NDArray[Any], valid: Bool, half_life_steps: float | F64 = ERROR_HALF_LIFE_STEPS
) -> F64:
    """Move a running mean; unchanged where not valid."""
    rate = np.maximum(1.0 / (count + 1), 1 - 0.5 ** (1 / half_life_steps))
    started = np.where(np.isnan(old), new, old)
    return np.where(valid, started + rate * (new - started), old)


def _learn_errors(table: Table, rows: I64, absolute: F64, valid: Bool) -> F64:
    """Update mean absolute errors → the scale before this outcome (n, F, C, K)."""
    old, count = table["error"][rows], table["scored"][rows]
    clipped = np.where((count > 16) & (old > 0), np.minimum(absolute, SCALE_CLIP * old), absolute)
    new = _ewma(old, clipped, count, valid)
    table["error"][rows] = new
    table["scored"][rows] = count + valid
    return np.where(np.isnan(old), new, old)


def _learn_offset(
    table: Table, leads: tuple[int, ...], rows: I64, miss: F64, valid: Bool, count: NDArray[Any], scale: F64
) -> None:
    old = table["offset"][rows]
    started = np.where(np.isnan(old), np.maximum(miss, 0), old)
    slow = STEP * np.minimum(1.0, 4.0 / np.array(leads))
    # Large steps at first, so that a new stream finds its level within some twenty outcomes.
    rate = np.maximum(slow, np.minimum(0.5, 1.0 / np.sqrt(count + 1.0)))
    moved = started + rate * scale * ((miss > started) - (1 - COVERAGE))
    table["offset"][rows] = np.where(valid, moved, old)


def _learn_alert_width(table: Table, rows: I64, outcome: F64, forecasts: F64) -> None:
    """Widen the alert band after the first outcome of an episode outside, narrow it after each calm one.

    Args:
        outcome: (n, C).
        forecasts: (n, F, C, 3) of lead 1.
    """
    offset, width, stride = table["offset"][..., 0][rows], table["alert_width"][rows], table["stride"][rows]
    lower, upper = alert_band(offset, width, stride, forecasts)
    y = outcome[:, None, :]
    judged = np.isfinite(y) & np.isfinite(lower)
    with np.errstate(invalid="ignore"):
        outside = judged & ((y < lower) | (y > upper))
    calm = table["calm"][rows]
    moving = judged & (calm >= CALM_AFTER)
    table["calm"][rows] = np.where(outside, 0, calm + judged)
    moved = table["alert_width"][rows] * np.exp(ALERT_STEP * (outside - ALERT_MISS))
    width = np.clip(moved, ALERT_LEAST, ALERT_MOST)
    table["alert_width"][rows] = np.where(moving, width, table["alert_width"][rows])


def _learn_stride(table: Table, rows: I64, absolute: F64) -> None:
    """Follow the mean absolute error of lead 1 among the outcomes that were not met exactly; absolute (n, F, C)."""
    old = table["stride"][rows]
    erred = np.isfinite(absolute) & (absolute > 0)
    moved = old + STRIDE_RATE * (np.minimum(absolute, SCALE_CLIP * old) - old)
    table["stride"][rows] = np.where(erred, np.where(old > 0, moved, absolute), old)


def alert_band(offset: F64, width: F64, stride: F64, forecasts: F64) -> tuple[F64, F64]:
    """Stretch the 90 % interval of lead 1 around its value to the 99.9 % band.

    A sensor of coarse resolution repeats itself nine times in ten: its interval has no width, which says nothing of
    how far it moves when it does. So the half-width is at least the stride, the typical error where there is one.

    Args:
        offset: (...) calibration offset of lead 1.
        width: (...) half-widths of the interval.
        stride: (...) least half-width.
        forecasts: (..., 3) lower, value, upper before calibration.

    Returns:
        lower and upper edge (...); NaN while nothing was scored.

    >>> alert_band(np.array(1.0), np.array(3.0), np.array(0.5), np.array([9.0, 10.0, 12.0]))
    (np.float64(4.0), np.float64(19.0))
    """
    lower, value, upper = (forecasts[..., i] for i in (LOWER, VALUE, UPPER))
    below = np.maximum(value - lower + offset, stride)
    above = np.maximum(upper + offset - value, stride)
    return value - width * below, value + width * above


def _learn_pairs(table: Table, leads: tuple[int, ...], rows: I64, absolute: F64) -> None:
    """Compare model and baseline where both had a forecast; (n, F, C, K)."""
    half_life = np.maximum(ERROR_HALF_LIFE_STEPS, BLEND_MEMORY_LEADS * np.array(leads, np.float64))
    both: Bool = np.all(np.isfinite(absolute), axis=1)
    count = table["paired"][rows]
    old = table["paired_error"][rows]
    new = _ewma(old, absolute, count[:, None], both[:, None], half_life)
    table["paired_error"][rows] = new
    table["paired"][rows] = count + both


def error_ratio(table: Table, rows: I64) -> F64:
    """Give the blend's error over the baseline's, geometric mean over scored leads → (n, C); NaN while unknown."""
    error = table["paired_error"][rows]
    known = (table["paired"][rows] >= 1) & (error > 0).all(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_ratio = np.where(known, np.log(error[:, BLEND]) - np.log(error[:, BASELINE]), 0.0)
        return np.where(known.any(axis=2), np.exp(log_ratio.sum(axis=2) / known.sum(axis=2)), np.nan)


def model_share(table: Table, leads: tuple[int, ...], rows: I64, horizon: int) -> F64:
    """Weigh the model against the baseline → (n, C, H), 0 … 1.

    Softmax over -sharpness · (error / least error - 1), plus the model's trust; between calibrated leads linear in
    the logarithm of the lead.
    """
    error = table["paired_error"][rows][:, [BASELINE, MODEL]]
    least = error.min(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = np.where(least > 0, error / least - 1, np.where(error > 0, np.inf, 0.0))
    gap = np.clip(BLEND_SHARPNESS * (excess[:, 1] - excess[:, 0]), -50, 50) - BLEND_TRUST
    known = (table["paired"][rows] >= BLEND_AFTER) & np.isfinite(gap)
    share = _carry_forward(np.where(known, 1 / (1 + np.exp(gap)), np.nan))
    return _between_leads(np.where(np.isnan(share), 1.0, share), leads, horizon)


def blend(raw: F64, share: F64) -> F64:
    """Mix raw forecasts (n, F, C, 3, H) by the model's share (n, C, H) → (n, C, 3, H), as wide as the model's."""
    model = raw[:, MODEL]
    moved = (1 - share) * (raw[:, BASELINE, :, VALUE] - model[:, :, VALUE])
    mixed: F64 = model + moved[:, :, None]
    return mixed


def interval(table: Table, leads: tuple[int, ...], rows: I64, source: I64, raw: F64) -> tuple[F64, F64, F64]:
    """Apply the offsets to raw forecasts.

    Args:
        source: (n,) which forecaster serves each row.
        raw: (n, C, 3, H) of that forecaster.

    Returns:
        lower, value, upper (n, C, H); the value always lies inside; NaN bounds while nothing was scored.
    """
    offset = table["offset"][rows, source]
    offset = _carry_forward(offset)
    horizon = raw.shape[-1]
    spread = _between_leads(offset, leads, horizon)
    value = raw[:, :, VALUE]
    lower = np.minimum(raw[:, :, LOWER] - spread, value)
    upper = np.maximum(raw[:, :, UPPER] + spread, value)
    return lower, value, upper


def _carry_forward(offset: F64) -> F64:
    """Use the nearest shorter lead's offset while a long lead has no outcome yet; (…, K)."""
    if not np.isnan(offset).any():
        return offset
    reached = np.where(np.isnan(offset), 0, np.arange(offset.shape[-1]))
    return np.take_along_axis(offset, np.maximum.accumulate(reached, axis=-1), axis=-1)


def _between_leads(offset: F64, leads: tuple[int, ...], horizon: int) -> F64:
    """Interpolate offsets (…, K) linearly in log lead → (…, H)."""
    if len(leads) == 1:
        return np.broadcast_to(offset, (*offset.shape[:-1], horizon)).copy()
    right, weight = _neighbours(leads, horizon)
    spread: F64 = offset[..., right - 1] * (1 - weight) + offset[..., right] * weight
    return spread


@functools.cache
def _neighbours(leads: tuple[int, ...], horizon: int) -> tuple[I64, F64]:
    """Give the calibrated lead to the right of each step, and its weight against the left one, (H,) each."""
    at = np.log(np.arange(1, horizon + 1))
    grid = np.log(np.array(leads))
    right = np.clip(np.searchsorted(grid, at), 1, len(leads) - 1)
    weight = np.clip((at - grid[right - 1]) / (grid[right] - grid[right - 1]), 0.0, 1.0)
    return right, weight
