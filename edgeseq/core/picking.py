"""Which forecaster serves each row, and what is its own of what all forecasters give."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseq.core.pending import BASELINE, BLEND
from edgeseq.core.types import Bool

Pick = Callable[[NDArray[Any]], NDArray[Any]]
"""Takes of each row (F, ..., n) what belongs to the forecaster that serves it → (..., n)."""


def picking(blended: Bool) -> Pick:
    """Give what picks of each row the blend's part where `blended` (n,), else the baseline's."""
    served = np.count_nonzero(blended)
    if served == len(blended):
        return _BLENDS
    if served == 0:
        return _BASELINES
    return lambda served: np.where(blended, served[BLEND], served[BASELINE])


_BLENDS, _BASELINES = itemgetter(BLEND), itemgetter(BASELINE)
