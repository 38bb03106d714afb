"""How far a channel is from where its slow daily profile has it: what level shifts, drifts and broken days are told by.

The profile is a mean of each two hours of the day over the last ten days. So it does not follow a fault for days, where
a forecast does at once; and an ordinary day is no departure from it.
"""

from __future__ import annotations

import numpy as np

from edgeseq.core.detect import record
from edgeseq.core.detect.step import BIN_NS, BINS, Step
from edgeseq.core.table import Column, Table, Work
from edgeseq.core.types import F64, Bool

PROFILE_DAYS = 10.0
"""Memory of the profile: a working week and both weekends beside it."""

MEAN_RATE = 1 / 12
"""Of the mean departure: twelve readings, beyond a single spike's reach (a twelfth of it) and within a shift's."""
JUMP_MEMORY = 0.99
"""What is left of the greatest change from one reading to the next after each: it is remembered for some hundred."""

MOST = 4.0
"""Records of the mean departure that a single reading lies from it at most: it moves that mean by a third of one."""

MOST_COUNT = np.iinfo(np.uint16).max
"""Readings of a bin are counted no further: of a stream of seconds nine days instead of ten are remembered."""

JUMP_SHARE = 0.35
"""Least change at once, as a share of the departure, that makes it a level shift: a ramp is below after three readings,
a shift that takes more of them is a drift."""


def columns(channels: int) -> dict[str, Column]:
    """Declare the profile, and the departure from it."""
    c = (channels,)
    return {
        "departure_profile": Column((channels, BINS), apart=True),
        "departure_count": Column((channels, BINS), "uint16", 0),
        "departure": Column(c, init=np.nan),
        "departure_mean": Column(c),
        "departure_jump": Column(c),
    }


PASSING = ("departure", "departure_mean", "departure_jump")
"""Columns that a gap longer than the history makes worthless."""


def follow(table: Table, work: Work, step: Step) -> None:
    """Measure the departure of a closed step by the profile as it was before, then let it learn."""
    at = step.bin
    profile, counts = table["departure_profile"].reshape(-1), table["departure_count"].reshape(-1)
    mean, count = profile.take(at), counts.take(at).astype(np.int64)
    value, seen = step.value, step.samples.observed
    average, departure = work["departure_mean"], value - mean
    if unknown := count.size - np.count_nonzero(count):
        departure[count == 0] = 0.0
    if not step.all_seen:
        departure[~seen] = np.nan
    most = record.several(MOST, work["departure_mean_record"])
    moved = record.bounded(departure - average, most)
    slow = step.period_ns / (PROFILE_DAYS * BIN_NS)
    learned = mean + np.maximum(min(slow, 1.0), 1 / (count + 1)) * (average + moved)
    if unknown:
        np.copyto(learned, value, where=count == 0)
    if not step.all_seen:
        np.copyto(learned, mean, where=~seen)
    profile[at] = learned
    counts[at] = count + (seen & (count < MOST_COUNT))
    _jump(work, departure, step)
    np.copyto(average, average + MEAN_RATE * moved, where=seen)


def _jump(work: Work, departure: F64, step: Step) -> None:
    """Remember the greatest change from one reading to the next that is more than this stream's noise."""
    before, jump, change = work["departure"], work["departure_jump"], step.found[record.CHANGE]
    np.abs(departure - before, out=change)
    jump *= JUMP_MEMORY
    # A young record is not stretched here: nothing alarms by it alone.
    is_jump = change > record.MARGIN * work["departure_change_record"]
    is_jump &= ~step.learning[record.CHANGE]
    if np.count_nonzero(is_jump):
        np.maximum(jump, change, out=jump, where=is_jump)
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
