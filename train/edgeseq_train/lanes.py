"""Which rows a training step takes: segments that go on where the last ones stopped, or whole runs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeseq.core.types import F32
from edgeseq.errors import ConfigError
from edgeseq_train.prepare import Rows, Run
from edgeseq_train.recipe import TrainingRecipe

BURN_IN_STEPS = 32
"""Steps without loss after a lane was seated in the middle of a run: its state is not the one it would have."""

Seats = tuple[NDArray[np.int64], NDArray[np.int32], F32]
"""First rows (B,), burn-in steps (B,), whether the state is kept (B,) 0 or 1."""


class Lanes:
    """Truncated back-propagation: where each lane of the batch stands. With `segment = 0` full: one lane for each run.

    At the end of a run a lane is seated anew. Whole runs are as long as the shortest, and begin where the run does.
    """

    def __init__(self, rows: Rows, recipe: TrainingRecipe, rng: np.random.Generator) -> None:
        self.horizon = rows.spec.horizon
        warm = [r for r in rows.runs if not r.cold]
        self.segment = recipe.segment or min(r.train_stop - r.start for r in warm) - self.horizon
        self.full = [r for r in warm if r.train_stop - r.start >= self.segment + self.horizon]
        if not self.full or self.segment < 1:
            raise ConfigError(
                "no run of the training part is as long as a segment",
                where="recipe: training.segment", found=f"{self.segment} steps, and {self.horizon} for the horizon",
                wanted=f"at most {max(r.train_stop - r.start for r in warm) - self.horizon}, or 0 for whole runs",
            )  # fmt: skip
        self.cold = [r for r in rows.runs if r.cold]
        self.share = recipe.cold_share if self.cold else 0.0
        self.rng = rng
        self.whole = recipe.segment == 0
        count = len(self.full) if self.whole else recipe.lanes
        self.position = np.zeros(count, np.int64)
        self.end = np.zeros(count, np.int64)

    def next(self) -> Seats:
        """Move all lanes on."""
        burn = np.zeros(len(self.position), np.int32)
        if self.whole:
            start = np.array([run.start for run in self.full], np.int64)
            return start, burn, np.zeros(len(start), np.float32)
        keep = np.ones(len(self.position), np.float32)
        for k in range(len(self.position)):
            if self.position[k] + self.segment + self.horizon <= self.end[k]:
                continue
            keep[k] = 0.0
            self.position[k], self.end[k], burn[k] = self._seat()
        start = self.position.copy()
        self.position += self.segment
        return start, burn, keep

    def _seat(self) -> tuple[int, int, int]:
        if self.rng.random() < self.share:
            run = self.cold[self.rng.integers(len(self.cold))]
            return run.start, run.stop, 0
        run = self._drawn()
        start = int(self.rng.integers(run.start, run.train_stop - self.segment - self.horizon + 1))
        return start, run.train_stop, 0 if start == run.start else BURN_IN_STEPS

    def _drawn(self) -> Run:
        lengths = np.array([r.train_stop - r.start for r in self.full], float)
        return self.full[self.rng.choice(len(self.full), p=lengths / lengths.sum())]
