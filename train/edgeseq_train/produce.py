"""From a trained network to a bundle: export, roll out in the real runtime, compare, prove, describe."""

from __future__ import annotations

import datetime as dt
import hashlib
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, NamedTuple

import msgspec
import numpy as np

from edgeseq.adapters.interpreter import runtime_fault
from edgeseq.adapters.interpreter.hushed import hushed
from edgeseq.adapters.interpreter.steppers import TFLiteStepper
from edgeseq.bundle import GOLDEN, WEIGHTS, Channel, Manifest, SchemaVersion, Variant, bundle_id
from edgeseq.bundle.archive import dump_arrays
from edgeseq.bundle.golden import Golden, dump_golden, golden_difference, golden_steps
from edgeseq.core import features, network
from edgeseq.core.forecast import initial_state
from edgeseq.core.network import NetworkSpec, NetworkStepper
from edgeseq.core.types import F32
from edgeseq_train import evaluate, export, ladder, prepare, serving
from edgeseq_train.fit import Fitted
from edgeseq_train.parts import Recording, Split, naive_error, split_rows
from edgeseq_train.recipe import Recipe

DEFAULT_VARIANT = "int8_weights"
"""Until it is chosen by what was measured (`ladder`)."""
RUNTIMES = ("litert", "tflite")
"""Both know every operation of the graph; each device proves its own by the golden roll-out before it serves."""
GOLDEN_STEPS = 320
GOLDEN_SPIKE = (200, 25.0)
"""Step and height in running scales."""
GOLDEN_MISSING = 0.05
TOLERANCE_MARGIN = 2.0
"""Another processor may round otherwise: the tolerance is this much above what was measured here …"""
TOLERANCE_FLOOR = 1e-4
"""… and at least so much of a running scale."""

Measures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Forecasts:
    """What was forecast at the origins of the test part, for whoever wants to look closer; all in x."""

    x: F32
    """(T, S, C): the whole recording; here C are the channels that are forecast."""
    origins: slice
    """Of T; its length is N."""
    truth: evaluate.Truth
    peers: dict[str, F32]
    """Name → (N, S, C, H)."""
    quantiles: F32
    """(N, S, C, H, Q) of the default variant."""
    before: F32 | None = None
    """(W, S, C, H) medians of the W origins before, by which a device learns to blend; None: they were not kept."""


class Produced(NamedTuple):
    """A bundle's two halves, and what was forecast while it was measured."""

    manifest: Manifest
    files: dict[str, bytes]
    forecasts: Forecasts


def produce(
    recording: Recording, fitted: Fitted, recipe: Recipe, name: str, say: Callable[[str], None]
) -> Produced:
    """Make manifest and files of the bundle; the test part is read here, once."""
    spec = fitted.spec
    # Converter, quantizer and the first interpreter chat, each in its own way; what they say is told if they fail.
    with hushed(lambda _: True):
        models = export.variants(spec, fitted.weights, recipe.quantization.variants)
        runtime_fault("litert")
    say(f"exported {', '.join(f'{k} {len(m) / 1000:.0f} kB' for k, m in models.items())}")
    split = split_rows(len(recording.values), recipe.split)
    x = features.normalise(recording.values[: split.test], fitted.anchor, fitted.unit)
    known = None if recording.known is None else recording.known[: split.test]
    golden = golden_rollout(
        spec, fitted.weights, x[: split.validation], None if known is None else known[: split.validation]
    )
    weights = dump_arrays(fitted.weights)
    manifest = draft(recording, spec, recipe, name, weights, models)
    rungs = climb(manifest, models, x, known, split, recipe, recording.target_channels)
    bounds = ladder.Bounds(recipe.quantization.loss_percent, recipe.quantization.difference)
    chosen = ladder.choose(rungs, bounds)
    say(f"the default is {chosen.told}")
    manifest = msgspec.structs.replace(manifest, default_variant=chosen.name)
    rows, measured, forecasts = measure(
        manifest, models, x, known, split.train, split.validation, fitted, golden, recording.target_channels
    )
    manifest = msgspec.structs.replace(
        manifest,
        variants=tuple(v for v in measured if v.name in recipe.quantization.variants),
        training={
            **manifest.training, "data": digest_of(recording), "rows": len(recording.values),
            "split": {"train": split.train, "validation": split.validation, "test": split.test},
            **fitted.summary, "table": rows, "ladder": [rung._asdict() for rung in rungs],
        },
    )  # fmt: skip
    carried = {v.file: models[v.name] for v in manifest.variants}
    return Produced(manifest, {WEIGHTS: weights, GOLDEN: dump_golden(golden), **carried}, forecasts)


