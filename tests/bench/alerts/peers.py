"""Other detectors, one reading at a time and without look-ahead: what a score of ours is worth beside them.

Each gives a score (n,) for a channel's readings (n,), from those before and the present one only. None has an own
threshold that fits every recording: benches choose it for them, which favours them; how is said beside the figures.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from edgeseq.core.types import F64

Scorer = Callable[[F64], F64]

GAUSSIAN_ROWS, GAUSSIAN_STEP = 6400, 100
"""Window and stride of NAB's detector of this name, which were tuned on NAB."""
SHRINK = 1e-4
"""Share of its range by which the known range shrinks with each reading."""
EWMA_RATE = 0.02
FIRST_ROWS = 100
"""Readings that a fixed threshold takes its unit from."""
LEAST_UNIT = 1e-9
"""Of a channel that stood still over those: any movement is then an alarm."""
RIVER = Path("build/peers/bin/python")
RIVER_SCRIPT = Path(__file__).with_name("peers_river.py")
NORMAL_ROWS = 50
"""Readings before any of ours speaks."""


def windowed_gaussian(x: F64) -> F64:
    """Count standard deviations from the mean of a window of 6,400 readings: NAB's windowed Gaussian, as z."""
    n = len(x)
    steps = np.arange(n)
    full = steps > GAUSSIAN_ROWS
    stop = np.where(full, GAUSSIAN_ROWS + (steps - GAUSSIAN_ROWS) // GAUSSIAN_STEP * GAUSSIAN_STEP, steps)
    start = np.maximum(stop - GAUSSIAN_ROWS, 0)
    shifted = x - np.median(x[:FIRST_ROWS])  # sums of squares stay exact
    sums, squares = (np.concatenate([[0.0], np.cumsum(part)]) for part in (shifted, shifted**2))
    count = np.maximum(stop - start, 1)
    mean = (sums[stop] - sums[start]) / count
    spread = np.sqrt(np.maximum((squares[stop] - squares[start]) / count - mean**2, 0))
    score: F64 = np.abs(shifted - mean) / np.maximum(spread, 1e-6)
    score[:NORMAL_ROWS] = 0.0
    return score


def range_rule(x: F64) -> F64:
    """Measure by how much of the known range a reading lies outside it; the range shrinks slowly."""
    scores = np.zeros(len(x))
    low = high = float(x[0])
    for i, value in enumerate(x.tolist()):
        span = high - low
        excess = max(value - high, low - value)
        if excess > 0 and i >= NORMAL_ROWS and span > 0:
            scores[i] = excess / span
        low, high = min(low + SHRINK * span, value), max(high - SHRINK * span, value)
    return scores


def ewma_z(x: F64) -> F64:
    """Count standard deviations from an exponentially weighted mean, both of the readings before."""
    scores = np.zeros(len(x))
    mean, variance = float(x[0]), 0.0
    for i, value in enumerate(x.tolist()):
        rate = max(EWMA_RATE, 1 / (i + 1))
        away = value - mean
        if i >= NORMAL_ROWS and variance > 0:
            scores[i] = abs(away) / variance**0.5
        mean += rate * away
        variance = (1 - rate) * (variance + rate * away * away)
    return scores


def fixed_residual(x: F64) -> F64:
    """Measure the error of the last value as a forecast, in units of what it was over the first 100 readings."""
    errors = np.abs(np.diff(x, prepend=x[0]))
    scores: F64 = errors / max(float(errors[1:FIRST_ROWS].std()), LEAST_UNIT)
    scores[:FIRST_ROWS] = 0.0
    return scores


PEERS: dict[str, Scorer] = {
    "windowed Gaussian": windowed_gaussian,
    "range rule": range_rule,
    "EWMA z-score": ewma_z,
    "fixed threshold on the residual": fixed_residual,
}
TREES = "River HalfSpaceTrees"


def score(scorer: Scorer, values: F64) -> F64:
    """Score readings (n, C): the worst of the channels (n,); what is missing scores 0."""
    scores = np.zeros(values.shape)
    for c in range(values.shape[1]):
        rows = np.flatnonzero(np.isfinite(values[:, c]))
        if len(rows) > 1:
            scores[rows, c] = scorer(values[rows, c])
    worst: F64 = scores.max(axis=1)
    return worst


def score_by_trees(series: Sequence[F64], scratch: Path) -> list[F64] | None:
    """Score series (n, C) by River's HalfSpaceTrees in its own environment; None where that is not there."""
    if not RIVER.is_file():
        return None
    scratch.mkdir(parents=True, exist_ok=True)
    given, made = scratch / "given.npz", scratch / "made.npz"
    np.savez(given, *[np.nan_to_num(x, nan=np.nan) for x in series])
    told = subprocess.run([RIVER, RIVER_SCRIPT, given, made], check=True, capture_output=True, text=True)
    order = json.loads(told.stdout)
    with np.load(made) as scores:
        return [scores[name] for name in order]
