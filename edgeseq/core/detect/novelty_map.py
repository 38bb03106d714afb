"""A map of where a stream has been: points (reading, recent mean) on 64 x 64 cells, one bit each.

A row of the map is one 64-bit word: the cells of one mean. The cells begin as a fortieth of the range so far, in the
middle of the map; where the range outgrows the map, cells are joined in pairs, so that it always spans 32 to 64.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeseq.core.table import Column, Table, Work
from edgeseq.core.types import F64, I64, Bool

SIDE = 64
SPAN = 40
"""Cells that the range spans at first; the rest is room to both sides."""

REACH = 16
"""Rows above and below that are searched: from a quarter of the range on a point is far enough."""

WAITING = 100
"""Readings until a point counts as known: without, an anomaly would explain itself (65.7 against 69.4 on NAB)."""

WARM = 50
"""Readings that move, until the range is taken for one; before, there is no map."""

MOST_GROWTH = 2.0
"""Ranges that a bound moves by at most with a reading from then on: else one glitch would make everything near."""

MEAN_RATE = 0.08
"""Of the recent mean, the second axis: a dozen readings."""

AXES = ("value", "mean")
U64 = NDArray[np.uint64]
_ONE = np.uint64(1)
_EVEN = np.uint64(0x5555555555555555)


def columns(channels: int) -> dict[str, Column]:
    """Declare the map, the points that wait, and for both axes the range, the first cell's edge and a cell's size."""
    c = (channels,)
    return {
        "novelty_map": Column((channels, SIDE), "uint64", 0, apart=True),
        "novelty_waiting": Column((channels, WAITING, 2), "uint8", 0),
        "novelty_mean": Column(c, init=np.nan),
        "novelty_seen": Column(c, "int64", 0),
        "novelty_warm": Column(c, "int64", 0),
        "novelty_low": Column((2, channels)),
        "novelty_high": Column((2, channels)),
        "novelty_edge": Column((2, channels)),
        "novelty_cell": Column((2, channels), init=1.0),
    }


def distance(table: Table, work: Work, value: F64, seen: Bool) -> F64:
    """Measure readings (C, n) against the map as it was before, in ranges; then learn them.

    0 where there is no map yet, and beside a marked cell: nearly all points are there, and need no search.
    """
    _start(work, value, seen)
    point = np.stack([value, work["novelty_mean"]])
    mapped = seen & (work["novelty_warm"] >= WARM)
    found = np.zeros(value.shape)
    if np.count_nonzero(mapped):
        channel, i = mapped.nonzero()
        far = ~_is_near(table, work, point[:, channel, i], channel, i)
        if np.count_nonzero(far):
            c, j = channel[far], i[far]
            found[c, j] = _nearest(table, work, point[:, c, j], c, j)
    _stretch(work, point, seen, mapped)
    if np.count_nonzero(mapped):
        _keep_inside(table, work, channel, i)
        _mark(table, work, point[:, channel, i], channel, i)
    _begin(work, seen, mapped)
    mean, n = work["novelty_mean"], work["novelty_seen"]
    # No further than the range goes by now: one wild number would move it for thousands of readings.
    moved = within(work, value) - mean
    np.copyto(mean, mean + np.maximum(MEAN_RATE, 1 / (n + 2)) * moved, where=seen)
    n += seen
    return found


def within(work: Work, value: F64) -> F64:
    """Bound readings (C, n) by the range that `distance` has just let grow."""
    bounded: F64 = np.clip(value, work["novelty_low"][0], work["novelty_high"][0])
    return bounded


def _start(work: Work, value: F64, seen: Bool) -> None:
    """Let the first reading be range and mean."""
    first = seen & (work["novelty_seen"] == 0)
    if np.count_nonzero(first):
        for column in (work["novelty_mean"], *work["novelty_low"], *work["novelty_high"]):
            np.copyto(column, value, where=first)


def _is_near(table: Table, work: Work, point: F64, channel: I64, i: I64) -> Bool:
    """Tell which points (2, m) lie in a marked cell or beside one: within 2.1 cells, .066 of a range at the most."""
    place = (point - work["novelty_edge"][:, channel, i]) / work["novelty_cell"][:, channel, i]
    inside: Bool = np.all((place >= 0) & (place < SIDE), axis=0)
    at = np.clip(place, 0, SIDE - 1).astype(np.intp)
    flat = table["novelty_map"].reshape(-1)
    first = (work.rows[i] * len(work["novelty_mean"]) + channel) * SIDE
    words = flat.take(first + at[1])
    words |= flat.take(first + np.maximum(at[1] - 1, 0))
    words |= flat.take(first + np.minimum(at[1] + 1, SIDE - 1))
    words |= (words << _ONE) | (words >> _ONE)
    inside &= (words >> at[0].astype(np.uint64)) & _ONE != 0
    return inside


def _nearest(table: Table, work: Work, point: F64, channel: I64, i: I64) -> F64:
    """Find the distance of points (2, m) from the nearest marked cell, in ranges; at most 1."""
    edge, cell = work["novelty_edge"][:, channel, i], work["novelty_cell"][:, channel, i]
    width = (work["novelty_high"] - work["novelty_low"])[:, channel, i]
    # Where an axis has hardly moved its cells are no news.
    in_ranges = (cell / np.maximum(width, cell))[..., None]
    place = (point - edge) / cell
    at = np.clip(place, 0, SIDE - 1).astype(np.intp)
    rows = at[1][:, None] + np.arange(-REACH, REACH + 1)
    inside = (rows >= 0) & (rows < SIDE)
    first = (work.rows[i] * len(work["novelty_mean"]) + channel) * SIDE
    words = table["novelty_map"].reshape(-1).take(np.clip(rows, 0, SIDE - 1) + first[:, None])
    words[~inside] = 0
    across = _to_nearest_bit(words, at[0][:, None], (place[0] - at[0])[:, None]) * in_ranges[0]
    along = np.abs(place[1][:, None] - rows - 0.5) * in_ranges[1]
    squared = np.where(words != 0, across * across + along * along, np.inf).min(axis=1)
    found = np.sqrt(np.minimum(squared, 1.0))
    return np.where(work["novelty_warm"][channel, i] > WARM + WAITING, found, 0.0)


def _to_nearest_bit(words: U64, at: I64, within: F64) -> F64:
    """Give the distance in cells from a place (cell `at`, 0 … 1 `within` it) to the middle of the nearest set bit."""
    up = words >> at.astype(np.uint64)
    down = words << (SIDE - 1 - at).astype(np.uint64)
    # The lowest bit is a power of two, exact in float64; of the highest one only the exponent is asked.
    above = np.frexp((up & (~up + _ONE)).astype(np.float64))[1] - 1
    below = SIDE - np.frexp((down & ~(down >> _ONE)).astype(np.float64))[1]
    far = 4.0 * SIDE
    right = np.where(up != 0, np.abs(above + 0.5 - within), far)
    left = np.where(down != 0, np.abs(within + below - 0.5), far)
    return np.minimum(left, right)


def _stretch(work: Work, point: F64, seen: Bool, mapped: Bool) -> None:
    """Let the ranges take points (2, C, n) in."""
    low, high = work["novelty_low"], work["novelty_high"]
    most = np.where(mapped, MOST_GROWTH * (high - low), np.inf)
    low_new = np.minimum(low, np.maximum(point, low - most))
    high_new = np.maximum(high, np.minimum(point, high + most))
    np.copyto(low, low_new, where=seen)
    np.copyto(high, high_new, where=seen)


def _begin(work: Work, seen: Bool, mapped: Bool) -> None:
    """Count the readings since a stream first moved, and lay the map out once they are enough."""
    low, high, warm = work["novelty_low"], work["novelty_high"], work["novelty_warm"]
    warm += seen & (high > low)[0]
    begins = seen & (warm >= WARM) & ~mapped
    if np.count_nonzero(begins):
        cell = np.maximum(high - low, 1e-9 * (high - low)[0]) / SPAN
        np.copyto(work["novelty_cell"], cell, where=begins)
        np.copyto(work["novelty_edge"], low - (SIDE - SPAN) / 2 * cell, where=begins)


def _mark(table: Table, work: Work, point: F64, channel: I64, i: I64) -> None:
    """Let points (2, m) wait, and mark those that have waited."""
    edge, cell = work["novelty_edge"][:, channel, i], work["novelty_cell"][:, channel, i]
    at = np.clip((point - edge) / cell, 0, SIDE - 1).astype(np.uint8)
    rows, n = work.rows[i], work["novelty_warm"][channel, i] - WARM
    slot, full = n % WAITING, n >= WAITING
    waiting, marks = table["novelty_waiting"], table["novelty_map"]
    old = waiting[rows[full], channel[full], slot[full]]
    marks[rows[full], channel[full], old[:, 1]] |= _ONE << old[:, 0].astype(np.uint64)
    waiting[rows, channel, slot] = at.T


# --- where the range outgrows the map ---------------------------------------------------------------------------


def _keep_inside(table: Table, work: Work, channel: I64, i: I64) -> None:
    """Join cells in pairs until the map spans the range again; both bounds move, one after the other."""
    for axis in range(2):
        for _ in range(64):
            low, high, edge, cell = (
                work[f"novelty_{part}"][axis, channel, i] for part in ("low", "high", "edge", "cell")
            )
            above, below = high >= edge + SIDE * cell, low < edge
            outside = above | below
            if not np.count_nonzero(outside):
                break
            channel_out, i_out = channel[outside], i[outside]
            _join(table, work, axis, channel_out, i_out, above[outside])


def _join(table: Table, work: Work, axis: int, channel: I64, i: I64, upwards: Bool) -> None:
    """Double the cells of an axis of some maps (m,); the old map becomes the lower half, or else the upper one."""
    rows = work.rows[i]
    marks, waiting = table["novelty_map"], table["novelty_waiting"]
    old = marks[rows, channel]
    if axis == 1:
        pairs = old[:, 0::2] | old[:, 1::2]
        empty = np.zeros_like(pairs)
        lower, upper = np.concatenate([pairs, empty], axis=1), np.concatenate([empty, pairs], axis=1)
    else:
        lower = _joined_bits(old)
        upper = lower << np.uint64(SIDE // 2)
    marks[rows, channel] = np.where(upwards[:, None], lower, upper)
    half = np.where(upwards, 0, SIDE // 2).astype(np.uint8)[:, None]
    waiting[rows, channel, :, axis] = (waiting[rows, channel, :, axis] >> 1) + half
    cell = work["novelty_cell"][axis, channel, i]
    work["novelty_edge"][axis, channel, i] -= np.where(upwards, 0.0, SIDE * cell)
    work["novelty_cell"][axis, channel, i] = 2 * cell


def _joined_bits(words: U64) -> U64:
    """Join each two neighbouring bits of words to one, in the lower half: the even bits are brought together."""
    packed = (words | (words >> _ONE)) & _EVEN
    for shift in (1, 2, 4, 8, 16):
        # After each pass groups of 2 · shift bits stand at distances of 4 · shift.
        mask = np.uint64(sum(((1 << 2 * shift) - 1) << k for k in range(0, SIDE, 4 * shift)))
        packed = (packed | (packed >> np.uint64(shift))) & mask
    return packed
