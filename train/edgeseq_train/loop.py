"""Training: truncated back-propagation through time with carried state, in one tf.function.

A batch is a set of lanes. Each lane walks through a run segment by segment and carries its state; at the end of a run
it is seated anew. The front is precomputed (`prepare`), the recurrence runs in a while loop, and the head is applied
at some steps of the segment. Loss: pinball over leads and levels, in units of each stream's seasonal-naive error.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgeseq.core import network
from edgeseq.core.layers import View, kind_of, layer_weights, shapes
from edgeseq.core.network import NetworkSpec
from edgeseq.core.ops import Tensor
from edgeseq.core.types import F32, F64
from edgeseq.errors import InputError
from edgeseq_train.history import Note
from edgeseq_train.prepare import Rows, Run
from edgeseq_train.recipe import TrainingRecipe
from edgeseq_train.tf_ops import TENSORFLOW
from edgeseq_train.unroll import unroll

BURN_IN_STEPS = 32
"""Steps without loss after a lane was seated in the middle of a run: its state is not the one it would have."""
VALIDATION_WARM = 400
"""Steps before the validation part over which the state is warmed."""
VALIDATION_STRIDE = 3
MARKED_LEADS = (1, 3, 8, 24, 48, 96)

Progress = Callable[[int, int, float, float], None]
"""step, steps, training loss, best validation loss."""


def trainable(name: str) -> bool:
    """Tell the learned weights from the fixed ones."""
    return name.startswith(("layer", "head", "highway", "known"))


def initial_weights(spec: NetworkSpec, rng: np.random.Generator) -> dict[str, F32]:
    """Draw the learned weights (Glorot, orthogonal recurrence, forget gate open); the head starts at 0 = ridge."""
    weights = {}
    silent = {"head.basis" if spec.rank else "head.kernel", "head.bias", "known.kernel", "known.lead"}
    for name, shape in network.weight_shapes(spec).items():
        if not trainable(name) or name == "highway":
            continue
        if name.endswith("recurrent"):
            u = shape[0]
            blocks = [np.linalg.qr(rng.standard_normal((u, u)))[0] for _ in range(shape[1] // u)]
            weights[name] = np.concatenate(blocks, axis=1)
        elif name in silent or len(shape) == 1:
            weights[name] = np.zeros(shape)
        else:
            limit = np.sqrt(6 / (shape[0] + min(shape[1], spec.units)))
            weights[name] = rng.uniform(-limit, limit, shape)
    for index, layer in enumerate(spec.layers):
        if layer.kind == "lstm":
            weights[f"layer{index}.bias"][layer.units : 2 * layer.units] = 1.0
    return {name: np.asarray(a, dtype=np.float32) for name, a in weights.items()}


def lead_weights(ridge_error: F64) -> F32:
    """Weigh leads as a geometric mean over horizons would: Σ over marked H' ≥ h of 1 / (H' · error up to H')."""
    horizon = len(ridge_error)
    marks = sorted({h for h in MARKED_LEADS if h < horizon} | {horizon})
    weights = np.zeros(horizon)
    for h in marks:
        weights[:h] += 1 / (h * ridge_error[:h].mean())
    return np.asarray(weights / len(marks), dtype=np.float32)


def level_weights(levels: tuple[float, ...], median: float) -> F32:
    """Weigh quantile levels, the median `median` times as much as each other; they add up to 1."""
    weights = np.where(np.isclose(levels, 0.5), median, 1.0)
    return np.asarray(weights / weights.sum(), dtype=np.float32)


def pinball(q: Tensor, y: Tensor, levels: Tensor) -> Tensor:
    """Pinball loss of quantiles (..., Q) at observations (...,), × 2: at the median it is the absolute error."""
    error = tf.expand_dims(y, -1) - q
    return 2.0 * tf.maximum(levels * error, (levels - 1.0) * error)


@dataclass(slots=True)
class Constants:
    """Rows as tensors."""

    clean: Tensor
    target: Tensor
    mean: Tensor
    variance: Tensor
    seen: Tensor
    weight: Tensor
    known: Tensor
    features: Tensor


