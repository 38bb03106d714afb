"""The band of lead 1 that one outcome in a thousand leaves: the calibrated interval, stretched by a learned width.

Axes: F calibrated forecasters, C channels, n rows of a batch.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from edgeseq.core.pending import BLEND, CALIBRATED, Waiting
from edgeseq.core.table import Column, Work
from edgeseq.core.types import F64, Bool

SCALE_CLIP = 8.0
"""One outcome moves an error scale as if it erred by at most so many scales: an outage must not blow it up."""

ALERT_MISS = 0.001
"""The alert band is left by one outcome in a thousand."""

ALERT_START = 3.0
"""First width of the alert band in half-widths of a 90 % interval: an exponential tail that has 10 % beyond the
interval has 0.1 % beyond three of it."""

ALERT_LEAST, ALERT_MOST = 2.0, 10.0
"""Bounds of that width: 2 is the Gaussian tail; beyond 10 a stream would be blind after a few outages."""

ALERT_STEP = 0.35
"""Step of the tracked logarithm of that width: an episode widens by 42 %, a thousand calm outcomes undo it."""

STRIDE_RATE = 0.125
"""Memory of the typical error among those that are no zero: the last dozen of them."""

CALM_AFTER = 6
"""Outcomes inside that end an episode: the outcomes of one outage count once."""


def columns(channels: int) -> dict[str, Column]:
    """Declare the state."""
    fc = (CALIBRATED, channels)
    return {
        "alert_width": Column(fc, init=ALERT_START),
        "calm": Column(fc, init=CALM_AFTER),
        "stride": Column(fc),
    }


class Bands(NamedTuple):
    """The alert bands of what is calibrated, NaN while nothing was scored."""

    lower: F64
    """(F, C, n)"""
    upper: F64


def learn(work: Work, outcome: F64, bands: Bands, absolute: F64) -> None:
    """Move widths and strides after outcomes (C, n) that missed by so much at lead 1 (F, C, n).

    bands: of before.
    """
    _learn_width(work, outcome, bands)
    _learn_stride(work, absolute)


def _learn_width(work: Work, outcome: F64, bands: Bands) -> None:
    """Widen the alert band after the first outcome of an episode outside, narrow it after each calm one."""
    outside: Bool = outcome < bands.lower
    outside |= outcome > bands.upper
    judged = np.isfinite(bands.lower)
    judged &= np.isfinite(outcome)
    outside &= judged
    calm, width = work["calm"], work["alert_width"]
    moving = judged & (calm >= CALM_AFTER)
    calm += judged
    np.copyto(calm, 0, where=outside)
    moved = width * np.where(outside, _WIDENED, _NARROWED)
    np.maximum(moved, ALERT_LEAST, out=moved)
    np.copyto(width, np.minimum(moved, ALERT_MOST, out=moved), where=moving)


_WIDENED, _NARROWED = float(np.exp(ALERT_STEP * (1 - ALERT_MISS))), float(np.exp(-ALERT_STEP * ALERT_MISS))


def _learn_stride(work: Work, absolute: F64) -> None:
    """Follow the mean absolute error of lead 1 among the outcomes that were not met exactly; absolute (F, C, n)."""
    stride = work["stride"]
    erred = np.isfinite(absolute)
    erred &= absolute > 0
    moved = np.minimum(absolute, SCALE_CLIP * stride)
    moved -= stride
    moved *= STRIDE_RATE
    moved += stride
    np.copyto(stride, np.where(stride > 0, moved, absolute), where=erred)


def served_bands(work: Work, forecasts: Waiting, offset: F64, coverage: float) -> Bands:
    """Give the alert bands of what is calibrated from its forecasts of lead 1.

    Widths count in half-widths of a 90 % interval: those of another coverage are taken for an exponential tail's.

    Args:
        work: the rows.
        forecasts: those of lead 1 are looked at.
        offset: (F, C, K, n) from `offsets.in_sensor_units`.
        coverage: that intervals are for.
    """
    width = work["alert_width"] * (math.log(0.1) / math.log(1 - coverage))
    value = forecasts.value[:CALIBRATED, :, 0]
    below, above = value.copy(), value.copy()
    below[BLEND], above[BLEND] = forecasts.lower[:, 0], forecasts.upper[:, 0]
    return Bands(*alert_band(offset[:, :, 0], width, work["stride"], below, value, above))


def alert_band(
    offset: F64, width: F64, stride: F64, lower: F64, value: F64, upper: F64
) -> tuple[F64, F64]:  # fmt: skip
    """Stretch the calibrated interval of lead 1 around its value to the 99.9 % band.

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
