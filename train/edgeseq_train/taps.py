"""The fixed linear features: what the cell sees of the ring, as columns of one matrix (L, K) on lagged values - x."""

from __future__ import annotations

import numpy as np

from edgeseq.core.types import F32, F64, I64

EWMA_HALF_LIVES = (2.0, 8.0, 32.0)
LAGS = (1, 2, 4, 8, 16)
SEASON_LEADS = (0, 1, 3, 6, 12, 24)
RIDGE_LEADS = (1, 3, 6, 12, 24, 48, 96)
ROUGHNESS_HALF_LIVES = (3.0, 48.0)


def _ewma(ages: I64, half_life: float) -> F64:
    weights = 0.5 ** (ages / half_life)
    return np.asarray(weights / weights.sum())


def taps(lags: I64, recent: int, seasons: tuple[int, ...], ridge: F64, sample: F64) -> F32:
    """Make the matrix (L, K), each column scaled so that the feature has unit spread on the sample.

    Args:
        lags: (L,), the oldest first.
        recent: how many lags from 0 on have no hole.
        seasons: season lengths in steps.
        ridge: (L, H) weights.
        sample: (n, L) differences of training origins in running scales.
    """
    horizon = ridge.shape[1]
    columns = [np.where(lags < recent, _ewma(lags, h), 0.0) for h in EWMA_HALF_LIVES if 3 * h <= recent]
    # Lag l, and the move since one season ago seen from each lead: the value at lag S - lead.
    wanted = [*LAGS, *(s - lead for s in seasons for lead in SEASON_LEADS if lead <= min(horizon, s - 1))]
    columns += [(lags == lag).astype(float) for lag in dict.fromkeys(wanted) if lag in lags]
    columns += [ridge[:, lead - 1] for lead in RIDGE_LEADS if lead <= horizon]
    matrix: F64 = np.stack(columns, axis=1)
    spread = np.abs(sample @ matrix).mean(axis=0) * 1.25
    scaled: F32 = (matrix / np.maximum(spread, 1e-3)).astype(np.float32)
    return scaled


def roughness(recent: int) -> F32:
    """Weights (recent - 1, 2) of the absolute changes from lag to lag: fast and slow mean."""
    ages = np.arange(recent - 2, -1, -1)
    return np.stack([_ewma(ages, h) for h in ROUGHNESS_HALF_LIVES], axis=1).astype(np.float32)
