"""The straight line that a stream's last readings follow, where they do: for streams whose forecast sees no ramp.

A line is fitted by least squares to the last 12, 24 and 48 readings; the shortest of them counts whose slope chance
gives a flat stream once in a thousand windows, by Student's t: a longer one would begin before the ramp. Residuals that
follow one another say less than as many independent ones: errors are widened by sqrt((1 + r) / (1 - r)), r their
correlation at lag 1. Where the newer half has another slope, by so much more is the slope uncertain from there on: the
window may hold a bend. A line is believed for twice its length, no further.

Axes: C channels, n rows, W readings of a window.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edgeseq.core.types import F64

WINDOWS = (12, 24, 48)
"""Readings that a line is fitted to."""

LEAST_SLOPE = (4.59, 3.79, 3.51)
"""Errors of the slope that it must at least be: quantile 0.9995 of Student's t for each window's degrees of freedom."""

REACH = (24, 48, 96)
"""Steps ahead for which a line is believed: twice its length."""

LEAST_KNOWN = 0.75
"""Share of a window that must be known."""

MOST_CORRELATION = 0.9


class Line(NamedTuple):
    """Lines through the last readings, (C, n) each; NaN where there is none."""

    level: F64
    """At the newest reading."""
    slope: F64
    """Per step."""
    scatter: F64
    """Standard deviation about the line."""
    level_error: F64
    slope_error: F64
    reach: F64
    """Steps ahead for which it is believed."""


def fit(values: F64) -> Line:
    """Fit lines to values (n, C, W), the newest last, NaN where missing."""
    shape = values.shape[1], values.shape[0]
    line = Line(*(np.full(shape, np.nan) for _ in Line._fields))
    for window, least, reach in zip(WINDOWS, LEAST_SLOPE, REACH, strict=True):
        if window > values.shape[2]:
            break
        found = _fit(values[:, :, -window:], float(reach))
        better = np.isnan(line.slope) & (np.abs(found.slope) >= least * found.slope_error)
        if not np.count_nonzero(better):
            continue
        newer = _fit(values[:, :, -window // 2 :], float(reach))
        bend = np.where(np.isfinite(newer.slope), newer.slope - found.slope, 0.0)
        found = found._replace(slope_error=np.hypot(found.slope_error, bend))
        for kept, new in zip(line, found, strict=True):
            np.copyto(kept, new, where=better)
    return line


def _fit(values: F64, reach: float) -> Line:
    """Fit one window (n, C, W)."""
    W = values.shape[2]
    known = np.isfinite(values)
    count = known.sum(axis=2).astype(np.float64)
    t = np.arange(1.0 - W, 1.0)
    # About the newest reading, which keeps small differences of large numbers exact.
    origin = values[:, :, -1:]
    y = np.where(known, values - origin, 0.0)
    time = np.where(known, t, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_t, mean_y = time.sum(axis=2) / count, y.sum(axis=2) / count
        dt = np.where(known, t - mean_t[..., None], 0.0)
        dy = np.where(known, y - mean_y[..., None], 0.0)
        spread = (dt * dt).sum(axis=2)
        slope = (dt * dy).sum(axis=2) / spread
        residual = dy - slope[..., None] * dt
        squares = (residual * residual).sum(axis=2)
        variance = squares / (count - 2)
        correlation = (residual[..., 1:] * residual[..., :-1]).sum(axis=2) / squares
        correlation = np.clip(np.where(np.isfinite(correlation), correlation, 0.0), 0.0, MOST_CORRELATION)
        widened = variance * (1 + correlation) / (1 - correlation)
        slope_error = np.sqrt(widened / spread)
        level_error = np.sqrt(widened * (1 / count + mean_t**2 / spread))
    level = origin[..., 0] + mean_y - slope * mean_t
    usable = (count >= LEAST_KNOWN * W) & known[:, :, -1] & (slope != 0)
    parts = (level, slope, np.sqrt(variance), level_error, slope_error, np.full_like(slope, reach))
    return Line(*(np.where(usable, part, np.nan).T for part in parts))


def ahead(line: Line, leads: F64) -> tuple[F64, F64]:
    """Follow lines to leads (K,) → mean and standard deviation (C, K, n); NaN beyond their reach."""
    lead = leads[:, None]
    level, slope, scatter, level_error, slope_error, reach = (part[:, None] for part in line)
    mean = np.where(lead <= reach, level + slope * lead, np.nan)
    deviation = np.sqrt(scatter**2 + level_error**2 + (lead * slope_error) ** 2)
    return mean, deviation
