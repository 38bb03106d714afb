"""Ridge on the ring: what it must find, and what it must not touch."""

from __future__ import annotations

import numpy as np
import pytest

from edgeseq.core.types import F64
from edgeseq_train import ridge, seasons
from tests.train.conftest import HOUR_NS, make_series

RING, H = 48, 6
LAGS = np.arange(RING)[::-1]


def _part(values: F64, train: int, target: F64 | None = None) -> ridge.Part:
    return ridge.Part(values, values if target is None else target, float(values[:train].std()), train)


def _solve(part: ridge.Part, season: tuple[int, ...] = ()) -> ridge.Ridge:
    return ridge.solve(ridge.moments([part], LAGS, H), [part], LAGS, H, season)


def _autoregression(steps: int) -> F64:
    rng = np.random.default_rng(0)
    y = np.zeros(steps)
    for t in range(2, steps):
        y[t] = 1.2 * y[t - 1] - 0.5 * y[t - 2] + rng.standard_normal()
    return y


def test_ridge_finds_an_autoregression() -> None:
    """On AR(2) data the one-step error is that of the true coefficients, within 2 %."""
    y = _autoregression(8000)
    found = _solve(_part(y, 6000)).error[0] * y[:6000].std()
    innovations = y[6000:] - 1.2 * y[5999:-1] + 0.5 * y[5998:-2]
    assert found == pytest.approx(np.abs(innovations).mean(), rel=0.02)


def test_ridge_on_white_noise_forecasts_the_mean() -> None:
    """On white noise the error is that of the mean, at every lead: the penalty keeps it from fitting noise."""
    y = np.random.default_rng(1).standard_normal(6000)
    solution = _solve(_part(y, 4500))
    assert solution.error == pytest.approx(np.abs(y[4500:]).mean() / y[:4500].std(), rel=0.05)


def test_ridge_with_seasonal_moves_is_no_worse_than_without() -> None:
    """Seasonal moves are one more choice made on validation: its error cannot grow."""
    part = _part(make_series(1500, 1)[:, 0], 1000)
    assert (_solve(part, (24,)).error <= _solve(part).error + 1e-12).all()


def test_seasonal_moves_forecast_a_pure_season() -> None:
    """x_t + x_{t+h-S} - x_{t-S} is exact for a season on any level."""
    x = np.tile(np.random.default_rng(2).standard_normal(24), 10) + 7
    ring = x[100 - RING + 1 : 101]
    for lead in (1, 5, 24, 25):
        move = ridge.seasonal_moves(LAGS, lead, (24,))[:, 0]
        if lead <= 24:
            assert ring[-1] + (ring - ring[-1]) @ move == pytest.approx(x[100 + lead])
        else:
            assert not move.any()


def test_missing_targets_do_not_count_in_the_validation_error() -> None:
    """A target that was not observed adds nothing, whatever stood in for it."""
    y = _autoregression(4000)
    gaps = np.zeros(4000, bool)
    gaps[3000::7] = True
    clean = np.where(gaps, 1e3, y)
    weights = np.zeros((RING, H))
    whole = ridge.residuals(weights, _part(y, 2900), LAGS, H, 2899, 3994)
    holed = ridge.residuals(
        weights, ridge.Part(y, np.where(gaps, np.nan, clean), 1.0, 2900), LAGS, H, 2899, 3994
    )
    known = np.isfinite(holed)
    assert not known.all()
    np.testing.assert_array_equal(holed[known], whole[known])


def test_future_of_the_training_part_never_enters_the_solution() -> None:
    """Values after the training part do not change the moments."""
    y = _autoregression(3000)
    changed = y.copy()
    changed[2000:] = 99
    a, b = (ridge.moments([ridge.Part(v, v, 1.0, 2000)], LAGS, H) for v in (y, changed))
    np.testing.assert_array_equal(a.gram, b.gram)
    np.testing.assert_array_equal(a.cross, b.cross)


def test_day_is_detected_and_no_week_where_there_is_none() -> None:
    """A daily season is found; nothing is made of a week that is seven equal days."""
    assert seasons.detect(make_series(3000), HOUR_NS) == (24,)


def test_week_is_detected_beside_the_day() -> None:
    """Quiet weekends make a week."""
    values = make_series(3000)
    weekend = (np.arange(3000) // 24) % 7 >= 5
    assert seasons.detect(values - 4 * weekend[:, None], HOUR_NS) == (24, 168)


def test_noise_and_walks_have_no_season() -> None:
    """White noise and a random walk show no season."""
    noise = np.random.default_rng(3).standard_normal((3000, 2))
    assert seasons.detect(noise, HOUR_NS) == ()
    assert seasons.detect(noise.cumsum(axis=0), HOUR_NS) == ()


@pytest.mark.parametrize(
    ("period_s", "expected"), [(3600, (24, 168)), (600, (144, 1008)), (1, ()), (7000, ())]
)
def test_candidates_are_whole_days_and_weeks_of_sane_length(period_s: int, expected: tuple[int, ...]) -> None:
    """Only periods that divide the day have candidates, and none beyond the longest."""
    assert seasons.candidates(period_s * 10**9) == expected


@pytest.mark.parametrize(
    ("found", "rows", "expected"),
    [
        ((24,), 8640, [((0, 24),), ((0, 48),), ((0, 96),), ((0, 336),)]),
        ((24, 168), 10_000, [((0, 24),), ((0, 48),), ((0, 96),), ((0, 336),)]),
        ((144,), 30_000, [((0, 24),), ((0, 96),), ((0, 288),), ((0, 336),)]),
        ((), 10_000, [((0, 24),), ((0, 96),), ((0, 336),)]),
        ((1440,), 12_000, [((0, 24),), ((0, 96),), ((0, 336),), ((0, 96), (1428, 1447), (2868, 2887))]),
        ((), 100, [((0, 12),)]),
    ],
)
def test_lags_span_two_seasons_whole_or_sparse(
    found: tuple[int, ...], rows: int, expected: list[seasons.Segments]
) -> None:
    """Candidates hold two whole seasons where they are short; else recent lags and those around whole seasons."""
    assert seasons.lag_candidates(found, H, rows) == expected


def test_ridge_on_sparse_lags_finds_a_season_longer_than_any_dense_ring() -> None:
    """With a lag one season back a pure season on a level is foretold, though hundreds of lags between are left out."""
    x = np.tile(np.random.default_rng(2).standard_normal(700), 8) + 7
    lags = np.concatenate([np.arange(690, 702), np.arange(5)])
    lags = np.sort(lags)[::-1]
    part = _part(x, 4500)
    solution = ridge.solve(ridge.moments([part], lags, H), [part], lags, H, (700,))
    assert solution.error.max() < 0.02


def test_persistence_is_kept_where_nothing_else_helps() -> None:
    """On a random walk no solution beats the one without weights, and it is there to be kept."""
    walk = np.random.default_rng(5).standard_normal(4000).cumsum()
    part = _part(walk, 3000)
    m = ridge.moments([part], LAGS, H)
    still = ridge.persistence(m, [part], H)
    kept = ridge.best_of([still, ridge.solve(m, [part], LAGS, H, ())])
    assert (kept.error <= still.error).all()
    assert not still.weights.any()
