"""What training makes small: pinball loss, weighed over leads and levels."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from edgeseq.core.ops import Tensor
from edgeseq.core.types import F32, F64

MARKED_LEADS = (1, 3, 8, 24, 48, 96)


def lead_weights(ridge_error: F64) -> F32:
    """Weigh leads as a geometric mean over horizons would: Σ over marked H' ≥ h of 1 / (H' · error up to H')."""
    horizon = len(ridge_error)
    marks = sorted({h for h in MARKED_LEADS if h < horizon} | {horizon})
    weights = np.zeros(horizon)
    for h in marks:
        weights[:h] += 1 / (h * ridge_error[:h].mean())
    return np.asarray(weights / len(marks), dtype=np.float32)


def level_weights(levels: tuple[float, ...], median: float) -> F32:
    """Weigh quantile levels, the median `median` times as much as each other; they add up to 1."""
    weights = np.where(np.isclose(levels, 0.5), median, 1.0)
    return np.asarray(weights / weights.sum(), dtype=np.float32)


def pinball(q: Tensor, y: Tensor, levels: Tensor) -> Tensor:
    """Pinball loss of quantiles (..., Q) at observations (...,), × 2: at the median it is the absolute error."""
    error = tf.expand_dims(y, -1) - q
    return 2.0 * tf.maximum(levels * error, (levels - 1.0) * error)
