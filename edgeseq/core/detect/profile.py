"""Broken profile: a day that does not go as the channel's days go.

The readings of about a day are regressed on the slow daily profile: the slope is near 1 on an ordinary day, whatever
its level, and falls to 0 and below on one that runs backwards, comes late or does not come. Such a day lies above its
profile for a while, and below it for another.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from edgeseq.core.detect import record
from edgeseq.core.detect.kinds import Scores
from edgeseq.core.detect.step import Step
from edgeseq.core.table import Column, Table, Work
from edgeseq.core.types import F64, Bool

MOST_LACK = 3.0
"""Bound of the lack: where the profile is nearly flat the slope has no bounds."""

MOST = 8.0
"""Scales of the profile (root mean square) that a single reading lies from the mean at most, once there are some."""
SOME = 0.25
"""Rate of the running means from which on a handful of readings is behind them."""

NEAR_RATE = 1 / 4
"""Of the mean departure of the last few readings: a quarter of a morning of hours."""

BOTH_SIDES = 0.35
"""Least share of its greatest mean departure on one side that a broken day has on the other one, too. A level shift and
a drift depart to one side, though the slope feels them."""

PARTS = ("profile_mean", "profile_expected", "profile_cross", "profile_square")


def columns(channels: int) -> dict[str, Column]:
    """Declare running means of the reading and of its profile, of their product and of the profile's square.

    And the mean departure of the last few readings, and the greatest such to both sides.
    """
    own = {part: Column((channels,)) for part in (*PARTS, "profile_near")}
    return own | {"profile_sides": Column((2, channels))}


def measure(table: Table, work: Work, step: Step) -> None:
    """Find how much of its profile the day up to a closed step lacks; `level_shift` has measured the departure."""
    departure = work["departure"]
    expected, seen = step.value - departure, np.isfinite(departure)
    rate = np.maximum(min(2 / step.day, 0.5), 1 / np.maximum(step.age, 1))
    _follow(work, expected + departure, expected, rate, seen)
    cross, square = work["profile_cross"], work["profile_square"]
    with np.errstate(divide="ignore", invalid="ignore"):
        lack = 1 - cross / square
    found = step.found[record.PROFILE]
    np.minimum(np.maximum(lack, 0.0), MOST_LACK, out=found)
    unknown = ~(seen & (square > 0))
    if step.is_learning:
        unknown |= step.age <= step.day
    found[unknown] = np.nan


def score(table: Table, work: Work, step: Step) -> Scores:
    """Score that lack where the day lies on both sides of its profile."""
    departure = work["departure"]
    broken = np.where(_on_both_sides(work, departure, step.day), step.ratio[record.PROFILE], 0.0)
    if step.is_learning:
        broken[step.learning[record.PROFILE]] = np.nan
    return Scores(broken, expected=step.value - departure)


def _on_both_sides(work: Work, departure: F64, day: float) -> Bool:
    """Remember the greatest departures of about a day to each side, and tell where they balance."""
    sides, near, most = work["profile_sides"], work["profile_near"], MOST * np.sqrt(work["profile_square"])
    moved = NEAR_RATE * (record.bounded(departure, most) - near)
    np.copyto(near, near + moved, where=np.isfinite(departure))
    sides *= _left(day)
    np.maximum(sides[0], near, out=sides[0])
    np.maximum(sides[1], -near, out=sides[1])
    balanced: Bool = np.minimum(sides[0], sides[1]) >= BOTH_SIDES * np.maximum(sides[0], sides[1])
    return balanced


@cache
def _left(day: float) -> float:
    """Give what is left after a step of what is remembered for about a day."""
    return float(np.exp(-1 / day))


def _follow(work: Work, value: F64, expected: F64, rate: F64, seen: Bool) -> None:
    """Move the running means, the moments by the means before."""
    running = work.together(PARTS)
    mean, profile, _, square = running
    most = MOST * np.sqrt(square)
    most[rate >= SOME] = np.inf
    new = np.empty(running.shape)
    off, turned = record.bounded(value - mean, most), expected - profile
    np.add(mean, off, out=new[0])
    new[1] = expected
    np.multiply(off, turned, out=new[2])
    np.multiply(turned, turned, out=new[3])
    np.copyto(running, running + rate * (new - running), where=seen)
