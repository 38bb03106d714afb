"""DLinear: one linear map of the window's moving average and one of what is left, shared over channels.

Source: Zeng et al. 2023, "Are Transformers Effective for Time Series Forecasting?", arXiv 2205.13504.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeseq_train import scores
from edgeseq_train.peers import windows
from edgeseq_train.peers.panel import Panel, Peer, Trained, Unfit
from edgeseq_train.peers.window_network import MODULES, Plan, fit_network

AVERAGE_STEPS = 25
"""As in the paper."""
PLAN = Plan(window=336, steps=2500, batch=256, patience=30, squared=True)
"""Squared error as in the paper."""
ABSOLUTE = PLAN._replace(squared=False)
RATES = (5e-3, 2e-3, 1e-3, 5e-4, 1e-4)
"""The authors' scripts take another one for each data set; here the validation part chooses."""


def dlinear_peer(name: str, plan: Plan) -> Peer:
    """DLinear on 336 values, all leads at once."""

    def fit(panel: Panel, horizon: int, seed: int) -> Trained | Unfit:
        made = [
            fit_network(make, windows.OneChannel, plan._replace(learning_rate=rate), panel, horizon, seed)
            for rate in RATES
        ]
        trained = [t for t in made if isinstance(t, Trained)]
        if not trained:
            return made[0]
        return min(trained, key=lambda t: _validation_error(t, panel, horizon, squared=plan.squared))

    return Peer(name, fit, repr((plan, RATES)), (__name__, *MODULES))


def _validation_error(trained: Trained, panel: Panel, horizon: int, *, squared: bool) -> float:
    origins = slice(panel.train - 1, panel.validation - horizon)
    error = trained.forecast(panel, origins) - scores.targets(panel.z[: panel.validation], origins, horizon)
    return float(np.nanmean(np.square(error) if squared else np.abs(error)))


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
