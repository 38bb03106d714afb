"""The baseline: persistence and seasonal naive."""

from __future__ import annotations

import numpy as np

from edgeseq.core.baseline import BaselineStepper
from edgeseq.core.forecast import initial_state
from edgeseq.core.types import F32


def roll(stepper: BaselineStepper, values: F32) -> F32:
    """Step through values (T,) → medians (T, H)."""
    state = initial_state(stepper.state_spec, 1)
    medians = []
    for value in values:
        quantiles, state = stepper.step(np.array([[value]], dtype=np.float32), state)
        medians.append(quantiles[0, 0, :, 0])
    return np.array(medians)


def test_no_season_forecasts_the_last_value() -> None:
    """Without a season every lead is the last value."""
    medians = roll(BaselineStepper(1, 4, 0), np.array([1.0, 2.0, 5.0], dtype=np.float32))
    assert medians[-1].tolist() == [5.0] * 4


def test_season_known_forecasts_the_season() -> None:
    """A purely seasonal series is forecast exactly once the season has proved better than persistence."""
    season = np.array([0, 10, 20, 5, 3], dtype=np.float32)
    values = np.tile(season, 8)
    medians = roll(BaselineStepper(1, 7, 5), values)
    assert medians[-1].tolist() == np.tile(season, 2)[:7].tolist()


def test_leads_next_to_whole_seasons_are_seasonal_too() -> None:
    """A whole day ahead both forecasts are the same, which must not speak for persistence at the hours around it."""
    day = np.sin(np.arange(24) / 24 * 2 * np.pi).astype(np.float32)
    medians = roll(BaselineStepper(1, 96, 24), np.tile(day, 12))
    assert medians[-1].tolist() == np.tile(day, 4).tolist()


def test_random_walk_keeps_persistence() -> None:
    """On a random walk persistence errs less at short leads, and serves them."""
    values = np.cumsum(np.random.default_rng(0).normal(size=400)).astype(np.float32)
    medians = roll(BaselineStepper(1, 4, 24), values)
    assert (medians[100:, 0] == values[100:]).all()


def test_missing_value_repeats_the_last_one_seen() -> None:
    """A missing value leaves persistence at the last value seen, and a missing season falls back to it."""
    medians = roll(BaselineStepper(1, 2, 3), np.array([1, 2, np.nan], dtype=np.float32))
    assert medians[-1].tolist() == [2.0, 2.0]


def test_nothing_seen_forecasts_nothing() -> None:
    """Before the first value the forecast is unknown, not zero."""
    assert np.isnan(roll(BaselineStepper(1, 2, 0), np.array([np.nan], dtype=np.float32))).all()
