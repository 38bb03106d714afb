"""What a spike must be for this stream: so far outside the alert band that the stream's budget allows it (`surprise`).

One reading in a thousand lies outside a band of 99.9 %, two a week of five-minute readings: the band says what to
expect of the next reading, not what is worth an alert.
"""

from __future__ import annotations

import numpy as np

from edgeseq.core.detect import surprise
from edgeseq.core.detect.kinds import score
from edgeseq.core.detect.step import Step
from edgeseq.core.table import Column, Work
from edgeseq.core.types import F64

TERMS = surprise.Terms(least=1.5, most_young=1.5)
"""In half-widths of the band, of about three standard deviations each."""


def columns(channels: int) -> dict[str, Column]:
    """Declare the threshold of the next step: that of `TERMS` times the budget's factor."""
    return {"spike_threshold": Column((channels,), init=TERMS.least * TERMS.most_young)}


def ratio(step: Step) -> F64:
    """Divide the scores of a closed step by the threshold of `TERMS` (C, n); NaN where none is judged."""
    band = step.band
    scores = score(step.value, band.expected, band.lower, band.upper)
    own = surprise.threshold(TERMS, step.age, step.period_ns)
    return np.where(band.live & step.samples.observed, scores / own, np.nan)


def follow(work: Work, step: Step) -> None:
    """Let the threshold of the next step be what the budget makes of it."""
    own = surprise.threshold(TERMS, step.age, step.period_ns)
    work["spike_threshold"][...] = own * surprise.factor(work)
