"""What each forecaster of the demo leaves: its forecasts, what it is made of, and how it was trained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeseq.core.types import F64
from edgeseq_train.sine.series import Sine


@dataclass(frozen=True, slots=True)
class Curve:
    """Losses of a training."""

    at: list[int]
    """Epoch or step."""
    per: str
    """What `at` counts."""
    training: list[float]
    validation: list[float]
    loss: str
    """What the loss is."""
    level: tuple[str, float] | None = None
    """Name and validation loss of what was to be beaten."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A row of the table of layers."""

    name: str
    shape: str
    parameters: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """One forecaster on the test part."""

    name: str
    one_ahead: F64
    """(n,) forecast of each test reading, made after the one before."""
    free: F64
    """(O, H) free runs from Sine.free_origins: fed with what it forecast itself."""
    direct: F64 | None = None
    """(O, H) the same readings, all leads said at once; None: it cannot."""
    layers: tuple[Layer, ...] = ()
    curve: Curve | None = None
    us_per_reading: float | None = None
    kb: float | None = None

    @property
    def short(self) -> str:
        """Name it without its sizes."""
        return self.name.partition("(")[0]

    @property
    def parameters(self) -> int:
        """Count all numbers that the model is made of."""
        return sum(layer.parameters for layer in self.layers)


@dataclass(frozen=True, slots=True)
class Score:
    """Mean absolute errors of a forecaster."""

    one: float
    by_chance: float
    """Twice the standard error of `one`."""
    free: float
    direct: float | None


def score(outcome: Outcome, sine: Sine) -> Score:
    """Measure a forecaster on the test part."""
    miss = np.abs(outcome.one_ahead - sine.targets)
    direct = None if outcome.direct is None else float(np.abs(outcome.direct - came(sine)).mean())
    free = float(free_errors(outcome, sine).mean())
    return Score(float(miss.mean()), float(2 * miss.std() / np.sqrt(len(miss))), free, direct)


def came(sine: Sine) -> F64:
    """Give the readings that came after the origins of free runs (O, H)."""
    return np.stack([sine.values[t + 1 : t + 1 + sine.season] for t in sine.free_origins])


def free_errors(outcome: Outcome, sine: Sine) -> F64:
    """Mean absolute error of free runs by lead (H,)."""
    return np.asarray(np.abs(outcome.free - came(sine)).mean(axis=0))


def is_better(a: Outcome, b: Outcome, sine: Sine) -> bool:
    """Tell whether a errs less than b, one step ahead, by more than chance: twice the error of paired differences."""
    apart = np.abs(b.one_ahead - sine.targets) - np.abs(a.one_ahead - sine.targets)
    return bool(apart.mean() > 2 * apart.std() / np.sqrt(len(apart)))
