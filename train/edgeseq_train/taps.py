"""The fixed linear features: what the cell sees of the ring, as columns of one matrix (R, K) on ring - x."""

from __future__ import annotations

import numpy as np

from edgeseq.core.types import F32, F64

EWMA_HALF_LIVES = (2.0, 8.0, 32.0)
LAGS = (1, 2, 4, 8, 16)
SEASON_LEADS = (0, 1, 3, 6, 12, 24)
RIDGE_LEADS = (1, 3, 6, 12, 24, 48, 96)
ROUGHNESS_HALF_LIVES = (3.0, 48.0)


def _ewma(ring: int, half_life: float) -> F64:
    weights = 0.5 ** (np.arange(ring - 1, -1, -1) / half_life)
    return np.asarray(weights / weights.sum())


def taps(ring: int, seasons: tuple[int, ...], ridge: F64, sample: F64) -> F32:
    """Make the matrix (R, K), each column scaled so that the feature has unit spread on the sample.

    Args:
        ring: R.
        seasons: season lengths in steps.
        ridge: (R, H) weights.
        sample: (n, R) differences of training origins in running scales.
    """
    horizon = ridge.shape[1]
    columns = [_ewma(ring, h) for h in EWMA_HALF_LIVES if 3 * h <= ring]
    # Lag l, and the move since one season ago seen from each lead: the value at lag S - lead.
    lags = [lag for lag in LAGS if lag < ring]
    lags += [s - lead for s in seasons for lead in SEASON_LEADS if lead <= min(horizon, s - 1)]
    for lag in dict.fromkeys(lags):
        column = np.zeros(ring)
        column[ring - 1 - lag] = 1.0
        columns.append(column)
    columns += [ridge[:, lead - 1] for lead in RIDGE_LEADS if lead <= horizon]
    matrix: F64 = np.stack(columns, axis=1)
    spread = np.abs(sample @ matrix).mean(axis=0) * 1.25
    scaled: F32 = (matrix / np.maximum(spread, 1e-3)).astype(np.float32)
    return scaled


def roughness(ring: int) -> F32:
    """Weights (R - 1, 2) of the absolute changes in the ring: fast and slow mean."""
    return np.stack([_ewma(ring - 1, h) for h in ROUGHNESS_HALF_LIVES], axis=1).astype(np.float32)
