"""What changes in the course of training: the learning rate, and how often the decoder is told the truth."""

from __future__ import annotations

import math
from collections.abc import Callable

from edgeseq_train.recipe import TrainingRecipe

WARM_UP = 0.15
LEAST_RATE = 1e-3
PLATEAU_FACTOR = 0.5
"""By which `plateau` lowers the rate."""


def one_cycle(progress: float) -> float:
    """Rise over the first 15 %, then fall as a cosine (OneCycle, arXiv 1708.07120): 0 … 1.

    >>> [round(one_cycle(p), 3) for p in (0, 0.15, 1)]
    [0.1, 1.001, 0.001]
    """
    if progress < WARM_UP:
        return 0.1 + 0.9 * progress / WARM_UP
    return cosine((progress - WARM_UP) / (1 - WARM_UP))


def cosine(progress: float) -> float:
    """Fall as a cosine from the first step on (arXiv 1608.03983, without restarts)."""
    return 0.5 * (1 + math.cos(math.pi * progress)) + LEAST_RATE


def constant(progress: float) -> float:
    """Stay; of `plateau` too, which looks at the validation loss instead."""
    return 1.0


SCHEDULES: dict[str, Callable[[float], float]] = {
    "one_cycle": one_cycle, "cosine": cosine, "constant": constant, "plateau": constant,
}  # fmt: skip


def truth_share(recipe: TrainingRecipe, progress: float) -> float:
    """Say with which probability the decoder is fed the true value of the lead before, not its own (arXiv 1506.03099).

    `linear` begins with the truth and ends with what the decoder will have at work: its own output.

    >>> r = TrainingRecipe(teacher_forcing="linear", teacher_forcing_start=0.2, teacher_forcing_end=0.6)
    >>> [round(truth_share(r, p), 3) for p in (0, 0.2, 0.4, 0.6, 1)]
    [1.0, 1.0, 0.5, 0.0, 0.0]
    """
    if recipe.teacher_forcing != "linear":
        return 1.0 if recipe.teacher_forcing == "always" else 0.0
    start, end = recipe.teacher_forcing_start, recipe.teacher_forcing_end
    return min(1.0, max(0.0, (end - progress) / max(end - start, 1e-9)))
