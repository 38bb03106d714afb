"""What a statistician fills gaps with: the methods that the network must beat, on the same windows.

`linear + season` is linear interpolation of what is left when the season is taken off, and the season put back
(imputeTS calls it seasonally decomposed).
"""

from __future__ import annotations

import warnings

import numpy as np

from edgeseq.core.types import F64
from edgeseq_train.impute.sight import between, edges

HOLD, LINEAR, SEASONAL, BOTH = "hold last", "linear", "seasonal", "linear + season"


def names(*, seasonal: bool) -> tuple[str, ...]:
    """List the methods; those with a season where there is one."""
    return (HOLD, LINEAR, SEASONAL, BOTH) if seasonal else (HOLD, LINEAR)


def estimates(x: F64, near: F64, *, seasonal: bool) -> dict[str, F64]:
    """Fill windows by each method.

    Args:
        x: (B, T) values, NaN where missing or hidden.
        near: (B, T, K); its first two are the values one season before and after (`windows`).
        seasonal: whether there is a season.

    Returns:
        (B, T) by name; NaN where a method has nothing to go by.
    """
    left, right = edges(np.isfinite(x))
    nothing = np.full_like(right, x.shape[1])
    linear = between(x, left, right, np.nan)
    before = between(x, left, nothing, np.nan)
    found = {HOLD: np.where(np.isfinite(before), before, linear), LINEAR: linear}
    if not seasonal:
        return found
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the mean of none is NaN, as it should be
        season = np.nanmean(near[..., :2], axis=-1)
    shape = np.nan_to_num(season - between(season, left, right, np.nan))
    return {**found, SEASONAL: np.where(np.isfinite(season), season, linear), BOTH: linear + shape}
