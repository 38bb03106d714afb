"""Which mixture of model and baseline would have erred least of late.

The mean absolute error of a mixture is a convex function of the model's share. Three of its values are followed: at 0
(the baseline), 1/2 and 1 (the model). The share is where the parabola through them is least: forecasts whose errors are
partly independent are better together (Bates & Granger 1969), here in absolute instead of squared error.
"""

from __future__ import annotations

import numpy as np

from edgeseq.core.pending import BASELINE, MODEL
from edgeseq.core.types import F64

PULL = 0.05
"""To the error of a share are added so many lesser errors times the square of its distance from one half: where little
is known of which is better, as much is taken of the one as of the other. 0.02 to 0.3 and pulls towards 1/2, 3/4 and 1
were tried on parts of up to twenty recordings that neither trained nor tested."""

_TINY = 1e-290
"""So that errors of 0 make equal parts."""


def best_share(errors: F64, even: F64) -> F64:
    """Give the share of the model that would have erred least → (C, K, n), 0 … 1; NaN while unknown.

    Args:
        errors: (3, C, K, n) mean absolute errors of FORECASTERS.
        even: (C, K, n) of the mixture of equal parts.
    """
    model, baseline = errors[MODEL], errors[BASELINE]
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        pull = np.minimum(model, baseline)
        pull += _TINY
        pull *= PULL
        bend = 2 * (model + baseline - 2 * even_error(errors, even))
        share: F64 = (baseline - model + bend + pull) / (2 * bend + 2 * pull)
    np.maximum(share, 0.0, out=share)
    return np.minimum(share, 1.0, out=share)


def even_error(errors: F64, even: F64) -> F64:
    """Bound the error of the even mixture by the mean of the others': it is that, where nothing is known of it."""
    bounded: F64 = np.fmin(even, 0.5 * errors[MODEL] + 0.5 * errors[BASELINE])
    return bounded
