"""Broken profile: a day that does not go as the channel's days go.

The readings of about a day are regressed on the slow daily profile: the slope is near 1 on an ordinary day, whatever
its level, and falls to 0 and below on one that runs backwards, comes late or does not come.
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

PARTS = ("profile_mean", "profile_expected", "profile_cross", "profile_square")


def columns(channels: int) -> dict[str, Column]:
    """Declare running means of the reading and of its profile, of their product and of the profile's square."""
    return {**{part: Column((channels,)) for part in PARTS}, **record.columns("profile", channels)}


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
    return Scores(np.where(learning, np.nan, ratio), expected=expected)


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
