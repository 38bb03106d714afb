"""Quantiles for forecasters that give points only: their errors on the validation part, added to each forecast.

Split conformal prediction (Vovk et al. 2005; Lei et al. 2018) per channel and lead: the simplest honest band.
"""

from __future__ import annotations

import warnings

import numpy as np

from edgeseq.core.types import F32


def error_quantiles(forecast: F32, y: F32, levels: tuple[float, ...]) -> F32:
    """Take the quantiles of y - forecast (N, C, H) → (C, H, Q); 0 where nothing is known."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a lead without any observation
        found = np.nanquantile(y - forecast, levels, axis=0)
    return np.asarray(np.nan_to_num(np.moveaxis(found, 0, -1)), np.float32)
