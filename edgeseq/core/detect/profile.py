"""Broken profile: a day that does not go as the channel's days go.

The readings of about a day are regressed on the slow daily profile: the slope is near 1 on an ordinary day, whatever
its level, and falls to 0 and below on one that runs backwards, comes late or does not come. Such a day lies above its
profile for a while, and below it for another.
"""

from __future__ import annotations

import numpy as np

from edgeseq.core.detect import record
from edgeseq.core.detect.kinds import Closed, Scores
from edgeseq.core.table import Column, Table, Work
from edgeseq.core.types import F64, Bool

LEARNING_DAYS = 3
"""Of two days one cannot tell which is the ordinary one."""

LEAST = 0.5
"""A day that keeps half of its profile is none that is broken, however regular the others were."""

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
    return own | {"profile_sides": Column((2, channels))} | record.columns("profile", channels)


def score(table: Table, work: Work, closed: Closed) -> Scores:
    """Score how much of its profile the day up to a closed step lacks; `level_shift` has measured the departure."""
    age, departure = work["run_samples"], work["departure"]
    expected, seen = closed.samples.value - departure, np.isfinite(departure)
    day = record.DAY_NS / closed.period_ns
    rate = np.maximum(min(2 / day, 0.5), 1 / np.maximum(age, 1))
    _follow(work, expected + departure, expected, rate, seen)
    cross, square = work["profile_cross"], work["profile_square"]
    with np.errstate(divide="ignore", invalid="ignore"):
        lack = np.clip(1 - cross / square, 0.0, MOST_LACK)
    found = np.where(seen & (square > 0) & (age > day), lack, np.nan)
    learning = age <= max(closed.learning_steps, LEARNING_DAYS * day)
    ratio = record.judge(work, "profile", found, closed.period_ns, learning, LEAST)
    broken = np.where(_on_both_sides(work, departure, seen, day), ratio, 0.0)
    return Scores(np.where(learning, np.nan, broken), expected=expected)


def _on_both_sides(work: Work, departure: F64, seen: Bool, day: float) -> Bool:
    """Remember the greatest departures of about a day to each side, and tell where they balance."""
    sides, near, most = work["profile_sides"], work["profile_near"], MOST * np.sqrt(work["profile_square"])
    moved = NEAR_RATE * (np.clip(departure, -most, most) - near)
    np.copyto(near, near + moved, where=seen)
    sides *= np.exp(-1 / day)
    np.maximum(sides[0], near, out=sides[0])
    np.maximum(sides[1], -near, out=sides[1])
    balanced: Bool = np.minimum(sides[0], sides[1]) >= BOTH_SIDES * np.maximum(sides[0], sides[1])
    return balanced


def _follow(work: Work, value: F64, expected: F64, rate: F64, seen: Bool) -> None:
    """Move the running means, the moments by the means before."""
    mean, profile, cross, square = (work[part] for part in PARTS)
    most = np.where(rate < SOME, MOST * np.sqrt(square), np.inf)
    off, turned = np.clip(value - mean, -most, most), expected - profile
    for kept, new in (
        (cross, off * turned),
        (square, turned * turned),
        (mean, mean + off),
        (profile, expected),
    ):
        np.copyto(kept, kept + rate * (new - kept), where=seen)
