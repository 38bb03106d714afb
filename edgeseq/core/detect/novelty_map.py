"""A map of where a stream has been: points (reading, recent mean) on 64 x 64 cells, one bit each.

A row of the map is one 64-bit word: the cells of one mean. The cells begin as a fortieth of the range so far, in the
middle of the map; where the range outgrows the map, cells are joined in pairs, so that it always spans 32 to 64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseq.core.detect import bitmap
from edgeseq.core.detect.bitmap import SIDE
from edgeseq.core.table import Column, Table, Work
from edgeseq.core.types import F64, I64, Bool, Index

SPAN = 40
"""Cells that the range spans at first; the rest is room to both sides."""

WAITING = 100
"""Readings until a point counts as known: without, an anomaly would explain itself (65.7 against 69.4 on NAB)."""

WARM = 50
"""Readings that move, until the range is taken for one; before, there is no map."""

MOST_GROWTH = 2.0
"""Ranges that a bound moves by at most with a reading from then on: else one glitch would make everything near."""

MEAN_RATE = 0.08
"""Of the recent mean, the second axis: a dozen readings."""

AXES = ("value", "mean")
_ONE = np.uint64(1)


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


def is_known(table: Table, work: Work, value: F64, channel: I64, i: I64) -> Bool:
    """Tell of readings that are not learned yet (m,) whether their stream has been there: in a marked cell, or beside.

    Args:
        value: (m,)
        channel, i: (m,) whose they are, of the rows of `work`.
    """
    # Where there is no map yet there may be no mean either.
    found: Bool = work["novelty_warm"][channel, i] >= WARM
    channel, i = channel[found], i[found]
    point = np.stack([value[found], work["novelty_mean"][channel, i]])
    with np.errstate(over="ignore"):
        cells = (point - work["novelty_edge"][:, channel, i]) / work["novelty_cell"][:, channel, i]
    place = work.rows[i] * len(work["novelty_mean"]) + channel
    found[found] = bitmap.is_near(table["novelty_map"].reshape(-1), place * SIDE, cells)
    return found


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
    far = (~bitmap.is_near(words, first, cells)).nonzero()[0]
    found = np.zeros(len(index))
    if len(far):
        far_index = index[far]
        width = _pick(work["novelty_high"] - work["novelty_low"], far_index)
        distances = bitmap.nearest(words, first[far], cells[:, far], cell[:, far], width)
        known = _pick(work["novelty_warm"], far_index) > WARM + WAITING
        found[far] = np.where(known, distances, 0.0)
    return found


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
    waiting[slot] = bitmap.inside((_pick(point, index) - edge) / cell).T


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
        lower = bitmap.joined_bits(old)
        upper = lower << np.uint64(SIDE // 2)
    marks[rows, channel] = np.where(upwards[:, None], lower, upper)
    half = np.where(upwards, 0, SIDE // 2).astype(np.uint8)[:, None]
    waiting[rows, channel, :, axis] = (waiting[rows, channel, :, axis] >> 1) + half
    cell = work["novelty_cell"][axis, channel, i]
    work["novelty_edge"][axis, channel, i] -= np.where(upwards, 0.0, SIDE * cell)
    work["novelty_cell"][axis, channel, i] = 2 * cell
