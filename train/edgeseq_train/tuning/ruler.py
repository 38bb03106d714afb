"""The measures of a search: one loss for all trials, weights counted from shapes, cost against the start's.

What a training minimises is in units that its own choices set: seasonal-naive errors by its season, leads weighed by
its ridge's errors, levels by its `median_weight`. Trials are compared by the units of the start recipe: of a trial
with the start's choices the score is its own validation loss.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import tensorflow as tf

from edgeseq.core.forecast import initial_state
from edgeseq.core.network import NetworkSpec, NetworkStepper, weight_shapes
from edgeseq.core.types import F32
from edgeseq_train.loop import Trainer
from edgeseq_train.losses import level_weights
from edgeseq_train.parts import naive_error

COST_STEPS, COST_ROUNDS = 10, 15
"""Steps of a round, and rounds, of which the fastest counts: others disturb caches and clock."""


class Measure(msgspec.Struct, frozen=True):
    """The units that losses are counted in."""

    lag: int
    """Of the seasonal-naive error."""
    lead_weights: tuple[float, ...]
    """(H,)"""
    median_weight: float
    start: NetworkSpec
    """What cost is compared with."""


def measure_of(trainer: Trainer) -> Measure:
    """Take the units of a training."""
    lag = trainer.spec.seasons[0] if trainer.spec.seasons else 1
    leads = tuple(trainer.lead_weights.numpy().tolist())
    return Measure(lag, leads, trainer.recipe.median_weight, trainer.spec)


def make_ruler(trainer: Trainer, measure: Measure) -> Trainer:
    """Make a view of a trainer, of the same weights, whose `validate` counts in the units of the measure."""
    ruler = copy.copy(trainer)
    ruler.data = dataclasses.replace(trainer.data, weight=tf.constant(_stream_weights(trainer, measure.lag)))
    ruler.lead_weights = tf.constant(np.array(measure.lead_weights, np.float32))
    ruler.level_weights = tf.constant(level_weights(trainer.spec.levels, measure.median_weight))

    def score(index: Any, output: Any) -> Any:
        weights = {**ruler.fixed, **ruler.average}
        return ruler.loss(weights, index, output, tf.ones_like(index, tf.float32))

    ruler.score = tf.function(score, reduce_retracing=True, autograph=False)
    return ruler


def _stream_weights(trainer: Trainer, lag: int) -> F32:
    """Compute 1 / the seasonal-naive error by a lag for the rows of every full run (N, C); others are not judged."""
    rows, targets = trainer.rows, trainer.spec.targets
    weight = rows.weight[:, :targets].copy()
    for run in rows.runs:
        if not run.cold:
            error = naive_error(rows.target[run.start : run.train_stop, :targets], lag)
            weight[run.start : run.stop] = (1 / error).astype(np.float32)
    return weight


def score(ruler: Trainer, weights: Mapping[str, F32]) -> float:
    """Judge weights that were kept: the mean loss over the validation part."""
    for name, variable in ruler.average.items():
        variable.assign(weights[name])
    return ruler.validate()


def parameters_of(spec: NetworkSpec) -> int:
    """Count all weights, the fixed ones of the front among them, before any exists."""
    return sum(math.prod(shape) for shape in weight_shapes(spec).values())


def cost_of(spec: NetworkSpec, start: NetworkSpec) -> tuple[float, float]:
    """Time a step of one stream on NumPy here (µs of CPU), and as a ratio to the start's, timed in turn with it."""
    timed = [_prepared(spec), _prepared(start)]
    best = [math.inf, math.inf]
    for _ in range(COST_ROUNDS):
        for k, (stepper, x, known) in enumerate(timed):
            state = initial_state(stepper.state_spec, 1)
            begun = time.thread_time()
            for _ in range(COST_STEPS):
                _, state = stepper.step(x, state, known)
            best[k] = min(best[k], (time.thread_time() - begun) / COST_STEPS * 1e6)
    return best[0], 1.0 if spec == start else best[0] / best[1]


def _prepared(spec: NetworkSpec) -> tuple[NetworkStepper, F32, F32 | None]:
    weights = {name: np.full(shape, 0.01, np.float32) for name, shape in weight_shapes(spec).items()}
    known = np.zeros((1, 1 + spec.horizon, spec.known), np.float32) if spec.known else None
    return NetworkStepper(spec, weights), np.zeros((1, spec.channels), np.float32), known
