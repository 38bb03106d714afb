"""The cells on NumPy: hand-computed values, and the layers of Keras weight by weight."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from edgeseq.core.cells import CELLS, project
from edgeseq.core.layers import LayerSpec, Shape, View, stack
from edgeseq.core.ops import NUMPY

F, U, T, B = 5, 7, 11, 3


def _sigmoid(a: float) -> float:
    return 1 / (1 + math.exp(-a))


def test_rnn_one_unit_equals_the_formula() -> None:
    """One step of a vanilla RNN with one unit: h' = tanh(w x + u h + b), by hand."""
    w = {"kernel": np.array([[0.5]]), "recurrent": np.array([[-0.3]]), "bias": np.array([0.1])}
    (h,) = CELLS["rnn"].advance(NUMPY, w, project(NUMPY, w, np.array([[2.0]])), (np.array([[0.4]]),))
    assert h.item() == pytest.approx(math.tanh(0.5 * 2 - 0.3 * 0.4 + 0.1), abs=1e-12)


def test_gru_one_unit_equals_the_formula() -> None:
    """z, r, n and h' of a GRU with one unit, by hand."""
    w = {
        "kernel": np.array([[0.5, -0.2, 0.9]]),
        "recurrent": np.array([[0.3, 0.7, -0.4]]),
        "bias": np.array([0.1, 0.2, -0.1]),
        "recurrent_bias": np.array([0.05, -0.05, 0.15]),
    }
    x, h = 1.5, -0.6
    z = _sigmoid(0.5 * x + 0.1 + 0.3 * h + 0.05)
    r = _sigmoid(-0.2 * x + 0.2 + 0.7 * h - 0.05)
    n = math.tanh(0.9 * x - 0.1 + r * (-0.4 * h + 0.15))
    (found,) = CELLS["gru"].advance(NUMPY, w, project(NUMPY, w, np.array([[x]])), (np.array([[h]]),))
    assert found.item() == pytest.approx(z * h + (1 - z) * n, abs=1e-12)


def test_lstm_one_unit_equals_the_formula() -> None:
    """i, f, g, o, c' and h' of an LSTM with one unit, by hand."""
    w = {
        "kernel": np.array([[0.5, -0.2, 0.9, 0.3]]),
        "recurrent": np.array([[0.3, 0.7, -0.4, 0.1]]),
        "bias": np.array([0.1, 1.0, -0.1, 0.2]),
    }
    x, h, c = 1.5, -0.6, 0.8
    i, f = _sigmoid(0.5 * x + 0.3 * h + 0.1), _sigmoid(-0.2 * x + 0.7 * h + 1.0)
    g, o = math.tanh(0.9 * x - 0.4 * h - 0.1), _sigmoid(0.3 * x + 0.1 * h + 0.2)
    expected_c = f * c + i * g
    found_h, found_c = CELLS["lstm"].advance(
        NUMPY, w, project(NUMPY, w, np.array([[x]])), (np.array([[h]]), np.array([[c]]))
    )
    assert found_c.item() == pytest.approx(expected_c, abs=1e-12)
    assert found_h.item() == pytest.approx(o * math.tanh(expected_c), abs=1e-12)


def _keras_layer(kind: str) -> Any:
    import keras

    layers = {"rnn": keras.layers.SimpleRNN, "gru": keras.layers.GRU, "lstm": keras.layers.LSTM}
    return layers[kind](U, return_sequences=True)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("kind", sorted(CELLS))
def test_stack_over_a_sequence_equals_keras_layers(kind: str, layers: int) -> None:
    """One to three layers give what the layers of Keras give with the same weights."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((B, T, F)).astype(np.float32)
    weights: dict[str, Any] = {}
    expected: Any = x
    for layer in range(layers):
        keras_layer = _keras_layer(kind)
        keras_layer.build(expected.shape)
        drawn = [(0.4 * rng.standard_normal(w.shape)).astype(np.float32) for w in keras_layer.weights]
        keras_layer.set_weights(drawn)
        expected = np.asarray(keras_layer(expected))
        names = ("kernel", "recurrent", "bias")
        for name, value in zip(names, drawn, strict=True):
            weights[f"layer{layer}.{name}"] = value.astype(np.float64)
        if kind == "gru":  # Keras keeps both biases in one array
            weights[f"layer{layer}.bias"], weights[f"layer{layer}.recurrent_bias"] = drawn[2].astype(
                np.float64
            )
    states = tuple(np.zeros((B, U)) for _ in range(layers * len(CELLS[kind].states)))
    for t in range(T):
        view = View(None, None, None, x[:, t].astype(np.float64))
        y, states = stack(NUMPY, [LayerSpec(kind, U)] * layers, weights, view, states, Shape(F, 1, 0))
        np.testing.assert_allclose(y, expected[:, t], atol=2e-6)
