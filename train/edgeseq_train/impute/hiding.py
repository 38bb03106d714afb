"""Hide stretches of known values, so that what fills them can be trained and measured."""

from __future__ import annotations

import numpy as np

from edgeseq.core.types import F64, I64, Bool

OWN_SHARE = 0.5
"""So many of the hidden stretches have the length of a gap of the recording; the others are spread evenly over the
logarithm of the length, from 1 to the longest."""
PARTS = ("train", "train", "validation", "train", "test")
"""Whose the blocks of a recording are, one after the other: gaps lie anywhere, so all parts do."""
BLOCK = 3
"""A block is so many times as long as the longest stretch: less than half of the draws cross its edge."""


def runs(flags: Bool) -> I64:
    """Give the runs of True in flags (T,) as rows (start, stop).

    >>> runs(np.array([False, True, True, False, True])).tolist()
    [[1, 3], [4, 5]]
    """
    turns = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return turns.reshape(-1, 2)


def gaps(values: F64) -> I64:
    """Find the gaps of values (T, S) that lie between known values: rows (channel, start, stop)."""
    found = [
        (c, *r)
        for c, column in enumerate(values.T)
        for r in runs(~np.isfinite(column)).tolist()
        if r[0] > 0 and r[1] < len(values)
    ]
    return np.array(found, dtype=np.int64).reshape(-1, 3)


def together_share(values: F64) -> float:
    """Share of the steps with a missing value at which every channel is missing; 0.5 where none is missing."""
    missing = ~np.isfinite(values)
    some = missing.any(axis=1).sum()
    return float(missing.all(axis=1).sum() / some) if some else 0.5


def parts(steps: int, longest: int) -> dict[str, Bool]:
    """Deal the blocks of a recording out to training, validation and test: flags (T,) by name.

    >>> {name: int(flags.sum()) for name, flags in parts(100, 5).items()}
    {'train': 60, 'validation': 20, 'test': 20}
    """
    length = max(1, min(BLOCK * longest, steps // (2 * len(PARTS))))
    turn = np.arange(steps) // length % len(PARTS)
    return {
        name: np.array([part == name for part in PARTS])[turn] for name in ("train", "validation", "test")
    }


def draw_lengths(own: I64, longest: int, count: int, rng: np.random.Generator) -> I64:
    """Draw lengths of stretches to hide: half of them those of the recording's own gaps, `own` (n,)."""
    even = np.exp(rng.uniform(0.0, np.log(longest + 1), count)).astype(np.int64)
    usable = own[own <= longest]
    if len(usable) == 0:
        return even
    return np.where(rng.random(count) < OWN_SHARE, rng.choice(usable, count), even)


def hide(
    known: Bool, allowed: Bool, lengths: I64, together: float, spacing: int, rng: np.random.Generator
) -> Bool:
    """Choose stretches to hide, each in one channel or in all at once; those that find no room are left out.

    Args:
        known: (T, S).
        allowed: (T,) steps that may be hidden.
        lengths: (n,) of the stretches, tried one after the other.
        together: share of the stretches that hide all channels.
        spacing: steps between two stretches of a channel, at least.
        rng: of the draw.

    Returns:
        (T, S) what is hidden; only known values are.
    """
    steps, channels = known.shape
    hidden, taken = np.zeros(known.shape, dtype=bool), np.zeros(known.shape, dtype=bool)
    # A start is drawn among the allowed steps, so that small parts are hit as well.
    starts = np.flatnonzero(allowed)
    for length in lengths.tolist():
        start = int(rng.choice(starts))
        stop, one = start + length, int(rng.integers(channels))
        which = slice(0, channels) if rng.random() < together else slice(one, one + 1)
        if stop > steps or not allowed[start:stop].all() or taken[start:stop, which].any():
            continue
        hidden[start:stop, which] = True
        taken[max(0, start - spacing) : stop + spacing, which] = True
    return hidden & known
