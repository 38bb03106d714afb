"""The detectors of closed steps: the one place where a further one is added.

The package's docstring says what a detector is and how it is called.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from edgeseq.core.detect import (
    departure,
    drift,
    level_shift,
    limit_ahead,
    novelty,
    profile,
    relation,
    spike,
    variance,
)
from edgeseq.core.detect.kinds import (
    BROKEN_PROFILE,
    BROKEN_RELATION,
    DRIFT,
    LEVEL_SHIFT,
    LIMIT_AHEAD,
    NOVELTY,
    VARIANCE_CHANGE,
    Closed,
    Scores,
)
from edgeseq.core.table import Column, Table, Work


class Detector(NamedTuple):
    """A kind of anomaly that is told from closed steps."""

    kind: int
    """Index into KINDS."""
    columns: Callable[[int], dict[str, Column]]
    """Declares the state of a stream of so many channels; names are the detector's own, such as drift_mean."""
    score: Callable[[Table, Work, Closed], Scores]
    """Scores the closed step of n rows, then learns from it."""
    worthless: tuple[str, ...] = ()
    """Columns that a gap longer than the history makes worthless: set back to their initial values then."""
    accept: Callable[[Table, Work, int, int], None] | None = None
    """Takes the present of row `work.rows[i]` (i, the third argument) and a channel as the new normal: an alert of this
    kind was open for as long as a new stream learns. None where `score` sees to that."""


DETECTORS: list[Detector] = [
    Detector(LEVEL_SHIFT, level_shift.columns, level_shift.score, level_shift.PASSING, departure.accept),
    Detector(DRIFT, drift.columns, drift.score, (), departure.accept),
    Detector(VARIANCE_CHANGE, variance.columns, variance.score, variance.PASSING),
    Detector(BROKEN_PROFILE, profile.columns, profile.score),
    Detector(BROKEN_RELATION, relation.columns, relation.score, (), relation.accept),
    Detector(NOVELTY, novelty.columns, novelty.score),
    Detector(LIMIT_AHEAD, limit_ahead.columns, limit_ahead.score),
]
"""In the order in which they are asked; a line each. Columns are set back by the third part after a long gap."""


def columns(channels: int) -> dict[str, Column]:
    """Declare the state of all detectors."""
    own = {name: column for one in DETECTORS for name, column in one.columns(channels).items()}
    return own | spike.columns(channels)


def worthless() -> tuple[str, ...]:
    """Name what a gap longer than the history makes worthless."""
    return tuple(name for one in DETECTORS for name in one.worthless)


MOST = 1e30
"""No sensor measures more: the square of such a number is finite in float64, and the number itself in float32."""


def scores(table: Table, work: Work, closed: Closed) -> dict[int, Scores]:
    """Ask all detectors → kind and what they say; only finite scores of observed targets are judged."""
    bounded = _bounded(closed)
    said = {one.kind: one.score(table, work, bounded) for one in DETECTORS}
    spike.learn(work, bounded)
    judged = closed.samples.observed & (np.arange(len(closed.samples.observed)) < closed.targets)[:, None]
    return {
        kind: scored._replace(score=np.where(judged, scored.score, np.nan)) for kind, scored in said.items()
    }


def _bounded(closed: Closed) -> Closed:
    """Keep readings and forecasts beyond what any sensor measures from becoming infinite in what is learned."""
    value, expected = np.clip(closed.samples.value, -MOST, MOST), np.clip(closed.band.expected, -MOST, MOST)
    return replace(
        closed,
        samples=replace(closed.samples, value=value),
        band=replace(closed.band, expected=expected),
        forecasts=np.clip(closed.forecasts, -MOST, MOST),
    )


def accept(table: Table, work: Work, i: int, channel: int, kind: int) -> None:
    """Let the detector of a kind take the present of a row and channel as the new normal."""
    for one in DETECTORS:
        if one.kind == kind and one.accept is not None:
            one.accept(table, work, i, channel)
