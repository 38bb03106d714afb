"""How good estimates are: of classes by probability and by name, of numbers by error and interval."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeseq.core.types import F64
from edgeseq_train.estimators.regression import CERTAIN

Scores = dict[str, float]


def of_classes(probabilities: F64, truth: Any) -> Scores:
    """Score probabilities (n, N) against classes (n,).

    accuracy; balanced_accuracy: mean recall of the classes that occur; f1: mean over them of the harmonic mean of
    precision and recall; log_loss: mean -ln p of the true class; brier: mean Σ_k (p_k - y_k)², 0 to 2 (Brier 1950).
    """
    count = probabilities.shape[1]
    named = probabilities.argmax(axis=1)
    table = np.zeros((count, count))
    np.add.at(table, (truth, named), 1)
    hits, true, told = np.diag(table), table.sum(axis=1), table.sum(axis=0)
    occurs = true > 0
    recall = hits[occurs] / true[occurs]
    f1 = 2 * hits[occurs] / (true + told)[occurs]
    likely = np.maximum(probabilities[np.arange(len(truth)), truth], CERTAIN)
    return {
        "accuracy": float(hits.sum() / len(truth)),
        "balanced_accuracy": float(recall.mean()),
        "f1": float(f1.mean()),
        "log_loss": float(-np.log(likely).mean()),
        "brier": float(((probabilities - np.eye(count)[truth]) ** 2).sum(axis=1).mean()),
    }


def of_numbers(median: F64, truth: F64, lower: F64 | None = None, upper: F64 | None = None) -> Scores:
    """Score medians (n,) against numbers (n,), in their unit: mae, rmse, bias (estimate - truth), coverage."""
    error = median - truth
    scores = {
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "bias": float(error.mean()),
    }
    if lower is not None and upper is not None:
        scores["coverage"] = float(((truth >= lower) & (truth <= upper)).mean())
    return scores


def pinball(quantiles: F64, truth: F64, levels: tuple[float, ...]) -> float:
    """Mean pinball loss × 2 of quantiles (n, Q) over levels: at the median it is the absolute error."""
    error = truth[:, None] - quantiles
    at = np.array(levels)
    return float((2 * np.maximum(at * error, (at - 1) * error)).mean())
