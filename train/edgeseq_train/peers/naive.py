"""Persistence and the seasonal naive forecast: nothing is learned."""

from __future__ import annotations

from edgeseq.core.types import F32
from edgeseq_train import evaluate
from edgeseq_train.peers.panel import Panel, Peer, Trained, Unfit
from edgeseq_train.peers.reasons import NO_SEASON


def persistence_peer() -> Peer:
    """Forecast the last value at every lead."""

    def fit(panel: Panel, horizon: int, seed: int) -> Trained | Unfit:
        def forecast(panel: Panel, origins: slice) -> F32:
            return evaluate.persistence(_streams(panel), origins, horizon)[:, :, 0]

        return Trained(forecast, parameters=0, state_values=1)

    return Peer("persistence", fit, modules=(__name__,))


def seasonal_naive_peer() -> Peer:
    """Forecast the value of the latest season already seen, in phase with each lead."""

    def fit(panel: Panel, horizon: int, seed: int) -> Trained | Unfit:
        if panel.season < 2:
            return Unfit(NO_SEASON)
        seen = panel.season * (1 + (horizon - 1) // panel.season)
        if seen >= panel.train:
            return Unfit(f"needs {seen} steps before the first origin")

        def forecast(panel: Panel, origins: slice) -> F32:
            return evaluate.seasonal_naive(_streams(panel), origins, horizon, panel.season)[:, :, 0]

        return Trained(forecast, parameters=0, state_values=panel.season)

    return Peer("seasonal naive", fit, modules=(__name__,))


def _streams(panel: Panel) -> F32:
    return panel.z[:, :, None].astype("float32")
