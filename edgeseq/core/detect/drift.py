"""Drift: a channel leaves its slow daily profile little by little."""

from __future__ import annotations

import numpy as np

from edgeseq.core.detect import departure, record
from edgeseq.core.detect.kinds import Scores
from edgeseq.core.detect.step import Step
from edgeseq.core.table import Column, Table, Work


def columns(channels: int) -> dict[str, Column]:
    """Declare nothing: the departure and its record are those of `level_shift`."""
    return {}


def score(table: Table, work: Work, step: Step) -> Scores:
    """Score the departure of a closed step that `level_shift` has measured, where it did not come at once."""
    mean = work["departure_mean"]
    # A product, so that what is not judged stays so.
    gradual = step.ratio[record.MEAN] * ~departure.jumped(work, np.abs(mean))
    return Scores(gradual, expected=step.value - mean)
