"""edgeseq on one data set: train, bundle, roll through the whole recording in the device's runtime."""

from __future__ import annotations

import dataclasses
import time
from typing import Any, NamedTuple

import msgspec
import numpy as np

from edgeseq.adapters.interpreter.steppers import TFLiteStepper
from edgeseq.bundle import Manifest
from edgeseq.core import features
from edgeseq.core.types import F32
from edgeseq_train import evaluate, exogenous, serving
from edgeseq_train.fit import Fitted, fit
from edgeseq_train.parts import Recording
from edgeseq_train.peers import Panel
from edgeseq_train.produce import produce
from edgeseq_train.recipe import Recipe, SplitRecipe
from tests.bench.datasets import DataSet

VARIANTS = ("int8_weights", "float32")
"""The one that counts, and the one it is compared with."""
TAIL_STEPS = 400
"""Origins of the part that training measures itself on, at least."""


class Rolled(NamedTuple):
    """What one seed gives."""

    medians: dict[str, F32]
    """Variant → z-scores (N, C, H) as the device serves them, blended; `… alone`: the model's own."""
    cost: dict[str, Any]


def forecast(
    d: DataSet, panel: Panel, origins: slice, horizon: int, recipe: Recipe, *, covariates: bool
) -> Rolled:
    """Train on [0, panel.validation) and forecast from the origins.

    Training is handed no row of the scored part: where it wants a test part it gets the last rows of the validation
    part once more.
    """
    tail = tail_steps(d, panel.validation, horizon)
    recipe = msgspec.structs.replace(
        recipe, name="bench", every=f"{d.period_s}s", horizon=f"{horizon * d.period_s}s",
        covariates=d.covariate_names if covariates else (),
        split=SplitRecipe(train=panel.train, validation=panel.validation - panel.train, test=tail),
    )  # fmt: skip
    whole = recording_of(d, recipe, tail)
    given = shown(whole, panel.validation, tail)
    begun = time.process_time()
    fitted = fit(given, horizon, recipe, lambda *_: None, lambda _: None)
    train_cpu_s = time.process_time() - begun
    manifest, files, *_ = produce(given, fitted, recipe, "bench", lambda _: None)
    x = features.normalise(whole.values[: origins.stop + 1], fitted.anchor, fitted.unit)
    medians, us_per_reading = {}, 0.0
    for name in VARIANTS:
        stepper = TFLiteStepper(manifest, "litert", files[manifest.variant(name).file])
        begun = time.process_time()
        early = serving.widened(origins)
        rolled = evaluate.roll(stepper, x, early, whole.known, 1)
        us_per_reading = us_per_reading or 1e6 * (time.process_time() - begun) / origins.stop / x.shape[1]
        median = rolled.quantiles[..., fitted.spec.levels.index(0.5)]
        season = fitted.spec.seasons[0] if fitted.spec.seasons else 0
        served = serving.blended(median, x[:, :, :1], early, origins, season)
        medians[name] = in_z(served[:, :, 0], fitted, panel)
        medians[f"{name} alone"] = in_z(median[origins.start - early.start :, :, 0], fitted, panel)
    cost = {"train_cpu_s": round(train_cpu_s, 1), "us_per_reading": round(us_per_reading, 1)}
    return Rolled(medians, cost | _size(manifest, fitted))


def recording_of(d: DataSet, recipe: Recipe, beyond: int) -> Recording:
    """Lay a data set out for training: each target a stream of one model, covariates as further channels of each.

    So many empty steps follow: a calendar reaches into the future.
    """
    names = d.target_names + recipe.covariates
    values = np.concatenate([d.targets, d.covariates], axis=1)[:, : len(names)]
    padded = np.pad(values, ((0, beyond), (0, 0)), constant_values=np.nan)
    taken = Recording(
        padded[:, None] if recipe.covariates else padded[:, :, None], names, d.period_s * 10**9,
        start_ns=d.start_ns, channels=names if recipe.covariates else (),
    )  # fmt: skip
    return exogenous.arrange(taken, recipe)


def tail_steps(d: DataSet, end: int, horizon: int) -> int:
    """Count the rows before `end` that give training something to measure itself on: every target has values there."""
    tail = horizon + TAIL_STEPS
    while tail < end // 2 and not np.isfinite(d.targets[end - tail : end - horizon]).any(axis=0).all():
        tail *= 2
    return tail


def shown(whole: Recording, end: int, tail: int) -> Recording:
    """Cut a recording at `end` and put its last `tail` rows there once more; a calendar goes on."""
    values = np.concatenate([whole.values[:end], whole.values[end - tail : end]])
    return dataclasses.replace(
        whole, values=values, known=None if whole.known is None else whole.known[: end + tail]
    )


def in_z(median: F32, fitted: Fitted, panel: Panel) -> F32:
    """Turn medians (N, S, H) in x into z-scores of the targets; one target a stream."""
    values = median.astype(np.float64) * fitted.unit[:, 0, None] + fitted.anchor[:, 0, None]
    return np.asarray((values - panel.mean[:, None]) / panel.deviation[:, None], dtype=np.float32)


def _size(manifest: Manifest, fitted: Fitted) -> dict[str, Any]:
    state = sum(int(np.prod(s.shape)) * np.dtype(s.dtype).itemsize for s in manifest.state)
    kept = {k: v for k, v in fitted.summary.items() if isinstance(v, int | float | str)}
    return {**kept, "state_bytes": state, "ring": fitted.spec.ring, "seasons": list(fitted.spec.seasons)}
