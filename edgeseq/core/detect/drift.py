"""Drift: a channel leaves its slow daily profile little by little."""

from __future__ import annotations

import numpy as np

from edgeseq.core.detect import departure
from edgeseq.core.detect.kinds import Closed, Scores
from edgeseq.core.table import Column, Table, Work


def columns(channels: int) -> dict[str, Column]:
    """Declare nothing: the departure and its record are those of `level_shift`."""
    return {}


def score(table: Table, work: Work, closed: Closed) -> Scores:
    """Score the departure of a closed step that `level_shift` has measured, where it did not come at once."""
    mean, ratio = work["departure_mean"], work["departure_ratio"]
    gradual = np.where(departure.jumped(work, np.abs(mean)), 0.0, ratio)
    scores = np.where(np.isnan(ratio), np.nan, gradual)
    return Scores(scores, expected=closed.samples.value - mean)
