"""Fit an estimator: regression on the features in closed form, then the network from there."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgeseq.core.network import NetworkSpec
from edgeseq.core.types import F32, F64, I64, Target
from edgeseq_train.checkpoint import Checkpoint
from edgeseq_train.estimators import parts, regression
from edgeseq_train.estimators.labels import Labelled
from edgeseq_train.estimators.rows import Prepared, prepare_rows
from edgeseq_train.history import Note
from edgeseq_train.parts import split_rows
from edgeseq_train.recipe import Recipe

LEAST_ERROR = 0.01
"""Of the regression, in training units: so small a one would leave the layers nothing to say."""


@dataclass(frozen=True, slots=True)
class FittedEstimator:
    """What training leaves."""

    spec: NetworkSpec
    weights: dict[str, F32]
    anchor: F64
    """(C,) of the inputs."""
    scale: F64
    target: Target
    summary: dict[str, object]
    notes: list[Note]


def fit(
    labelled: Labelled,
    recipe: Recipe,
    progress: Callable[..., None],
    say: Callable[[str], None],
    checkpoint: Checkpoint | None = None,
) -> FittedEstimator:
    """Train on the training part; everything is chosen on the validation part.

    Raises:
        InputError, ConfigError: the recording or the recipe cannot be trained with.
    """
    begun = time.perf_counter()
    split = split_rows(len(labelled.truth), recipe.split)
    ready = prepare_rows(labelled, split, recipe)
    spec = ready.rows.spec
    weight = class_weights(ready, recipe)
    unseen = parts.lacking(labelled, split).get("validation", []) if ready.target.classes else []
    weights = ready.fixed | start(ready, weight, present_only=bool(unseen))
    say(f"regression on {spec.features} features, {time.perf_counter() - begun:.1f} s")
    if unseen:
        say(
            f"the validation part has no {', '.join(unseen)}, so nothing can be chosen by it: the regression on present"
            " values ships"
        )
    from edgeseq_train.course import train
    from edgeseq_train.estimators.trainer import EstimatorTrainer
    from edgeseq_train.initial import initial_weights

    weights = initial_weights(spec, np.random.default_rng(recipe.seed)) | weights
    trainer = EstimatorTrainer(ready.rows, ready.truth, weights, weight, recipe.training, recipe.seed)
    trained, notes = train(trainer, progress, say, checkpoint)
    before, after = trainer.losses(weights), trainer.losses(trained)
    has_paid = not unseen and regression.pays(before, after)
    best = trained if has_paid else weights
    summary: dict[str, object] = {
        "parameters": sum(a.size for a in best.values()),
        "steps": notes[-1].step,
        "validation_loss": float(after.mean()),
        "regression_validation_loss": float(before.mean()),
        "recurrent": has_paid,
        "seconds": round(time.perf_counter() - begun, 1),
    }
    return FittedEstimator(spec, best, ready.anchor, ready.scale, ready.target, summary, notes)


def class_weights(ready: Prepared, recipe: Recipe) -> F64:
    """Weigh classes (N,) in the loss: alike, or so that each counts as much as any other (`balanced`)."""
    count = max(1, len(ready.target.classes))
    if recipe.class_weights == "none" or count == 1:
        return np.ones(count)
    run = ready.rows.runs[0]
    labels = ready.truth[run.start : run.train_stop]
    met = np.bincount(labels[np.isfinite(labels)].astype(int), minlength=count)
    return np.asarray(np.where(met > 0, met.sum() / (np.count_nonzero(met) * np.maximum(met, 1)), 1.0))


def start(ready: Prepared, weight: F64, *, present_only: bool = False) -> dict[str, F32]:
    """Solve the regression on the features; the head begins with it.

    Tried on the present values, on absolute levels, and on all features; more of them must pay on validation.
    present_only: only the present values are tried, where validation cannot choose.
    """
    run, target = ready.rows.runs[0], ready.target
    part = slice(run.start, run.stop)
    known = np.isfinite(ready.truth[part])
    inputs = ready.rows.features[part][known].astype(np.float64)
    truth = ready.truth[part][known].astype(np.float64)
    train = int(known[: run.train_stop - run.start].sum())
    solve = _logistic if target.classes else _least_squares
    tried = [solve(inputs, at, truth, weight, train) for at in feature_sets(ready.rows.spec)]
    tried = tried[:1] if present_only else tried
    losses, solved = tried[0]
    for larger, found in tried[1:]:
        if regression.pays(losses, larger):
            losses, solved = larger, found
    highway = {"highway": solved.weights.astype(np.float32)}
    if target.classes:
        return {**highway, "head.bias": solved.offset.astype(np.float32)}
    error = max(float(np.abs(solved(inputs)[:train, 0] - truth[:train]).mean()), LEAST_ERROR)
    bias = np.concatenate([solved.offset / error, laplace_widths(ready.rows.spec.levels)])
    return {**highway, "head.bias": bias.astype(np.float32), "error_scale": np.array([error], np.float32)}


def feature_sets(spec: NetworkSpec) -> list[I64]:
    """List the features that a regression may look at, fewest first: see `network.absolute` for their order."""
    every = np.arange(spec.features)
    if not spec.memory:
        return [every]
    levels = every[spec.channels * spec.channel_features :]
    return [levels[:: 1 + spec.taps], levels, every]


def _logistic(inputs: F64, at: I64, truth: F64, weight: F64, train: int) -> tuple[F64, regression.Linear]:
    labels = truth.astype(int)
    solved = regression.logistic(inputs[:, at], labels, len(weight), weight[labels], train)
    told = regression.softmax(solved(inputs[train:, at]))
    losses = weight[labels[train:]] * regression.log_losses(told, labels[train:])
    return losses, solved.spread_over(at, inputs.shape[1])


def _least_squares(
    inputs: F64, at: I64, truth: F64, weight: F64, train: int
) -> tuple[F64, regression.Linear]:
    solved = regression.least_squares(inputs[:, at], truth, train)
    losses = np.abs(solved(inputs[train:, at])[:, 0] - truth[train:])
    return losses, solved.spread_over(at, inputs.shape[1])


def laplace_widths(levels: tuple[float, ...]) -> F64:
    """Raw widths (Q - 1,) at which the levels stand at a Laplace distribution's distances, in mean absolute errors."""
    at = np.array(levels)
    place = np.where(at < 0.5, np.log(2 * at), -np.log(2 * (1 - at)))
    widths: F64 = np.log(np.expm1(np.diff(place)))
    return widths
