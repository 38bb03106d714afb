"""The rows of the shapes' bench: estimators on labelled recordings, and free runs against direct forecasts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from edgeseq.adapters.interpreter.hushed import hushed
from edgeseq.core import features
from edgeseq.core.forecast import Stepper, initial_state
from edgeseq.core.freerun import free_run
from edgeseq.core.types import F32, F64
from edgeseq_train.estimators import labels, peers
from edgeseq_train.estimators.fit import fit as fit_estimator
from edgeseq_train.estimators.labels import Labelled
from edgeseq_train.fit import fit
from edgeseq_train.parts import Recording, split_rows
from edgeseq_train.recipe import FrontRecipe, Recipe, SplitRecipe, TrainingRecipe

MINUTE_NS, HOUR_NS = 60 * 10**9, 3600 * 10**9
VARIANT = "int8_weights"
LEADS = (1, 6, 24, 48, 96)
HORIZON = max(LEADS)
DAY = 24
ORIGIN_STRIDE = 29
"""Origins of free runs: through all hours of the day, yet few enough."""
ESTIMATORS = TrainingRecipe(steps=300, patience=300)
FORECASTERS = TrainingRecipe(steps=200)
MEASURES = ("accuracy", "balanced_accuracy", "f1", "log_loss", "brier", "mae", "coverage", *map(str, LEADS))
Row = dict[str, Any]


# --- estimators -----------------------------------------------------------------------------------------------------


class EstimatorSet(NamedTuple):
    """What is learned from, and what is rolled through afterwards; none: the recording's own test part."""

    shape: str
    learn: Labelled
    tests: dict[str, Labelled]
    split: SplitRecipe


ROOM_SPLIT = SplitRecipe(train=0.7, validation=0.25, test=0.05)


def _room(folder: Path, target: str, task: labels.Task, columns: tuple[str, ...], shape: str) -> EstimatorSet:
    """Learn from the authors' training file; roll through both of their test files."""

    def read(name: str) -> Labelled:
        path = folder / "occupancy" / f"{name}.csv"
        return labels.read(path, MINUTE_NS, "last", target, task, columns=columns)

    tests = {name: read(name) for name in ("datatest", "datatest2")}
    return EstimatorSet(shape, read("datatraining"), tests, ROOM_SPLIT)


def _oil(folder: Path) -> EstimatorSet:
    learn = labels.read(folder / "ett" / "ETTh1.csv", HOUR_NS, "last", "OT", "estimate")
    return EstimatorSet("many-to-many", learn, {}, SplitRecipe(train=8640, validation=2880, test=2880))


def _pm25(folder: Path) -> EstimatorSet:
    frame = pl.read_csv(
        folder / "beijing_pm25" / "pollution.csv", null_values=["NA"], infer_schema_length=None
    )
    frame = frame.with_columns(time=pl.datetime("year", "month", "day", "hour"))
    frame = frame.select("time", "pm2.5", "DEWP", "TEMP", "PRES", "Iws")
    return EstimatorSet(
        "many-to-many", labels.from_frame(frame, HOUR_NS, "last", "pm2.5", "estimate"), {}, SplitRecipe()
    )


SETS: dict[str, Callable[[Path], EstimatorSet]] = {
    "occupancy": lambda f: _room(f, "Occupancy", "classify", ("CO2", "Light"), "many-to-one"),
    "occupancy by CO2": lambda f: _room(f, "Occupancy", "classify", ("CO2",), "many-to-one"),
    "humidity ratio": lambda f: _room(
        f, "HumidityRatio", "estimate", ("Temperature", "Humidity"), "many-to-many"
    ),
    "oil temperature": _oil,
    "PM2.5": _pm25,
}


def estimator_rows(name: str, folder: Path, seed: int) -> list[Row]:
    """Train with and without memory; score on the test sets beside the peers (once, with seed 0)."""
    made = SETS[name](folder)
    rows = _peer_rows(name, made) if seed == 0 else []
    for memory in (False, True):
        rows += _model_rows(
            name, made, Recipe(seed=seed, split=made.split, memory=memory, training=ESTIMATORS)
        )
    return rows


def _tests(made: EstimatorSet) -> dict[str, tuple[Labelled, slice]]:
    """Name what is scored: whole recordings, or the test part of the one that was learned from."""
    if made.tests:
        return {name: (test, slice(0, len(test.truth))) for name, test in made.tests.items()}
    split = split_rows(len(made.learn.truth), made.split)
    return {"": (made.learn, slice(split.validation, split.test))}


def _peer_rows(name: str, made: EstimatorSet) -> list[Row]:
    from edgeseq_train.estimators.produce import score

    rows = []
    for by, peer in peers.fit(made.learn, split_rows(len(made.learn.truth), made.split)).items():
        for test, (labelled, judged) in _tests(made).items():
            said = peer(labelled.inputs.values[:, 0])[judged]
            rows.append(
                {"data": f"{name} {test}".strip(), "shape": "", "by": by, **score(said, labelled, judged)}
            )
    return rows


