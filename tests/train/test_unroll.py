"""Layers over whole segments are their steps, one after another, for every kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from edgeseq.core.layers import LAYERS, LayerSpec, Shape, View
from edgeseq.core.ops import NUMPY
from edgeseq_train.unroll import unroll

pytestmark = pytest.mark.training

T, B, C, F, L, U = 11, 3, 2, 5, 9, 6
SHAPE = Shape(F, C, L)
CASES: list[tuple[str, dict[str, int]]] = [(kind, {}) for kind in LAYERS] + [
    ("convolution", {"width": 1}),
    ("convolution", {"width": 5, "dilation": 4}),  # reaches farther back than the segment is long
]


def draw(shape: tuple[int, ...], seed: int) -> Any:
    """Draw float32 numbers."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(("kind", "options"), CASES)
@pytest.mark.parametrize("length", ["known", "unknown"])
def test_unrolled_equals_steps_from_a_carried_state(kind: str, options: dict[str, int], length: str) -> None:
    """A segment from a carried state gives the outputs and the last states of its steps, its length known or not."""
    spec, layer = LayerSpec(kind, U, heads=2, **options), LAYERS[kind]
    w = {name: 0.5 * draw(size, 1) for name, size in layer.weights(spec, SHAPE).items()}
    states = tuple(draw((B, *size), 2) for size in layer.states(spec, SHAPE).values())
    x = draw((T, B, F), 3)
    views = [
        View(draw((B, C), t), draw((B * C, L), t), np.exp(draw((B, C), t)), x[t]) for t in range(T)
    ]  # fmt: skip
    stepped, state = [], states
    for t in range(T):
        y, state = layer.step(NUMPY, spec, w, x[t], views[t], state)
        stepped.append(y)
    whole = View(*(tf.constant(np.concatenate(parts)) for parts in zip(*(v[:4] for v in views), strict=True)))

    def run(x: Any) -> Any:
        view = whole if layer.sees_ring else None
        return unroll(spec, {k: tf.constant(a) for k, a in w.items()}, x, view, states, SHAPE)

    signature = [tf.TensorSpec((T if length == "known" else None, B, F), tf.float32)]
    found, last = tf.function(run, input_signature=signature, autograph=False)(tf.constant(x))
    np.testing.assert_allclose(found, stepped, atol=2e-6)
    for a, b in zip(last, state, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)


@pytest.mark.parametrize("steps", [512, 600])
def test_stretches_equal_one_loop_and_so_do_their_gradients(
    steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long recurrence, cut into stretches, gives outputs, last states and gradients of one loop."""
    spec, x = LayerSpec("gru", U), tf.constant(draw((steps, B, F), 3))
    w = {name: tf.constant(0.5 * draw(size, 1)) for name, size in LAYERS["gru"].weights(spec, SHAPE).items()}
    found = []
    for stretch in (128, 1000):
        monkeypatch.setattr("edgeseq_train.unroll.STRETCH", stretch)

        def run() -> Any:
            with tf.GradientTape() as tape:
                tape.watch([x, *w.values()])
                y, last = unroll(spec, w, x, None, (tf.zeros((B, U)),), SHAPE)
                loss = tf.reduce_sum(y[-1] * tf.range(1.0, U + 1)) + tf.reduce_sum(y**2)
            return y, *last, *tape.gradient(loss, [x, *w.values()])

        found.append(tf.function(run, autograph=False)())
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
