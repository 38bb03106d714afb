"""The ladder of quantizations: which variant of a model a device takes by default.

The smallest one whose loss against float32 is within a bound at every horizon, whose quantiles are within another, and
whose difference does not grow along the roll-out. The choice is made in the real runtime, in closed loop, on the
validation part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from edgeseq.core.forecast import RecurrentState, Stepper, initial_state
from edgeseq.core.types import F32, F64
from edgeseq_train import evaluate
from edgeseq_train.closed_loop import Trail, closed_loop

MARKED_HORIZONS = (1, 24, 96)
GROWTH_STEPS = 1000
"""The first and the last of so many steps are compared."""
GROWTH_RATIO = 2.0
"""A median difference that has risen by more than this …"""
GROWTH_FLOOR = 1e-3
"""… and by so much of a running scale has grown: an error that accumulates lifts all steps, an anomaly only some."""


class Bounds(NamedTuple):
    """How much worse than float32 a default variant may be."""

    loss_percent: float
    """MASE at every horizon."""
    difference: float
    """99.9 % of forecasts at the farthest quantile, in running scales."""


class Rung(NamedTuple):
    """One variant, as far as the choice needs it."""

    name: str
    size: int
    """Bytes of the file."""
    loss_percent: dict[int, float]
    """Horizon → how much more MASE than the reference."""
    difference: float
    """99.9 % of forecasts differ from the reference by less at the farthest quantile, in running scales."""
    early: float = 0.0
    """Median of these differences in the first steps …"""
    late: float = 0.0
    """… and in the last ones."""

    @property
    def grows(self) -> bool:
        """Tell whether the difference grew along the roll-out."""
        return self.late > GROWTH_RATIO * self.early + GROWTH_FLOOR

    @property
    def worst_loss(self) -> float:
        """Loss at the horizon where it is largest, in per cent."""
        return max(self.loss_percent.values())

    @property
    def told(self) -> str:
        """Say what it costs.

        >>> Rung("int8_weights", 181000, {1: -0.01, 24: 0.02}, 0.055).told
        'int8_weights: MASE +0.02 % at most, 99.9 % of forecasts within 0.055 running scales of float32'
        """
        return (
            f"{self.name}: MASE {self.worst_loss:+.2f} % at most, 99.9 % of forecasts within {self.difference:.2g}"
            " running scales of float32"
        )

    def is_within(self, bounds: Bounds) -> bool:
        """Tell whether the variant may ship by default."""
        small = self.worst_loss <= bounds.loss_percent and self.difference <= bounds.difference
        return small and not self.grows


def choose(rungs: Sequence[Rung], bounds: Bounds) -> Rung:
    """Choose the smallest variant within the bounds; where none is, the one that differs least."""
    within = [rung for rung in rungs if rung.is_within(bounds)]
    if within:
        return min(within, key=lambda rung: rung.size)
    return min(rungs, key=lambda rung: rung.difference)


def mase(error: F64, naive: F64) -> dict[int, float]:
    """Mean over streams and channels of the error up to each marked horizon, in seasonal-naive errors.

    error (B, C, H) and naive (B, C), both in x. Leads and streams whose error is NaN do not count.

    >>> mase(np.ones((1, 1, 48)), np.array([[2.0]]))
    {1: 0.5, 24: 0.5, 48: 0.5}
    """
    horizon = error.shape[-1]
    marks = sorted({h for h in MARKED_HORIZONS if h < horizon} | {horizon})
    return {h: float(_mean(_mean(error[..., :h], -1) / naive)) for h in marks}


def _mean(a: F64, axis: int | None = None) -> Any:
    """Average what is finite; NaN where nothing is."""
    known = np.isfinite(a)
    count = known.sum(axis=axis)
    return np.where(count > 0, np.where(known, a, 0.0).sum(axis=axis) / np.maximum(count, 1), np.nan)[()]


def losses(trails: Mapping[str, Trail], naive: F64) -> dict[str, dict[int, float]]:
    """Name → horizon → MASE in per cent above that of the reference, the first."""
    by_name = {name: mase(trail.error, naive) for name, trail in trails.items()}
    exact = next(iter(by_name.values()))
    return {name: {h: 100 * (m / exact[h] - 1) for h, m in found.items()} for name, found in by_name.items()}


def climb(
    steppers: Mapping[str, Stepper],
    sizes: Mapping[str, int],
    x: F32,
    naive: F64,
    validation: slice,
    known: F32 | None = None,
) -> list[Rung]:
    """Measure variants up to the end of the validation part of x (T, S, C); nothing after it is looked at.

    Between the first steps with a full ring and those of the validation part the states are replayed.

    Args:
        steppers: name → variant; the first is the reference.
        sizes: bytes of each.
        x: readings; NaN is missing.
        naive: (S, C') seasonal-naive error of the forecast channels, the first ones.
        validation: rows of the part.
        known: (T, K) inputs that are known for the future too.
    """
    reference, S, C = next(iter(steppers.values())), x.shape[1], naive.shape[1]
    H, origin = reference.horizon, validation.start - 1
    nothing = np.empty((0, S, C, H), np.float32)
    warm = min(reference.ring, max(0, origin - GROWTH_STEPS))
    first, last = slice(warm, min(warm + GROWTH_STEPS, origin)), slice(origin, validation.stop - H)
    states = {name: initial_state(s.state_spec, S) for name, s in steppers.items()}
    states = _replayed(steppers, states, x, slice(0, warm), known)
    early, states = closed_loop(steppers, x[first], nothing, states, _ahead(known, first, H))
    states = _replayed(steppers, states, x, slice(first.stop, origin), known)
    targets = evaluate.truth(x[:, :, :C], last, H, naive, naive).y
    late, _ = closed_loop(steppers, x[last], targets, states, _ahead(known, last, H))
    lost = losses(late, naive)
    return [
        Rung(
            name, sizes[name], lost[name], float(np.quantile(late[name].output, 0.999)),
            float(np.median(early[name].output)), float(np.median(late[name].output[-GROWTH_STEPS:])),
        )
        for name in steppers
    ]  # fmt: skip


def _ahead(known: F32 | None, rows: slice, horizon: int) -> F32 | None:
    return None if known is None else known[rows.start : rows.stop + horizon]


def _replayed(
    steppers: Mapping[str, Stepper],
    states: dict[str, RecurrentState],
    x: F32,
    rows: slice,
    known: F32 | None,
) -> dict[str, RecurrentState]:
    if rows.start >= rows.stop:
        return states
    part = np.ascontiguousarray(np.moveaxis(x[rows], 0, 1))
    following = {}
    for name, stepper in steppers.items():
        ahead = _ahead(known, rows, stepper.horizon)
        wide = None if ahead is None else np.broadcast_to(ahead, (len(part), *ahead.shape))
        _, following[name] = stepper.replay(part, states[name], wide)
    return following
