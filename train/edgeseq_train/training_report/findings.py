"""What the forecasts of the test part say, as figures: errors by lead, gains and their chance, coverage, examples."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeseq.core.types import F32, F64
from edgeseq_train.produce import Forecasts

MODEL = "model"
SERVED = "served"
"""What a device publishes; no forecaster of its own that could win."""
MARKED_LEADS = (1, 3, 8, 24, 48, 96, 192, 384, 768)
MOST_MARKED = 5
LEAST_BLOCKS = 5
LEAST_KNOWN = 0.8
"""A forecast is shown as an example only where so many of its readings came."""
RANKS = {"best": 0.0, "typical": 0.5, "poor": 0.9, "worst": 1.0}
"""Example → place among all forecasts, from the smallest error to the largest."""


@dataclass(frozen=True, slots=True)
class Errors:
    """Absolute errors of every forecaster in seasonal-naive errors (MASE), averaged over streams and channels."""

    by_lead: dict[str, F64]
    """Name → (H,)"""
    by_origin: dict[str, F64]
    """Name → (N,), mean over leads; of those that may win."""

    def at(self, name: str, lead: int | None = None) -> float:
        """Give the error at a lead, or over all leads."""
        values = self.by_lead[name]
        return float(np.nanmean(values) if lead is None else values[lead - 1])

    def gain(self, name: str, over: str, lead: int | None = None) -> float:
        """Say how far one's error lies below another's, in per cent of the other's."""
        return 100 * (1 - self.at(name, lead) / self.at(over, lead))


def measure(f: Forecasts, served: F32 | None = None) -> Errors:
    """Measure peers and model, and what is served (N, S, C, H) beside them.

    Streams or channels that do not count (their unit is infinite) are left out.
    """
    medians = {**f.peers, MODEL: f.quantiles[..., f.quantiles.shape[-1] // 2]}
    if served is not None:
        medians[SERVED] = served
    counts = np.isfinite(f.truth.mase)
    by_lead, by_origin = {}, {}
    for name, median in medians.items():
        error = np.abs(median.astype(np.float64) - f.truth.y) / f.truth.mase[..., None]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # nothing known at a lead or origin: NaN
            # A stream that is silent in the whole test part counts nowhere.
            by_lead[name] = np.nanmean(np.nanmean(error, axis=0)[counts], axis=0)
            if name != SERVED:
                by_origin[name] = np.nanmean(error[:, counts], axis=(1, 2))
    return Errors(by_lead, by_origin)


def marked_leads(horizon: int) -> tuple[int, ...]:
    """Choose the leads that tables show: five at most, so that they fit.

    >>> marked_leads(24), marked_leads(144), marked_leads(1)
    ((1, 3, 8, 24), (1, 8, 24, 96, 144), (1,))
    """
    below = [lead for lead in MARKED_LEADS if lead < horizon]
    places = np.unique(np.linspace(0, max(len(below) - 1, 0), MOST_MARKED - 1).round().astype(int))
    return (*(below[k] for k in places if below), horizon)


def chance(ours: F64, other: F64, block: int) -> float | None:
    """Say by how many per cent points chance may have moved a gain: twice the standard error of a block jackknife.

    Errors of neighbouring origins resemble each other, so that whole blocks are left out in turn (Künsch 1989).

    Args:
        ours: (N,) errors by origin.
        other: (N,) of the same origins.
        block: consecutive origins that belong together.

    Returns:
        per cent points; None where there are fewer than 5 blocks.
    """
    known = np.isfinite(ours) & np.isfinite(other)
    ours, other = ours[known], other[known]
    count = len(ours) // block
    if count < LEAST_BLOCKS:
        return None
    a, b = (v[: count * block].reshape(count, block).sum(axis=1) for v in (ours, other))
    left_out = 100 * (1 - (a.sum() - a) / (b.sum() - b))
    return float(2 * np.sqrt((count - 1) / count * ((left_out - left_out.mean()) ** 2).sum()))


def below(f: Forecasts, lead: int | None) -> list[float]:
    """Share of readings at or below each quantile (Q,), at a lead or over all; ties count half."""
    y, q = _at(f, lead)
    count = max(int(np.isfinite(y).sum()), 1)
    under = [(y < q[..., k]).sum() + 0.5 * (y == q[..., k]).sum() for k in range(q.shape[-1])]
    return [float(n / count) for n in under]


def inside(f: Forecasts, lead: int | None) -> list[float]:
    """Share of readings within each band, the widest first, bounds included; at a lead or over all."""
    y, q = _at(f, lead)
    count = max(int(np.isfinite(y).sum()), 1)
    half = q.shape[-1] // 2
    return [float(((y >= q[..., k]) & (y <= q[..., -1 - k])).sum() / count) for k in range(half)]


def _at(f: Forecasts, lead: int | None) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    counts = np.isfinite(f.truth.mase)
    y, q = f.truth.y[:, counts], f.quantiles[:, counts]
    return (y, q) if lead is None else (y[..., lead - 1], q[..., lead - 1, :])


@dataclass(frozen=True, slots=True)
class Example:
    """One forecast worth looking at."""

    kind: str
    origin: int
    """Index into the origins."""
    stream: int
    channel: int
    error: float
    """Over all leads, in seasonal-naive errors."""


def examples(f: Forecasts) -> list[Example]:
    """Choose forecasts by the rank of their error among all whose readings are known: best, typical, poor, worst."""
    median = f.quantiles[..., f.quantiles.shape[-1] // 2]
    known = np.isfinite(f.truth.y).mean(axis=-1) >= LEAST_KNOWN
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        error = np.nanmean(np.abs(median - f.truth.y), axis=-1) / f.truth.mase
    error = np.where(known & np.isfinite(f.truth.mase), error, np.nan)
    order = np.argsort(error, axis=None, kind="stable")[: int(np.isfinite(error).sum())]
    if not len(order):
        return []
    places: dict[str, int] = {kind: round(rank * (len(order) - 1)) for kind, rank in RANKS.items()}
    found = {kind: np.unravel_index(order[place], error.shape) for kind, place in places.items()}
    return [Example(kind, int(n), int(s), int(c), float(error[n, s, c])) for kind, (n, s, c) in found.items()]


def by_phase(values: F64, phase: NDArray[np.int64], season: int) -> F64:
    """Average (n, ...) over the steps that share a place in the season → (season, ...); NaN where none does."""
    flat = values.reshape(len(values), -1)
    known = np.isfinite(flat)
    total, count = np.zeros((season, flat.shape[1])), np.zeros((season, flat.shape[1]))
    np.add.at(total, phase, np.where(known, flat, 0.0))
    np.add.at(count, phase, known)
    with np.errstate(invalid="ignore"):
        return np.asarray((total / count).reshape(season, *values.shape[1:]))


def percent(share: float, digits: int = 1) -> str:
    """Write a share as per cent.

    >>> percent(0.9012)
    '90.1 %'
    """
    return f"{100 * share:.{digits}f} %"
