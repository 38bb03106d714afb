"""What stands between a sensor's values and a model's input: an anchor and a unit per channel.

The model's graph works in float32, whose running statistics are several per cent wrong at an offset of 1e5. So the
core subtracts an anchor and divides by a unit in float64 first, and inverts the outputs. The unit is a power of
two: dividing by it is exact. Training imports these functions; there is no other definition.
"""

from __future__ import annotations

import numpy as np

from edgeseq.core.types import F32, F64

WARM_READINGS = 32
"""Valid grid values that settle anchor and unit: enough that one of them, however wrong, changes little."""

RELATIVE_CONSTANT = 1e-13
"""A spread below this share of the level is rounding of decimal numbers, not signal."""

X_LIMIT = 1e9
"""Bound of |x|: far outside any sane value, and its square is still a finite float32."""


def settle(history: F64) -> tuple[F64, F64]:
    """Choose anchor and unit of streams from what they have seen so far.

    Anchor is the median, unit the power of two nearest to the median absolute deviation (the mean one where more
    than half of the values are equal): a single wild value among the first ones moves neither.

    Args:
        history: (B, T, C) grid values in time order, NaN where missing or not yet filled.

    Returns:
        anchor and unit, (B, C) each; both NaN where fewer than WARM_READINGS values are valid or all are equal.

    >>> anchor, unit = settle(np.arange(32.0).reshape(1, 32, 1))
    >>> float(anchor[0, 0]), float(unit[0, 0])
    (15.5, 8.0)
    """
    values = np.ascontiguousarray(np.moveaxis(history, 1, -1), dtype=np.float64)
    valid = np.isfinite(values)
    enough = valid.sum(axis=-1) >= WARM_READINGS
    # Rows without enough values are computed on zeros, so that no warning and no NaN arithmetic arises.
    kept = np.where(valid & enough[..., None], values, np.nan)
    kept[~enough] = 0.0
    anchor = np.nanmedian(kept, axis=-1)
    with np.errstate(over="ignore"):
        deviation = np.abs(kept - anchor[..., None])
    typical = np.nanmedian(deviation, axis=-1)
    spread = np.where(typical > 0, typical, np.nanmean(np.minimum(deviation, 1e150), axis=-1))
    settled = enough & (spread > RELATIVE_CONSTANT * np.abs(anchor)) & (spread > 0)
    unit = np.exp2(np.round(np.log2(np.where(settled, spread, 1.0))))
    return np.where(settled, anchor, np.nan), np.where(settled, unit, np.nan)


def normalise(values: F64, anchor: F64, unit: F64) -> F32:
    """Make model inputs of sensor values: (value - anchor) / unit in float64, bounded, then float32.

    Args:
        values: (..., C), NaN where missing.
        anchor: (..., C), broadcast against values.
        unit: as anchor.

    >>> normalise(np.array([3.0, np.nan, 1e300]), np.array([1.0]), np.array([4.0])).tolist()
    [0.5, nan, 1000000000.0]
    """
    with np.errstate(over="ignore"):
        x = (values - anchor) / unit
    return np.clip(x, -X_LIMIT, X_LIMIT).astype(np.float32)


def denormalise(quantiles: F32, anchor: F64, unit: F64) -> F64:
    """Turn the model's quantiles (B, C, H, Q) back into sensor units; anchor and unit (B, C)."""
    scaled: F64 = quantiles.astype(np.float64) * unit[..., None, None]
    return scaled + anchor[..., None, None]
