"""What an estimator must beat: what always says the same, and regression on the values as they are.

A device never learns the truth, so none of these is told an earlier one: the last known class or number, which would
beat them all on most recordings, is known to nobody who needs an estimator.
"""

from __future__ import annotations

import numpy as np

from edgeseq.core.types import F64
from edgeseq_train.estimators import regression
from edgeseq_train.estimators.labels import Labelled
from edgeseq_train.fit import Split

LAGS = (1, 2, 4, 8, 16, 32, 64)
Answers = dict[str, F64]
"""Peer → probabilities (T, N) of classes, or numbers (T, 1), at every step."""


def answers(labelled: Labelled, split: Split) -> Answers:
    """Fit the peers on the training part, penalties on validation; let them answer at all steps."""
    values = held(labelled.inputs.values[:, 0])
    lagged = np.concatenate([values, *(_earlier(values, lag) for lag in LAGS)], axis=1)
    truth = labelled.truth[: split.validation]
    rows = np.flatnonzero(np.isfinite(truth))
    train = int((rows < split.train).sum())
    y, count = truth[rows], len(labelled.target.classes)
    if not count:
        constant = {"mean": np.full((len(values), 1), y[:train].mean())}
        solved = {
            name: regression.least_squares(f[rows], y, train)(f)
            for name, f in (("linear regression, present values", values), ("… and lagged values", lagged))
        }
        return constant | solved
    share = np.bincount(y[:train].astype(int), minlength=count) / train
    constant = {"majority": np.tile(share, (len(values), 1))}
    weights = np.ones(len(rows))
    solved = {
        name: regression.softmax(regression.logistic(f[rows], y.astype(int), count, weights, train)(f))
        for name, f in (("logistic regression, present values", values), ("… and lagged values", lagged))
    }
    return constant | solved


def held(values: F64) -> F64:
    """Carry the last value of each channel (T, C) over missing ones; the median of all before the first."""
    known = np.isfinite(values)
    reached = np.maximum.accumulate(np.where(known, np.arange(len(values))[:, None], 0), axis=0)
    carried = np.take_along_axis(values, reached, axis=0)
    return np.where(np.isfinite(carried), carried, np.nanmedian(values, axis=0))


def _earlier(values: F64, lag: int) -> F64:
    return values[np.maximum(np.arange(len(values)) - lag, 0)]
