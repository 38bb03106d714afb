"""A map of where a stream has been: points (reading, recent mean) on 64 x 64 cells, one bit each.

A row of the map is one 64-bit word: the cells of one mean. The cells begin as a fortieth of the range so far, in the
middle of the map; where the range outgrows the map, cells are joined in pairs, so that it always spans 32 to 64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseq.core.table import Column, Table, Work
from edgeseq.core.types import F64, I64, Bool, Index

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
_BESIDE = np.array([[-1], [0], [1]])


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


def distance(table: Table, work: Work, value: F64, seen: Bool, place: Index) -> tuple[F64, F64]:
    """Measure readings (C, n) against the map as it was before, in ranges; then learn them.

    Args:
        place: (C, n) number of each channel among those of all rows.

    Returns:
        distances, 0 where there is no map yet, and beside a marked cell: nearly all points are there, and need no
        search; and the readings bounded by the range that they have just let grow. (C, n) each.
    """
    _start(work, value, seen)
    point = np.empty((2, *value.shape))
    point[0], point[1] = value, work["novelty_mean"]
    mapped = seen & (work["novelty_warm"] >= WARM)
    found = np.zeros(value.shape)
    index = mapped.reshape(-1).nonzero()[0]
    if len(index):
        found.reshape(-1)[index] = _search(table, work, point, index, place)
    grown = _stretch(work, point, seen, mapped)
    if len(index):
        _mark(table, work, point, index, place, grown)
    _begin(work, seen, mapped)
    mean, n = work["novelty_mean"], work["novelty_seen"]
    # No further than the range goes by now: one wild number would move it for thousands of readings.
    within = np.minimum(np.maximum(value, work["novelty_low"][0]), work["novelty_high"][0])
    np.copyto(mean, mean + np.maximum(MEAN_RATE, 1 / (n + 2)) * (within - mean), where=seen)
    n += seen
    return found, within


def _start(work: Work, value: F64, seen: Bool) -> None:
    """Let the first reading be range and mean."""
    n = work["novelty_seen"]
    if np.count_nonzero(n) == n.size:
        return
    first = seen & (n == 0)
    for column in (work["novelty_mean"], *work["novelty_low"], *work["novelty_high"]):
        np.copyto(column, value, where=first)


def _pick(column: NDArray[Any], index: Index) -> NDArray[Any]:
    """Give a column (…, C, n) at some of its channels and rows, as if these were one axis (…, m)."""
    flat = column.reshape(*column.shape[:-2], -1)
    return flat if len(index) == flat.shape[-1] else flat[..., index]


def _search(table: Table, work: Work, point: F64, index: Index, place: Index) -> F64:
    """Measure the distance of mapped points (m,)."""
    edge, cell = _pick(work["novelty_edge"], index), _pick(work["novelty_cell"], index)
    cells = (_pick(point, index) - edge) / cell
    first, words = _pick(place, index) * SIDE, table["novelty_map"].reshape(-1)
    far = (~_is_near(words, first, cells)).nonzero()[0]
    found = np.zeros(len(index))
    if len(far):
        far_index = index[far]
        width = _pick(work["novelty_high"] - work["novelty_low"], far_index)
        distances = _nearest(words, first[far], cells[:, far], cell[:, far], width)
        known = _pick(work["novelty_warm"], far_index) > WARM + WAITING
        found[far] = np.where(known, distances, 0.0)
    return found


def _inside(cells: F64) -> Index:
    """Give the cells (2, m) that places counted in cells lie in, or the nearest ones."""
    return np.minimum(np.maximum(cells, 0), SIDE - 1).astype(np.intp)


def _is_near(words: U64, first: Index, cells: F64) -> Bool:
    """Tell which points lie in a marked cell or beside one: within 2.1 cells, .066 of a range at the most.

    Args:
        words: of all maps.
        first: (m,) where each point's map begins.
        cells: (2, m) places on it.
    """
    inside = (cells >= 0) & (cells < SIDE)
    at = _inside(cells)
    near = words.take(np.minimum(np.maximum(at[1] + _BESIDE, 0), SIDE - 1) + first)
    marked = near[0] | near[1] | near[2]
    marked |= (marked << _ONE) | (marked >> _ONE)
    found: Bool = (marked >> at[0].astype(np.uint64)) & _ONE != 0
    found &= inside[0] & inside[1]
    return found


def _nearest(words: U64, first: Index, cells: F64, cell: F64, width: F64) -> F64:
    """Find the distance of points from the nearest marked cell, in ranges; at most 1.

    Args:
        words, first, cells: as above.
        cell: (2, m) size of a cell.
        width: (2, m) of the range.
    """
    # Where an axis has hardly moved its cells are no news.
    in_ranges = (cell / np.maximum(width, cell))[..., None]
    at = _inside(cells)
    rows = at[1][:, None] + np.arange(-REACH, REACH + 1)
    inside = (rows >= 0) & (rows < SIDE)
    near = words.take(np.minimum(np.maximum(rows, 0), SIDE - 1) + first[:, None])
    near[~inside] = 0
    across = _to_nearest_bit(near, at[0][:, None], (cells[0] - at[0])[:, None]) * in_ranges[0]
    along = np.abs(cells[1][:, None] - rows - 0.5) * in_ranges[1]
    squared = np.where(near != 0, across * across + along * along, np.inf).min(axis=1)
    found: F64 = np.sqrt(np.minimum(squared, 1.0))
    return found


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


def _stretch(work: Work, point: F64, seen: Bool, mapped: Bool) -> Bool:
    """Let the ranges take points (2, C, n) in → where they have grown (2, C, n); nearly always nowhere."""
    low, high = work["novelty_low"], work["novelty_high"]
    grown = (point < low) | (point > high)
    grown &= seen
    if np.count_nonzero(grown):
        most = np.where(mapped, MOST_GROWTH * (high - low), np.inf)
        low_new = np.minimum(low, np.maximum(point, low - most))
        high_new = np.maximum(high, np.minimum(point, high + most))
        np.copyto(low, low_new, where=grown)
        np.copyto(high, high_new, where=grown)
    return grown


def _begin(work: Work, seen: Bool, mapped: Bool) -> None:
    """Count the readings since a stream first moved, and lay the map out once they are enough."""
    low, high, warm = work["novelty_low"], work["novelty_high"], work["novelty_warm"]
    warm += seen & (high[0] > low[0])
    if np.count_nonzero(mapped) == mapped.size:
        return
    begins = seen & (warm >= WARM) & ~mapped
    if np.count_nonzero(begins):
        cell = np.maximum(high - low, 1e-9 * (high - low)[0]) / SPAN
        np.copyto(work["novelty_cell"], cell, where=begins)
        np.copyto(work["novelty_edge"], low - (SIDE - SPAN) / 2 * cell, where=begins)


def _mark(table: Table, work: Work, point: F64, index: I64, place: I64, grown: Bool) -> None:
    """Let mapped points (m,) wait, and mark those that have waited."""
    n = _pick(work["novelty_warm"], index) - WARM
    # A map that was just laid out may be too small for its range by rounding.
    out = (_pick(grown, index).any(axis=0) | (n == 0)).nonzero()[0]
    if len(out):
        _keep_inside(table, work, *np.divmod(index[out], len(work)))
    edge, cell = _pick(work["novelty_edge"], index), _pick(work["novelty_cell"], index)
    maps = _pick(place, index)
    marks, waiting = table["novelty_map"].reshape(-1), table["novelty_waiting"].reshape(-1, 2)
    slot = maps * WAITING + (n % WAITING).astype(np.intp, copy=False)
    old = waiting.take(slot, axis=0)
    bits = (_ONE << old[:, 0].astype(np.uint64)) * (n >= WAITING)
    marks[maps * SIDE + old[:, 1]] |= bits
    waiting[slot] = _inside((_pick(point, index) - edge) / cell).T


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
