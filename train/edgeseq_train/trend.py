"""What a loss curve says: falling, flat or rising at its end, and what to change then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Shape = Literal["falling", "plateau", "rising", "unknown"]

LEAST = 4
"""Points that the end of a curve needs for a verdict."""
SMALL = 0.02
"""A change below this share of the loss is none, however clear."""
MEMORISED = 0.7
"""A training loss below this share of the validation loss is learned by heart, not understood."""


@dataclass(frozen=True, slots=True)
class Trend:
    """The end of a curve."""

    shape: Shape
    change: float
    """Over the last third of the curve, as a share of the loss there."""


@dataclass(frozen=True, slots=True)
class Knobs:
    """What the settings are called where the reader can turn them."""

    longer: str
    rate: str
    smaller: str
    larger: str
    stop: str
    """A sentence; the others follow "to …"."""


RECIPE = Knobs(
    longer="raise training.steps (and training.patience) in the recipe", rate="lower training.learning_rate",
    smaller="raise training.dropout, lower cell.units, or train on a longer recording",
    larger="raise cell.units or cell.layers, or give the model more to see (further columns, a longer front.ring)",
    stop="Nothing is lost: the weights with the best validation loss are the ones kept.",
)  # fmt: skip


def trend(losses: Sequence[float]) -> Trend:
    """Fit a line to the last third of a curve (at least 4 points).

    It falls or rises if the line changes by more than 2 % of the loss and by more than twice its standard error.

    >>> trend([8, 7, 6, 5, 4, 3]).shape, trend([5, 4, 3, 3, 3, 3, 3]).shape, trend([3, 2, 1, 2, 3, 4, 5]).shape
    ('falling', 'plateau', 'rising')
    """
    return line(losses[-max(LEAST, round(len(losses) / 3)) :])


def line(losses: Sequence[float]) -> Trend:
    """Fit a line to all of a curve: see `trend`."""
    tail = np.asarray(losses, float)
    n = len(tail)
    if n < LEAST or not np.isfinite(tail).all():
        return Trend("unknown", 0.0)
    t = np.arange(n) - (n - 1) / 2
    slope = (t @ tail) / (t @ t)
    rest = tail - tail.mean() - slope * t
    error = np.sqrt((rest @ rest) / (n - 2) / (t @ t))
    level = max(abs(tail.mean()), 1e-12)
    change = slope * (n - 1) / level
    if abs(change) <= max(SMALL, 2 * error * (n - 1) / level):
        return Trend("plateau", float(change))
    return Trend("falling" if change < 0 else "rising", float(change))


def overfits(training: Sequence[float], validation: Sequence[float]) -> bool:
    """Tell a network that learns by heart: from the best step on validation rises while training falls.

    >>> overfits([5, 3, 2, 1.8, 1.6, 1.4, 1.4, 1.4], [5, 3, 2.5, 2.7, 2.9, 3.1, 3.3, 3.5])
    True
    >>> overfits([5, 3, 2, 2, 2, 2, 2, 2], [5, 3, 2.5, 2.7, 2.9, 3.1, 3.3, 3.5])
    False
    """
    best = int(np.argmin(validation))
    return line(validation[best:]).shape == "rising" and line(training[best:]).shape == "falling"


def read(training: Sequence[float], validation: Sequence[float], knobs: Knobs = RECIPE) -> tuple[str, str]:
    """Say how training ended, and what to change.

    Args:
        training: the loss on what the network learned from, one value per validation.
        validation: the loss on what it never saw, as many.
        knobs: what the settings are called.

    Returns:
        what is seen, and what to do about it.
    """
    seen, unseen = trend(training), trend(validation)
    percent = f"{abs(100 * unseen.change):.1f} %"
    if unseen.shape == "unknown":
        return "Too few validations to tell how training went.", f"To see a trend, {knobs.longer}."
    if unseen.shape == "falling":
        said = f"The validation loss was still falling when training ended: by {percent} over its last third."
        return said, f"It was stopped too early: {knobs.longer}."
    if overfits(training, validation):
        said = "From its best on the validation loss rose while the training loss fell: the network learns by heart."
        return said, f"{knobs.stop} To go further, {knobs.smaller}."
    if unseen.shape == "rising":
        said = f"The validation loss rose by {percent} over the last third of training"
        if seen.shape == "rising":
            return f"{said}, and the training loss with it: it diverges.", f"Steps too large: {knobs.rate}."
        if seen.shape == "plateau":
            return (
                f"{said}, while the training loss stood still: it wanders.",
                f"{knobs.stop} Or {knobs.rate}.",
            )
        said += ", while the training loss fell: the network learns the training part by heart."
        return said, f"{knobs.stop} To go further, {knobs.smaller}."
    said = f"The validation loss is flat: it changed by {percent} over the last third of training."
    if training[-1] < MEMORISED * validation[-1]:
        return (
            f"{said} The training loss is far lower: the network learns by heart.",
            f"More steps will not help: {knobs.smaller}.",
        )
    return said, f"More steps will not help. If the error is too large, {knobs.larger}."
