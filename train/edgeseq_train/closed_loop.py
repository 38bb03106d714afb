"""Variants of one model side by side in closed loop: each on its own state, fed back step by step as on the device.

The first of them is the reference; of all others it is told how far they are from it, step by step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgeseq.core.forecast import RecurrentState, Stepper, initial_state
from edgeseq.core.types import F32, F64


@dataclass(frozen=True, slots=True)
class Trail:
    """What one variant did along T steps of B streams, beside the reference."""

    output: F32
    """(T, B) largest difference over channels, leads and levels, in running scales."""
    states: dict[str, F32]
    """Name of a watched state → (T, B) largest difference over its elements."""
    error: F64
    """(B, C, H) mean |median - target| in x; NaN where no target was known."""
    mean: F32 = field(default_factory=lambda: np.empty((0, 0), np.float32))
    """(T, B) mean difference over channels, leads and levels, in running scales; empty where it was not kept."""


def closed_loop(
    steppers: Mapping[str, Stepper],
    x: F32,
    targets: F32,
    begin: Mapping[str, RecurrentState] | None = None,
    known: F32 | None = None,
    watch: Sequence[str] = (),
) -> tuple[dict[str, Trail], dict[str, RecurrentState]]:
    """Step all variants through x (T, B, C) → what each did, and its state at the end.

    Args:
        steppers: name → variant; the first is the reference.
        x: readings; NaN is missing.
        targets: (T', B, C', H) what came after each of the first T' ≤ T steps, NaN where unknown; C' ≤ C.
        begin: states to begin with; None: the initial ones.
        known: (T + H, K) inputs that are known for the future too, from the first step on.
        watch: states whose differences are kept.
    """
    begin = begin or {name: initial_state(s.state_spec, x.shape[1]) for name, s in steppers.items()}
    walkers = {name: _Walker(s, begin[name], targets.shape[1:], watch) for name, s in steppers.items()}
    reference = next(iter(walkers.values()))
    for t, row in enumerate(x):
        ahead = None
        if known is not None:
            span = known[t : t + 1 + reference.stepper.horizon]
            ahead = np.broadcast_to(span, (len(row), *span.shape))
        for walker in walkers.values():
            walker.step(row, ahead, reference)
            if t < len(targets):
                walker.score(targets[t])
    return {name: w.trail() for name, w in walkers.items()}, {name: w.state for name, w in walkers.items()}


class _Walker:
    """One variant on its way; the reference steps first."""

    def __init__(
        self, stepper: Stepper, state: RecurrentState, scored: tuple[int, ...], watch: Sequence[str]
    ) -> None:
        names = [s.name for s in stepper.state_spec]
        self.stepper, self.state = stepper, state
        self._variance = names.index("variance")
        self._watched = {name: names.index(name) for name in watch}
        self._total, self._count = np.zeros(scored), np.zeros(scored)
        self._output: list[F32] = []
        self._mean: list[F32] = []
        self._states: dict[str, list[F32]] = {name: [] for name in watch}
        self._quantiles: F32 = np.empty(0, np.float32)

    def step(self, row: F32, ahead: F32 | None, reference: _Walker) -> None:
        self._quantiles, self.state = self.stepper.step(row, self.state, ahead)
        scale: F32 = np.sqrt(reference.state[self._variance])[:, : self._quantiles.shape[1], None, None]
        apart = (self._quantiles - reference._quantiles) / scale
        self._output.append(_largest(apart))
        self._mean.append(np.abs(apart).mean(axis=(1, 2, 3)))
        for name, k in self._watched.items():
            self._states[name].append(_largest(self.state[k] - reference.state[k]))

    def score(self, target: F32) -> None:
        known = np.isfinite(target)
        median = self._quantiles[:, : target.shape[1], :, len(self.stepper.levels) // 2]
        self._total += np.where(known, np.abs(median.astype(np.float64) - target), 0.0)
        self._count += known

    def trail(self) -> Trail:
        mean = np.where(self._count > 0, self._total / np.maximum(self._count, 1), np.nan)
        states = {k: np.array(v) for k, v in self._states.items()}
        return Trail(np.array(self._output), states, mean, np.array(self._mean))


def _largest(a: F32) -> F32:
    return np.asarray(np.abs(a).reshape(len(a), -1).max(axis=1))
