"""What estimates of the test part say, as figures: losses step by step, who is beaten, whether probabilities hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from edgeseq.core.types import F64, Target
from edgeseq_train.estimators import regression

BINS = 10


@dataclass(frozen=True, slots=True)
class Judged:
    """What was said of the n steps of the test part whose truth is known, in the target's unit."""

    target: Target
    truth: F64
    """(n,) numbers, or indices of classes."""
    said: F64
    """(n, N) probabilities, or (n, Q) quantiles, of the default variant."""
    peers: dict[str, F64]
    """Name → (n, N) probabilities, or (n, 1) numbers."""

    @property
    def point(self) -> F64:
        """Give the median, or the class of the highest probability (n,)."""
        if self.target.classes:
            return np.asarray(self.said.argmax(axis=1), np.float64)
        median: F64 = self.said[:, self.said.shape[1] // 2]
        return median

    @property
    def measure(self) -> str:
        """Name what `losses` gives."""
        return "log loss" if self.target.classes else "mean absolute error"

    def losses(self, said: F64) -> F64:
        """Give the loss of each step (n,): -ln p of the true class, or |median - truth|: peers have no quantiles."""
        if self.target.classes:
            return regression.log_losses(said, self.truth.astype(int))
        missed: F64 = np.abs(said[:, said.shape[1] // 2] - self.truth)
        return missed

    def best_peer(self) -> str:
        """Name the peer with the least loss."""
        return min(self.peers, key=lambda name: self.losses(self.peers[name]).mean())

    def unbeaten(self) -> str | None:
        """Name the simplest peer that the model does not beat by more than chance; None: it beats all."""
        ours = self.losses(self.said)
        return next(
            (n for n, said in self.peers.items() if not regression.pays(self.losses(said), ours)), None
        )

    def loses_to(self, peer: str) -> bool:
        """Tell whether a peer beats the model by more than chance."""
        return regression.pays(self.losses(self.said), self.losses(self.peers[peer]))

    def gain_percent(self, peer: str) -> float:
        """Say how far the model's loss lies below a peer's, in per cent of the peer's."""
        return float(100 * (1 - self.losses(self.said).mean() / self.losses(self.peers[peer]).mean()))

    def confusion(self) -> F64:
        """Count steps by true class (rows) and class told (columns): (N, N)."""
        count = len(self.target.classes)
        table = np.zeros((count, count))
        np.add.at(table, (self.truth.astype(int), self.point.astype(int)), 1)
        return table


class Calibration(NamedTuple):
    """Probabilities told of the class that was named, beside how often it was right, by bins that are not empty."""

    told: F64
    right: F64
    steps: F64

    @property
    def error(self) -> float:
        """Expected calibration error: mean |told - right| over the steps (Naeini et al. 2015)."""
        return float((np.abs(self.told - self.right) * self.steps).sum() / self.steps.sum())


def calibration(judged: Judged) -> Calibration:
    """Compare the probability of the class that was named with how often it was right, in bins of a tenth.

    >>> said = np.array([[0.75, 0.25]] * 4)
    >>> calibration(Judged(Target("a", classes=("x", "y")), np.array([0.0, 0, 0, 1]), said, {})).error
    0.0
    """
    sure = judged.said.max(axis=1)
    hits = (judged.point == judged.truth).astype(np.float64)
    place = np.minimum((sure * BINS).astype(int), BINS - 1)
    steps = np.bincount(place, minlength=BINS).astype(np.float64)
    some = steps > 0
    told, right = (np.bincount(place, weights=w, minlength=BINS)[some] / steps[some] for w in (sure, hits))
    return Calibration(told, right, steps[some])
