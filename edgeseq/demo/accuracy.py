"""How good the served forecasts were, beside what anybody could have done: the same origins, leads and truth.

Letters: N origins, H leads, D lags.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from edgeseq.core.types import F64, I64
from edgeseq.demo.evidence import Forecast
from edgeseq.demo.recordings import HOUR_NS, Recording

DAY, WEEK = 24, 168
H = 24
RIDGE_LAGS = 2 * WEEK
PENALTIES = tuple(10.0**exponent for exponent in range(-1, 5))
HELD_BACK = 0.1
"""Share of the training rows, the latest, on which the penalty is chosen."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Mean absolute errors of one forecaster, in the sensor's unit."""

    name: str
    mae_1: float
    mae_24: float
    mae_1_to_24: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """The served forecast and its rivals on the same (origin, lead) pairs."""

    rows: tuple[Accuracy, ...]
    """The served one first."""
    origins: int
    coverage_1: float
    """Share of readings inside the 90 % band one step ahead."""
    coverage_1_to_24: float

    @property
    def served(self) -> Accuracy:
        """Give the served forecast's row."""
        return self.rows[0]


def compare(
    truth: Recording, training: Recording, forecasts: Mapping[int, Forecast], start_ns: int, end_ns: int
) -> Comparison | None:
    """Compare over all origins from start on whose 24 leads end before end_ns. None if nothing was served.

    Args:
        truth: hourly readings as recorded, from at least two weeks before the start on.
        training: hourly readings before the start, on which ridge is fitted.
        forecasts: served forecasts by origin.
        start_ns: first origin.
        end_ns: no lead reaches this.
    """
    value = on_grid(truth)
    first_ns = int(truth.time_ns[0])
    origins_ns = np.arange(start_ns, end_ns - H * HOUR_NS, HOUR_NS)
    origins_ns = origins_ns[[_has_path(forecasts.get(int(ns))) for ns in origins_ns]]
    at = (origins_ns - first_ns) // HOUR_NS
    if not len(at):
        return None
    actual = value[at[:, None] + np.arange(1, H + 1)]
    served, lower, upper = (_column(forecasts, origins_ns, name) for name in ("value", "lower", "upper"))
    rivals = {
        "persistence": seasonal(value, at, 1),
        "daily naive": seasonal(value, at, DAY),
        "weekly naive": seasonal(value, at, WEEK),
        f"ridge, {RIDGE_LAGS} lags": fit_ridge(filled(on_grid(training)))(filled(value), at),
    }
    rows = [_accuracy(name, forecast, actual) for name, forecast in {"served": served, **rivals}.items()]
    known = np.isfinite(actual) & np.isfinite(lower) & np.isfinite(upper)
    inside = np.where(known, (lower <= actual) & (actual <= upper), np.nan)
    return Comparison(tuple(rows), len(at), float(np.nanmean(inside[:, 0])), float(np.nanmean(inside)))


def on_grid(recording: Recording) -> F64:
    """Lay hourly readings on the grid of hours from the first one; NaN where there is none."""
    at = (recording.time_ns - recording.time_ns[0]) // HOUR_NS
    value = np.full(int(at[-1]) + 1, np.nan)
    value[at] = recording.value
    return value


def filled(value: F64) -> F64:
    """Fill missing hours with those of a week before, else after, else the mean.

    >>> filled(np.array([1.0, np.nan, 3.0]))
    array([1., 2., 3.])
    """
    out = value.copy()
    for i in np.flatnonzero(np.isnan(out)):
        out[i] = out[i - WEEK] if i >= WEEK else np.nan
    for i in np.flatnonzero(np.isnan(out)):
        out[i] = out[i + WEEK] if i + WEEK < len(out) else np.nan
    return np.where(np.isnan(out), np.nanmean(value), out)


def seasonal(value: F64, at: I64, season: int) -> F64:
    """Repeat the last season seen → (N, H). Season 1 is persistence."""
    leads = np.arange(1, H + 1)
    back = leads - season * -(-leads // season)
    rows: F64 = value[at[:, None] + back]
    return rows


def fit_ridge(value: F64) -> Callable[[F64, I64], F64]:
    """Fit ridge regression on the lags in closed form, W = (X'X + pI)^-1 X'Y, all leads at once.

    The series is standardised; the penalty is chosen on the latest rows, then all rows are fitted.

    Returns:
        forecast(value, at) → (N, H).
    """
    mean, scale = float(np.mean(value)), float(np.std(value))
    z = (value - mean) / scale
    rows = np.arange(RIDGE_LAGS - 1, len(z) - H)
    x, y = _lags(z, rows), z[rows[:, None] + np.arange(1, H + 1)]
    cut = int(len(rows) * (1 - HELD_BACK))
    losses = [np.abs(x[cut:] @ _solve(x[:cut], y[:cut], p) - y[cut:]).mean() for p in PENALTIES]
    weights = _solve(x, y, PENALTIES[int(np.argmin(losses))])

    def forecast(value: F64, at: I64) -> F64:
        out: F64 = mean + scale * (_lags((value - mean) / scale, at) @ weights)
        return out

    return forecast


def _lags(z: F64, at: I64) -> F64:
    out: F64 = z[at[:, None] - np.arange(RIDGE_LAGS)]
    return out


def _solve(x: F64, y: F64, penalty: float) -> F64:
    return np.asarray(np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y), np.float64)


def _accuracy(name: str, forecast: F64, actual: F64) -> Accuracy:
    error = np.abs(forecast - actual)
    return Accuracy(
        name, float(np.nanmean(error[:, 0])), float(np.nanmean(error[:, -1])), float(np.nanmean(error))
    )


def _has_path(forecast: Forecast | None) -> bool:
    return forecast is not None and forecast.path is not None and len(forecast.path.value) >= H


def _column(forecasts: Mapping[int, Forecast], origins_ns: I64, name: str) -> F64:
    """Gather one column of the paths → (N, H)."""
    paths = [forecasts[int(ns)].path for ns in origins_ns]
    return np.array([getattr(path, name)[:H] for path in paths], np.float64)
