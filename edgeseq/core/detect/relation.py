"""Broken relation: the channels of a stream are together where they have never been, though each alone may be usual.

Hotelling's T of the smoothed channels against mean and covariance of the stream's own usual readings: the distance in
their standard deviations, whitened. The alert stands with the channel that the others explain worst.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseq.core.detect import record, surprise
from edgeseq.core.detect.kinds import Closed, Scores
from edgeseq.core.table import Column, Table, Work
from edgeseq.core.types import F64, I64, Bool

RATE = 0.1
"""Of the smoothed channels: ten readings, so that scatter of single ones does not hide what lasts."""

MOST = 50.0
"""Standard deviations that a single reading moves the smoothed channels towards: by five of them, whatever it says."""

MEMORY = 8
"""Times of learning that mean and covariance remember."""

LEAST = 1.5
"""Distances of chance that the threshold is at: sensors have heavier tails than a Gaussian."""

LEAST_FREE = 3
"""Independent samples beyond the number of channels without which nothing is known of their relations."""

NORMAL_99 = 2.326
"""Quantile of the normal distribution that one in a hundred exceeds."""

RIDGE = 1e-6
"""Share of each variance that is added to it: channels that follow from others exactly leave nothing to invert."""

TINY = 1e-150
"""Scatter of a channel that is always 0."""

NONE = -1
"""Channel of a stream whose relations are as usual."""

HAND = 0.5
"""Share of the greatest part in it from which a channel is named, too."""


def columns(channels: int) -> dict[str, Column]:
    """Declare smoothed channels, their mean and covariance; nothing where there is one channel."""
    if channels < 2:
        return {}
    return {
        "relation_smooth": Column((channels,)),
        "relation_mean": Column((channels,)),
        "relation_covariance": Column((channels, channels)),
        "relation_count": Column((), "int64", 0),
        "relation_worst": Column((), "int64", NONE),
    }


def score(table: Table, work: Work, closed: Closed) -> Scores:
    """Score where the channels are together at a closed step, then learn it, unless it is an anomaly."""
    value = closed.samples.value
    scores = np.full(value.shape, np.nan)
    C = closed.targets
    if C < 2:
        return Scores(scores)
    whole = np.all(closed.samples.observed[:C], axis=0)
    smooth = _smooth(work, value, whole, closed.learning_steps)
    count = work["relation_count"]
    samples = _samples(count, closed.learning_steps)
    learned = whole & (count >= closed.learning_steps) & (samples >= C + LEAST_FREE)
    distance, parts = np.zeros(len(whole)), np.zeros((C, len(whole)))
    at = learned.nonzero()[0]
    if len(at):
        distance[at], parts[:, at] = _distance(work, smooth[:C], C, at)
    chance = _by_chance(C, np.maximum(samples, C + LEAST_FREE))
    ratio = distance / (LEAST * chance)
    alarm = ratio / surprise.factor(work)
    pull = np.minimum(1.0, (chance / np.maximum(distance, chance)) ** 2)
    _learn(work, smooth, np.where(whole & ~(alarm >= 1), pull, 0.0), closed.learning_steps)
    scores[:C] = np.where(learned, 0.0, np.nan)
    scores[_worst(work, parts, alarm)[at], at] = ratio[at]
    return Scores(scores, expected=np.full(value.shape, np.nan), channels=_named(parts, value.shape))


def accept(table: Table, work: Work, i: int, channel: int) -> None:
    """Learn the relations of row `work.rows[i]` anew."""
    for name in ("relation_mean", "relation_covariance", "relation_count"):
        work[name][..., i] = 0


def _worst(work: Work, parts: F64, ratio: F64) -> I64:
    """Pick the channel that the others explain worst, for as long as the anomaly lasts."""
    kept = work["relation_worst"]
    worst = np.where(kept == NONE, parts.argmax(axis=0), kept)
    kept[...] = np.where(ratio >= surprise.GOES_ON, worst, NONE)
    return worst


def _by_chance(channels: int, samples: F64) -> F64:
    """Give the distance that a further Gaussian sample exceeds once in a hundred (n,).

    Hotelling's T² by mean and covariance of so many samples, each known no better than they allow: p (m² - 1) / (m (m -
    p)) times the quantile of F with p and m - p degrees of freedom, that by Paulson's (1942) normal approximation.

    >>> (_by_chance(8, np.array([18.0, 60.0, 1e9])) ** 2).round(1)
    array([73.4, 26.5, 20.1])
    """
    free = samples - channels
    a, b = 2 / (9 * channels), 2 / (9 * free)
    square, half = (1 - b) ** 2 - NORMAL_99**2 * b, (1 - a) * (1 - b)
    root = np.sqrt(half**2 - square * ((1 - a) ** 2 - NORMAL_99**2 * a))
    quantile = ((half + root) / square) ** 3
    chance: F64 = np.sqrt(channels * (samples**2 - 1) / (samples * free) * quantile)
    return chance


def _samples(count: I64, learning_steps: int) -> F64:
    """Give the independent samples that mean and covariance of so many smoothed readings are worth (n,).

    An exponential mean of rate r is worth 2 / r - 1 of its samples, and so many of what it smooths are one.
    """
    known = np.minimum(count, 2 * MEMORY * learning_steps - 1)
    worth: F64 = known / (2 / RATE - 1)
    return worth


def _smooth(work: Work, value: F64, whole: Bool, learning_steps: int) -> NDArray[Any]:
    smooth, count = work["relation_smooth"], work["relation_count"]
    scatter = np.sqrt(np.einsum("ccn->cn", work["relation_covariance"]))
    most = np.where(count >= learning_steps, MOST * scatter, np.inf)
    moved = np.where(count == 0, value, smooth + RATE * np.clip(value - smooth, -most, most))
    np.copyto(smooth, moved, where=whole)
    return smooth


def _distance(work: Work, smooth: F64, channels: int, at: I64) -> tuple[F64, F64]:
    """Give the distance of the rows at `at` (m,), and how far each channel is from what the others say (C, m)."""
    off = (smooth - work["relation_mean"][:channels])[:, at]
    covariance = work["relation_covariance"][:channels, :channels, at]
    scatter = np.sqrt(np.einsum("ccn->cn", covariance)) + record.ROUNDING * np.abs(smooth[:, at]) + TINY
    # As a correlation, whose elements are at most 1, and the ridge on its diagonal: it can always be inverted.
    correlation = covariance / scatter[:, None] / scatter[None]
    correlation[np.arange(channels), np.arange(channels)] = 1 + RIDGE
    precision = np.linalg.inv(correlation.transpose(2, 0, 1)).transpose(1, 2, 0)
    off /= scatter
    squared, pulls = np.zeros(len(at)), np.zeros_like(off)
    # One channel after the other: sums must not depend on the batch.
    for c in range(channels):
        for other in range(channels):
            pulls[c] += precision[c, other] * off[other]
        squared += off[c] * pulls[c]
        pulls[c] = np.abs(pulls[c]) / np.sqrt(np.maximum(precision[c, c], 1e-300))
    return np.sqrt(np.maximum(squared, 0.0)), pulls


def _learn(work: Work, smooth: F64, weight: F64, learning_steps: int) -> None:
    """Move mean and covariance by readings of some weight (n,): Welford's update, later an exponential one.

    What lies far out weighs as if it lay at the distance of chance: an anomaly that begins slowly must not make itself
    usual.
    """
    count, mean, covariance = work["relation_count"], work["relation_mean"], work["relation_covariance"]
    rate = weight * np.where(count < learning_steps, 1 / (count + 1), 1 / (MEMORY * learning_steps))
    off, usual = smooth - mean, weight > 0
    np.copyto(covariance, (1 - rate) * (covariance + rate * off[:, None] * off[None]), where=usual)
    np.copyto(mean, mean + rate * off, where=usual)
    count += usual


def _named(parts: F64, shape: tuple[int, ...]) -> I64:
    """Set the bits of the channels that have a part in it (C, n)."""
    most, named = parts.max(axis=0), np.zeros(parts.shape[1], np.int64)
    for c in range(min(len(parts), 63)):
        named |= (parts[c] >= HAND * most).astype(np.int64) << c
    return np.broadcast_to(named, shape)