def climb(
    manifest: Manifest, models: Mapping[str, bytes], x: F32, known: F32 | None, split: Split, recipe: Recipe,
    targets: int,
) -> list[ladder.Rung]:  # fmt: skip
    """Measure the carried variants on the validation part, in the real runtime."""
    wanted = recipe.quantization.variants
    compared = dict.fromkeys(("float32", *wanted))
    steppers = {str(name): TFLiteStepper(manifest, "litert", models[name]) for name in compared}
    naive = naive_error(x[: split.train, :, :targets], manifest.seasons[0] if manifest.seasons else 1)
    sizes = {name: len(models[name]) for name in steppers}
    rungs = ladder.climb(steppers, sizes, x, naive, slice(split.train, split.validation), known)
    return [rung for rung in rungs if rung.name in wanted]


def file_of(variant: str) -> str:
    """Name the file of a variant."""
    return f"{variant}.tflite"


def digest_of(recording: Recording) -> str:
    """Digest what was trained on."""
    known = b"" if recording.known is None else np.ascontiguousarray(recording.known).tobytes()
    return hashlib.sha256(np.ascontiguousarray(recording.values).tobytes() + known).hexdigest()


def newest_of(recording: Recording) -> str:
    """Tell when the recording ends: what a model knows of; the clock would make every bundle another."""
    if recording.start_ns is None:
        return "unknown"
    end_ns = recording.start_ns + (len(recording.values) - 1) * recording.period_ns
    return dt.datetime.fromtimestamp(end_ns // 10**9, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def draft(
    recording: Recording,
    spec: NetworkSpec,
    recipe: Recipe,
    name: str,
    weights: bytes,
    models: Mapping[str, bytes],
) -> Manifest:
    """Describe the model; what is measured comes later."""
    described = msgspec.to_builtins(spec)
    channels = recording.channels or (recording.names if recipe.multichannel else ("value",))
    return Manifest(
        schema=SchemaVersion(),
        bundle_id=bundle_id(weights, described),
        name=name,
        version=version("edgeseq"),
        created=newest_of(recording),
        period_ns=recording.period_ns,
        aggregate=recipe.aggregate,
        horizon=spec.horizon,
        levels=spec.levels,
        seasons=spec.seasons,
        channels=tuple(Channel(c, unit) for c, unit in zip(channels, recording.channel_units, strict=True)),
        known=recording.known_names,
        state=network.state_spec(spec),
        signatures=export.signatures(models["float32"], spec),
        variants=(),
        default_variant=DEFAULT_VARIANT,
        network=described,
        ring=spec.ring,
        golden_steps=GOLDEN_STEPS,
        kind=recipe.recording.kind or "gauge",
        columns=tuple(map(Channel, recording.names, recording.units or (None,) * len(recording.names))),
        covariates=len(channels) - recording.target_channels,
        inputs=recording.inputs,
        training={
            "seed": recipe.seed, "recipe": msgspec.to_builtins(recipe), "columns": list(recording.names),
            "versions": {p: version(p) for p in ("tensorflow-cpu", "ai-edge-quantizer", "ai-edge-litert", "numpy")
                         if _installed(p)} | {"python": platform.python_version()},
        },
    )  # fmt: skip


def _installed(package: str) -> bool:
    from importlib.metadata import PackageNotFoundError

    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def golden_rollout(spec: NetworkSpec, weights: Mapping[str, F32], x: F32, known: F32 | None = None) -> Golden:
    """Roll the float64 oracle from the start over real values of the first stream, with gaps and a spike put in.

    x (T, S, C) and known (T, K), of which the last steps are taken.
    """
    start = max(0, len(x) - GOLDEN_STEPS)
    taken = np.resize(x[start:, 0], (GOLDEN_STEPS, spec.channels)).copy()
    gaps = np.random.default_rng(0).random(taken.shape) < GOLDEN_MISSING
    taken[gaps] = np.nan
    step, height = GOLDEN_SPIKE
    taken[step] = np.nanmean(taken, axis=0) + height * np.maximum(np.nanstd(taken, axis=0), 0.1)
    stepper = NetworkStepper(spec, weights, np.float64)
    ahead = None if known is None else np.resize(known[start:], (GOLDEN_STEPS + spec.horizon, spec.known))
    state: tuple[Any, ...] = initial_state(stepper.state_spec, 1)
    names = [s.name for s in stepper.state_spec]
    kept = golden_steps(GOLDEN_STEPS)
    quantiles, scales, states = [], [], []
    for t, row in enumerate(taken):
        q, state = stepper.step(
            row[None], state, None if ahead is None else ahead[None, t : t + 1 + spec.horizon]
        )
        quantiles.append(q[0])
        scales.append(np.sqrt(state[names.index("variance")][0]))
        if t in kept:
            states.append(state)
    return Golden(
        x=taken,
        quantiles=np.stack(quantiles).astype(np.float32),
        scale=np.stack(scales).astype(np.float32),
        state_steps=kept,
        states={n: np.stack([s[k][0] for s in states]).astype(np.float32) for k, n in enumerate(names)},
        known=ahead,
    )


