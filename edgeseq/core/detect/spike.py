"""What a spike must be for this stream: so far outside the alert band that the stream's budget allows it (`surprise`).

One reading in a thousand lies outside a band of 99.9 %, two a week of five-minute readings: the band says what to
expect of the next reading, not what is worth an alert. Nor is a reading where the stream has been before, coming from
where it comes from now (`novelty_map`): a job that runs at no fixed hour, a machine that is switched on, the day on
which what was forecast by an anomaly does not happen.
"""

from __future__ import annotations

import numpy as np

from edgeseq.core.detect import novelty_map, surprise
from edgeseq.core.detect.kinds import score
from edgeseq.core.detect.step import Step
from edgeseq.core.table import Column, Table, Work
from edgeseq.core.types import F64, I64, Bool

TERMS = surprise.Terms(least=1.5, most_young=1.5)
"""In half-widths of the band, of about three standard deviations each."""


def columns(channels: int) -> dict[str, Column]:
    """Declare the threshold of the next step, that of `TERMS` times the budget's factor; and the map."""
    own = {"spike_threshold": Column((channels,), init=TERMS.least * TERMS.most_young)}
    return own | novelty_map.columns(channels)


def known(table: Table, work: Work, value: F64, far: Bool) -> tuple[I64, I64]:
    """Find those of the readings that are far off (C, n) where their stream has been → channels and rows (m,).

    To be asked before the readings are learned.
    """
    channel, i = far.nonzero()
    if len(i) == 0:
        return channel, i
    is_known = novelty_map.is_known(table, work, value[channel, i], channel, i)
    return channel[is_known], i[is_known]


def ratio(table: Table, work: Work, step: Step) -> F64:
    """Divide the scores of a closed step by the threshold of `TERMS` (C, n); NaN where none is judged."""
    band = step.band
    scores = score(step.value, band.expected, band.lower, band.upper)
    own = surprise.threshold(TERMS, step.age, step.period_ns)
    found = np.where(band.live & step.samples.observed, scores / own, np.nan)
    found[known(table, work, step.value, found >= surprise.GOES_ON)] = 0.0
    return found


def follow(work: Work, step: Step) -> None:
    """Let the threshold of the next step be what the budget makes of it."""
    own = surprise.threshold(TERMS, step.age, step.period_ns)
    work["spike_threshold"][...] = own * surprise.factor(work)
