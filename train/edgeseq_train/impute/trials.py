"""Measure every method on hidden stretches of each length class: what it would have filled against what was there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edgeseq.core.types import F64, I64, Bool
from edgeseq_train.impute.filling import Estimates, Frame, fill_estimates
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


def measure(
    frame: Frame, passes: Passes, values: F64, allowed: Bool, ends: Sequence[int], rng: np.random.Generator,
    together: float | None = None, progress: Callable[[float], None] = lambda _: None,
) -> Trials:  # fmt: skip
    """Hide stretches of all length classes within the allowed steps (T,) of values (T, S), and estimate them.

    Args:
        frame: of the network.
        passes: the network.
        values: (T, S) in sensor units.
        allowed: (T,) where stretches are hidden; all else is seen.
        ends: longest stretch of each class; one stretch is hidden for each draw from the class before to this one.
        rng: of the draw.
        together: share of stretches that hide all channels; default: as in the recording.
        progress: is told which share is done.
    """
    known = np.isfinite(values)
    share = together_share(values) if together is None else together
    found: list[Trials] = []
    offset = 0
    for k, end in enumerate(ends):
        shortest = ends[k - 1] + 1 if k else 1
        for part in _class_trials(frame, passes, values, known, allowed, (shortest, end), share, rng):
            found.append(Trials(part.estimates, part.truth, part.stretches + offset))
            offset += int(part.stretches.max(initial=-1)) + 1
        progress((k + 1) / len(ends))
    return _joined(found)


def _class_trials(
    frame: Frame, passes: Passes, values: F64, known: Bool, allowed: Bool, length: tuple[int, int], together: float,
    rng: np.random.Generator,
) -> list[Trials]:  # fmt: skip
    found, hits = [], np.zeros(values.shape[1])
    spacing = max(SPACING, length[1])
    room = int(allowed.sum()) * values.shape[1] // spacing + 1
    for _ in range(ROUNDS):
        # Half of the stretches for which there would be room: packed closer, few known values were left between them.
        lengths = rng.integers(length[0], length[1] + 1, min(room, 4 * STRETCHES * values.shape[1]))
        hidden = hide(known, allowed, lengths, together, spacing, rng)
        if not hidden.any():
            break
        estimates = fill_estimates(frame, passes, np.where(hidden, np.nan, values), hidden)
        truth = values[estimates.step, estimates.channel]
        stretches = _number(hidden)[estimates.step, estimates.channel]
        found.append(Trials(estimates, truth, stretches))
        hits += [len(np.unique(stretches[estimates.channel == c])) for c in range(values.shape[1])]
        if hits.min() >= STRETCHES:
            break
    return found


def _number(hidden: Bool) -> I64:
    """Give each stretch of each channel in hidden (T, S) a number."""
    begins = hidden & ~np.concatenate([np.zeros_like(hidden[:1]), hidden[:-1]])
    return np.cumsum(begins.T.ravel()).reshape(hidden.T.shape).T - 1


def _joined(found: Sequence[Trials]) -> Trials:
    e = [t.estimates for t in found]
    columns = [
        np.concatenate([getattr(p, name) for p in e]) for name in ("step", "channel", "gap", "lower", "upper")
    ]
    values = {name: np.concatenate([p.values[name] for p in e]) for name in e[0].values}
    joined = Estimates(columns[0], columns[1], columns[2], values, columns[3], columns[4])
    return Trials(
        joined, np.concatenate([t.truth for t in found]), np.concatenate([t.stretches for t in found])
    )
