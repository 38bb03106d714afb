"""The LSTM as tutorials build it: a window of z-scores of all channels, one LSTM layer, a dense layer to all leads."""

from __future__ import annotations

from typing import Any

from edgeseq_train.peers import windows
from edgeseq_train.peers.panel import Panel, Peer, Trained, Unfit
from edgeseq_train.peers.window_network import MODULES, Plan, fit_network

UNITS = 64
PLAN = Plan(window=96, steps=1500, batch=64, squared=True)


def tutorial_lstm_peer(plan: Plan = PLAN) -> Peer:
    """LSTM on 96 values of all channels and covariates."""

    def fit(panel: Panel, horizon: int, seed: int) -> Trained | Unfit:
        return fit_network(make, windows.AllChannels, plan, panel, horizon, seed)

    return Peer("tutorial LSTM", fit, repr((plan, UNITS)), (__name__, *MODULES))


def make(panel: Panel, window: int, horizon: int) -> Any:
    """Build the model: (B, L, C + V) → (B, C, H)."""
    import keras
    from keras import layers

    channels = panel.z.shape[1]
    x = keras.Input((window, channels + panel.covariates.shape[1]))
    y = layers.Dense(channels * horizon)(layers.LSTM(UNITS)(x))
    return keras.Model(x, layers.Reshape((channels, horizon))(y))
