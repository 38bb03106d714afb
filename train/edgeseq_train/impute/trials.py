"""Measure every method on hidden stretches of each length class: what it would have filled against what was there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgeseq.core.types import F64, I64, Bool
from edgeseq_train.impute.filling import Estimates, Frame, fill_estimates, join
from edgeseq_train.impute.hiding import hide, together_share
from edgeseq_train.impute.network import Passes

CLASS_ENDS = (1, 3, 6, 12, 24, 48, 96, 192, 384)
"""Longest gap of each length class, in steps."""
STRETCHES = 60
"""So many stretches of each class and channel are hidden, where there is room …"""
ROUNDS = 8
"""… in at most so many rounds."""
SPACING = 6
"""Steps between two hidden stretches, at least; as many as the stretch is long, where that is more."""


def class_ends(longest: int) -> tuple[int, ...]:
    """List the classes up to the longest gap.

    >>> class_ends(72)
    (1, 3, 6, 12, 24, 48, 72)
    """
    return (*(end for end in CLASS_ENDS if end < longest), longest)


def class_of(gap: I64, ends: tuple[int, ...]) -> I64:
    """Give the class of each gap (n,) by its steps; the last class takes longer ones too."""
    return np.minimum(np.searchsorted(np.array(ends), gap), len(ends) - 1)


@dataclass(frozen=True, slots=True)
class Trials:
    """Estimates of hidden values, and the values."""

    estimates: Estimates
    truth: F64
    """(n,)"""
    stretches: I64
    """(n,) number of the stretch each value belongs to."""

    def errors(self) -> dict[str, F64]:
        """Absolute errors (n,) by method."""
        return {name: np.abs(e - self.truth) for name, e in self.estimates.values.items()}


def spans(ends: tuple[int, ...]) -> list[tuple[int, int]]:
    """Give the shortest and longest stretch of each class.

    >>> spans((1, 3, 6))
    [(1, 1), (2, 3), (4, 6)]
    """
    return [(before + 1, end) for before, end in zip((0, *ends), ends, strict=False)]


def measure(
    frame: Frame, passes: Passes, values: F64, allowed: Bool, lengths: Sequence[tuple[int, int]],
    rng: np.random.Generator, together: float | None = None,
) -> Trials:  # fmt: skip
    """Hide stretches of several lengths within the allowed steps (T,) of values (T, S), and estimate them.

    Args:
        frame: of the network.
        passes: the network.
        values: (T, S) in sensor units.
        allowed: (T,) where stretches are hidden; all else is seen.
        lengths: shortest and longest stretch; each pair has its own rounds of hiding.
        rng: of the draw.
        together: share of stretches that hide all channels; default: as in the recording.
    """
    share = together_share(values) if together is None else together
    found = [trial for span in lengths for trial in _rounds(frame, passes, values, allowed, span, share, rng)]
    offsets = np.cumsum([0, *(t.stretches.max(initial=-1) + 1 for t in found)])
    stretches = [t.stretches + offset for t, offset in zip(found, offsets, strict=False)]
    none: list[I64] = [np.zeros(0, np.int64)]
    return Trials(
        join([t.estimates for t in found], frame.methods),
        np.concatenate([np.zeros(0), *(t.truth for t in found)]),
        np.concatenate(none + stretches),
    )


def _rounds(
    frame: Frame, passes: Passes, values: F64, allowed: Bool, span: tuple[int, int], together: float,
    rng: np.random.Generator,
) -> list[Trials]:  # fmt: skip
    """Hide stretches of one span in rounds, until each channel has had enough."""
    known, channels = np.isfinite(values), values.shape[1]
    spacing = max(SPACING, span[1])
    room = int(allowed.sum()) * channels // spacing + 1
    found, hits = [], np.zeros(channels)
    for _ in range(ROUNDS):
        lengths = rng.integers(span[0], span[1] + 1, min(room, 2 * STRETCHES * channels))
        hidden = hide(known, allowed, lengths, together, spacing, rng)
        if not hidden.any():
            break
        estimates = fill_estimates(frame, passes, np.where(hidden, np.nan, values), hidden)
        stretches = _number(hidden)[estimates.step, estimates.channel]
        found.append(Trials(estimates, values[estimates.step, estimates.channel], stretches))
        hits += [len(np.unique(stretches[estimates.channel == c])) for c in range(channels)]
        if hits.min() >= STRETCHES:
            break
    return found


def _number(hidden: Bool) -> I64:
    """Give each stretch of each channel in hidden (T, S) a number."""
    begins = hidden & ~np.concatenate([np.zeros_like(hidden[:1]), hidden[:-1]])
    return np.cumsum(begins.T.ravel()).reshape(hidden.T.shape).T - 1
