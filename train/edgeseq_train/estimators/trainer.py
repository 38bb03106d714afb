"""Train an estimator's network: the forecaster's loop, with the truth beside each row instead of ahead of it."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import tensorflow as tf

from edgeseq.core import network
from edgeseq.core.layers import View
from edgeseq.core.ops import Tensor
from edgeseq.core.types import F32, F64
from edgeseq_train.estimators.regression import CERTAIN
from edgeseq_train.loop import VALIDATION_WARM, Trainer
from edgeseq_train.losses import pinball
from edgeseq_train.prepare import Rows
from edgeseq_train.recipe import TrainingRecipe
from edgeseq_train.tf_ops import TENSORFLOW


class EstimatorTrainer(Trainer):
    """Pinball loss of a number in its training unit, or cross-entropy of classes."""

    def __init__(
        self, rows: Rows, truth: F32, weights: dict[str, F32], class_weights: F64, recipe: TrainingRecipe, seed: int
    ) -> None:  # fmt: skip
        super().__init__(rows, weights, np.ones(1), recipe, seed)
        self.truth = tf.constant(truth)
        self.class_weights = tf.constant(class_weights.astype(np.float32))

    def fingerprint(self) -> str:
        """Digest all that decides how training goes: also the truth, and how classes are weighed."""
        told = self.truth.numpy().tobytes() + self.class_weights.numpy().tobytes()
        return hashlib.sha256(super().fingerprint().encode() + told).hexdigest()[:16]

    def loss(
        self,
        weights: dict[str, Tensor],
        index: Tensor,
        output: Tensor,
        mask: Tensor,
        told: Tensor | None = None,
    ) -> Tensor:
        """Mean loss at rows (n,) given the layers' outputs (n, U); mask (n,) switches rows off."""
        error, weight = self.weighed(weights, index, output)
        weight = weight * mask
        return tf.reduce_sum(error * weight) / tf.maximum(tf.reduce_sum(weight), 1.0)

    def weighed(self, weights: dict[str, Tensor], index: Tensor, output: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and weight of each of the rows (n,); the weight is 0 where the truth is unknown."""
        nothing: Any = None
        view = View(nothing, nothing, nothing, tf.gather(self.data.features, index))
        said = network.head(TENSORFLOW, self.spec, weights, view, output)[:, 0, 0]
        truth = tf.gather(self.truth, index)
        known = tf.math.is_finite(truth)
        weight, truth = tf.cast(known, tf.float32), tf.where(known, truth, 0.0)
        if self.spec.task == "estimate":
            return tf.reduce_mean(pinball(said, truth, self.levels), -1), weight
        label = tf.cast(truth, tf.int32)
        likely = tf.reduce_sum(said * tf.one_hot(label, self.spec.classes), -1)
        return -tf.math.log(tf.maximum(likely, CERTAIN)), weight * tf.gather(self.class_weights, label)

    def losses(self, weights: dict[str, F32]) -> F64:
        """Weighed losses that weights have in the validation part, row by row where the truth is known."""
        run = self.rows.runs[0]
        first = max(run.start, run.train_stop - VALIDATION_WARM)
        rows = tf.range(first, run.stop, dtype=tf.int64)
        constants = {name: tf.constant(a) for name, a in weights.items()}
        output, _ = self.unroll(constants, rows[:, None], self.zero_states(tf.constant(1)))
        error, weight = self.weighed(
            constants, rows[run.train_stop - first :], output[run.train_stop - first :, 0]
        )
        told: F64 = (error * weight).numpy()[weight.numpy() > 0].astype(np.float64)
        return told
