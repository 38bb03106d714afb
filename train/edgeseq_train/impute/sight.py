"""What is known around each step of a window, without learned weights: the network's inputs.

    line      between the nearest known values; the only one where one side has none, the window's mean without any
    bridge    how far from the line a value may lie: the standard deviation of a Brownian bridge between the two known
              values, roughness · √(ab / (a + b)) at a and b steps from them, at most the window's spread
    moves     of each near value: its distance from the line, and its distance from its own line between the same two
              steps (the shape of another day laid on the edges of the gap); in bridges
    features  line, known, distances, moves in spreads, which near values are known, which channel it is

`near` holds values that speak of the one at t: the same phase of other seasons, related channels (`windows`). Each is
shifted to be right on average in its window.
Time since a value was seen as an input: GRU-D (arXiv 1606.01865), BRITS (arXiv 1805.10572).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edgeseq.core.types import F32, F64, I64, Bool

FLOOR = 0.02
"""Smallest spread of a window in units of the channel, and smallest bridge in spreads of the window."""
PRIOR = 4.0
"""A window's mean and spread count so many values at the channel's median and unit: few values do not decide."""
LIMIT = 8.0
"""Features and moves are cut here."""
OWN_FEATURES = 7


class Sight(NamedTuple):
    """What windows show."""

    features: F32
    """(B, T, F)"""
    moves: F32
    """(B, T, 2K)"""
    line: F64
    """(B, T) in units of x."""
    bridge: F64
    """(B, T) in units of x."""
    gap: I64
    """(B, T) steps of the gap around a missing value; 0 where the value is known."""


def feature_count(near: int, channels: int) -> int:
    """Count the features of a step."""
    return OWN_FEATURES + 3 * near + channels


def look(x: F64, near: F64, channel: F32) -> Sight:
    """Make the network's inputs.

    Args:
        x: (B, T) values as (value - anchor) / unit, NaN where missing or hidden.
        near: (B, T, K) values that speak of them, in the same unit, NaN where unknown.
        channel: (B, S) 1 at the row's channel, else 0.
    """
    known = np.isfinite(x)
    left, right = edges(known)
    level, scale = _statistics(x, known)
    z = np.where(known, (x - level) / scale, 0.0)
    line = between(z, left, right, 0.0)
    since, until = _distances(left, right)
    rough = np.maximum(_roughness(z, known), FLOOR)
    bridge = np.clip(rough * np.sqrt(since * until / np.maximum(since + until, 1)), FLOOR, 1.0)
    beside = _unbiased(z, known, (near - level[..., None]) / scale[..., None])
    apart = np.nan_to_num(beside - line[..., None])
    shape = np.nan_to_num(beside - between(beside, left, right, np.nan))
    reach = np.log1p(x.shape[1] + 1.0)
    own = (
        line, known, np.log1p(since) / reach, np.log1p(until) / reach, since / (since + until + 1.0), bridge,
        np.broadcast_to(0.5 * np.log(rough), x.shape),
    )  # fmt: skip
    parts = [*(a[..., None] for a in own), apart, shape, np.isfinite(beside)]
    features = [np.clip(a, -LIMIT, LIMIT).astype(np.float32) for a in parts]
    features.append(np.broadcast_to(channel[:, None, :], (*x.shape, channel.shape[1])))
    moves = np.clip(np.concatenate([apart, shape], axis=-1) / bridge[..., None], -LIMIT, LIMIT)
    gap = np.where(known, 0, np.maximum(since + until - 1, 1))
    return Sight(
        np.concatenate(features, axis=-1), moves.astype(np.float32), line * scale + level, bridge * scale, gap
    )


def _statistics(x: F64, known: Bool) -> tuple[F64, F64]:
    """Mean and spread of the known values (B, 1)."""
    count = known.sum(axis=1, keepdims=True) + PRIOR
    level = np.where(known, x, 0.0).sum(axis=1, keepdims=True) / count
    off = np.where(known, x - level, 0.0)
    return level, np.maximum(np.sqrt(((off**2).sum(axis=1, keepdims=True) + PRIOR) / count), FLOOR)


def _unbiased(z: F64, known: Bool, near: F64) -> F64:
    """Shift near values (B, T, K) to be right on average in this window: relations between channels drift."""
    both = known[..., None] & np.isfinite(near)
    off = np.where(both, near - z[..., None], 0.0).sum(axis=1, keepdims=True)
    shifted: F64 = near - off / (both.sum(axis=1, keepdims=True) + PRIOR)
    return shifted


def _roughness(z: F64, known: Bool) -> F64:
    """Mean absolute change between known values one step apart (B, 1), a change of 1 among them."""
    both = known[:, 1:] & known[:, :-1]
    change = np.where(both, np.abs(np.diff(z, axis=1)), 0.0)
    rough: F64 = (change.sum(axis=1, keepdims=True) + 1.0) / (both.sum(axis=1, keepdims=True) + 1.0)
    return rough


def edges(known: Bool) -> tuple[I64, I64]:
    """Give the steps of the nearest known values (B, T): at or before each step (-1: none), at or after it (T: none).

    >>> left, right = edges(np.array([[False, True, False, True, False]]))
    >>> left.tolist(), right.tolist()
    ([[-1, 1, 1, 3, 3]], [[1, 1, 3, 3, 5]])
    """
    steps = np.arange(known.shape[1])
    left = np.maximum.accumulate(np.where(known, steps, -1), axis=1)
    right = np.minimum.accumulate(np.where(known, steps, known.shape[1])[:, ::-1], axis=1)[:, ::-1]
    return left, right


def between(a: F64, left: I64, right: I64, otherwise: float) -> F64:
    """Draw the line of a (B, T) or (B, T, K) between the steps left and right (B, T), flat where only one of them is.

    Args:
        a: values.
        left: as `edges` gives them.
        right: as `edges` gives them.
        otherwise: what stands where neither is.
    """
    wide = a[..., None] if a.ndim == 2 else a
    last = left.shape[1] - 1
    before = np.take_along_axis(wide, np.maximum(left, 0)[..., None], axis=1)
    after = np.take_along_axis(wide, np.minimum(right, last)[..., None], axis=1)
    share = ((np.arange(last + 1) - left) / np.maximum(right - left, 1))[..., None]
    has_left, has_right = (left >= 0)[..., None], (right <= last)[..., None]
    drawn = np.where(
        has_left & has_right, before + share * (after - before), np.where(has_left, before, after)
    )
    drawn = np.where(has_left | has_right, drawn, otherwise)
    return drawn[..., 0] if a.ndim == 2 else drawn


def _distances(left: I64, right: I64) -> tuple[I64, I64]:
    """Count steps since and until a known value (B, T); T + 1 where there is none."""
    n = left.shape[1]
    steps = np.arange(n)
    return np.where(left < 0, n + 1, steps - left), np.where(right >= n, n + 1, right - steps)
