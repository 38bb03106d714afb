"""Training: truncated back-propagation through time with carried state, in one tf.function.

A batch is a set of lanes. Each lane walks through a run segment by segment and carries its state; at the end of a run
it is seated anew. The front is precomputed (`prepare`), the recurrence runs in a while loop, and the head is applied
at some steps of the segment. Loss: pinball over leads and levels, in units of each stream's seasonal-naive error.
The same rows, recipe and seed give the same weights, bit for bit, on one machine.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgeseq.core import network
from edgeseq.core.front import CLIP_WIDE
from edgeseq.core.layers import View, kind_of, layer_weights, shapes
from edgeseq.core.ops import Ops, Tensor
from edgeseq.core.types import F32, F64
from edgeseq_train.descent import Descent
from edgeseq_train.initial import trainable
from edgeseq_train.lanes import Lanes
from edgeseq_train.losses import lead_weights, level_weights, pinball
from edgeseq_train.prepare import Rows, Run
from edgeseq_train.recipe import TrainingRecipe
from edgeseq_train.tf_ops import TENSORFLOW, MaskedOps
from edgeseq_train.unroll import unroll

VALIDATION_WARM = 400
"""Steps before the validation part over which the state is warmed."""
VALIDATION_STRIDE = 3

RECURRENT_SEED, TRUTH_SEED = 100, 200
"""Added to the seed, so that what is tossed for one purpose is not tossed alike for another."""


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


def believable(clean: F32, target: F32, variance: F32) -> F32:
    """Leave out as targets what no bound of the front would let pass: one such value would rule its whole batch."""
    with np.errstate(invalid="ignore"):
        wild = np.abs(target - clean) > CLIP_WIDE * np.sqrt(variance)
    return np.where(wild, np.float32(np.nan), target)


class Trainer:
    """Weights as variables, and the compiled functions over them."""

    def __init__(
        self, rows: Rows, weights: dict[str, F32], error: F64, recipe: TrainingRecipe, seed: int
    ) -> None:
        self.spec = rows.spec
        self.recipe = recipe
        self.rows = rows
        forecast = ("clean", "target", "mean", "variance", "seen", "weight")
        own = [getattr(rows, name)[:, : self.spec.targets] for name in forecast]
        own[1] = believable(own[0], own[1], own[3])
        self.data = Constants(*map(tf.constant, (*own, rows.known, rows.features)))
        self.fixed = {k: tf.constant(a) for k, a in weights.items() if not trainable(k)}
        self.descent = Descent({k: a for k, a in weights.items() if trainable(k)}, recipe)
        self.average = self.descent.average
        self.lead_weights = tf.constant(lead_weights(error))
        self.levels = tf.constant(np.array(rows.spec.levels, np.float32))
        self.level_weights = tf.constant(level_weights(rows.spec.levels, recipe.median_weight))
        self.rng = np.random.default_rng(seed)
        self.lanes = Lanes(rows, recipe, self.rng)
        self.seed = tf.Variable([seed, 0], dtype=tf.int32)
        self.lead = tf.constant(np.arange(1, self.spec.horizon + 1))
        self.train_step = tf.function(self._train_step, reduce_retracing=True, autograph=False)
        self.roll = tf.function(self._roll, reduce_retracing=True, autograph=False)
        self.score = tf.function(self._score, reduce_retracing=True, autograph=False)

    def unroll(
        self, weights: dict[str, Tensor], rows: Tensor, states: list[Tensor], *, training: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        """Run all layers over rows (T, B) → outputs (T, B, U) and last states."""
        x, spec, dropout = tf.gather(self.data.features, rows), self.spec, self.recipe.dropout
        out: list[Tensor] = []
        for index, (layer, sizes) in enumerate(
            zip(spec.layers, shapes(spec.layers, spec.shape), strict=True)
        ):
            kind, w = kind_of(layer), layer_weights(weights, index)
            view = self.view(tf.reshape(rows, (-1,))) if kind.sees_ring else None
            own = tuple(states[len(out) : len(out) + len(kind.states(layer, sizes))])
            ops = self._dropping(w, index, tf.shape(rows)[1]) if training else TENSORFLOW
            x, last = unroll(layer, w, x, view, own, sizes, ops)
            out.extend(last)
            if training and dropout:
                noise = tf.random.stateless_uniform(tf.shape(x), self.seed + tf.constant([index, 0]))
                x = tf.where(noise < dropout, 0.0, x / (1.0 - dropout))
        return x, out

    def _dropping(self, w: dict[str, Tensor], index: int, batch: Tensor) -> Ops:
        """Drop units of what the recurrence is fed of its state, the same ones at every step of the segment."""
        share = self.recipe.recurrent_dropout
        if not share or "recurrent" not in w:
            return TENSORFLOW
        seed = self.seed + tf.constant([RECURRENT_SEED + index, 0])
        noise = tf.random.stateless_uniform((batch, w["recurrent"].shape[0]), seed)
        return MaskedOps(w["recurrent"], tf.where(noise < share, 0.0, 1.0 / (1.0 - share)))

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

    def loss(
        self,
        weights: dict[str, Tensor],
        index: Tensor,
        output: Tensor,
        mask: Tensor,
        told: Tensor | None = None,
    ) -> Tensor:
        """Mean weighted pinball loss at rows (n,) given the cell's outputs (n, U); mask (n,) switches rows off.

        told: how often a decoder is fed the truth; None: never.
        """
        view = self.view(index)
        y = tf.transpose(tf.gather(self.data.target, index[:, None] + self.lead), (0, 2, 1))
        taught = None if told is None or not self.spec.decoder else self._taught(view, y, told)
        q = network.head(TENSORFLOW, self.spec, weights, view, output, taught)
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

    def _taught(self, view: View, y: Tensor, told: Tensor) -> Tensor:
        """Toss for each lead whether the truth is told: y (n, C, H) → (V, H, 1) in running scales, NaN where not."""
        truth = (y - view.base[:, :, None]) / view.scale[:, :, None]
        coin = tf.random.stateless_uniform(tf.shape(truth), self.seed + tf.constant([TRUTH_SEED, 0]))
        return tf.reshape(tf.where(coin < told, truth, np.nan), (-1, self.spec.horizon, 1))

    def _train_step(
        self, start: Tensor, burn: Tensor, offset: Tensor, rate: Tensor, told: Tensor, states: list[Tensor]
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        steps, stride = self.lanes.segment, self.recipe.loss_stride
        self.seed.assign_add([0, 1])
        rows = start[None, :] + tf.range(steps, dtype=tf.int64)[:, None]
        with tf.GradientTape() as tape:
            learned = {k: tf.convert_to_tensor(v) for k, v in self.descent.variables.items()}
            weights = {**self.fixed, **learned}
            output, states = self.unroll(weights, rows, states, training=True)
            chosen = tf.range(offset, steps, stride)
            index = tf.reshape(tf.gather(rows, chosen), (-1,))
            taken = tf.reshape(tf.gather(output, chosen), (-1, self.spec.units))
            mask = tf.cast(chosen[:, None] >= burn[None, :], tf.float32)
            loss = self.loss(weights, index, taken, tf.reshape(mask, (-1,)), told)
        names = list(learned)
        gradients = tape.gradient(loss, [learned[k] for k in names], unconnected_gradients="zero")
        norm = self.descent.apply(dict(zip(names, gradients, strict=True)), rate, self.seed[1])
        return loss, norm, states

    def _roll(self, start: Tensor, steps: Tensor) -> Tensor:
        """Run the averaged cell over rows start + 0 … steps - 1 from zero states → outputs (T, B, U)."""
        rows = start[None, :] + tf.range(steps, dtype=tf.int64)[:, None]
        states = self.zero_states(tf.shape(start)[0])
        return self.unroll({**self.fixed, **self.average}, rows, states)[0]

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

    def weights(self) -> dict[str, F32]:
        """Take the averaged weights out."""
        return {k: v.numpy() for k, v in {**self.fixed, **self.average}.items()}

    # --- checkpoints ----------------------------------------------------------------------------------------------

    def fingerprint(self) -> str:
        """Digest all that decides how training goes, before it begins: rows, network, recipe, seed, first weights."""
        digest = hashlib.sha256(repr((self.spec, self.recipe, int(self.seed[0]))).encode())
        data = (getattr(self.data, field.name) for field in dataclasses.fields(self.data))
        for a in (*data, *self.fixed.values(), *self.descent.variables.values()):
            digest.update(np.ascontiguousarray(a).tobytes())
        return digest.hexdigest()[:16]

    def arrays(self, states: list[Tensor]) -> dict[str, NDArray[Any]]:
        """Name all that changes while training, but for the course and chance."""
        arrays = {
            f"{g}/{k}": v.numpy() for g, named in self.descent.groups().items() for k, v in named.items()
        }
        arrays |= {f"state/{k}": s.numpy() for k, s in enumerate(states)}
        return arrays | {"seed": self.seed.numpy(), "position": self.lanes.position, "end": self.lanes.end}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> list[Tensor]:
        """Take back what `arrays` named → the carried states."""
        for group, named in self.descent.groups().items():
            for name, variable in named.items():
                variable.assign(arrays[f"{group}/{name}"])
        self.seed.assign(arrays["seed"])
        self.lanes.position[:], self.lanes.end[:] = arrays["position"], arrays["end"]
        count = sum(name.startswith("state/") for name in arrays)
        return [tf.constant(arrays[f"state/{k}"]) for k in range(count)]
