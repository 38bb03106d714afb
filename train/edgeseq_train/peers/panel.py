"""What every peer gets and gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from edgeseq.core.types import F32, F64
from edgeseq_train import evaluate


@dataclass(frozen=True, slots=True)
class Panel:
    """Series of one recording as z-scores by mean and deviation of the training part."""

    z: F64
    """(T, C), NaN where missing."""
    filled: F64
    """(T, C): the last value carried over missing ones, 0 before the first."""
    covariates: F64
    """(T, V), filled likewise."""
    train: int
    """Rows [0, train) are fitted on …"""
    validation: int
    """… and rows [train, validation) choose. What comes after is only forecast."""
    season: int
    """Steps of the day, which seasonal forecasters and MASE count by."""
    mean: F64
    """(C,) of the training part, in sensor units."""
    deviation: F64
    """(C,)"""

    @property
    def season_error(self) -> F64:
        """Mean |z_t - z_{t-season}| of the training part (C,): the denominator of MASE."""
        part = self.z[: self.train]
        return np.asarray(np.nanmean(np.abs(part[self.season :] - part[: -self.season]), axis=0))


def make_panel(values: F64, covariates: F64, train: int, validation: int, season: int) -> Panel:
    """Standardise values (T, C) and covariates (T, V), NaN where missing, by the training part."""
    z, mean, deviation = _standardised(values, train)
    beside, _, _ = _standardised(covariates, train)
    return Panel(z, _held(z), _held(beside), train, validation, season, mean, deviation)


def _standardised(values: F64, train: int) -> tuple[F64, F64, F64]:
    if values.shape[1] == 0:
        return values, np.zeros(0), np.ones(0)
    mean, deviation = np.nanmean(values[:train], axis=0), np.nanstd(values[:train], axis=0)
    deviation = np.where(deviation > 0, deviation, 1.0)
    return (values - mean) / deviation, mean, deviation


def _held(z: F64) -> F64:
    return np.asarray(evaluate.hold(z[:, :, None].astype(np.float32))[..., 0], dtype=np.float64)


class Trained(NamedTuple):
    """A peer that is ready to forecast."""

    forecast: Callable[[Panel, slice], F32]
    """Panel, contiguous origins (N of them) → z-scores (N, C, H); only values up to each origin are looked at."""
    parameters: int
    """Numbers learned from data."""
    state_values: int
    """Numbers a device would keep per stream between readings."""


class Unfit(NamedTuple):
    """A peer that cannot be used on a panel, and why."""

    reason: str


class Peer(NamedTuple):
    """A named way to forecast."""

    name: str
    fit: Callable[[Panel, int, int], Trained | Unfit]
    """Panel, horizon in steps, seed."""
    settings: str = ""
    """What distinguishes it from another of its kind; part of the key under which its forecasts are kept."""
    modules: tuple[str, ...] = ()
    """Modules whose text decides what it forecasts; part of that key too."""
