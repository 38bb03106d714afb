"""What an imputer makes of a recording."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from edgeseq.core.types import F64, I64, Bool
from edgeseq_train.impute.choosing import apply
from edgeseq_train.impute.filling import fill_estimates
from edgeseq_train.impute.hiding import gaps
from edgeseq_train.impute.imputer import Imputer
from edgeseq_train.impute.lagging import Relabelled, estimate, relabel
from edgeseq_train.impute.network import Passes

Progress = Callable[[int, int], None]
"""done, of so many."""


class Filled(NamedTuple):
    """A recording without (most of) its gaps, (T, S) each, in sensor units."""

    values: F64
    """Measured where there was a reading, else filled; NaN where neither."""
    filled: Bool
    lower: F64
    """Edges of the band that holds 90 %; NaN where nothing was estimated."""
    upper: F64
    left: I64
    """(n, 3) gaps that were not filled, being too long: channel, start, stop."""


def fill(imputer: Imputer, passes: Passes, values: F64, progress: Progress = lambda *_: None) -> Filled:
    """Fill the gaps of values (T, S) that are not too long, each by the method chosen for it."""
    found = gaps(values)
    is_long = found[:, 2] - found[:, 1] > imputer.frame.longest
    wanted = np.zeros(values.shape, dtype=bool)
    for channel, start, stop in found[~is_long].tolist():
        wanted[start:stop, channel] = True
    estimates = fill_estimates(imputer.frame, passes, values, wanted, progress)
    value, lower, upper, _ = apply(imputer.choice, estimates)
    at = estimates.step, estimates.channel
    result = Filled(
        values.copy(), wanted, np.full_like(values, np.nan), np.full_like(values, np.nan), found[is_long]
    )
    for column, estimated in ((result.values, value), (result.lower, lower), (result.upper, upper)):
        column[at] = estimated
    return result


def look_again(
    imputer: Imputer, passes: Passes, values: F64, progress: Progress = lambda *_: None
) -> tuple[Filled, Relabelled]:
    """Estimate every step of values (T, S) from readings up to the imputer's lag later, and fill with that.

    Nothing in the results of step t depends on a reading after t + lag.

    Raises:
        ValueError: the imputer was made without a lag.
    """
    if imputer.lag is None:
        raise ValueError("the imputer was made without a lag")
    wanted = np.ones(values.shape, dtype=bool)
    estimates = estimate(imputer.frame, passes, values, imputer.lag, wanted, progress)
    again = relabel(imputer.lag_rules, estimates, values, imputer.frame.longest)
    filled = ~np.isfinite(values) & np.isfinite(again.smoothed)
    found = gaps(values)
    left = np.array([g for g in found.tolist() if not filled[g[2] - 1, g[0]]], dtype=np.int64).reshape(-1, 3)
    return Filled(np.where(filled, again.smoothed, values), filled, again.lower, again.upper, left), again
