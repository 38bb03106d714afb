"""Novelty: a reading, or where a channel has been lately, that this stream has not shown before.

Two statistics, each against its threshold; the greater one counts.

- Unseen: the distance of the point (reading, mean of the last dozen readings before it) from the nearest known one,
  each axis in units of its range so far. Known points are marked on a map of 64 x 64 cells; a point is marked a
  hundred readings late, so that an anomaly cannot explain itself.
- Unusual for the hour (`hourly`).

On 39 recordings the map scores as 256 stored points do, at half the memory and a fifth of the time.
"""

from __future__ import annotations

import numpy as np

from edgeseq.core.detect import hourly, surprise
from edgeseq.core.detect import novelty_map as seen_map
from edgeseq.core.detect.kinds import Scores
from edgeseq.core.detect.step import Step
from edgeseq.core.table import Column, Table, Work
from edgeseq.core.types import F64

TERMS = surprise.Terms(least=0.09, most_young=8.0)
"""On 39 recordings neighbouring thresholds (.08, .1) score 1 to 3 points of 100 apart: .09 lies between them and was
not sought further."""


def columns(channels: int) -> dict[str, Column]:
    """Declare the map, the profile, the steps that an alarm still rests, and whether it goes on."""
    c = (channels,)
    own = {"novelty_rest": Column(c, "int64", 0), "novelty_alarms": Column(c, "int64", 0)}
    return seen_map.columns(channels) | hourly.columns(channels) | own


def score(table: Table, work: Work, step: Step) -> Scores:
    """Score a closed step by what is new in it, then learn it."""
    unseen, within = seen_map.distance(table, work, step.value, step.samples.observed, step.place)
    unusual = hourly.excess(table, work, step, within) / hourly.threshold(step)
    ratio = np.maximum(unseen / surprise.threshold(TERMS, step.age, step.period_ns), unusual)
    learned = step.samples.observed & (step.age > step.learning_steps)
    return Scores(np.where(learned, _rested(work, ratio), np.nan))


def _rested(work: Work, ratio: F64) -> F64:
    """Let an alarm rest until what is new may be known (C, n); it may go on until it has ended."""
    rest, alarms, factor = work["novelty_rest"], work["novelty_alarms"], surprise.factor(work)
    goes_on = (alarms != 0) & (ratio >= surprise.GOES_ON * factor)
    begins = (ratio >= factor) & (rest == 0) & ~goes_on
    alarms[...] = begins | goes_on
    np.maximum(rest - 1, 0, out=rest)
    rest[begins] = seen_map.WAITING
    ends = np.nextafter(surprise.GOES_ON, 0) * factor
    return np.where(goes_on | begins, ratio, np.minimum(ratio, ends))
