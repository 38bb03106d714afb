"""A free run: from one origin on, a forecaster is fed what it forecast itself (one-to-many).

What would be forecast if nothing came any more. A head that names all leads at once does it better, since errors do not
feed on themselves (`make bench-shapes`); a free run needs no such head and has no end.
"""

from __future__ import annotations

import numpy as np

from edgeseq.core.forecast import RecurrentState, Stepper
from edgeseq.core.types import F32


def free_run(stepper: Stepper, x: F32, state: RecurrentState, steps: int) -> F32:
    """Step once with what was read, then with the median of lead 1.

    Args:
        stepper: a forecaster without known inputs.
        x: (B, C) values at the origin, as the stepper takes them.
        state: (B, ...) before that step.
        steps: H' leads, any number.

    Returns:
        (B, C, H') medians.
    """
    median = len(stepper.levels) // 2
    told = []
    for _ in range(steps):
        quantiles, state = stepper.step(x, state)
        x = quantiles[:, :, 0, median]
        told.append(x)
    return np.stack(told, axis=2)
