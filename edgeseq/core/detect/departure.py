"""How far a channel is from where its slow daily profile has it: what level shifts, drifts and broken days are told by.

The profile is a mean of each two hours of the day over the last ten days. So it does not follow a fault for days, where
a forecast does at once; and an ordinary day is no departure from it.
"""

from __future__ import annotations

import numpy as np

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
QUICK_RATE = 1 / 2
"""Of the quick mean that it is compared with: its lead over the slow one is .58 of a jump, .14 of a ramp of 72."""
JUMP_MEMORY = 0.99
"""What is left of that lead after each reading: a jump is remembered for some hundred."""

JUMP_SHARE = 0.35
"""Least lead, as a share of the departure, that makes it a level shift; less is a drift: between .58 and .14."""


def columns(channels: int) -> dict[str, Column]:
    """Declare the profile, and the departure from it."""
    c = (channels,)
    return {
        "departure_profile": Column((channels, BINS), apart=True),
        "departure_count": Column((channels, BINS), "int32", 0),
        "departure": Column(c, init=np.nan),
        "departure_mean": Column(c),
        "departure_quick": Column(c),
        "departure_jump": Column(c),
    }


PASSING = ("departure", "departure_mean", "departure_quick", "departure_jump")
"""Columns that a gap longer than the history makes worthless."""


def follow(table: Table, work: Work, closed: Closed) -> None:
    """Measure the departure of a closed step by the profile as it was before, then let it learn."""
    value, seen = closed.samples.value, closed.samples.observed
    at = (work.rows, slice(None), bins(closed.samples.time_ns))
    mean, count = table["departure_profile"][at].T, table["departure_count"][at].T
    departure = np.where(count > 0, value - mean, 0.0)
    departure[~seen] = np.nan
    slow = closed.period_ns / (PROFILE_DAYS * BIN_NS)
    rate = np.where(seen, np.maximum(min(slow, 1.0), 1 / (count + 1)), 0.0)
    table["departure_profile"][at] = np.where(seen, mean + rate * (value - mean), mean).T
    table["departure_count"][at] = (count + seen).T
    work["departure"][...] = departure
    _smooth(work, departure, seen)


def bins(time_ns: I64) -> I64:
    """Tell the part of the day of times (n,)."""
    return time_ns // BIN_NS % BINS


def _smooth(work: Work, departure: F64, seen: Bool) -> None:
    mean, quick, jump = (work[f"departure_{part}"] for part in ("mean", "quick", "jump"))
    np.copyto(mean, mean + MEAN_RATE * (departure - mean), where=seen)
    np.copyto(quick, quick + QUICK_RATE * (departure - quick), where=seen)
    lead = np.abs(quick - mean)
    np.copyto(jump, np.maximum(lead, JUMP_MEMORY * jump), where=seen)


def jumped(work: Work, size: F64) -> Bool:
    """Tell where a deviation of this size (C, n) came at once."""
    sudden: Bool = work["departure_jump"] >= JUMP_SHARE * size
    return sudden


def accept(table: Table, work: Work, i: int, channel: int) -> None:
    """Take the present level of row `work.rows[i]` as the profile's."""
    table["departure_profile"][work.rows[i], channel] += work["departure_mean"][channel, i]
    for name in PASSING[1:]:
        work[name][channel, i] = 0.0
