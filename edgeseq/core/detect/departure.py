"""How far a channel is from where its slow daily profile has it: what level shifts, drifts and broken days are told by.

The profile is a mean of each two hours of the day over the last ten days. So it does not follow a fault for days, where
a forecast does at once; and an ordinary day is no departure from it.
"""

from __future__ import annotations

import numpy as np

from edgeseq.core.detect import record
from edgeseq.core.detect.kinds import Closed
from edgeseq.core.table import Column, Table, Work
from edgeseq.core.types import F64, I64, Bool

BIN_NS = 2 * 3600 * 10**9
BINS = 12
"""Two hours: an hourly stream has two readings of each a day, and twelve bins cost 144 bytes."""

PROFILE_DAYS = 10.0
"""Memory of the profile: a working week and both weekends beside it."""

MEAN_RATE = 1 / 12
"""Of the mean departure: twelve readings, beyond a single spike's reach (a twelfth of it) and within a shift's."""
JUMP_MEMORY = 0.99
"""What is left of the greatest change from one reading to the next after each: it is remembered for some hundred."""

MOST = 4.0
"""Records of the mean departure that a single reading lies from it at most: it moves that mean by a third of one."""

JUMP_SHARE = 0.35
"""Least change at once, as a share of the departure, that makes it a level shift: a ramp is below after three readings,
a shift that takes more of them is a drift."""


def columns(channels: int) -> dict[str, Column]:
    """Declare the profile, and the departure from it."""
    c = (channels,)
    return {
        "departure_profile": Column((channels, BINS), apart=True),
        "departure_count": Column((channels, BINS), "int32", 0),
        "departure": Column(c, init=np.nan),
        "departure_mean": Column(c),
        "departure_jump": Column(c),
        **record.columns("departure_mean", channels),
        **record.columns("departure_change", channels),
    }


PASSING = ("departure", "departure_mean", "departure_jump")
"""Columns that a gap longer than the history makes worthless."""


def follow(table: Table, work: Work, closed: Closed) -> None:
    """Measure the departure of a closed step by the profile as it was before, then let it learn."""
    value, seen = closed.samples.value, closed.samples.observed
    at = (work.rows, slice(None), bins(closed.samples.time_ns))
    mean, count = table["departure_profile"][at].T, table["departure_count"][at].T
    average, kept = work["departure_mean"], work["departure_mean_record"]
    most = np.where(kept > 0, MOST * kept, np.inf)
    departure = np.where(count > 0, value - mean, 0.0)
    departure[~seen] = np.nan
    moved = np.clip(departure - average, -most, most)
    slow = closed.period_ns / (PROFILE_DAYS * BIN_NS)
    rate = np.where(seen, np.maximum(min(slow, 1.0), 1 / (count + 1)), 0.0)
    learned = np.where(count > 0, mean + rate * (average + moved), value)
    table["departure_profile"][at] = np.where(seen, learned, mean).T
    table["departure_count"][at] = (count + seen).T
    _jump(work, departure, closed)
    np.copyto(average, average + MEAN_RATE * moved, where=seen)


def bins(time_ns: I64) -> I64:
    """Tell the part of the day of times (n,)."""
    return time_ns // BIN_NS % BINS


def _jump(work: Work, departure: F64, closed: Closed) -> None:
    """Remember the greatest change from one reading to the next that is more than this stream's noise."""
    before, jump = work["departure"], work["departure_jump"]
    change = np.abs(departure - before)
    # A young record is not stretched here: nothing alarms by it alone.
    is_jump = change > record.MARGIN * work["departure_change_record"]
    learning = work["run_samples"] <= closed.learning_steps
    record.judge(work, "departure_change", change, closed.period_ns, learning, 0.0)
    jump[...] = np.maximum(np.where(is_jump & ~learning, change, 0.0), JUMP_MEMORY * jump)
    before[...] = departure


def jumped(work: Work, size: F64, share: float = JUMP_SHARE) -> Bool:
    """Tell where at least a share of a deviation of this size (C, n) came at once."""
    sudden: Bool = work["departure_jump"] >= share * size
    return sudden


def accept(table: Table, work: Work, i: int, channel: int) -> None:
    """Take the present level of row `work.rows[i]` as the profile's."""
    table["departure_profile"][work.rows[i], channel] += work["departure_mean"][channel, i]
    for name in PASSING[1:]:
        work[name][channel, i] = 0.0
