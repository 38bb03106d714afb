"""Bitmaps of 64 x 64 cells, one 64-bit word a row: what is marked near a place, and how far it is.

Places count in cells from a map's corner: (2, m) across and along, cell 0 from 0 to 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeseq.core.types import F64, I64, Bool, Index

SIDE = 64

REACH = 16
"""Rows above and below that are searched: from a quarter of the range on a point is far enough."""

U64 = NDArray[np.uint64]
_ONE = np.uint64(1)
_EVEN = np.uint64(0x5555555555555555)
_BESIDE = np.array([[-1], [0], [1]])


def inside(cells: F64) -> Index:
    """Give the cells (2, m) that places counted in cells lie in, or the nearest ones."""
    return np.minimum(np.maximum(cells, 0), SIDE - 1).astype(np.intp)


def is_near(words: U64, first: Index, cells: F64) -> Bool:
    """Tell which points lie in a marked cell or beside one: within 2.1 cells, .066 of a range at the most.

    Args:
        words: of all maps.
        first: (m,) where each point's map begins.
        cells: (2, m) places on it.
    """
    within = (cells >= 0) & (cells < SIDE)
    at = inside(cells)
    near = words.take(np.minimum(np.maximum(at[1] + _BESIDE, 0), SIDE - 1) + first)
    marked = near[0] | near[1] | near[2]
    marked |= (marked << _ONE) | (marked >> _ONE)
    found: Bool = (marked >> at[0].astype(np.uint64)) & _ONE != 0
    found &= within[0] & within[1]
    return found


def nearest(words: U64, first: Index, cells: F64, cell: F64, width: F64) -> F64:
    """Find the distance of points from the nearest marked cell, in ranges; at most 1.

    Args:
        words, first, cells: as above.
        cell: (2, m) size of a cell.
        width: (2, m) of the range.
    """
    # Where an axis has hardly moved its cells are no news.
    in_ranges = (cell / np.maximum(width, cell))[..., None]
    at = inside(cells)
    rows = at[1][:, None] + np.arange(-REACH, REACH + 1)
    on_map = (rows >= 0) & (rows < SIDE)
    near = words.take(np.minimum(np.maximum(rows, 0), SIDE - 1) + first[:, None])
    near[~on_map] = 0
    across = to_nearest_bit(near, at[0][:, None], (cells[0] - at[0])[:, None]) * in_ranges[0]
    along = np.abs(cells[1][:, None] - rows - 0.5) * in_ranges[1]
    squared = np.where(near != 0, across * across + along * along, np.inf).min(axis=1)
    found: F64 = np.sqrt(np.minimum(squared, 1.0))
    return found


def to_nearest_bit(words: U64, at: I64, within: F64) -> F64:
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


def joined_bits(words: U64) -> U64:
    """Join each two neighbouring bits of words to one, in the lower half: the even bits are brought together."""
    packed = (words | (words >> _ONE)) & _EVEN
    for shift in (1, 2, 4, 8, 16):
        # After each pass groups of 2 · shift bits stand at distances of 4 · shift.
        mask = np.uint64(sum(((1 << 2 * shift) - 1) << k for k in range(0, SIDE, 4 * shift)))
        packed = (packed | (packed >> np.uint64(shift))) & mask
    return packed
