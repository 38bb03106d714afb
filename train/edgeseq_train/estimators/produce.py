"""From a fitted estimator to a bundle: export, roll out in the real runtime, score beside the peers, describe."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np

from edgeseq.adapters.interpreter import runtime_fault
from edgeseq.adapters.interpreter.hushed import hushed
from edgeseq.adapters.interpreter.steppers import TFLiteStepper
from edgeseq.bundle import GOLDEN, WEIGHTS, Channel, Manifest, Variant
from edgeseq.bundle.archive import dump_arrays
from edgeseq.bundle.golden import Golden, dump_golden, golden_difference
from edgeseq.core import features
from edgeseq.core.forecast import Stepper, initial_state
from edgeseq.core.types import F32, F64
from edgeseq_train import export
from edgeseq_train.estimators import peers, scores
from edgeseq_train.estimators.fit import FittedEstimator
from edgeseq_train.estimators.judged import Judged
from edgeseq_train.estimators.labels import Labelled
from edgeseq_train.parts import split_rows
from edgeseq_train.produce import (
    RUNTIMES,
    TOLERANCE_FLOOR,
    TOLERANCE_MARGIN,
    digest_of,
    draft,
    file_of,
    golden_rollout,
)
from edgeseq_train.recipe import Recipe

Measures = dict[str, Any]


class Produced(NamedTuple):
    """A bundle's two halves, and what was said while it was measured."""

    manifest: Manifest
    files: dict[str, bytes]
    judged: Judged


def produce(
    labelled: Labelled, fitted: FittedEstimator, recipe: Recipe, name: str, say: Callable[[str], None]
) -> Produced:
    """Make manifest and files of the bundle; the test part is read here, once."""
    with hushed(lambda _: True):
        models = export.variants(fitted.spec, fitted.weights)
        runtime_fault("litert")
    say(f"exported {', '.join(f'{k} {len(m) / 1000:.0f} kB' for k, m in models.items())}")
    split = split_rows(len(labelled.truth), recipe.split)
    x = features.normalise(labelled.inputs.values[: split.test, 0], fitted.anchor, fitted.scale)
    golden = golden_rollout(fitted.spec, fitted.weights, x[: split.validation, None])
    golden = dataclasses.replace(golden, scale=np.ones((len(golden.x), 1), np.float32))
    weights = dump_arrays(fitted.weights)
    manifest = _described(labelled, fitted, recipe, name, weights, models)
    judged, values = slice(split.validation, split.test), labelled.inputs.values[: split.test, 0]
    rivals = {name: peer(values)[judged] for name, peer in peers.fit(labelled, split).items()}
    rows = [{"estimator": name, **score(said, labelled, judged)} for name, said in rivals.items()]
    measured, variants, answers = measure(manifest, models, x, labelled, judged, golden)
    manifest = msgspec.structs.replace(
        manifest,
        variants=variants,
        training={
            **manifest.training, "data": digest_of(labelled.inputs), "rows": len(labelled.truth),
            "split": {"train": split.train, "validation": split.validation, "test": split.test},
            **fitted.summary, "table": rows + measured,
        },
    )  # fmt: skip
    files = {WEIGHTS: weights, GOLDEN: dump_golden(golden), **{file_of(k): m for k, m in models.items()}}
    truth = labelled.truth[judged]
    known = np.isfinite(truth)
    said = Judged(fitted.target, truth[known], answers[known], {n: a[known] for n, a in rivals.items()})
    return Produced(manifest, files, said)


def _described(
    labelled: Labelled, fitted: FittedEstimator, recipe: Recipe, name: str, weights: bytes, models: Mapping[str, bytes]
) -> Manifest:  # fmt: skip
    recording = labelled.inputs
    units = recording.units or (None,) * len(recording.names)
    scales = zip(recording.names, units, fitted.anchor.tolist(), fitted.scale.tolist(), strict=True)
    manifest = draft(recording, fitted.spec, recipe, name, weights, models)
    return msgspec.structs.replace(
        manifest, channels=tuple(Channel(*named) for named in scales), target=fitted.target, covariates=0
    )


def measure(
    manifest: Manifest, models: Mapping[str, bytes], x: F32, labelled: Labelled, judged: slice, golden: Golden
) -> tuple[list[Measures], tuple[Variant, ...], F64]:
    """Step every variant through x (T, C) from the start; score the judged part → table rows and variants.

    Last comes what the default variant said there (n, Q or N), in the target's unit.
    """
    rows, variants = [], []
    answers: dict[str, F64] = {}
    exact: F64 | None = None
    for name, model in models.items():
        stepper = TFLiteStepper(manifest, "litert", model)
        said = roll(stepper, x)
        exact = said if exact is None else exact
        apart = np.abs(said - exact)[judged]
        answers[name] = in_units(said[judged], manifest)
        scored = score(answers[name], labelled, judged, manifest.levels)
        size = {"kb": round(len(model) / 1000), "difference": float(apart.max())}
        rows.append({"estimator": f"model {name}", **scored, **size})
        proof = golden_difference(stepper, golden)
        variants.append(
            Variant(
                name=name, file=file_of(name), sha256="", bytes=len(model), runtimes=RUNTIMES, loss=scored["loss"],
                tolerance=max(TOLERANCE_FLOOR, TOLERANCE_MARGIN * proof), max_difference=float(apart.max()),
                p999_difference=float(np.quantile(apart, 0.999)),
            )
        )  # fmt: skip
    return rows, tuple(variants), answers[manifest.default_variant]


def roll(stepper: Stepper, x: F32) -> F64:
    """Step through x (T, C), one reading at a time from the initial state → what is said (T, Q or N)."""
    state, told = initial_state(stepper.state_spec, 1), []
    for row in x:
        said, state = stepper.step(row[None], state)
        told.append(said[0, 0, 0])
    return np.array(told, dtype=np.float64)


def in_units(said: F64, manifest: Manifest) -> F64:
    """Turn quantiles (n, Q) into the target's unit; probabilities stay as they are."""
    target = manifest.target
    return said if target is None or target.classes else target.anchor + target.scale * said


def score(said: F64, labelled: Labelled, judged: slice, levels: tuple[float, ...] = ()) -> Measures:
    """Score what was said of the judged part, where the truth is known.

    said: (n, N) probabilities, (n, 1) numbers, or (n, Q) quantiles at levels. `loss` is what training makes small: log
    loss, or pinball loss × 2 in the target's unit.
    """
    truth = labelled.truth[judged]
    known = np.isfinite(truth)
    said, truth = said[known], truth[known]
    if labelled.target.classes:
        measured = scores.of_classes(said, truth.astype(int))
        return {**measured, "loss": measured["log_loss"]}
    if not levels:
        return {**scores.of_numbers(said[:, 0], truth), "loss": scores.pinball(said, truth, (0.5,))}
    measured = scores.of_numbers(said[:, len(levels) // 2], truth, said[:, 0], said[:, -1])
    return {**measured, "loss": scores.pinball(said, truth, levels)}
