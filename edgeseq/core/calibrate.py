"""Adaptive conformal prediction intervals per stream, channel, forecaster and calibrated lead.

A forecaster's raw interval [lower, upper] is widened (or narrowed) by an offset that is moved a little after each
outcome: out by step x coverage when the outcome fell outside, in by step x (1 - coverage) when inside (the quantile
tracking step of conformal PID control, Angelopoulos et al. 2023; adaptive conformal inference, Gibbs & Candès 2021).
The outcome for lead h arrives h steps late, so the step shrinks by min(1, 4/h), or long leads oscillate.

Forecasts wait for their outcome in a packed ring: lead l needs the l newest ones, slot (step mod l).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseq.core.table import Column, Table
from edgeseq.core.types import CALIBRATED_LEADS, COVERAGE, F64, I64, Bool

FORECASTERS = ("baseline", "model")
BASELINE, MODEL = 0, 1
LOWER, VALUE, UPPER = 0, 1, 2

STEP = 0.08
"""Share of the error scale that the offset moves per outcome; measured best of .02 and .08 for lead 1."""

ERROR_HALF_LIFE_STEPS = 150
"""Memory of the mean absolute errors."""

SCALE_CLIP = 8.0
"""One outcome moves the error scale as if it erred by at most so many scales: an outage must not blow it up."""

ALERT_MISS = 0.001
"""The alert band is left by one outcome in a thousand."""

ALERT_STEP = 2.0
"""Scales by which one outcome outside widens the alert band; 1/1000 of it is what each one inside narrows it."""

ALERT_FLOOR = 4.0
"""Least half-width of the alert band beyond the interval's raw edge, in mean absolute errors (Gaussian: 99.9 %)."""

ALERT_MARGIN = 1.25
"""The first alert band is so many times the largest miss seen while learning."""

ALERT_START_LIMIT = 10.0
"""But at most so many mean absolute errors: an outage seen while learning must not blind the stream."""


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
        "alert_offset": Column(fc, init=np.nan),
        "largest_miss": Column(fc, init=0.0),
    }


def slots(leads: tuple[int, ...], step: I64) -> I64:
    """Place each lead's forecast for origin `step` (n,) in the packed ring → (n, K)."""
    starts = np.cumsum([0, *leads[:-1]])
    return starts[None, :] + step[:, None] % np.array(leads)[None, :]


def push(table: Table, leads: tuple[int, ...], rows: I64, step: I64, raw: F64) -> None:
    """Keep forecasts made at `step` until their outcomes come; raw (n, F, C, 3, K)."""
    at = slots(leads, step)
    pending = table["pending"]
    for k in range(len(leads)):
        pending[rows, :, :, :, at[:, k]] = raw[..., k]


def due(table: Table, leads: tuple[int, ...], rows: I64, step: I64) -> F64:
    """Give the forecasts whose target is `step` → (n, F, C, 3, K). Slot step mod l was filled at step - l."""
    at = slots(leads, step)
    pending = table["pending"][rows]
    return np.take_along_axis(pending, at[:, None, None, None, :], axis=-1)


def learn(
    table: Table, leads: tuple[int, ...], rows: I64, outcome: F64, forecasts: F64, learning_steps: int, frozen: Bool
) -> None:
    """Move offsets, errors and alert bands after outcomes (test-then-train: the forecasts were published before).

    Args:
        outcome: (n, C), NaN where missing.
        forecasts: (n, F, C, 3, K) from `due`.
        learning_steps: outcomes at lead 1 before the alert band holds.
        frozen: (n, C) where an alert is open: its outcomes do not widen the alert band.
    """
    y = outcome[:, None, :, None]
    lower, value, upper = (forecasts[:, :, :, i] for i in (LOWER, VALUE, UPPER))
    miss = np.maximum(lower - y, y - upper)
    absolute = np.abs(y - value)
    valid = np.isfinite(miss)
    before = table["scored"][rows]
    scale = _learn_errors(table, rows, absolute, valid)
    _learn_offset(table, leads, rows, miss, valid, before, scale)
    _learn_alert_band(table, rows, miss[..., 0], valid[..., 0], scale[..., 0], learning_steps, frozen)
    _learn_pairs(table, rows, absolute)


def _ewma(old: F64, new: F64, count: NDArray[Any], valid: Bool) -> F64:
    """Running mean with the memory ERROR_HALF_LIFE_STEPS; unchanged where not valid."""
    rate = np.maximum(1.0 / (count + 1), 1 - 0.5 ** (1 / ERROR_HALF_LIFE_STEPS))
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


def _learn_alert_band(
    table: Table, rows: I64, miss: F64, valid: Bool, scale: F64, learning_steps: int, frozen: Bool
) -> None:
    """Widen or narrow the 99.9 % band of lead 1; arrays (n, F, C)."""
    count = table["scored"][rows][..., 0]
    learning = valid & (count <= learning_steps)
    largest = table["largest_miss"][rows]
    table["largest_miss"][rows] = np.where(learning, np.maximum(largest, miss), largest)
    old = table["alert_offset"][rows]
    seen = ALERT_MARGIN * table["largest_miss"][rows]
    first = np.clip(seen, ALERT_FLOOR * scale, ALERT_START_LIMIT * scale)
    moved = old + ALERT_STEP * scale * ((miss > old) - ALERT_MISS)
    new = np.where(np.isnan(old), first, np.maximum(moved, ALERT_FLOOR * scale))
    due_now = valid & (count >= learning_steps) & ~(frozen[:, None, :] & ~np.isnan(old))
    table["alert_offset"][rows] = np.where(due_now, new, old)


def _learn_pairs(table: Table, rows: I64, absolute: F64) -> None:
    """Compare model and baseline where both had a forecast; (n, F, C, K)."""
    both = np.isfinite(absolute).all(axis=1)
    count = table["paired"][rows]
    old = table["paired_error"][rows]
    new = _ewma(old, absolute, count[:, None], both[:, None])
    table["paired_error"][rows] = new
    table["paired"][rows] = count + both


def error_ratio(table: Table, rows: I64) -> F64:
    """Give the model's error over the baseline's, geometric mean over scored leads → (n, C); NaN while unknown."""
    error = table["paired_error"][rows]
    known = (table["paired"][rows] >= 1) & (error > 0).all(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_ratio = np.where(known, np.log(error[:, MODEL] / error[:, BASELINE]), 0.0)
        return np.where(known.any(axis=2), np.exp(log_ratio.sum(axis=2) / known.sum(axis=2)), np.nan)


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
    reached = np.where(np.isnan(offset), 0, np.arange(offset.shape[-1]))
    return np.take_along_axis(offset, np.maximum.accumulate(reached, axis=-1), axis=-1)


def _between_leads(offset: F64, leads: tuple[int, ...], horizon: int) -> F64:
    """Interpolate offsets (…, K) linearly in log lead → (…, H)."""
    at = np.log(np.arange(1, horizon + 1))
    grid = np.log(np.array(leads))
    right = np.clip(np.searchsorted(grid, at), 1, max(len(leads) - 1, 1))
    if len(leads) == 1:
        return np.broadcast_to(offset, (*offset.shape[:-1], horizon)).copy()
    left = right - 1
    weight = np.clip((at - grid[left]) / (grid[right] - grid[left]), 0.0, 1.0)
    return offset[..., left] * (1 - weight) + offset[..., right] * weight
