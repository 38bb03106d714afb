"""By how much intervals are widened: offsets in scales of error, and what a scale is now.

A scale is the mean absolute error of the lead. It follows slowly, and for a long lead late; so it is multiplied by
the swing, the square root of how much larger errors of lead 1 have been of late than usual. A sensor whose readings
scatter twice as wide so has wider intervals at all leads, long before their own outcomes have come.

Axes: F calibrated forecasters, C channels, K calibrated leads, n rows of a batch.
"""

from __future__ import annotations

import numpy as np

from edgeseq.core.pending import CALIBRATED, leads_up_to
from edgeseq.core.table import Column, Work
from edgeseq.core.types import F64

MOST_SWING, LEAST_SWING = 5.0, 0.2
"""Bounds of the recent error of lead 1 over the usual one."""


def columns(channels: int, horizon: int) -> dict[str, Column]:
    """Declare the state."""
    fck = (CALIBRATED, channels, len(leads_up_to(horizon)))
    return {
        "offset_scales": Column(fck, init=np.nan),
        "error": Column(fck, init=np.nan),
        "recent_error": Column(fck[:2], init=np.nan),
    }


def in_sensor_units(work: Work) -> F64:
    """Give the offsets in sensor units (F, C, K, n); NaN while nothing was scored."""
    offsets: F64 = work["offset_scales"] * work["error"]
    offsets *= swing(work)[:, :, None]
    return offsets


def swing(work: Work) -> F64:
    """Give what scales are multiplied by for the recent errors of lead 1 (F, C, n); 1 while nothing is known."""
    usual = work["error"][:, :, 0]
    ratio: F64 = np.divide(work["recent_error"], usual, out=np.ones_like(usual), where=usual > 0)
    np.copyto(ratio, 1.0, where=np.isnan(ratio))
    np.maximum(ratio, LEAST_SWING, out=ratio)
    np.minimum(ratio, MOST_SWING, out=ratio)
    return np.sqrt(ratio, out=ratio)
