"""The optimizer: AdamW (arXiv 1711.05101) with β = (.9, .99), and the running average of the weights."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from edgeseq.core.ops import Tensor
from edgeseq.core.types import F32
from edgeseq_train.recipe import TrainingRecipe

DECAYING = ("kernel", "recurrent", "mix", "basis")


class Descent:
    """Weights as variables, their moments, and their average, which is validated and shipped."""

    def __init__(self, weights: Mapping[str, F32], recipe: TrainingRecipe) -> None:
        self.variables = {k: tf.Variable(a, name=k) for k, a in weights.items()}
        self.first = {k: tf.Variable(tf.zeros_like(v)) for k, v in self.variables.items()}
        self.second = {k: tf.Variable(tf.zeros_like(v)) for k, v in self.variables.items()}
        self.average = {k: tf.Variable(v) for k, v in self.variables.items()}
        self._recipe = recipe
        # A lead whose ridge does without some lags shall do without them: they were left out on validation.
        highway = weights.get("highway")
        self._open = None if highway is None else tf.constant((highway != 0).astype(np.float32))

    def apply(self, gradients: Mapping[str, Tensor], rate: Tensor, step: Tensor) -> Tensor:
        """Clip the gradients to the recipe's norm, take one step, and give the norm from before."""
        norm = tf.linalg.global_norm(list(gradients.values()))
        shrink = (
            tf.minimum(1.0, self._recipe.clip_norm / tf.maximum(norm, 1e-12))
            if self._recipe.clip_norm
            else 1.0
        )
        count = tf.cast(step, tf.float32)
        for name, g in gradients.items():
            self._move(name, g * shrink, rate, count)
        return norm

    def _move(self, name: str, g: Tensor, rate: Tensor, step: Tensor) -> None:
        if name == "highway":
            g = g * self._open
        r, v, m, s = self._recipe, self.variables[name], self.first[name], self.second[name]
        m.assign(0.9 * m + 0.1 * g)
        s.assign(0.99 * s + 0.01 * g * g)
        move = (m / (1.0 - 0.9**step)) / (tf.sqrt(s / (1.0 - 0.99**step)) + 1e-8)
        own = rate * (r.highway_rate if name == "highway" else 1.0)
        # Decay is per unit of relative rate, as in the usual AdamW at a rate of 2e-3.
        v.assign(v - own * (move + (r.weight_decay if name.endswith(DECAYING) else 0.0) * v))
        # The average warms up, else it would remember the start.
        a = tf.minimum(r.average, step / (step + 10.0))
        self.average[name].assign(a * self.average[name] + (1.0 - a) * v)

    def groups(self) -> dict[str, dict[str, Tensor]]:
        """Name all variables, for a checkpoint."""
        return {
            "variable": self.variables,
            "first": self.first,
            "second": self.second,
            "average": self.average,
        }
