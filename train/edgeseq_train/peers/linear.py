"""Linear forecasters on lags, one set of weights for all channels: ridge in closed form."""

from __future__ import annotations

import numpy as np

from edgeseq.core.types import F32, I64
from edgeseq_train import evaluate, ridge, seasons
from edgeseq_train.peers.panel import Panel, Peer, Trained, Unfit
from edgeseq_train.peers.reasons import NO_SEASON

DENSE_LIMIT = 1024
"""Two seasons of more steps than this are looked at through sparse lags, as the recipe does."""


def ridge_peer(name: str, reach: int | None) -> Peer:
    """Ridge on the last `reach` values, or on two seasons of them; the penalty of each lead by validation error."""

    def fit(panel: Panel, horizon: int, seed: int) -> Trained | Unfit:
        if reach is None and panel.season < 2:
            return Unfit(NO_SEASON)
        lags = two_seasons(panel, horizon) if reach is None else np.arange(reach)[::-1]
        if 2 * lags.max() + horizon > panel.train:
            return Unfit(
                f"lags of {lags.max()} steps and a horizon of {horizon} need more than {panel.train} steps"
            )
        return _fitted(panel, horizon, lags)

    return Peer(name, fit, f"reach {reach}", (__name__, ridge.__name__, seasons.__name__))


def two_seasons(panel: Panel, horizon: int) -> I64:
    """Choose the lags 0 … 2 S - 1, the oldest first; where they are too many, recent ones and those about S and 2 S."""
    if 2 * panel.season <= DENSE_LIMIT:
        return np.arange(2 * panel.season)[::-1]
    segments = seasons.lag_candidates((panel.season,), horizon, panel.train)[-1]
    return np.concatenate([np.arange(*span) for span in segments])[::-1].astype(np.int64)


def _fitted(panel: Panel, horizon: int, lags: I64) -> Trained:
    parts = [
        ridge.Part(filled[: panel.validation], z[: panel.validation], 1.0, panel.train)
        for filled, z in zip(panel.filled.T, panel.z.T, strict=True)
    ]
    solution = ridge.solve(ridge.moments(parts, lags, horizon), parts, lags, horizon, ())

    def forecast(panel: Panel, origins: slice) -> F32:
        return evaluate.ridge_forecast(
            panel.filled[:, :, None].astype(np.float32), solution.lags, solution.weights, origins
        )[:, :, 0]

    return Trained(forecast, parameters=solution.weights.size, state_values=int(lags.max()) + 1)
