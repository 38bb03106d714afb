"""Ridge regression on the ring, in closed form: the forecaster to beat, and the start of the highway.

In last-value form, y_{t+h} = x_t + Σ_l W_hl (x_{t-l} - x_t), it needs no level and no intercept. For each lead the
penalty is chosen by the validation part's absolute error; so is whether the weights shrink towards 0 (persistence) or
towards a combination of seasonal moves x_{t+h-kS} - x_{t-kS}, which are level-free too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from edgeseq.core.front import CLIP_WIDE
from edgeseq.core.types import F32, F64, I64

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
    """The solution: weights (L, H) on lagged values - x, the oldest lag first, and the validation error per lead."""

    lags: I64
    """(L,)"""
    weights: F64
    error: F64
    """(H,) mean |error| on validation in channel scales."""


def differences(clean: F64, lags: I64, start: int, stop: int, step: int = 1) -> F64:
    """Cut the lags of the origins start … stop - 1: (n, L), each minus its newest value; start >= the largest lag."""
    origins = np.arange(start, stop, step)
    reach = int(lags.max()) + 1
    windows = sliding_window_view(clean, reach)[origins - reach + 1]
    chosen = windows if len(lags) == reach else windows[:, reach - 1 - lags]
    return chosen - windows[:, -1:]


def targets(values: F64, horizon: int, start: int, stop: int, step: int = 1) -> F64:
    """Cut the H values after each origin start … stop - 1: (n, H)."""
    return sliding_window_view(values, horizon)[start + 1 : stop + 1 : step]


@dataclass(frozen=True, slots=True)
class Moments:
    """Second moments of the training rows: enough for ridge on any of the lags."""

    lags: I64
    """(L,), the oldest first; the last is 0."""
    gram: F64
    """(L, L)"""
    cross: F64
    """(L, H)"""


def moments(parts: list[Part], lags: I64, horizon: int, max_rows: int = 60_000) -> Moments:
    """Sum over all training origins of all channels; long recordings are thinned to max_rows."""
    first = int(lags.max())
    rows = sum(max(0, p.train_end - horizon - first) for p in parts)
    step = max(1, rows // max_rows)
    gram, cross = np.zeros((len(lags), len(lags))), np.zeros((len(lags), horizon))
    for p in parts:
        for start in range(first, p.train_end - horizon, CHUNK_ROWS * step):
            stop = min(start + CHUNK_ROWS * step, p.train_end - horizon)
            d = (differences(p.clean, lags, start, stop, step) / p.scale).astype(np.float32)
            y = targets(p.clean, horizon, start, stop, step) - p.clean[start:stop:step, None]
            gram += d.T @ d
            cross += d.T @ (y / p.scale).astype(np.float32)
    return Moments(lags, gram * step, cross * step)


def solve(m: Moments, parts: list[Part], lags: I64, horizon: int, seasons: tuple[int, ...]) -> Ridge:
    """Solve on some of the lags for all leads and penalties, with and without seasonal moves.

    Each lead keeps the best on validation. The weights are laid out over all lags of the moments, 0 where not used.
    """
    at = np.flatnonzero(np.isin(m.lags, lags))
    gram, cross = m.gram[np.ix_(at, at)], m.cross[at]
    values, vectors = np.linalg.eigh(gram)
    found = [_penalised(values, vectors, cross, penalty) for penalty in PENALTIES]
    if seasons:
        moves = [seasonal_moves(lags, h, seasons) for h in range(1, horizon + 1)]
        found += [_around_seasons(gram, values, vectors, cross, moves, p) for p in PENALTIES]
    return best_of(_judged(m.lags, at, found, parts, horizon))


def persistence(m: Moments, parts: list[Part], horizon: int) -> Ridge:
    """Give the solution that foretells no move."""
    return _judged(m.lags, np.arange(0), [np.zeros((0, horizon))], parts, horizon)[0]


def _judged(lags: I64, at: I64, solutions: list[F64], parts: list[Part], horizon: int) -> list[Ridge]:
    whole = np.zeros((len(solutions), len(lags), horizon))
    whole[:, at] = solutions
    side_by_side = np.concatenate(list(whole), axis=1)
    errors = validation_error(side_by_side, parts, lags, horizon).reshape(len(solutions), horizon)
    return [Ridge(lags, w, e) for w, e in zip(whole, errors, strict=True)]


def best_of(found: Sequence[Ridge]) -> Ridge:
    """Take for each lead the solution with the least validation error."""
    errors = np.array([r.error for r in found])
    best = errors.argmin(axis=0)
    weights = np.stack([found[k].weights[:, h] for h, k in enumerate(best)], axis=1)
    return Ridge(found[0].lags, weights, errors.min(axis=0))


def narrowed(r: Ridge, lags: I64) -> Ridge:
    """Keep the rows of some of the lags."""
    return Ridge(lags, r.weights[np.isin(r.lags, lags)], r.error)


def _penalised(values: F64, vectors: F64, cross: F64, penalty: float) -> F64:
    return np.asarray(vectors @ ((vectors.T @ cross) / (np.maximum(values, 0) + penalty)[:, None]))


def _around_seasons(
    gram: F64, values: F64, vectors: F64, cross: F64, moves: list[F64], penalty: float
) -> F64:
    """Ridge whose weights shrink towards the span of the seasonal moves, which are unpenalised."""
    solution = np.empty_like(cross)
    inverse = (vectors / (np.maximum(values, 0) + penalty)) @ vectors.T
    for h, e in enumerate(moves):
        ge = gram @ e
        left = e.T @ ge - ge.T @ inverse @ ge + 1e-3 * np.eye(e.shape[1])
        right = e.T @ cross[:, h] - ge.T @ inverse @ cross[:, h]
        a = np.linalg.solve(left, right)
        solution[:, h] = inverse @ (cross[:, h] - ge @ a) + e @ a
    return solution


def seasonal_moves(lags: I64, lead: int, seasons: tuple[int, ...]) -> F64:
    """Weights (L, k) of x_{t+h-kS} - x_{t-kS} for one and two periods of each season, where the lags hold them."""
    place = {int(lag): k for k, lag in enumerate(lags)}
    columns = []
    for season in seasons:
        for periods in (1, 2):
            past = season * (periods + (lead - 1) // season)
            if past not in place or past - lead not in place:
                continue
            column = np.zeros(len(lags))
            column[place[past - lead]] += 1.0
            column[place[past]] -= 1.0
            columns.append(column)
    return np.stack(columns, axis=1) if columns else np.zeros((len(lags), 1))


def validation_error(weights: F64, parts: list[Part], lags: I64, horizon: int, max_rows: int = 12_000) -> F64:
    """Mean absolute error over the validation origins, in channel scales.

    Long parts are thinned to max_rows in all. Weights (L, n·H) are n solutions side by side; gives (n·H,).
    """
    used = np.flatnonzero(weights.any(axis=1))
    slim = weights[used].astype(np.float32)
    rows = sum(len(p.clean) - horizon - p.train_end + 1 for p in parts)
    step = max(1, rows // max_rows)
    total, count = np.zeros(weights.shape[1]), np.zeros(horizon)
    for p in parts:
        start, stop = max(p.train_end - 1, int(lags.max())), len(p.clean) - horizon
        d = differences(p.clean, lags, start, stop, step)[:, used].astype(np.float32)
        y = targets(p.target, horizon, start, stop, step) - p.clean[start:stop:step, None]
        error = np.abs((d @ slim).reshape(len(y), -1, horizon) - y[:, None]) / p.scale
        total += np.nansum(error, axis=0).reshape(-1)
        count += np.isfinite(y).sum(axis=0)
    means: F64 = total / np.tile(np.maximum(count, 1), weights.shape[1] // horizon)
    return means


def residuals(weights: F64, p: Part, lags: I64, horizon: int, start: int, stop: int) -> F64:
    """Observed minus forecast (n, H) for origins start … stop - 1, NaN where unobserved."""
    start = max(start, int(lags.max()))
    d = differences(p.clean, lags, start, stop).astype(np.float32)
    forecast = p.clean[start:stop, None] + d @ weights.astype(np.float32)
    return np.asarray(targets(p.target, horizon, start, stop) - forecast)


def lead_scale(weights: F64, parts: list[Part], running: list[F64], lags: I64, horizon: int) -> F32:
    """Mean |error| of the ridge on the training part per lead, in running scales (H,)."""
    total, count = np.zeros(horizon), 0
    for p, scale in zip(parts, running, strict=True):
        start, stop = int(lags.max()), p.train_end - horizon
        error = np.abs(residuals(weights, p, lags, horizon, start, stop)) / scale[start:stop, None]
        # What a broken sensor says once must not be what the network's corrections are counted in.
        total += np.nansum(np.minimum(error, CLIP_WIDE), axis=0)
        count += len(error)
    return np.maximum(total / max(count, 1), 1e-3).astype(np.float32)
