"""edgeseq in a backtest: a bundle, or what a recipe makes of the recording, as a device would serve it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from edgeseq.adapters.interpreter.steppers import TFLiteStepper
from edgeseq.bundle import Manifest
from edgeseq.core import features
from edgeseq.core.types import F32
from edgeseq.errors import ConfigError
from edgeseq_train import evaluate, footprint, prepare
from edgeseq_train.backtest import exposure, growth
from edgeseq_train.backtest.device import serve
from edgeseq_train.backtest.entrant import Entrant, Forecasts, score
from edgeseq_train.backtest.plan import Plan
from edgeseq_train.backtest.words import NAME

RUNTIME = "litert"
Progress = Callable[[str, float], None]
"""Is told what is being run, and which share of it is done."""


class Model(NamedTuple):
    """The two halves of a bundle, and what training it took."""

    manifest: Manifest
    files: Mapping[str, bytes]
    train_cpu_s: float | None = None
    seed: int | None = None
    is_given: bool = False
    """Whether it comes from a bundle, whose training may have seen anything."""


def check_fits(manifest: Manifest, plan: Plan) -> None:
    """Refuse a bundle that is for other data.

    Raises:
        ConfigError: another period or other channels, or it does not forecast.
    """
    recording = plan.recording
    if manifest.target is not None:
        raise ConfigError(
            "the bundle holds an estimator, not a forecaster", where=manifest.label, found=f"of {manifest.target.name}",
            wanted="a bundle made with --horizon",
        )  # fmt: skip
    channels = (len(manifest.channels), len(manifest.channels) - manifest.covariates)
    found = (recording.values.shape[2], recording.target_channels)
    if (
        manifest.period_ns != recording.period_ns
        or channels != found
        or manifest.known != recording.known_names
    ):
        raise ConfigError(
            "the bundle does not fit the recording",
            where=manifest.label,
            found=f"a recording of {_described(recording.period_ns, *found, recording.known_names)}",
            wanted=_described(manifest.period_ns, *channels, manifest.known),
            do="read it as for training: the same --columns, --covariates, --known, --multichannel",
        )


def _described(period_ns: int, channels: int, targets: int, known: tuple[str, ...]) -> str:
    beside = f", {channels - targets} covariates" if channels > targets else ""
    return f"{period_ns / 1e9:g} s, {targets} channels to forecast{beside}, known inputs {list(known)}"


def run(model: Model, plan: Plan, progress: Callable[[float], None]) -> Entrant:
    """Let the core of a device serve the model over the whole recording, and score what it published.

    Its points and 90 % interval are the published ones, calibrated as it went; other quantiles are the network's own.
    """
    manifest, recording, targets = model.manifest, plan.recording, plan.recording.target_channels
    check_fits(manifest, plan)
    file = manifest.variant(manifest.default_variant).file
    stepper = TFLiteStepper(manifest, RUNTIME, model.files[file])
    kept = prepare.kept_steps(manifest.ring, manifest.horizon, manifest.period_ns)
    anchor, unit = prepare.settle(recording.values[: plan.split.train], recording.names, kept)
    x = features.normalise(recording.values[: plan.origins.stop], anchor, unit)
    begun = time.process_time()
    rolled = evaluate.roll(stepper, x, plan.origins, recording.known, targets)
    us = 1e6 * (time.process_time() - begun) / x.shape[0] / x.shape[1]
    # (N, S, C, H, Q): each level as the points.
    units, anchors = unit[:, :targets, None], anchor[:, :targets, None]
    quantiles = [plan.in_z(rolled.quantiles[..., k] * units + anchors) for k in range(len(plan.levels))]
    del rolled
    season = plan.panel.season if plan.panel.season > 1 else 0
    served = serve(manifest, stepper, recording, plan.origins, season, progress)
    forecasts = Forecasts(
        value=plan.in_z(served.value),
        quantiles=np.stack(quantiles, axis=-1),
        interval=(plan.in_z(served.lower), plan.in_z(served.upper)),
    )
    entrant = score(NAME, forecasts, plan, _cost(model, us, served.model_share, x.shape[1]), model.seed)
    return dataclasses.replace(
        entrant, growth=_growth(model, stepper, x, recording.known),
        caution=exposure.caution(manifest, plan) if model.is_given else "",
    )  # fmt: skip


def _growth(model: Model, stepper: TFLiteStepper, x: F32, known: F32 | None) -> growth.Growth | None:
    served, reference = model.manifest.default_variant, growth.REFERENCE
    carried = {variant.name: variant.file for variant in model.manifest.variants}
    if served == reference or reference not in carried:
        return None
    exact = TFLiteStepper(model.manifest, RUNTIME, model.files[carried[reference]])
    return growth.along(served, {reference: exact, served: stepper}, x, known)


def _cost(model: Model, us_per_reading: float, share: float, streams: int) -> dict[str, Any]:
    manifest = model.manifest
    return {
        "parameters": manifest.training.get("parameters"),
        "state_bytes": sum(int(np.prod(s.shape)) * np.dtype(s.dtype).itemsize for s in manifest.state),
        "us_per_reading": us_per_reading,
        "peak_bytes": footprint.peak_bytes(manifest, model.files, streams),
        "train_cpu_s": model.train_cpu_s,
        "model_share": share,
    }