def _model_rows(name: str, made: EstimatorSet, recipe: Recipe) -> list[Row]:
    """Train, bundle, and step the shipped variant through each test recording from its first reading on."""
    with hushed(lambda _: True):
        from edgeseq.adapters.interpreter.steppers import TFLiteStepper
        from edgeseq_train.estimators.produce import in_units, produce, roll, score

    fitted = fit_estimator(made.learn, recipe, lambda *_: None, lambda _: None)
    manifest, files, _ = produce(made.learn, fitted, recipe, "bench", lambda _: None)
    rows = []
    for test, (labelled, judged) in _tests(made).items():
        stepper = TFLiteStepper(manifest, "litert", files[manifest.variant(VARIANT).file])
        x = features.normalise(labelled.inputs.values[: judged.stop, 0], fitted.anchor, fitted.scale)
        said = in_units(roll(stepper, x)[judged], manifest)
        rows.append({
            "data": f"{name} {test}".strip(), "shape": made.shape if recipe.memory else "one-to-one",
            "by": "GRU" if recipe.memory else "memoryless", "seed": recipe.seed,
            **score(said, labelled, judged, manifest.levels), "recurrent": fitted.summary["recurrent"],
            "parameters": fitted.summary["parameters"],
        })  # fmt: skip
    return rows


# --- free runs --------------------------------------------------------------------------------------------------------


def _sine(_: Path, seed: int) -> Recording:
    """Make a noisy day of sine, hourly."""
    t = np.arange(3000)
    noise = np.random.default_rng(seed).normal(0, 0.1, len(t))
    return Recording((np.sin(2 * np.pi * t / DAY) + noise)[:, None, None], ("sine",), HOUR_NS)


def _etth1(folder: Path, _: int) -> Recording:
    from edgeseq_train import recording

    return recording.read(folder / "ett" / "ETTh1.csv", HOUR_NS, "last")


SERIES: dict[str, Callable[[Path, int], Recording]] = {"sine": _sine, "ETTh1": _etth1}


def free_run_rows(name: str, folder: Path, seed: int) -> list[Row]:
    """Forecast each origin by the head of all leads at once, and by feeding lead 1 back: MAE by lead.

    In units of the seasonal naive error of the training part; origins lie in the test part.
    """
    with hushed(lambda _: True):
        from edgeseq.adapters.interpreter.steppers import TFLiteStepper
        from edgeseq_train.produce import produce

    taken = SERIES[name](folder, seed)
    split_recipe = SplitRecipe(train=8640, validation=2880, test=2880) if name == "ETTh1" else SplitRecipe()
    recipe = Recipe(seed=seed, split=split_recipe, front=FrontRecipe(seasons=(DAY,)), training=FORECASTERS)
    fitted = fit(taken, HORIZON, recipe, lambda *_: None, lambda _: None)
    manifest, files, *_ = produce(taken, fitted, recipe, "bench", lambda _: None)
    split = split_rows(len(taken.values), recipe.split)
    x = features.normalise(taken.values[: split.test], fitted.anchor, fitted.unit)[..., 0]
    stepper = TFLiteStepper(manifest, "litert", files[manifest.variant(VARIANT).file])
    origins = np.arange(split.validation - 1, split.test - HORIZON - 1, ORIGIN_STRIDE)
    direct, run = both(stepper, x, origins)
    scale = np.nanmean(np.abs(x[DAY : split.train] - x[: split.train - DAY]), axis=0)
    truth = np.stack([x[o + 1 : o + 1 + HORIZON].T for o in origins])
    naive = np.stack([x[o + 1 - DAY + np.arange(HORIZON) % DAY].T for o in origins])
    told = {"direct, all leads at once": direct, "free run on its own lead 1": run, "seasonal naive": naive}
    return [
        {"data": name, "shape": "one-to-many", "by": by, "seed": seed, **_by_lead(said, truth, scale)}
        for by, said in told.items()
    ]


def both(stepper: Stepper, x: F32, origins: Any) -> tuple[F32, F32]:
    """Step through x (T, S), and at each origin forecast both ways → (N, S, H) each."""
    state, middle = initial_state(stepper.state_spec, x.shape[1]), len(stepper.levels) // 2
    kept, direct = [], []
    for t, row in enumerate(x[: origins[-1] + 1]):
        quantiles, following = stepper.step(row[:, None], state)
        if t in origins:
            kept.append(state)
            direct.append(quantiles[:, 0, :, middle])
        state = following
    before = tuple(np.concatenate(arrays) for arrays in zip(*kept, strict=True))
    run = free_run(stepper, x[origins].reshape(-1, 1), before, HORIZON)
    return np.stack(direct), run.reshape(len(origins), x.shape[1], HORIZON)


def _by_lead(said: F32, truth: F32, scale: F64) -> dict[str, float]:
    error = np.nanmean(np.abs(said - truth) / scale[:, None], axis=(0, 1))
    return {str(lead): float(error[lead - 1]) for lead in LEADS}


# --- figures ---------------------------------------------------------------------------------------------------------


def figures(rows: list[Row]) -> dict[str, float]:
    """Flatten into named numbers: mean over seeds, and the spread between them."""
    found: dict[str, float] = {}
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["data"], row["by"]), []).append(row)
    for (data, by), same in groups.items():
        for measure in (
            "accuracy",
            "balanced_accuracy",
            "f1",
            "log_loss",
            "brier",
            "mae",
            "coverage",
            *map(str, LEADS),
        ):
            values = [row[measure] for row in same if measure in row]
            if not values:
                continue
            key = "_".join([data, by, f"lead_{measure}" if measure.isdigit() else measure])
            found[key] = float(np.mean(values))
            if len(values) > 1:
                found[f"{key}_spread"] = float(np.max(values) - np.min(values))
    return found
