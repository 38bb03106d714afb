"""The straight line that a stream's last readings follow, where they do: for streams whose forecast sees no ramp.

Lines are fitted by least squares to the last 8, 12, 24 and 48 readings. One counts where chance gives a flat stream
such a slope once in 200 windows, by Student's t. Each is believed for twice its length; at each lead the shortest
counts that reaches so far, since a longer one may begin before the ramp. Residuals that follow one another say less
than as many independent ones: errors are widened by sqrt((1 + r) / (1 - r)), r their correlation at lag 1. Where the
newer half has another slope, by so much more is the slope uncertain from there on: the window may hold a bend.

Axes: C channels, n rows, W readings of a window.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edgeseq.core.types import F64

WINDOWS = (8, 12, 24, 48)
"""Readings that a line is fitted to."""

LEAST_SLOPE = (4.32, 3.58, 3.12, 2.95)
"""Errors of the slope that it must at least be: quantile 0.9975 of Student's t for each window's degrees of freedom."""

REACH = (16, 24, 48, 96)
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


def fit(values: F64) -> list[Line]:
    """Fit a line to each window of values (n, C, W), the newest last, NaN where missing."""
    lines = []
    for window, least in zip(WINDOWS, LEAST_SLOPE, strict=True):
        if window > values.shape[2]:
            break
        line = _fit(values[:, :, -window:])
        newer = _fit(values[:, :, -window // 2 :])
        bend = np.where(np.isfinite(newer.slope), newer.slope - line.slope, 0.0)
        is_line = np.abs(line.slope) >= least * line.slope_error
        line = line._replace(slope_error=np.hypot(line.slope_error, bend))
        lines.append(Line(*(np.where(is_line, part, np.nan) for part in line)))
    return lines


def _fit(values: F64) -> Line:
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
    parts = (level, slope, np.sqrt(variance), level_error, slope_error)
    return Line(*(np.where(usable, part, np.nan).T for part in parts))


def ahead(lines: list[Line], leads: F64) -> tuple[F64, F64]:
    """Follow lines to leads (K,) → mean and standard deviation (C, K, n); NaN where none reaches."""
    lead = leads[:, None]
    shape = len(lines[0].level), len(leads), lines[0].level.shape[1]
    mean, deviation = np.full(shape, np.nan), np.full(shape, np.nan)
    # The longest first: shorter ones take the place of it as far as they reach.
    for line, reach in reversed(list(zip(lines, REACH, strict=False))):
        level, slope, scatter, level_error, slope_error = (part[:, None] for part in line)
        reached = (lead <= reach) & np.isfinite(slope)
        np.copyto(mean, level + slope * lead, where=reached)
        np.copyto(deviation, np.sqrt(scatter**2 + level_error**2 + (lead * slope_error) ** 2), where=reached)
    return mean, deviation