class Trainer:
    """Weights as variables, and the compiled functions over them."""

    def __init__(
        self, rows: Rows, weights: dict[str, F32], error: F64, recipe: TrainingRecipe, seed: int
    ) -> None:
        self.spec = rows.spec
        self.recipe = recipe
        self.rows = rows
        names = ("clean", "target", "mean", "variance", "seen", "weight", "known", "features")
        self.data = Constants(*(tf.constant(getattr(rows, name)) for name in names))
        self.fixed = {k: tf.constant(a) for k, a in weights.items() if not trainable(k)}
        self.variables = {k: tf.Variable(a, name=k) for k, a in weights.items() if trainable(k)}
        self.moment = {
            k: (tf.Variable(tf.zeros_like(v)), tf.Variable(tf.zeros_like(v)))
            for k, v in self.variables.items()
        }
        self.average = {k: tf.Variable(v) for k, v in self.variables.items()}
        self.lead_weights = tf.constant(lead_weights(error))
        self.levels = tf.constant(np.array(rows.spec.levels, np.float32))
        self.level_weights = tf.constant(level_weights(rows.spec.levels, recipe.median_weight))
        self.rng = np.random.default_rng(seed)
        self.seed = tf.Variable([seed, 0], dtype=tf.int32)
        self.lead = tf.constant(np.arange(1, self.spec.horizon + 1))
        self.train_step = tf.function(self._train_step, reduce_retracing=True, autograph=False)
        self.roll = tf.function(self._roll, reduce_retracing=True, autograph=False)
        self.score = tf.function(self._score, reduce_retracing=True, autograph=False)

    def unroll(
        self, weights: dict[str, Tensor], rows: Tensor, states: list[Tensor], dropout: float
    ) -> tuple[Tensor, list[Tensor]]:
        """Run all layers over rows (T, B) → outputs (T, B, U) and last states."""
        x, spec = tf.gather(self.data.features, rows), self.spec
        out: list[Tensor] = []
        for index, (layer, sizes) in enumerate(
            zip(spec.layers, shapes(spec.layers, spec.shape), strict=True)
        ):
            kind = kind_of(layer)
            view = self.view(tf.reshape(rows, (-1,))) if kind.sees_ring else None
            own = tuple(states[len(out) : len(out) + len(kind.states(layer, sizes))])
            x, last = unroll(layer, layer_weights(weights, index), x, view, own, sizes)
            out.extend(last)
            if dropout:
                noise = tf.random.stateless_uniform(tf.shape(x), self.seed + tf.constant([index, 0]))
                x = tf.where(noise < dropout, 0.0, x / (1.0 - dropout))
        return x, out

    def view(self, index: Tensor) -> View:
        """Gather what the head needs at rows (n,)."""
        d, spec = self.data, self.spec
        lagged = tf.transpose(tf.gather(d.clean, index[:, None] - spec.lags), (0, 2, 1))
        lagged = tf.reshape(lagged, (-1, len(spec.lags)))
        base = tf.gather(d.clean, index)
        shown = network.visible(TENSORFLOW, spec, lagged, tf.gather(d.mean, index), tf.gather(d.seen, index))
        future = tf.gather(d.known, index[:, None] + self.lead) if spec.known else None
        difference = shown - tf.reshape(base, (-1, 1))
        scale = tf.sqrt(tf.gather(d.variance, index))
        return View(base, difference, scale, tf.gather(d.features, index), future)

    def loss(self, weights: dict[str, Tensor], index: Tensor, output: Tensor, mask: Tensor) -> Tensor:
        """Mean weighted pinball loss at rows (n,) given the cell's outputs (n, U); mask (n,) switches rows off."""
        q = network.head(TENSORFLOW, self.spec, weights, self.view(index), output)
        y = tf.transpose(tf.gather(self.data.target, index[:, None] + self.lead), (0, 2, 1))
        known = tf.math.is_finite(y)
        error = tf.reduce_sum(pinball(q, tf.where(known, y, 0.0), self.levels) * self.level_weights, -1)
        weight = tf.gather(self.data.weight, index)[:, :, None] * mask[:, None, None]
        weight = tf.where(known, weight, 0.0)
        total = tf.reduce_sum(error * weight * self.lead_weights)
        return (
            total
            / tf.maximum(tf.reduce_sum(tf.where(known, mask[:, None, None], 0.0)), 1.0)
            * self.spec.horizon
        )

    def _train_step(
        self, start: Tensor, burn: Tensor, offset: Tensor, rate: Tensor, states: list[Tensor]
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        steps, stride = self.recipe.segment, self.recipe.loss_stride
        self.seed.assign_add([0, 1])
        rows = start[None, :] + tf.range(steps, dtype=tf.int64)[:, None]
        with tf.GradientTape() as tape:
            weights = {**self.fixed, **{k: tf.convert_to_tensor(v) for k, v in self.variables.items()}}
            output, states = self.unroll(weights, rows, states, self.recipe.dropout)
            chosen = tf.range(offset, steps, stride)
            index = tf.reshape(tf.gather(rows, chosen), (-1,))
            taken = tf.reshape(tf.gather(output, chosen), (-1, self.spec.units))
            mask = tf.cast(chosen[:, None] >= burn[None, :], tf.float32)
            loss = self.loss(weights, index, taken, tf.reshape(mask, (-1,)))
        names = list(self.variables)
        gradients = tape.gradient(loss, [self.variables[k] for k in names])
        gradients, norm = tf.clip_by_global_norm(gradients, self.recipe.clip_norm)
        self._descend(dict(zip(names, gradients, strict=True)), rate)
        return loss, norm, states

    def _descend(self, gradients: dict[str, Tensor], rate: Tensor) -> None:
        """AdamW (arXiv 1711.05101) with β = (.9, .99), then the running average of the weights."""
        step = tf.cast(self.seed[1], tf.float32)
        for name, g in gradients.items():
            v, (m, s) = self.variables[name], self.moment[name]
            m.assign(0.9 * m + 0.1 * g)
            s.assign(0.99 * s + 0.01 * g * g)
            move = (m / (1.0 - 0.9**step)) / (tf.sqrt(s / (1.0 - 0.99**step)) + 1e-8)
            own = rate * (self.recipe.highway_rate if name == "highway" else 1.0)
            decay = (
                self.recipe.weight_decay if name.endswith(("kernel", "recurrent", "mix", "basis")) else 0.0
            )
            # Decay is per unit of relative rate, as in the usual AdamW at a rate of 2e-3.
            v.assign(v - own * (move + decay * v))
            # The average warms up, else it would remember the start.
            a = tf.minimum(self.recipe.average, step / (step + 10.0))
            self.average[name].assign(a * self.average[name] + (1.0 - a) * v)

    def _roll(self, start: Tensor, steps: Tensor) -> Tensor:
        """Run the averaged cell over rows start + 0 … steps - 1 from zero states → outputs (T, B, U)."""
        rows = start[None, :] + tf.range(steps, dtype=tf.int64)[:, None]
        states = self.zero_states(tf.shape(start)[0])
        return self.unroll({**self.fixed, **self.average}, rows, states, 0.0)[0]

    def _score(self, index: Tensor, output: Tensor) -> Tensor:
        return self.loss({**self.fixed, **self.average}, index, output, tf.ones_like(index, tf.float32))

    def zero_states(self, batch: Tensor) -> list[Tensor]:
        """Make the cell's states of lanes that start."""
        own = network.state_spec(self.spec)[len(network.FRONT_STATES) :]
        return [tf.zeros((batch, *s.shape)) for s in own]

    def validate(self) -> float:
        """Roll the averaged network over the validation part of every full run → mean loss."""
        losses, counts = [], []
        for group in self._validation_groups():
            begin = np.array([max(r.start, r.train_stop - VALIDATION_WARM) for r in group])
            steps = group[0].stop - begin[0] - self.spec.horizon
            output = self.roll(tf.constant(begin), tf.constant(steps))
            first = group[0].train_stop - 1 - begin[0]
            for k in range(first, steps, 256 * VALIDATION_STRIDE):
                t = np.arange(k, min(k + 256 * VALIDATION_STRIDE, steps), VALIDATION_STRIDE)
                index = (begin[None, :] + t[:, None]).reshape(-1)
                taken = tf.reshape(tf.gather(output, t), (-1, self.spec.units))
                losses.append(float(self.score(tf.constant(index), taken)))
                counts.append(len(index))
        return float(np.average(losses, weights=counts))

    def _validation_groups(self) -> list[list[Run]]:
        full = [r for r in self.rows.runs if not r.cold and r.stop - r.train_stop > self.spec.horizon]
        groups: dict[tuple[int, int], list[Run]] = {}
        for r in full:
            groups.setdefault(
                (r.stop - r.train_stop, min(r.train_stop - r.start, VALIDATION_WARM)), []
            ).append(r)
        return list(groups.values())

    def fit(self, progress: Progress) -> tuple[dict[str, F32], list[Note]]:
        """Train → best weights and the notes; the first note is the start, which is ridge."""
        r = self.recipe
        lanes = Lanes(self.rows, r, self.rng)
        states = self.zero_states(r.lanes)
        best = _finite(self.validate(), "validation loss", 0)
        kept, best_step = self.weights(), 0
        notes = [Note(0, best, best, 0.0, 0.0)]
        since: list[tuple[float, float]] = []
        for step in range(1, r.steps + 1):
            start, burn, keep = lanes.next()
            states = [s * tf.constant(keep[:, None]) for s in states]
            offset = tf.constant(int(self.rng.integers(0, r.loss_stride)))
            rate = tf.constant(one_cycle(step / r.steps) * r.learning_rate, tf.float32)
            loss, norm, states = self.train_step(tf.constant(start), tf.constant(burn), offset, rate, states)
            since.append((_finite(float(loss), "training loss", step), float(norm)))
            if step % r.validate_every and step != r.steps:
                continue
            score = _finite(self.validate(), "validation loss", step)
            if score < best:
                best, best_step, kept = score, step, self.weights()
            mean_loss, mean_norm = np.mean(since, axis=0).tolist()
            notes.append(Note(step, mean_loss, score, mean_norm, float(rate)))
            since = []
            progress(step, r.steps, mean_loss, best)
            if step - best_step >= r.patience:
                break
        return kept, notes

    def weights(self) -> dict[str, F32]:
        """Take the averaged weights out."""
        return {k: v.numpy() for k, v in {**self.fixed, **self.average}.items()}


def _finite(loss: float, name: str, step: int) -> float:
    """Give the loss back; what comes after one that is not finite is lost."""
    if math.isfinite(loss):
        return loss
    raise InputError(
        "training has left the finite numbers",
        found=f"{name} {loss} at step {step}",
        wanted="a finite loss",
        do="look at the columns: too few known values, or values without bounds"
        if step == 0
        else "set a lower training.learning_rate in the recipe",
    )


def one_cycle(progress: float) -> float:
    """Rise over the first 15 %, then fall as a cosine (OneCycle, arXiv 1708.07120): 0 … 1."""
    if progress < 0.15:
        return 0.1 + 0.9 * progress / 0.15
    return 0.5 * (1 + math.cos(math.pi * (progress - 0.15) / 0.85)) + 1e-3


class Lanes:
    """Where each lane of the batch stands."""

    def __init__(self, rows: Rows, recipe: TrainingRecipe, rng: np.random.Generator) -> None:
        room = recipe.segment + rows.spec.horizon
        self.full = [r for r in rows.runs if not r.cold and r.train_stop - r.start > room]
        self.cold = [r for r in rows.runs if r.cold]
        self.share = recipe.cold_share if self.cold else 0.0
        self.segment = recipe.segment
        self.rng = rng
        self.horizon = rows.spec.horizon
        self.position = np.zeros(recipe.lanes, np.int64)
        self.end = np.zeros(recipe.lanes, np.int64)

    def next(self) -> tuple[NDArray[np.int64], NDArray[np.int32], F32]:
        """Move all lanes on → first rows (B,), burn-in steps (B,), whether the state is kept (B,) 0 or 1."""
        burn = np.zeros(len(self.position), np.int32)
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
        lengths = np.array([r.train_stop - r.start for r in self.full], float)
        run = self.full[self.rng.choice(len(self.full), p=lengths / lengths.sum())]
        start = int(self.rng.integers(run.start, run.train_stop - self.segment - self.horizon + 1))
        return start, run.train_stop, 0 if start == run.start else BURN_IN_STEPS
