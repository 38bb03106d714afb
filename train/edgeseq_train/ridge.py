"""Ridge regression on the ring, in closed form: the forecaster to beat, and the start of the highway.

In last-value form, y_{t+h} = x_t + Σ_l W_hl (x_{t-l} - x_t), it needs no level and no intercept. For each lead the
penalty is chosen by the validation part's absolute error; so is whether the weights shrink towards 0 (persistence) or
towards a combination of seasonal moves x_{t+h-kS} - x_{t-kS}, which are level-free too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from edgeseq.core.types import F32, F64

PENALTIES = tuple(10.0**k for k in range(-1, 7))
"""In units of squared channel scales summed over the training rows."""
CHUNK_ROWS = 8192


@dataclass(frozen=True, slots=True)
class Part:
    """One channel's clean values up to the end of validation, and where its parts end (indices of time)."""

    clean: F64
    """(T,) filled and clipped."""
    target: F64
    """(T,) as observed, NaN where missing."""
    scale: float
    train_end: int


@dataclass(frozen=True, slots=True)
class Ridge:
    """The solution: weights (R, H) on ring - x, oldest slot first, and the validation error per lead."""

    weights: F64
    error: F64
    """(H,) mean |error| on validation in channel scales."""


def differences(clean: F64, ring: int, start: int, stop: int, step: int = 1) -> F64:
    """Cut the rings of the origins start … stop - 1: (n, R), each minus its newest value."""
    windows = sliding_window_view(clean, ring)[start - ring + 1 : stop - ring + 1 : step]
    return windows - windows[:, -1:]


def targets(values: F64, horizon: int, start: int, stop: int, step: int = 1) -> F64:
    """Cut the H values after each origin start … stop - 1: (n, H)."""
    return sliding_window_view(values, horizon)[start + 1 : stop + 1 : step]


@dataclass(frozen=True, slots=True)
class Moments:
    """Second moments of the training rows: enough for ridge on any ring up to R."""

    gram: F64
    """(R, R)"""
    cross: F64
    """(R, H)"""


def moments(parts: list[Part], ring: int, horizon: int, max_rows: int = 150_000) -> Moments:
    """Sum over all training origins of all channels; long recordings are thinned to max_rows."""
    rows = sum(max(0, p.train_end - horizon - ring) for p in parts)
    step = max(1, rows // max_rows)
    gram, cross = np.zeros((ring, ring)), np.zeros((ring, horizon))
    for p in parts:
        for start in range(ring - 1, p.train_end - horizon, CHUNK_ROWS * step):
            stop = min(start + CHUNK_ROWS * step, p.train_end - horizon)
            d = (differences(p.clean, ring, start, stop, step) / p.scale).astype(np.float32)
            y = targets(p.clean, horizon, start, stop, step) - p.clean[start:stop:step, None]
            gram += d.T @ d
            cross += d.T @ (y / p.scale).astype(np.float32)
    return Moments(gram * step, cross * step)


def solve(m: Moments, parts: list[Part], ring: int, horizon: int, seasons: tuple[int, ...]) -> Ridge:
    """Solve for all leads and penalties, with and without seasonal moves; keep the best of each lead on validation."""
    gram, cross = m.gram[-ring:, -ring:], m.cross[-ring:]
    values, vectors = np.linalg.eigh(gram)
    candidates = [_penalised(values, vectors, cross, penalty) for penalty in PENALTIES]
    if seasons:
        candidates += [_around_seasons(gram, values, vectors, cross, seasons, p) for p in PENALTIES]
    errors = np.array([validation_error(w, parts, ring, horizon) for w in candidates])
    best = errors.argmin(axis=0)
    weights = np.stack([candidates[k][:, h] for h, k in enumerate(best)], axis=1)
    return Ridge(weights, errors.min(axis=0))


def _penalised(values: F64, vectors: F64, cross: F64, penalty: float) -> F64:
    return np.asarray(vectors @ ((vectors.T @ cross) / (np.maximum(values, 0) + penalty)[:, None]))


def _around_seasons(
    gram: F64, values: F64, vectors: F64, cross: F64, seasons: tuple[int, ...], penalty: float
) -> F64:
    """Ridge whose weights shrink towards the span of the seasonal moves, which are unpenalised."""
    ring, horizon = cross.shape
    solution = np.empty_like(cross)
    inverse = (vectors / (np.maximum(values, 0) + penalty)) @ vectors.T
    for h in range(1, horizon + 1):
        e = seasonal_moves(ring, h, seasons)
        ge = gram @ e
        left = e.T @ ge - ge.T @ inverse @ ge + 1e-3 * np.eye(e.shape[1])
        right = e.T @ cross[:, h - 1] - ge.T @ inverse @ cross[:, h - 1]
        a = np.linalg.solve(left, right)
        solution[:, h - 1] = inverse @ (cross[:, h - 1] - ge @ a) + e @ a
    return solution


def seasonal_moves(ring: int, lead: int, seasons: tuple[int, ...]) -> F64:
    """Weights (R, k) of x_{t+h-kS} - x_{t-kS} for one and two periods of each season, where the ring holds them."""
    columns = []
    for season in seasons:
        for periods in (1, 2):
            past = season * (periods + (lead - 1) // season)
            if past >= ring:
                continue
            column = np.zeros(ring)
            column[ring - 1 - (past - lead)] += 1.0
            column[ring - 1 - past] -= 1.0
            columns.append(column)
    return np.stack(columns, axis=1) if columns else np.zeros((ring, 1))


def validation_error(weights: F64, parts: list[Part], ring: int, horizon: int) -> F64:
    """Mean absolute error per lead over the validation origins, in channel scales (H,)."""
    total, count = np.zeros(horizon), np.zeros(horizon)
    for p in parts:
        error = (
            np.abs(residuals(weights, p, ring, horizon, p.train_end - 1, len(p.clean) - horizon)) / p.scale
        )
        total += np.nansum(error, axis=0)
        count += np.isfinite(error).sum(axis=0)
    return total / np.maximum(count, 1)


def residuals(weights: F64, p: Part, ring: int, horizon: int, start: int, stop: int) -> F64:
    """Observed minus forecast (n, H) for origins start … stop - 1, NaN where unobserved."""
    start = max(start, ring - 1)
    d = differences(p.clean, ring, start, stop).astype(np.float32)
    forecast = p.clean[start:stop, None] + d @ weights.astype(np.float32)
    return np.asarray(targets(p.target, horizon, start, stop) - forecast)


def lead_scale(weights: F64, parts: list[Part], running: list[F64], ring: int, horizon: int) -> F32:
    """Mean |error| of the ridge on the training part per lead, in running scales (H,)."""
    total, count = np.zeros(horizon), 0
    for p, scale in zip(parts, running, strict=True):
        start, stop = ring - 1, p.train_end - horizon
        error = np.abs(residuals(weights, p, ring, horizon, start, stop)) / scale[start:stop, None]
        total += np.nansum(error, axis=0)
        count += len(error)
    return np.maximum(total / max(count, 1), 1e-3).astype(np.float32)
