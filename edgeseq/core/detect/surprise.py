"""One threshold for scores that have a scale of their own, raised by each alarm, lowered by time: an alert budget.

In its first week, of which the stream has shown only a part, it is higher, as a record's would be (`record`).

The quantile tracking of adaptive conformal inference (Gibbs & Candès 2021) with alarms as its outcomes: whatever a
stream is like, in the long run it alarms no more often than once in BUDGET_NS.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edgeseq.core.detect.record import DAY_NS
from edgeseq.core.table import Column, Work
from edgeseq.core.types import F64, I64, Bool

BUDGET_NS = 7 * 86_400 * 10**9
"""One alarm a week."""

STEP = 0.14
"""Logarithm that an alarm raises the threshold by, and that a week without takes from it: 15 %, so that a true alarm
costs little sight, and ten false ones make a stream four times as patient."""

TAIL = 2.0
"""Exponent of the scores' tails, as in `record`: distances in ranges come in all sizes."""

GOES_ON = 0.8
"""Share of the threshold above which an alarm goes on: `CLEAR_BELOW` of the alerts."""


class Terms(NamedTuple):
    """What a statistic's threshold is like."""

    least: float
    """Of a stream that is a week old and has no alarms."""
    most_young: float
    """What that is multiplied by at most in the first hours; towards the end of the week by nothing."""
    resting: int
    """Readings after an alarm's begin in which there is no other one."""


def columns(name: str, shape: tuple[int, ...]) -> dict[str, Column]:
    """Declare the threshold's logarithm above its least, what is left of the rest, and whether an alarm goes on."""
    return {
        f"{name}_raised": Column(shape),
        f"{name}_rest": Column(shape, "int64", 0),
        f"{name}_alarms": Column(shape, "int64", 0),
    }


def threshold(work: Work, name: str, terms: Terms, age: I64, period_ns: int) -> F64:
    """Give the thresholds of streams of some readings (…, n)."""
    days = np.maximum(age, 1) * (period_ns / DAY_NS)
    young = np.clip(BUDGET_NS / DAY_NS / days, 1.0, terms.most_young**TAIL) ** (1 / TAIL)
    found: F64 = terms.least * young * np.exp(work[f"{name}_raised"])
    return found


def judge(
    work: Work, name: str, found: F64, terms: Terms, age: I64, period_ns: int, learned: Bool
) -> F64:  # fmt: skip
    """Divide what is found by the stream's threshold, then let that move → 1 begins an alarm.

    Args:
        work: the rows.
        name: of the threshold.
        found: (…, n) at least 0.
        terms: of its threshold.
        age: (…, n) readings of the stream.
        period_ns: time between two steps.
        learned: (…, n) where alarms are told.
    """
    raised, rest, alarms = (work[f"{name}_{part}"] for part in ("raised", "rest", "alarms"))
    np.maximum(raised - STEP * period_ns / BUDGET_NS, 0.0, out=raised)
    ratio = found / threshold(work, name, terms, age, period_ns)
    goes_on = (alarms != 0) & (ratio >= GOES_ON)
    # Before they are told alarms count, too: what a stream does all the time shall not be its first one.
    begins = (ratio >= 1) & (rest == 0) & ~goes_on
    told = np.where(goes_on | begins, ratio, np.minimum(ratio, np.nextafter(GOES_ON, 0)))
    alarms[...] = begins | goes_on
    np.maximum(rest - 1, 0, out=rest)
    if np.count_nonzero(begins):
        rest[begins] = terms.resting
        raised[begins] += STEP
    return np.where(learned, told, np.nan)
