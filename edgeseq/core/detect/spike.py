"""What a spike must be for this stream: so far outside the alert band that it alarms once a week at most (`surprise`).

One reading in a thousand lies outside a band of 99.9 %, two a week of five-minute readings: the band says what to
expect of the next reading, not what is worth an alert.
"""

from __future__ import annotations

import numpy as np

from edgeseq.core.detect import surprise
from edgeseq.core.detect.kinds import score
from edgeseq.core.detect.step import Step
from edgeseq.core.table import Column, Work

TERMS = surprise.Terms(least=1.5, most_young=1.5, resting=6)
"""In half-widths of the band, of about three standard deviations each. An alert needs six good samples to clear."""


def columns(channels: int) -> dict[str, Column]:
    """Declare the threshold, and what moves it."""
    first = TERMS.least * TERMS.most_young
    return {
        "spike_threshold": Column((channels,), init=first),
        **surprise.columns("spike", (channels,)),
    }


def learn(work: Work, step: Step) -> None:
    """Move the thresholds of the next steps by a closed one."""
    band, age = step.band, step.age
    scores = score(step.value, band.expected, band.lower, band.upper)
    judged = band.live & step.samples.observed & np.isfinite(scores)
    found = np.where(judged, scores, 0.0)
    surprise.judge(work, "spike", found, TERMS, age, step.period_ns, judged)
    work["spike_threshold"][...] = surprise.threshold(work, "spike", TERMS, age, step.period_ns)
