"""Holt-Winters: level, damped trend and season, each smoothed exponentially, carried on from reading to reading.

Source: Hyndman & Athanasopoulos 2021, "Forecasting: Principles and Practice", 3rd edition, sections 8.3 and 8.5:
additive with damped trend, in error-correction form. The rates of each channel are those with the least error on
validation over all leads; libraries fit them to lead 1, which is worse at far leads, and cannot carry the state on.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np

from edgeseq.core.types import F32, F64
from edgeseq_train.peers.panel import Panel, Peer, Trained, Unfit
from edgeseq_train.peers.reasons import NO_SEASON

LEVEL_RATES = (0.01, 0.03, 0.1, 0.3, 0.6, 0.95)
TREND_RATES = (0.0, 0.001, 0.01)
SEASON_RATES = (0.01, 0.05, 0.15, 0.4)
DAMPING = 0.98
VALIDATION_ORIGINS = 300


class Rates(NamedTuple):
    """Smoothing rates of P variants of C channels, (P, C) each."""

    level: F64
    trend: F64
    season: F64


def holt_winters_peer() -> Peer:
    """Additive Holt-Winters with the season of the day."""

    def fit(panel: Panel, horizon: int, seed: int) -> Trained | Unfit:
        if panel.season < 2:
            return Unfit(NO_SEASON)
        if 2 * panel.season > panel.train:
            return Unfit(f"two seasons of {panel.season} steps need more than {panel.train} steps")
        rates = _chosen(panel, horizon)

        def forecast(panel: Panel, origins: slice) -> F32:
            rolled = _roll(panel, rates, origins.start, origins.stop, 1, horizon)
            return np.stack([made[0] for _, made in rolled]).astype(np.float32)

        return Trained(forecast, parameters=3 * panel.z.shape[1], state_values=2 + panel.season)

    return Peer("Holt-Winters", fit, modules=(__name__,))


def _chosen(panel: Panel, horizon: int) -> Rates:
    """Try every combination on validation; each channel keeps its best."""
    channels = panel.z.shape[1]
    tried = Rates(
        *np.repeat(np.array([*product(LEVEL_RATES, TREND_RATES, SEASON_RATES)]).T[:, :, None], channels, 2)
    )
    start, stop = panel.train - 1, panel.validation - horizon
    # An odd stride visits every phase of a season.
    stride = max(1, (stop - start) // VALIDATION_ORIGINS) | 1
    error = np.zeros(tried.level.shape)
    for t, made in _roll(panel, tried, start, stop, stride, horizon):
        error += np.nansum(np.abs(made - panel.z[t + 1 : t + 1 + horizon].T), axis=-1)
    best = error.argmin(axis=0)
    return Rates(*(rate[best, np.arange(channels)][None] for rate in tried))


def _roll(
    panel: Panel, rates: Rates, start: int, stop: int, stride: int, horizon: int
) -> Iterator[tuple[int, F64]]:
    """Step through the panel from its beginning; yield origin and forecast (P, C, H) at every stride-th origin."""
    season, leads = panel.season, np.arange(1, horizon + 1)
    trend_share = np.cumsum(DAMPING**leads)
    first = panel.filled[:season]
    level = np.broadcast_to(first.mean(axis=0), rates.level.shape)
    trend = np.zeros(rates.level.shape)
    phases = np.broadcast_to((first - first.mean(axis=0))[:, None], (season, *rates.level.shape)).copy()
    for t, row in enumerate(panel.z[:stop]):
        phase, expected = t % season, level + DAMPING * trend
        surprise = row - expected - phases[phase]
        surprise = np.where(np.isfinite(surprise), surprise, 0.0)
        level, trend = expected + rates.level * surprise, DAMPING * trend + rates.trend * surprise
        phases[phase] += rates.season * surprise
        if t >= start and (t - start) % stride == 0:
            ahead = np.moveaxis(phases[(t + leads) % season], 0, -1)
            yield t, level[..., None] + trend[..., None] * trend_share + ahead
