"""DLinear: one linear map of the window's moving average and one of what is left, shared over channels.

Source: Zeng et al. 2023, "Are Transformers Effective for Time Series Forecasting?", arXiv 2205.13504.
"""

from __future__ import annotations

from typing import Any

from edgeseq_train.peers import windows
from edgeseq_train.peers.panel import Panel, Peer, Trained, Unfit
from edgeseq_train.peers.window_network import MODULES, Plan, fit_network

AVERAGE_STEPS = 25
"""As in the paper."""
PLAN = Plan(window=336, steps=1500, batch=1024, learning_rate=1e-3, patience=30, squared=True)
"""Squared error as in the paper."""
ABSOLUTE = PLAN._replace(learning_rate=5e-4, squared=False)


def dlinear_peer(name: str, plan: Plan) -> Peer:
    """DLinear on 336 values, all leads at once."""

    def fit(panel: Panel, horizon: int, seed: int) -> Trained | Unfit:
        return fit_network(make, windows.OneChannel, plan, panel, horizon, seed)

    return Peer(name, fit, repr(plan), (__name__, *MODULES))


def make(panel: Panel, window: int, horizon: int) -> Any:
    """Build the model: (B, L) → (B, H)."""
    import keras
    from keras import layers

    x = keras.Input((window,))
    padded = layers.Lambda(_edges_repeated, output_shape=(window + AVERAGE_STEPS - 1, 1))(x)
    trend = layers.Flatten()(layers.AveragePooling1D(AVERAGE_STEPS, strides=1)(padded))
    start = keras.initializers.Constant(1 / window)
    y = layers.Dense(horizon, kernel_initializer=start)(trend)
    rest = layers.Dense(horizon, kernel_initializer=start)(layers.Subtract()([x, trend]))
    return keras.Model(x, layers.Add()([y, rest]))


def _edges_repeated(x: Any) -> Any:
    from keras import ops

    half = AVERAGE_STEPS // 2
    before, after = ops.repeat(x[:, :1], half, axis=1), ops.repeat(x[:, -1:], half, axis=1)
    return ops.concatenate([before, x, after], axis=1)[:, :, None]
