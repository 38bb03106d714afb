"""A network like SegRNN: a GRU over segments of the window, and one step of it for each segment of the future.

Source: Lin et al. 2023, "SegRNN: Segment Recurrent Neural Network for Long-Term Time Series Forecasting",
arXiv 2308.11200: one cell for past and future, parallel decoding, the last value subtracted. Smaller than the paper's
512 units and without its channel embedding; rate and dropout were chosen on validation.
"""

from __future__ import annotations

from typing import Any

from edgeseq_train.peers import windows
from edgeseq_train.peers.panel import Panel, Peer, Trained, Unfit
from edgeseq_train.peers.window_network import MODULES, Plan, fit_network

SEGMENT = 24
UNITS = 128
DROPOUT = 0.1
LONG_WINDOW = 720
"""Taken where two days are more than 336 steps, and the training part is long enough for it."""
PLAN = Plan(window=336, steps=700, learning_rate=2e-3)


def segrnn_peer(plan: Plan = PLAN) -> Peer:
    """SegRNN on 336 values, or 720 where two days need more."""

    def fit(panel: Panel, horizon: int, seed: int) -> Trained | Unfit:
        is_long = 2 * panel.season > plan.window and panel.train > 2 * (LONG_WINDOW + horizon)
        window = LONG_WINDOW if is_long else plan.window
        return fit_network(make, windows.OneChannel, plan._replace(window=window), panel, horizon, seed)

    return Peer("SegRNN", fit, repr((plan, SEGMENT, UNITS, DROPOUT)), (__name__, *MODULES))


def make(panel: Panel, window: int, horizon: int) -> Any:
    """Build the model: (B, L) → (B, H)."""
    import keras
    from keras import layers, ops

    x = keras.Input((window,))
    segments, ahead = window // SEGMENT, -(-horizon // SEGMENT)
    last = x[:, -1:]
    past = layers.Reshape((segments, SEGMENT))(x[:, window - segments * SEGMENT :] - last)
    cell = layers.GRUCell(UNITS)
    state = layers.RNN(cell)(layers.Dense(UNITS, activation="relu")(past))
    place = ops.cast(ops.zeros_like(x[:, :ahead]), "int32") + ops.arange(ahead)
    # One step from the same state for each segment of the future: leads do not feed on each other.
    placed = ops.reshape(layers.Embedding(ahead, UNITS)(place), (-1, UNITS))
    stepped, _ = cell(placed, [ops.repeat(state, ahead, axis=0)])
    y = layers.Dense(SEGMENT)(layers.Dropout(DROPOUT)(stepped))
    return keras.Model(x, ops.reshape(y, (-1, ahead * SEGMENT))[:, :horizon] + last)
