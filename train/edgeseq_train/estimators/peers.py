"""What an estimator must beat: what always says the same, and regression on the values as they are.

A device never learns the truth, so none of these is told an earlier one: the last known class or number, which would
beat them all on most recordings, is known to nobody who needs an estimator.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgeseq.core.types import F64, I64
from edgeseq_train.estimators import regression
from edgeseq_train.estimators.labels import Labelled
from edgeseq_train.parts import Split

LAGS = (1, 2, 4, 8, 16, 32, 64)
Peer = Callable[[F64], F64]
"""Values (T, C), NaN where missing → probabilities (T, N) of classes, or numbers (T, 1), at every step."""


def fit(labelled: Labelled, split: Split) -> dict[str, Peer]:
    """Fit the peers on the training part, their penalties on validation."""
    values = held(labelled.inputs.values[: split.validation, 0])
    truth = labelled.truth[: split.validation]
    rows = np.flatnonzero(np.isfinite(truth))
    train = int((rows < split.train).sum())
    return _constant(truth[rows][:train], labelled) | {
        name: _regression(seen, values, truth, rows, train, len(labelled.target.classes))
        for name, seen in (("regression, present values", np.array), ("… and lagged values", lagged))
    }


def _constant(y: F64, labelled: Labelled) -> dict[str, Peer]:
    count = len(labelled.target.classes)
    if not count:
        return {"mean": lambda values: np.full((len(values), 1), y.mean())}
    share = np.bincount(y.astype(int), minlength=count) / len(y)
    return {"majority": lambda values: np.tile(share, (len(values), 1))}


def _regression(seen: Peer, values: F64, truth: F64, rows: I64, train: int, count: int) -> Peer:
    inputs, y = seen(values)[rows], truth[rows]
    if not count:
        linear = regression.least_squares(inputs, y, train)
        return lambda values: linear(seen(held(values)))
    logits = regression.logistic(inputs, y.astype(int), count, np.ones(len(rows)), train)
    return lambda values: regression.softmax(logits(seen(held(values))))


def lagged(values: F64) -> F64:
    """Put earlier values beside the present ones: (T, C) → (T, C · (1 + lags)); before the first it is the first."""
    steps = np.arange(len(values))
    return np.concatenate([values, *(values[np.maximum(steps - lag, 0)] for lag in LAGS)], axis=1)


def held(values: F64) -> F64:
    """Carry the last value of each channel (T, C) over missing ones; the median of all before the first."""
    known = np.isfinite(values)
    reached = np.maximum.accumulate(np.where(known, np.arange(len(values))[:, None], 0), axis=0)
    carried = np.take_along_axis(values, reached, axis=0)
    return np.where(np.isfinite(carried), carried, np.nanmedian(values, axis=0))
