"""Training: hide stretches of the recording, estimate them from the rest, learn from the hidden values only."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from edgeseq.core.cells import CELLS, project
from edgeseq.core.ops import Tensor
from edgeseq.core.types import F32, F64, I64, Bool
from edgeseq_train.impute import network
from edgeseq_train.impute.hiding import draw_lengths, gaps, hide, together_share
from edgeseq_train.impute.network import LEVELS, ImputerSpec
from edgeseq_train.impute.settings import TrainingPlan
from edgeseq_train.impute.sight import look
from edgeseq_train.impute.windows import Plan, cut, whole
from edgeseq_train.tf_ops import TENSORFLOW

HIDDEN_SHARE = 0.2
"""Share of the known values that are hidden at a time."""
COPY_STEPS = 10
"""So many steps of training read from one choice of what is hidden."""
SPACING = 6
"""Steps between two hidden stretches of a channel, at least."""
CUT_SHARE = 0.2
"""Share of the windows whose readings end early, as they do with a fixed lag."""
LENGTH_POWER = 0.5
"""A hidden step counts 1 / gap^power: a stretch of 64 counts 8 times as much as one of 1, not 64 times."""
VALIDATION_BATCHES = 4
REFERENCE_FLOOR = 0.02

Progress = Callable[[int, int, float, float], None]
"""step, steps, training loss, best validation loss."""


@dataclass(frozen=True, slots=True)
class Material:
    """What is trained on."""

    x: F64
    """(T, S) values as (value - anchor) / unit, NaN where missing."""
    train: Bool
    """(T,) steps that may be hidden for training …"""
    validation: Bool
    """(T,) … and for validation."""
    near: Plan
    longest: int
    """Steps of the longest stretch that is hidden."""
    window: int
    """Steps of a window."""


class Batch(NamedTuple):
    """Windows with time first, and what was hidden in them."""

    features: F32
    """(T, B, F)"""
    moves: F32
    """(T, B, K)"""
    target: F32
    """(T, B) distance of the hidden value from the line, in bridges."""
    weight: F32
    """(T, B) 0 where nothing was hidden."""


def train(
    material: Material, spec: ImputerSpec, how: TrainingPlan, progress: Progress
) -> tuple[dict[str, F32], float, float]:
    """Train → best weights, their loss on validation and that of the straight line with constant widths."""
    rng = np.random.default_rng(how.seed)
    source = _Source(material, rng, how.rows)
    fixed = _Source(material, np.random.default_rng(how.seed + 1), how.rows)
    held = [_tensors(fixed.validation()) for _ in range(VALIDATION_BATCHES)]
    weights = {k: tf.Variable(a) for k, a in network.initial_weights(spec, rng).items()}
    variables = list(weights.values())
    optimizer = tf.keras.optimizers.AdamW(
        how.learning_rate, beta_2=0.99, weight_decay=how.weight_decay, global_clipnorm=how.clip_norm
    )

    @tf.function(autograph=False)
    def score(batch: Batch) -> Tensor:
        return _loss(spec, {k: tf.convert_to_tensor(v) for k, v in weights.items()}, batch)

    @tf.function(autograph=False)
    def advance(batch: Batch) -> Tensor:
        with tf.GradientTape() as tape:
            loss = score(batch)
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    def validate() -> float:
        return float(np.mean([float(score(batch)) for batch in held]))

    best = start = validate()
    kept, best_step, losses = _values(weights), 0, []
    for step in range(1, how.steps + 1):
        optimizer.learning_rate.assign(how.learning_rate * one_cycle(step / how.steps))
        losses.append(float(advance(_tensors(source.training()))))
        if step % how.validate_every and step != how.steps:
            continue
        loss = validate()
        if loss < best:
            best, best_step, kept = loss, step, _values(weights)
        progress(step, how.steps, float(np.mean(losses)), best)
        losses = []
        if step - best_step >= how.patience:
            break
    return kept, best, start


def _values(weights: Mapping[str, Tensor]) -> dict[str, F32]:
    return {k: v.numpy() for k, v in weights.items()}


def one_cycle(progress: float) -> float:
    """Rise over the first 15 %, then fall as a cosine (OneCycle, arXiv 1708.07120): 0 … 1.

    >>> one_cycle(0.15), round(one_cycle(1.0), 3)
    (1.001, 0.001)
    """
    if progress < 0.15:
        return 0.1 + 0.9 * progress / 0.15
    return 0.5 * (1 + math.cos(math.pi * (progress - 0.15) / 0.85)) + 1e-3


def _tensors(batch: Batch) -> Batch:
    return Batch(*(tf.constant(a) for a in batch))


def _loss(spec: ImputerSpec, weights: dict[str, Tensor], batch: Batch) -> Tensor:
    """Mean weighted pinball loss × 2 over the hidden steps; the median counts as much as both edges of the band."""
    q = unrolled(spec, weights, batch.features, batch.moves)
    error = batch.target[..., None] - q
    levels, share = tf.constant(LEVELS, tf.float32), tf.constant((0.5, 1.0, 0.5))
    pinball = tf.reduce_sum(2.0 * tf.maximum(levels * error, (levels - 1.0) * error) * share, -1)
    return tf.reduce_sum(pinball * batch.weight) / tf.maximum(tf.reduce_sum(batch.weight), 1e-6)


def unrolled(spec: ImputerSpec, weights: dict[str, Tensor], features: Tensor, moves: Tensor) -> Tensor:
    """Run the network over windows (T, B, F) and (T, B, K) → quantiles (T, B, 3), as `network.impute` does."""
    forward = _run(spec, network.of_way(weights, "forward"), features)
    backward = _run(spec, network.of_way(weights, "backward"), features[::-1])[::-1]
    flat = (tf.reshape(a, (-1, a.shape[-1])) for a in (forward, backward, moves))
    steps, batch = features.shape[0], features.shape[1]
    return tf.reshape(network.head(TENSORFLOW, spec, weights, *flat), (steps, batch, len(LEVELS)))


def _run(spec: ImputerSpec, w: dict[str, Tensor], features: Tensor) -> Tensor:
    """Run a cell over features (T, B, F) → outputs (T, B, U); all inputs are projected in one product."""
    cell, (steps, batch, width) = CELLS[spec.cell], features.shape
    projected = project(TENSORFLOW, w, tf.reshape(features, (-1, width)))
    inputs = tf.TensorArray(tf.float32, steps).unstack(
        tf.reshape(projected, (steps, batch, projected.shape[-1]))
    )
    outputs = tf.TensorArray(tf.float32, steps, element_shape=(batch, spec.units))

    def body(t: Tensor, out: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        states = cell.advance(TENSORFLOW, w, inputs.read(t), states)
        return t + 1, out.write(t, states[0]), states

    start = tuple(tf.zeros((batch, spec.units)) for _ in spec.states)
    _, outputs, _ = tf.while_loop(
        lambda t, *_: t < steps, body, (tf.constant(0), outputs, start),
        parallel_iterations=1, maximum_iterations=steps,
    )  # fmt: skip
    return outputs.stack()


class _Source:
    """Where batches come from: what is hidden is drawn anew from time to time."""

    def __init__(self, material: Material, rng: np.random.Generator, rows: int) -> None:
        self.material, self.rng, self.rows = material, rng, rows
        self.known = np.isfinite(material.x)
        found = gaps(material.x)
        self.own, self.together = found[:, 2] - found[:, 1], together_share(material.x)
        change = np.nanmean(np.abs(np.diff(material.x, axis=0)), axis=0)
        self.rough = np.nan_to_num(change, nan=1.0)
        self.left, self.hidden, self.starts = 0, self.known, np.arange(0)

    def training(self) -> Batch:
        """Draw a batch of the training part."""
        if self.left == 0:
            self._hide(self.material.train)
            self.left = COPY_STEPS
        self.left -= 1
        return self._batch()

    def validation(self) -> Batch:
        """Draw a batch of the validation part, hidden anew."""
        self._hide(self.material.validation)
        return self._batch()

    def _hide(self, allowed: Bool) -> None:
        m, rng = self.material, self.rng
        wanted = HIDDEN_SHARE * self.known[allowed].sum()
        lengths = draw_lengths(self.own, m.longest, int(wanted) + 1, rng)
        # Stretches that hide all channels take more: as many as give the share, were none refused.
        taken = np.cumsum(lengths * (1 + self.together * (m.x.shape[1] - 1)))
        count = int(np.searchsorted(taken, wanted)) + 1
        self.hidden = hide(self.known, allowed, lengths[:count], self.together, SPACING, rng)
        self.starts = np.flatnonzero(self.hidden.any(axis=1))

    def _batch(self) -> Batch:
        m, rng = self.material, self.rng
        count = max(8, self.rows // m.window)
        channel = rng.integers(0, m.x.shape[1], count)
        # Each window holds a hidden step somewhere.
        at = rng.choice(self.starts, count) if len(self.starts) else rng.integers(0, len(m.x), count)
        start = at - rng.integers(0, m.window, count)
        windows = whole(channel, start, len(m.x))
        ends = start + rng.integers(m.window // 3, m.window, count)
        stop = np.where(rng.random(count) < CUT_SHARE, ends, windows.stop)
        values, near, identity = cut(
            np.where(self.hidden, np.nan, m.x), m.near, windows._replace(stop=stop), m.window
        )
        s = look(values, near, identity)
        steps = start[:, None] + np.arange(m.window)
        inside = (steps >= 0) & (steps < np.minimum(stop, len(m.x))[:, None])
        steps = np.clip(steps, 0, len(m.x) - 1)
        hidden = inside & self.hidden[steps, channel[:, None]]
        target = np.where(hidden, (m.x[steps, channel[:, None]] - s.line) / s.bridge, 0.0)
        weight = np.where(
            hidden, s.bridge / self._reference(channel, s.gap) / np.maximum(s.gap, 1) ** LENGTH_POWER, 0
        )
        return Batch(*(_time_first(a) for a in (s.features, s.moves, target, weight)))

    def _reference(self, channel: I64, gap: I64) -> F64:
        """Error that may be expected in the middle of a gap, in units of x: errors count in relation to it."""
        expected: F64 = self.rough[channel][:, None] * np.sqrt(gap + 1) / 2
        return np.clip(expected, REFERENCE_FLOOR, 1.0)


def _time_first(a: F32 | F64) -> F32:
    return np.ascontiguousarray(np.swapaxes(a, 0, 1), dtype=np.float32)