def measure(
    manifest: Manifest, models: Mapping[str, bytes], x: F32, known: F32 | None, train: int, validation: int,
    fitted: Fitted, golden: Golden, targets: int,
) -> tuple[list[Measures], tuple[Variant, ...], Forecasts]:  # fmt: skip
    """Roll out every variant and every rival over the test part → table rows, variants, and what was forecast.

    Only the first `targets` channels are forecast; the others of x are inputs.
    """
    spec = fitted.spec
    wanted = evaluate.origins(validation, len(x), spec.horizon)
    y = x[:, :, :targets]
    mase = naive_error(y[:train], spec.seasons[0] if spec.seasons else 1)
    truth = evaluate.truth(y, wanted, spec.horizon, mase, fitted.unit[:, :targets])
    peers = rivals(fitted, x, wanted, targets)
    rows: list[Measures] = [{"forecaster": name, **evaluate.errors(f, truth)} for name, f in peers.items()]
    variants, quantiles, reference, before = [], {}, None, None
    warm = wanted.start - serving.widened(wanted).start
    for name, model in models.items():
        stepper = TFLiteStepper(manifest, "litert", model)
        is_default = name == manifest.default_variant
        rolled = evaluate.roll(stepper, x, serving.widened(wanted) if is_default else wanted, known, targets)
        if is_default:  # the others would take as much memory again
            before = rolled.quantiles[:warm, ..., len(spec.levels) // 2].copy()
            rolled = evaluate.Rollout(rolled.quantiles[warm:], rolled.scale[warm:])
            quantiles[name] = rolled.quantiles
        reference = reference or rolled
        row = _scored(rolled, reference, truth, spec.levels)
        rows.append({"forecaster": f"model {name}", **row, "kb": round(len(model) / 1000)})
        variants.append(_variant(name, model, row, golden_difference(stepper, golden)))
    forecasts = Forecasts(y, wanted, truth, peers, quantiles[manifest.default_variant], before)
    return rows, tuple(variants), forecasts


def _scored(
    rolled: evaluate.Rollout, reference: evaluate.Rollout, truth: evaluate.Truth, levels: tuple[float, ...]
) -> Measures:
    """Measure what a variant said, also against the reference, the first variant."""
    largest, p999 = evaluate.difference(rolled, reference)
    return {
        **evaluate.errors(rolled.quantiles[..., len(levels) // 2], truth),
        "loss": evaluate.pinball(rolled.quantiles, truth, levels),
        "difference": {"max": largest, "p999": p999},
        "coverage": evaluate.coverage(rolled.quantiles, truth),
    }


def _variant(name: str, model: bytes, row: Measures, proof: float) -> Variant:
    """Describe a variant for the manifest; proof: its largest difference from the golden rollout."""
    return Variant(
        name=name, file=file_of(name), sha256="", bytes=len(model), runtimes=RUNTIMES,
        tolerance=max(TOLERANCE_FLOOR, TOLERANCE_MARGIN * proof), loss=row["loss"], mase=row["mase"],
        max_difference=row["difference"]["max"], p999_difference=row["difference"]["p999"],
    )  # fmt: skip


def rivals(fitted: Fitted, x: F32, wanted: slice, targets: int) -> dict[str, F32]:
    """Forecast by persistence, the seasonal naive ways and ridge at the same origins → name, (N, S, targets, H)."""
    spec, y = fitted.spec, x[:, :, :targets]
    forecasts = {"persistence": evaluate.persistence(y, wanted, spec.horizon)}
    for season in spec.seasons:
        forecasts[f"seasonal naive {season}"] = evaluate.seasonal_naive(y, wanted, spec.horizon, season)
    clean = prepare.track(spec, x).clean[:, :, :targets]
    r = fitted.ridge
    forecasts[f"ridge {len(spec.lags)}"] = evaluate.ridge_forecast(clean, r.lags, r.weights, wanted)
    return forecasts
