"""One false-alarm budget of a stream: over all its channels, and over all kinds that say how they behave.

Whoever gets the alerts of a stream counts them together, and kinds that look at the same residuals do not err apart: a
budget for each would add up to a week's worth of theirs. So the greatest score of all kinds is one statistic (Tippett's
smallest p-value: each kind's score is 1 where it alone would alarm), and one factor stands before all their thresholds.

The factor follows the rate at which a stream alarms (a Poisson rate with a Gamma prior): so many alarms, in a time that
counts for less the higher the thresholds stood, as tails are powers. It stands where that rate is one in BUDGET_NS. So
an alarm weighs much on a young stream and little on a known one, as evidence does. Alarms and time are forgotten alike,
so whatever a stream is like, and however its kinds depend on each other, in the long run it alarms no more often; and
calm weeks give no right to many alarms at once. What alarms again soon after is the same incident, and counts once. A
stream that begins has saved nothing: it is as patient as if it had just alarmed.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np

from edgeseq.core.detect.record import DAY_NS, MEMORY_DAYS
from edgeseq.core.table import Column, Work
from edgeseq.core.types import F64, I64

BUDGET_NS = 7 * 86_400 * 10**9
"""One alarm a week."""

FIRST = 1.0
"""Budgets of time that a new stream is taken to have been observed for, with one alarm in them, as asked."""

YOUNG_DAYS = 7.0
"""A stream's first week, of which it has shown only a part."""

TAIL = 2.0
"""Exponent of the scores' tails, as in `record`: distances in ranges come in all sizes."""

GOES_ON = 0.8
"""Share of the threshold above which an alarm goes on: `CLEAR_BELOW` of the alerts."""

INCIDENT = 18
"""Steps after which another alarm is another incident: six good ones clear an alert, for twelve none opens."""


class Terms(NamedTuple):
    """What the threshold of a statistic with a scale of its own is like, before the budget's factor."""

    least: float
    """Of a stream that is a week old."""
    most_young: float
    """What that is multiplied by at most in the first hours; towards the end of the week by nothing."""


def columns() -> dict[str, Column]:
    """Declare the alarms, the budgets of time they came in, and the steps until what alarms is another incident."""
    return {
        "surprise_alarms": Column((), init=FIRST + 1.0),
        "surprise_time": Column((), init=FIRST),
        "surprise_rest": Column((), "int64", 0),
    }


def threshold(terms: Terms, age: I64, period_ns: int) -> F64:
    """Give the thresholds of streams of some readings (…, n): higher in the first week."""
    days = np.maximum(age, 1) * (period_ns / DAY_NS)
    young = np.clip(YOUNG_DAYS / days, 1.0, terms.most_young**TAIL) ** (1 / TAIL)
    found: F64 = terms.least * young
    return found


def factor(work: Work) -> F64:
    """Give what the budget multiplies the thresholds of the rows by (n,): 1 where nothing alarmed for long.

    What an incident costs holds from its end on: until then it may still show what it is.
    """
    settled = work["surprise_alarms"] - (work["surprise_rest"] > 0)
    patience: F64 = np.maximum(settled / work["surprise_time"], 1.0) ** (1 / TAIL)
    return patience


def spend(work: Work, greatest: F64, period_ns: int) -> None:
    """Let the factor move by a closed step.

    Args:
        work: the rows.
        greatest: (n,) score of any channel and kind, the factor already in it; NaN where nothing was judged.
        period_ns: time between two steps.
    """
    alarms, time, rest = work["surprise_alarms"], work["surprise_time"], work["surprise_rest"]
    kept, passed = _passing(period_ns)
    time[...] = time * kept + passed * factor(work) ** -TAIL
    np.maximum(alarms * kept, time, out=alarms)
    begins = (greatest >= 1) & (rest == 0)
    goes_on = (greatest >= GOES_ON) & (rest > 0)
    np.maximum(rest - 1, 0, out=rest)
    rest[begins | goes_on] = INCIDENT
    alarms[begins] += 1


@cache
def _passing(period_ns: int) -> tuple[float, float]:
    """Give what is remembered after a step, and the budgets of time that it takes."""
    return math.exp(-period_ns / DAY_NS / MEMORY_DAYS), period_ns / BUDGET_NS
