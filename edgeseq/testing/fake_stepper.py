"""A small honest forecaster for tests: exponential smoothing with a fixed spread."""

from __future__ import annotations

import numpy as np

from edgeseq.core.forecast import RecurrentState, StateSpec
from edgeseq.core.types import F32


class FakeStepper:
    """Forecast the smoothed level at every lead; quantiles at level -1, 0, +1 (in the stream's unit).

    What is known of a lead is added to its forecast, and what is known of now to the state `steps`.
    It keeps to the Stepper protocol and to its laws: rows are independent, missing values leave the level alone.
    """

    name = "fake@00000000"
    levels: tuple[float, ...] = (0.05, 0.5, 0.95)

    def __init__(
        self, channels: int = 1, horizon: int = 4, ring: int = 40, rate: float = 0.5, known: int = 0
    ) -> None:
        self.channels = channels
        self.horizon = horizon
        self.ring = ring
        self.known = known
        self.rate = np.float32(rate)
        self.state_spec: tuple[StateSpec, ...] = (StateSpec("level", (channels,)), StateSpec("steps", (1,)))

    def step(self, x: F32, state: RecurrentState, known: F32 | None = None) -> tuple[F32, RecurrentState]:
        """Smooth: x (B, C) → quantiles (B, C, H, 3) and the next state."""
        level, steps = state
        level = np.where(np.isnan(x), level, level + self.rate * (x - level)).astype(np.float32)
        quantiles = level[:, :, None, None] + np.array([-1, 0, 1], dtype=np.float32)
        quantiles = np.repeat(quantiles, self.horizon, axis=2)
        if known is not None:
            quantiles = quantiles + known[:, None, 1:].sum(axis=3, keepdims=True)
            steps = steps + known[:, 0].sum(axis=1, keepdims=True)
        return quantiles, (level, steps + np.float32(1))

    def replay(self, x: F32, state: RecurrentState, known: F32 | None = None) -> tuple[F32, RecurrentState]:
        """Step through x (B, T, C)."""
        for t in range(x.shape[1]):
            now = None if known is None else known[:, t : t + 1 + self.horizon]
            quantiles, state = self.step(x[:, t], state, now)
        return quantiles, state
