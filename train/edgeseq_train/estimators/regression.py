"""Linear and logistic regression: what an estimator's highway starts from, and the peers it must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeseq.core.types import F64, I64

PENALTIES = tuple(10.0**k for k in range(-3, 5))
"""Ridge penalties on features of unit spread, in training rows per feature."""
LOGISTIC_STEPS = 300
BLOCKS = 10
"""Stretches of the validation part that speak for or against a larger model."""
CERTAIN = 1e-7
"""Probabilities are not believed to be smaller, as far as losses count."""


@dataclass(frozen=True, slots=True)
class Linear:
    """Weights (F, K) and offset (K,) of K linear outputs."""

    weights: F64
    offset: F64

    def __call__(self, features: F64) -> F64:
        """Apply to rows (n, F) → (n, K)."""
        answer: F64 = features @ self.weights + self.offset
        return answer

    def spread_over(self, at: I64, features: int) -> Linear:
        """Lay the weights of features `at` (F,) out over more of them, 0 for the others."""
        whole = np.zeros((features, self.weights.shape[1]))
        whole[at] = self.weights
        return Linear(whole, self.offset)


def least_squares(features: F64, y: F64, train: int) -> Linear:
    """Fit ridge regression on rows [0, train); the penalty is the one with the least absolute error on the rest.

    Args:
        features: (n, F) finite.
        y: (n,) finite.
        train: rows to learn from.
    """
    mean, spread = _moments(features[:train])
    z = (features - mean) / spread
    level = y[:train].mean()
    values, vectors = np.linalg.eigh(z[:train].T @ z[:train])
    cross = vectors.T @ (z[:train].T @ (y[:train] - level))
    tried = [vectors @ (cross / (np.maximum(values, 0) + penalty)) for penalty in PENALTIES]
    errors = [np.abs(z[train:] @ w + level - y[train:]).mean() for w in tried]
    best = tried[int(np.argmin(errors))] / spread
    return Linear(best[:, None], np.array([level - mean @ best]))


def logistic(features: F64, labels: Any, count: int, weights: F64, train: int) -> Linear:
    """Fit multinomial logistic regression on rows [0, train); the penalty has the least log loss on the rest.

    Newton steps under Böhning's fixed bound of the Hessian, ½ (1 - 1/N) XᵀX, which descend surely and need one
    inverse (Annals of the Institute of Statistical Mathematics 44, 1992). Answers are logits.

    Args:
        features: (n, F) finite.
        labels: (n,) class of each row, 0 … count - 1.
        count: N classes.
        weights: (n,) of the rows in the loss.
        train: rows to learn from.
    """
    mean, spread = _moments(features[:train])
    z = np.concatenate([(features - mean) / spread, np.ones((len(features), 1))], axis=1)
    truth = np.eye(count)[labels]
    tried = [_bounded_newton(z[:train], truth[:train], weights[:train], penalty) for penalty in PENALTIES]
    errors = [(weights * log_losses(softmax(z @ w), labels))[train:].mean() for w in tried]
    best = tried[int(np.argmin(errors))]
    inner = best[:-1] / spread[:, None]
    return Linear(inner, best[-1] - mean @ inner)


def _bounded_newton(z: F64, truth: F64, weights: F64, penalty: float) -> F64:
    ridge = np.full(z.shape[1], penalty)
    ridge[-1] = 1e-9  # the offset is not held back
    bound = 0.5 * (z * weights[:, None]).T @ z + np.diag(ridge)
    inverse = np.linalg.inv(bound)
    solution = np.zeros((z.shape[1], truth.shape[1]))
    for _ in range(LOGISTIC_STEPS):
        slope = z.T @ (weights[:, None] * (truth - softmax(z @ solution))) - ridge[:, None] * solution
        move = inverse @ slope
        solution += move
        if np.abs(move).max() < 1e-4:
            break
    return solution


def log_losses(probabilities: F64, labels: Any) -> F64:
    """Give -ln of the true class's probability of rows (n, N) with labels (n,) → (n,)."""
    likely: F64 = np.maximum(probabilities[np.arange(len(labels)), labels], CERTAIN)
    return -np.log(likely)


def pays(simple: F64, larger: F64) -> bool:
    """Tell whether a larger model's losses (n,) are lower than a simple one's by more than chance would have it.

    The rule of one standard error (Breiman et al. 1984), on paired losses. Neighbours in time err alike, so the error
    is that of the means of BLOCKS stretches: few days of validation must not choose by one of them.
    """
    saved = np.array([block.mean() for block in np.array_split(simple - larger, BLOCKS)])
    return bool(saved.mean() > saved.std(ddof=1) / np.sqrt(BLOCKS))


def softmax(logits: F64) -> F64:
    """Turn logits (n, N) into probabilities."""
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    share: F64 = odds / odds.sum(axis=1, keepdims=True)
    return share


def _moments(features: F64) -> tuple[F64, F64]:
    spread = features.std(axis=0)
    return features.mean(axis=0), np.where(spread > 1e-9, spread, 1.0)
