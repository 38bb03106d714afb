"""What the published intervals of the next step have held of late, and how wide they were: promises kept, as counted.

Of what served, as it was published; intervals without a width (nothing was scored yet) do not count.

Axes: C channels, n rows of a batch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edgeseq.core.pending import BASELINE, BLEND, Waiting
from edgeseq.core.table import Column, Table, Work
from edgeseq.core.types import F64

HALF_LIFE_OUTCOMES = 336
"""Memory of the share and of the mean width: as many outcomes as a stream learns from before it is live."""

_RATE = 1 - 0.5 ** (1 / HALF_LIFE_OUTCOMES)


def columns(channels: int) -> dict[str, Column]:
    """Declare the state."""
    return {
        "judged": Column((channels,)),
        "covered": Column((channels,), init=np.nan),
        "interval_width": Column((channels,), init=np.nan),
    }


def learn(work: Work, outcome: F64, forecasts: Waiting) -> None:
    """Count outcomes (C, n) inside the intervals of lead 1 that were published for them."""
    widened = forecasts.offset[:, 0]
    is_blend = work["serving"] == BLEND
    value = np.where(is_blend, forecasts.value[BLEND, :, 0], forecasts.value[BASELINE, :, 0])
    # As `serve.interval` does; the baseline's own interval has no width.
    lower = np.minimum(np.where(is_blend, forecasts.lower[:, 0], value) - widened, value)
    upper = np.maximum(np.where(is_blend, forecasts.upper[:, 0], value) + widened, value)
    width = upper - lower
    inside = (outcome >= lower) & (outcome <= upper)
    judged = np.isfinite(width) & np.isfinite(outcome)
    count = work["judged"]
    rate = np.maximum(1.0 / (count + 1.0), _RATE)
    is_first = count == 0
    for name, now in (("covered", inside), ("interval_width", width)):
        mean = work[name]
        before = np.where(is_first, 0.0, mean) if np.count_nonzero(is_first) else mean
        np.copyto(mean, before + rate * (now - before), where=judged)
    count += judged


class Achieved(NamedTuple):
    """What the intervals of many streams have held."""

    outcomes: int
    """Outcomes that were judged, of all streams together, since they began."""
    coverage: float | None
    """Mean of the streams' shares; None where nothing was judged."""
    width: float | None
    """Median width over the baseline's mean absolute error at the same lead; None where nothing has erred."""


def achieved(table: Table, targets: int) -> Achieved:
    """Sum up the streams of a rule; `targets` is how many channels are forecast, the first ones."""
    count = table["judged"][:, :targets]
    known = count > 0
    error = table["error"][:, BASELINE, :targets, 0]
    erred = known & (error > 0)
    share, width = table["covered"][:, :targets][known], table["interval_width"][:, :targets][erred]
    return Achieved(
        outcomes=int(count.sum()),
        coverage=float(share.mean()) if len(share) else None,
        width=float(np.median(width / error[erred])) if len(width) else None,
    )
