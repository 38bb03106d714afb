"""Models trained once per session, and the series they were trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeseq.core.types import F64
from edgeseq_train.fit import Fitted, fit
from edgeseq_train.parts import Recording
from edgeseq_train.recipe import CellRecipe, FrontRecipe, Recipe, TrainingRecipe

HOUR_NS = 3600 * 10**9
MODELS = [("gru", 1), ("gru", 2), ("lstm", 1), ("lstm", 2)]
HORIZON = 12


def make_series(steps: int, streams: int = 2, seed: int = 0) -> F64:
    """Draw hourly values (T, S) with a day, slow weather and noise: predictable in part, as sensors are."""
    rng = np.random.default_rng(seed)
    t = np.arange(steps)[:, None]
    weather = np.zeros((steps, streams))
    for k in range(1, steps):
        weather[k] = 0.97 * weather[k - 1] + 0.2 * rng.standard_normal(streams)
    day = np.sin(2 * np.pi * t / 24) + 0.4 * np.sin(4 * np.pi * t / 24 + np.arange(streams))
    return np.asarray(20 + 3 * day + 2 * weather + 0.3 * rng.standard_normal((steps, streams)))


def small_recipe(kind: Any = "gru", layers: int = 1, seed: int = 0, **training: Any) -> Recipe:
    """Make a recipe that trains in seconds."""
    defaults = {"steps": 60, "lanes": 24, "validate_every": 20, "dropout": 0.1}
    return Recipe(
        seed=seed, every="1h", horizon=f"{HORIZON}h", cell=CellRecipe(kind=kind, layers=layers, units=16),
        front=FrontRecipe(seasons=(24,), ring=48), training=TrainingRecipe(**(defaults | training)),
    )  # fmt: skip


def train_small(values: F64, recipe: Recipe) -> Fitted:
    """Train on values (T, S, C)."""
    names = tuple(f"c{k}" for k in range(values.shape[1] * values.shape[2]))
    return fit(Recording(values, names, HOUR_NS), HORIZON, recipe, lambda *_: None, lambda _: None)


@pytest.fixture(scope="session", params=MODELS, ids=lambda m: f"{m[0]}-{m[1]}")
def trained(request: pytest.FixtureRequest) -> Fitted:
    """Give each of the small trained models in turn."""
    kind, layers = request.param
    values = make_series(2400)
    values[np.random.default_rng(9).random(values.shape) < 0.03] = np.nan
    return train_small(values[:, :, None], small_recipe(kind, layers))
