"""A closed step as all detectors share it: what several of them need is worked out once for a batch.

Most batches are wholly of one sort: every stream seen, none still learning. Such facts are told once, so that nothing
is masked where nothing is to be masked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from edgeseq.core.detect import record
from edgeseq.core.detect.kinds import Closed
from edgeseq.core.picking import picking
from edgeseq.core.table import Work
from edgeseq.core.types import F64, I64, Bool, Index

MOST = 1e30
"""No sensor measures more: the square of such a number is finite in float64, and the number itself in float32."""

BIN_NS = 2 * 3600 * 10**9
BINS = 12
"""Parts of a day: an hourly stream has two readings of each, and twelve cost 144 bytes."""


LEAD = 8
"""Of the forecasts that tell a shift: beyond the three readings that show it, near enough to be narrow."""


@dataclass(frozen=True, slots=True)
class Step(Closed):
    """The closed steps of n rows; readings and the forecasts of lead 1 are bounded by MOST."""

    value: F64
    """(C, n) the readings, shortly."""
    ahead: F64
    """(C, n) what was forecast for them LEAD steps earlier, or as near to it as is calibrated, by what serves."""
    all_seen: bool
    """Whether every reading was observed."""
    age: I64
    """(C, n) readings of the stream, this one included."""
    day: float
    """Steps of a day."""
    place: Index
    """(C, n) number of each channel among those of all rows: where it stands in a column that is laid flat."""
    since: I64
    """(n,) parts of days since 1970."""
    bin: Index
    """(C, n) the same for columns of a number for each part of a day."""
    learning: Bool
    """(R, C, n) where each record still learns at once."""
    is_learning: bool
    """Whether any does."""
    found: F64
    """(R, C, n) the statistics that are divided by records; written by `measure`."""
    ratio: F64
    """(R, C, n) what that gave, to be read by `score`; NaN where there is nothing to judge."""


def describe(work: Work, closed: Closed) -> Step:
    """Work out what detectors share; nothing is found yet."""
    closed = _bounded(closed)
    samples = closed.samples
    channels, n = samples.value.shape
    age, day = work["run_samples"], record.DAY_NS / closed.period_ns
    place, since = work.rows * channels + _up_to(channels), samples.time_ns // BIN_NS
    learning = age <= record.learning_steps(closed.learning_steps, day)
    return Step(
        samples,
        closed.band,
        closed.forecasts,
        closed.leads,
        closed.settings,
        closed.targets,
        closed.period_ns,
        value=samples.value,
        ahead=_ahead(closed),
        all_seen=np.count_nonzero(samples.observed) == samples.observed.size,
        age=age,
        day=day,
        place=place,
        since=since,
        bin=place * BINS + (since % BINS).astype(np.intp, copy=False),
        learning=learning,
        is_learning=bool(np.count_nonzero(learning)),
        found=np.full((len(record.RECORDS), channels, n), np.nan),
        ratio=np.empty((len(record.RECORDS), channels, n)),
    )


def _ahead(closed: Closed) -> F64:
    said = picking(closed.band.is_model)(closed.forecasts[:, :, _place_of_lead(closed.leads)])
    return record.bounded(said, MOST)


@cache
def _place_of_lead(leads: tuple[int, ...]) -> int:
    return int(np.searchsorted(leads, LEAD, side="right")) - 1


@cache
def _up_to(channels: int) -> Index:
    return np.arange(channels, dtype=np.intp)[:, None]


def bins(time_ns: I64) -> I64:
    """Tell the part of the day of times (n,)."""
    return time_ns // BIN_NS % BINS


def _bounded(closed: Closed) -> Closed:
    """Keep readings and forecasts beyond what any sensor measures from becoming infinite in what is learned."""
    value, expected = closed.samples.value, closed.band.expected
    if not np.count_nonzero(np.abs(value) > MOST) and not np.count_nonzero(np.abs(expected) > MOST):
        return closed
    return replace(
        closed,
        samples=replace(closed.samples, value=record.bounded(value, MOST)),
        band=replace(closed.band, expected=record.bounded(expected, MOST)),
    )
