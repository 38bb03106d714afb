"""What the owner of a recording is told once it lies on the grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeseq.core.durations import format_duration
from edgeseq.core.instants import format_instant
from edgeseq.core.types import F64
from edgeseq_train.recordings.choose import listed
from edgeseq_train.recordings.request import Request
from edgeseq_train.recordings.series import Series

MOST_TOLD = 12
"""Series that are told of one by one."""
FEWEST_RISES = 50
"""A quantity that so often grew and never fell is probably a meter."""


def tell(columns: Sequence[F64], steps: int, series: Sequence[Series], request: Request) -> None:
    """Tell what was laid: each column (T,) with the series that it is of, and what the device must be told.

    Args:
        columns: (T,) each; NaN where missing.
        steps: of all.
        series: of the columns.
        request: says to whom, and how it was asked for.
    """
    known = np.array([np.isfinite(column).sum() / steps for column in columns])
    if len(series) <= MOST_TOLD:
        for k, s in enumerate(series):
            request.say(
                f"{s.name}{f' ({s.unit})' if s.unit else ''}: {len(s.values)} readings, {_span([s])},"
                f" {100 * known[k]:.1f} % of the steps known"
            )
    else:
        counts = [len(s.values) for s in series]
        least = series[int(np.argmin(known))].name
        request.say(
            f"{len(series)} series of {min(counts)} to {max(counts)} readings, {_span(series)},"
            f" {100 * known.min():.1f} ({least}) to {100 * known.max():.1f} % of the steps known"
        )
    if request.on_gap == "hold":
        request.say(
            'steps without a reading hold the last value: set on_gap = "hold" for the streams on the device'
        )
    if any(s.kind == "counter" for s in series):
        request.say(
            'counters are read by their increments: set kind = "counter" for the streams on the device'
        )
    meters = [s.name for s in series if s.kind == "gauge" and _only_grows(s.values)]
    if meters and request.kind is None:
        request.say(f"never fall: {listed(meters)}: --kind counter if their increments are meant")
    request.say(
        f"{steps} steps of {format_duration(request.period_ns)} from {len(series)} series"
        f" ({request.aggregate} of each step), {100 * known.mean():.1f} % known"
    )


def _only_grows(values: F64) -> bool:
    """Tell what may be a meter: readings in their order that grow many times and never fall.

    >>> _only_grows(np.arange(200.0)), _only_grows(np.arange(200.0) % 150)
    (True, False)
    """
    rises = np.diff(values)
    return bool((rises > 0).sum() >= FEWEST_RISES and not (rises < 0).any())


def _span(series: Sequence[Series]) -> str:
    first, last = min(int(s.time_ns[0]) for s in series), max(int(s.time_ns[-1]) for s in series)
    return f"{format_instant(first)} to {format_instant(last)}"
