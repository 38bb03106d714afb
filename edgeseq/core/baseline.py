"""The forecaster that needs no training: at each lead persistence or seasonal naive, whichever erred less so far.

Both are read from one ring of recent values, so their errors at every lead cost one subtraction each:
at time t persistence made at t - l erred by |x_t - x_{t-l}|, seasonal naive by |x_t - x_{t-S}|.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseq.core.forecast import StateSpec
from edgeseq.core.types import CALIBRATED_LEADS

Floats = NDArray[Any]
"""Arrays of the stepper's own dtype."""

FloatState = tuple[Floats, ...]

ERROR_HALF_LIFE_STEPS = 150
"""Memory of the running errors: the half-life of the online mix in DESIGN.md, Baseline."""

ERROR_CLIP = 8.0
"""One outcome counts as so many mean errors at most, once those are known: one wild value must not decide between
the two for the next thousand steps."""

MIN_SCORED = 8
"""Seasonal naive serves a lead only after so many comparisons with persistence."""


class BaselineStepper:
    """Persistence and seasonal naive as a Stepper with the median as its only quantile.

    It only copies and compares values, so in float64 it takes sensor units as they are: no anchor, no rounding.
    """

    name = "baseline"
    levels: tuple[float, ...] = (0.5,)

    def __init__(self, channels: int, horizon: int, season_steps: int, dtype: str = "float32") -> None:
        self.channels = channels
        self.horizon = horizon
        self.season_steps = season_steps
        self.leads = tuple(lead for lead in CALIBRATED_LEADS if lead <= horizon)
        self.ring = max(season_steps, self.leads[-1])
        self.known = 0
        c, k = channels, len(self.leads)
        last = StateSpec("last", (c,), dtype, init=np.nan)
        # Without a season there is nothing to choose from.
        self.state_spec: tuple[StateSpec, ...] = (
            (last,)
            if season_steps == 0
            else (
                last,
                StateSpec("ring", (c, self.ring), dtype, init=np.nan),
                StateSpec("persistence_error", (c, k), dtype),
                StateSpec("seasonal_error", (c, k), dtype),
                StateSpec("scored", (c, k), dtype),
            )
        )
        lead_of_step = np.arange(1, horizon + 1)
        # Whole seasons ahead persistence and seasonal naive are the same: such a lead tells nothing of its neighbours.
        telling = [k for k, lead in enumerate(self.leads) if season_steps < 2 or lead % season_steps]
        # Each step of the horizon follows the telling lead nearest in log distance.
        distance = np.abs(np.log(lead_of_step[:, None]) - np.log(np.array(self.leads)[telling]))
        self._nearest = np.array(telling)[distance.argmin(axis=1)]
        # Steps beyond one season repeat the newest season known at the origin.
        self._season_index = self.ring - season_steps + (lead_of_step - 1) % max(season_steps, 1)

    def step(self, x: Floats, state: FloatState, known: Floats | None = None) -> tuple[Floats, FloatState]:
        """Advance by one step: x (B, C) → medians (B, C, H, 1) and the next state."""
        last = np.where(np.isnan(x), state[0], x)
        persistence = np.empty((*last.shape, self.horizon), last.dtype)
        persistence[...] = last[:, :, None]
        if self.season_steps == 0:
            return persistence[..., None], (last,)
        _, ring, *errors = state
        scored = self._score(x, ring, *errors)
        ring = np.concatenate([ring[:, :, 1:], x[:, :, None]], axis=2)
        return self._forecast(ring, persistence, scored), (last, ring, *scored)

    def replay(self, x: Floats, state: FloatState, known: Floats | None = None) -> tuple[Floats, FloatState]:
        """Advance by T steps: x (B, T, C) → medians of the last step and the state after it."""
        for t in range(x.shape[1]):
            quantiles, state = self.step(x[:, t], state)
        return quantiles, state

    def _score(
        self, x: Floats, ring: Floats, persistence_error: Floats, seasonal_error: Floats, scored: Floats
    ) -> tuple[Floats, Floats, Floats]:
        by_persistence = np.abs(x[:, :, None] - ring[:, :, [self.ring - lead for lead in self.leads]])
        by_season = np.abs(x - ring[:, :, self.ring - self.season_steps])[:, :, None]
        both = np.isfinite(by_persistence) & np.isfinite(by_season)
        scored = scored + both.astype(x.dtype)
        slow = x.dtype.type(1 - 0.5 ** (1 / ERROR_HALF_LIFE_STEPS))
        rate = np.where(both, np.maximum(1 / np.maximum(scored, 1), slow), 0).astype(x.dtype)
        persistence_error = _moved(persistence_error, by_persistence, rate)
        seasonal_error = _moved(seasonal_error, by_season, rate)
        # Beyond its sixteenth million a float32 count stands still, long after it stopped to matter.
        return persistence_error, seasonal_error, scored

    def _forecast(self, ring: Floats, persistence: Floats, errors: tuple[Floats, Floats, Floats]) -> Floats:
        persistence_error, seasonal_error, scored = errors
        seasonal_wins = (scored >= MIN_SCORED) & (seasonal_error < persistence_error)
        seasonal = ring[:, :, self._season_index]
        use = seasonal_wins[:, :, self._nearest] & np.isfinite(seasonal)
        return np.where(use, seasonal, persistence)[..., None]


def _moved(mean: Floats, error: Floats, rate: Floats) -> Floats:
    """Move a running mean error at `rate`, 0 where there is nothing to learn."""
    known = (mean > 0) & (rate < 1 / 16)
    error = np.where(known, np.minimum(error, mean.dtype.type(ERROR_CLIP) * mean), error)
    # Subtract inside the mask only: a NaN times a rate of 0 is still a NaN.
    moved: Floats = mean + rate * np.where(rate > 0, error - mean, 0)
    return moved
