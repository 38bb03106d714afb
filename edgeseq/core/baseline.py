"""The forecaster that needs no training: at each lead persistence or seasonal naive, whichever erred less so far.

Both are read from one ring of recent values, so their errors at every lead cost one subtraction each:
at time t persistence made at t - l erred by |x_t - x_{t-l}|, seasonal naive by |x_t - x_{t-S}|.
"""

from __future__ import annotations

import numpy as np

from edgeseq.core.forecast import RecurrentState, StateSpec
from edgeseq.core.types import CALIBRATED_LEADS, F32

ERROR_HALF_LIFE_STEPS = 150
"""Memory of the running errors: the half-life of the online mix in DESIGN.md, Baseline."""

MIN_SCORED = 8
"""Seasonal naive serves a lead only after so many comparisons with persistence."""


class BaselineStepper:
    """Persistence and seasonal naive as a Stepper with the median as its only quantile."""

    name = "baseline"
    levels: tuple[float, ...] = (0.5,)

    def __init__(self, channels: int, horizon: int, season_steps: int) -> None:
        self.channels = channels
        self.horizon = horizon
        self.season_steps = season_steps
        self.leads = tuple(lead for lead in CALIBRATED_LEADS if lead <= horizon)
        self.ring = max(season_steps, self.leads[-1])
        c, k = channels, len(self.leads)
        self.state_spec: tuple[StateSpec, ...] = (
            StateSpec("ring", (c, self.ring), init=np.nan),
            StateSpec("last", (c,), init=np.nan),
            StateSpec("persistence_error", (c, k)),
            StateSpec("seasonal_error", (c, k)),
            StateSpec("scored", (c, k)),
        )
        lead_of_step = np.arange(1, horizon + 1)
        # Each step of the horizon follows the calibrated lead nearest in log distance.
        distance = np.abs(np.log(lead_of_step[:, None]) - np.log(np.array(self.leads)[None, :]))
        self._nearest = distance.argmin(axis=1)
        # Steps beyond one season repeat the newest season known at the origin.
        self._season_index = self.ring - season_steps + (lead_of_step - 1) % max(season_steps, 1)

    def step(self, x: F32, state: RecurrentState) -> tuple[F32, RecurrentState]:
        """Advance by one step: x (B, C) → medians (B, C, H, 1) and the next state."""
        ring, last, persistence_error, seasonal_error, scored = state
        errors = self._score(x, ring, persistence_error, seasonal_error, scored)
        ring = np.concatenate([ring[:, :, 1:], x[:, :, None]], axis=2)
        last = np.where(np.isnan(x), last, x)
        return self._forecast(ring, last, errors), (ring, last, *errors)

    def replay(self, x: F32, state: RecurrentState) -> tuple[F32, RecurrentState]:
        """Advance by T steps: x (B, T, C) → medians of the last step and the state after it."""
        for t in range(x.shape[1]):
            quantiles, state = self.step(x[:, t], state)
        return quantiles, state

    def _score(
        self, x: F32, ring: F32, persistence_error: F32, seasonal_error: F32, scored: F32
    ) -> tuple[F32, F32, F32]:
        if self.season_steps == 0:
            return persistence_error.copy(), seasonal_error.copy(), scored.copy()
        by_persistence = np.abs(x[:, :, None] - ring[:, :, [self.ring - lead for lead in self.leads]])
        by_season = np.abs(x - ring[:, :, self.ring - self.season_steps])[:, :, None]
        both = np.isfinite(by_persistence) & np.isfinite(by_season)
        scored = scored + both.astype(np.float32)
        slow = np.float32(1 - 0.5 ** (1 / ERROR_HALF_LIFE_STEPS))
        rate = np.where(both, np.maximum(1 / np.maximum(scored, 1), slow), 0).astype(np.float32)
        # Subtract inside the mask only: a NaN times a rate of 0 is still a NaN.
        persistence_error = persistence_error + rate * np.where(both, by_persistence - persistence_error, 0)
        seasonal_error = seasonal_error + rate * np.where(both, by_season - seasonal_error, 0)
        # Beyond its sixteenth million a float32 count stands still, long after it stopped to matter.
        return persistence_error, seasonal_error, scored

    def _forecast(self, ring: F32, last: F32, errors: tuple[F32, F32, F32]) -> F32:
        persistence = np.broadcast_to(last[:, :, None], (*last.shape, self.horizon))
        if self.season_steps == 0:
            return np.array(persistence[..., None], dtype=np.float32)
        persistence_error, seasonal_error, scored = errors
        seasonal_wins = (scored >= MIN_SCORED) & (seasonal_error < persistence_error)
        seasonal = ring[:, :, self._season_index]
        use = seasonal_wins[:, :, self._nearest] & np.isfinite(seasonal)
        return np.where(use, seasonal, persistence)[..., None].astype(np.float32)
