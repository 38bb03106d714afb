"""One recipe on one data set: trained, exported, and rolled through the whole recording as the device does it."""

from __future__ import annotations

import tempfile
import time
from typing import Any

import msgspec
import numpy as np

from edgeseq.adapters.interpreter.steppers import TFLiteStepper
from edgeseq.bundle import Channel, Manifest, SchemaVersion
from edgeseq.core import features, network
from edgeseq.core.types import F32
from edgeseq_train import evaluate, export, prepare, scores
from edgeseq_train.fit import Fitted, fit
from edgeseq_train.peers import make_panel
from edgeseq_train.recipe import Recipe, SplitRecipe
from tests.bench.datasets import DataSet
from tests.bench.model import in_z, recording_of, shown, tail_steps

TRAINING_BEGINS = "training on"
"""What training says when all before it is done."""


def measure(d: DataSet, recipe: Recipe, horizon: int) -> dict[str, Any]:
    """Train on the rows before the test part; forecast from every origin of it."""
    tail = tail_steps(d, d.validation, horizon)
    recipe = msgspec.structs.replace(
        recipe, name="bench", every=f"{d.period_s}s", horizon=f"{horizon * d.period_s}s",
        split=SplitRecipe(train=d.train, validation=d.validation - d.train, test=tail),
    )  # fmt: skip
    panel = make_panel(d.targets, d.covariates, d.train, d.validation, d.season)
    whole = recording_of(d, recipe, tail)
    given = shown(whole, d.validation, tail)
    begun = [time.process_time()]

    def note(text: str) -> None:
        if text.startswith(TRAINING_BEGINS):
            begun[0] = time.process_time()

    fitted = fit(given, horizon, recipe, lambda *_: None, note)
    train_cpu_s = time.process_time() - begun[0]
    model = int8_model(fitted)
    manifest = describe(fitted, model, d)
    x = features.normalise(whole.values[: d.test], fitted.anchor, fitted.unit)
    origins = slice(d.validation - 1, d.test - 1)
    stepper = TFLiteStepper(manifest, "litert", model)
    begun[0] = time.process_time()
    rolled = evaluate.roll(stepper, x, origins)
    spent = time.process_time() - begun[0]
    y = scores.targets(panel.z, origins, horizon)
    clean = prepare.track(fitted.spec, x).clean
    ridge = evaluate.ridge_forecast(clean, fitted.ridge.lags, fitted.ridge.weights, origins)[:, :, 0]
    state = sum(int(np.prod(s.shape)) * 4 for s in manifest.state)

    def mase(medians: F32) -> dict[str, float]:
        z = in_z(medians, fitted, panel)
        return {str(h): scores.point(z, y, panel.season_error, h).mase for h in (1, horizon)}

    return {
        "mase": mase(rolled.quantiles[:, :, 0, :, fitted.spec.levels.index(0.5)]), "ridge_mase": mase(ridge),
        "parameters": fitted.summary["parameters"], "model_bytes": len(model), "state_bytes": state,
        "train_cpu_s": train_cpu_s, "us_per_reading": 1e6 * spent / d.test / x.shape[1],
        "recurrent": bool(fitted.summary["recurrent"]), "validation_loss": fitted.summary["validation_loss"],
    }  # fmt: skip


def int8_model(fitted: Fitted) -> bytes:
    """Export with int8 weights only."""
    with tempfile.TemporaryDirectory(prefix="edgeseq-") as folder:
        export.save(fitted.spec, fitted.weights, folder)
        return export.int8_weights(export.float32(folder))


def describe(fitted: Fitted, model: bytes, d: DataSet) -> Manifest:
    """Describe a model as far as a stepper needs it."""
    spec = fitted.spec
    return Manifest(
        schema=SchemaVersion(), bundle_id="0" * 16, name="bench", version="0", created="", aggregate="last",
        period_ns=d.period_s * 10**9, horizon=spec.horizon, levels=spec.levels, seasons=spec.seasons,
        channels=(Channel("value"),), known=(), state=network.state_spec(spec),
        signatures=export.signatures(model, spec), variants=(), default_variant="", network={}, ring=spec.ring,
        golden_steps=0,
    )  # fmt: skip
