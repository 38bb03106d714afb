"""One trial: a training by a chosen recipe, stopped as soon as it is too large, too slow or behind the others."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from optuna.study import Study
from optuna.trial import Trial

from edgeseq.errors import OperatorError
from edgeseq_train.fit import fit
from edgeseq_train.loop import Trainer
from edgeseq_train.parts import Recording
from edgeseq_train.recipe import Recipe
from edgeseq_train.tuning.ruler import Measure, cost_of, make_ruler, measure_of, parameters_of, score
from edgeseq_train.tuning.space import Space, recipe_of, suggested

MEASURE, START, REASON, PARAMETERS, COST, RATIO = (
    "measure",
    "start",
    "reason",
    "parameters",
    "us",
    "cost_ratio",
)
"""Names of what the study's file keeps beside values and choices."""


class Pruned(Exception):
    """The trial is given up: the reason says why."""


class Cut(Exception):
    """The search ends while a trial runs: the trial is dropped."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is searched."""

    recording: Recording
    """Without its test part (`study.task_of`)."""
    horizon: int
    start: Recipe
    space: Space


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the search, and of each network in it."""

    budget_s: float
    trials: int | None = None
    """Finished ones in the study."""
    parameters: int | None = None
    us_per_reading: float | None = None
    cost_ratio: float | None = None
    clock: Callable[[], float] = time.monotonic


Told = Callable[[int, int, float], None]
"""Is told step, steps and the loss at each validation; raises Cut."""


def run(task: Task, study: Study, trial: Trial, limits: Limits, told: Told) -> float:
    """Train by what the sampler suggests → loss on validation, in the study's units.

    Raises:
        Pruned: out of bounds, impossible with this recording, or behind the median of the others.
        Cut: the search was ended.
        OperatorError: the recipe that the search starts from cannot be trained.
    """
    recipe = recipe_of(task.start, suggested(task.space, trial))
    judge = _Judge(study, trial, limits, told)
    try:
        fitted = fit(task.recording, task.horizon, recipe, judge, lambda _: None, shown=judge.begin)
        return score(judge.ruler, fitted.weights)
    except OperatorError as fault:  # such as a segment longer than the training part
        if trial.user_attrs.get(START):
            raise
        raise Pruned(str(fault).replace("\n", "; ")) from fault
    finally:
        del judge
        gc.collect()  # a trainer's compiled functions refer to it, and it to them


class _Judge:
    """Looks at a training before it begins, and at each validation."""

    ruler: Trainer

    def __init__(self, study: Study, trial: Trial, limits: Limits, told: Told) -> None:
        self._study, self._trial, self._limits, self._told = study, trial, limits, told

    def begin(self, trainer: Trainer) -> None:
        """Hold the network against the bounds, before it is trained."""
        measure = recall(self._study)
        if measure is None:  # the start recipe's training, which is the first
            measure = measure_of(trainer)
            self._study.set_user_attr(MEASURE, msgspec.to_builtins(measure))
        self._bound(trainer, measure)
        self.ruler = make_ruler(trainer, measure)

    def __call__(self, step: int, steps: int, loss: float, best: float) -> None:
        """Report where training is; give up what is behind."""
        value = self.ruler.validate()
        self._told(step, steps, value)
        self._trial.report(value, step)
        if self._trial.should_prune():
            raise Pruned(f"behind the median at step {step}")

    def _bound(self, trainer: Trainer, measure: Measure) -> None:
        limits, parameters = self._limits, parameters_of(trainer.spec)
        self._trial.set_user_attr(PARAMETERS, parameters)
        if limits.parameters is not None and parameters > limits.parameters:
            raise Pruned(f"{parameters} parameters are more than {limits.parameters}")
        us, ratio = cost_of(trainer.spec, measure.start)
        self._trial.set_user_attr(COST, us)
        self._trial.set_user_attr(RATIO, ratio)
        if limits.us_per_reading is not None and us > limits.us_per_reading:
            raise Pruned(f"{us:.0f} µs per reading are more than {limits.us_per_reading:g}")
        if limits.cost_ratio is not None and ratio > limits.cost_ratio:
            raise Pruned(f"{ratio:.2f} of the start's cost are more than {limits.cost_ratio:g}")


def recall(study: Study) -> Measure | None:
    """Read the study's units; None: its first trial has not begun."""
    kept = study.user_attrs.get(MEASURE)
    return None if kept is None else msgspec.convert(kept, Measure)
