"""Level shift: a channel is suddenly elsewhere, and stays.

Two statistics, each by its own record; the greater one scores. The sooner: three readings in a row lie on one side of
what was forecast eight steps earlier (a forecast of one step has followed by then), their least distance. The surer:
the mean departure from the slow daily profile. Neither counts where the way there was gradual.
"""

from __future__ import annotations

import numpy as np

from edgeseq.core.detect import departure, record
from edgeseq.core.detect.kinds import Scores
from edgeseq.core.detect.step import Step
from edgeseq.core.table import Column, Table, Work
from edgeseq.core.types import F64

SCATTER = 2.0
"""Times the nearest of the three that the farthest is away at most: of noise that has grown three may lie on one side,
too, but seldom together."""

NOISES = 3.0
"""Mean differences of neighbouring residuals that their distance is at least: what they share, not how they differ."""

SOON_SHARE = 0.7
"""Least share of that distance that must have come with one reading; the noise of the last hundred may do for less."""

PASSING = ("level_before", *departure.PASSING)
"""Columns that a gap longer than the history makes worthless."""


def columns(channels: int) -> dict[str, Column]:
    """Declare the last two residuals; and the departure, which `drift` and `profile` use, too."""
    return {"level_before": Column((2, channels), init=np.nan), **departure.columns(channels)}


def measure(table: Table, work: Work, step: Step) -> None:
    """Find both distances. Asked before `profile`, which reads the departure, and before `variance` learns."""
    departure.follow(table, work, step)
    _same_side(work, step.value - step.ahead, step.found[record.LEVEL])
    mean = np.abs(work["departure_mean"], out=step.found[record.MEAN])
    # On its first day a stream has no profile to depart from.
    if step.is_learning:
        mean[step.age <= step.day] = np.nan
    if not step.all_seen:
        mean[~step.samples.observed] = np.nan


def score(table: Table, work: Work, step: Step) -> Scores:
    """Score a closed step."""
    soon, sure = step.ratio[record.LEVEL], step.ratio[record.MEAN]
    sudden = np.where(departure.jumped(work, step.found[record.LEVEL], SOON_SHARE), soon, 0.0)
    stays = np.where(departure.jumped(work, step.found[record.MEAN]), sure, 0.0)
    scores = np.fmax(sudden, stays)
    if step.is_learning:
        scores[step.learning[record.LEVEL]] = np.nan
    return Scores(scores, expected=step.ahead)


def _same_side(work: Work, residual: F64, near: F64) -> None:
    """Find the least distance of three residuals in a row, 0 where they are not on one side, or scatter (C, n)."""
    before = work["level_before"]
    least = np.minimum(np.minimum(before[0], before[1]), residual)
    most = np.maximum(np.maximum(before[0], before[1]), residual)
    before[0], before[1] = before[1], residual
    # Never -0.0: which of two zeros a maximum gives depends on the batch, and states are compared bit for bit.
    np.maximum(least, -most, out=near)
    near += 0.0
    far = np.maximum(most, -least)
    # Where noise has grown three readings may lie on one side, too; `variance` follows it.
    near[(far > SCATTER * near) | (near < NOISES * work["variance_mean"])] = 0.0
