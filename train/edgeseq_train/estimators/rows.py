"""From a labelled recording to training rows: scales, the front's features, and the truth beside each row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeseq.core import features
from edgeseq.core.durations import UNITS_NS
from edgeseq.core.layers import LayerSpec, kind_of, shapes
from edgeseq.core.network import NetworkSpec
from edgeseq.core.types import F32, F64, Target
from edgeseq.errors import ConfigError, InputError
from edgeseq_train import prepare, taps
from edgeseq_train.estimators.labels import Labelled
from edgeseq_train.parts import Split
from edgeseq_train.recipe import Recipe

RING_STEPS = 96
"""Steps kept: the cell carries what lies further back."""
MEANS = (4, 16, 64)
"""Readings that the tapped means reach over."""
COLD_RUNS, COLD_STEPS = 24, 256
"""Stretches that begin anywhere, in which channels fall silent: so the model learns what it is to miss one."""
OUTAGES = 2
"""Of each such stretch."""
LEAST_STEPS = {"training": 200, "validation": 50, "test": 20}
"""With a known target."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What training needs to know."""

    rows: prepare.Rows
    truth: F32
    """(N,) target in its training unit, or class; NaN where unknown. Aligned with the rows."""
    fixed: dict[str, F32]
    """Weights that are not learned."""
    anchor: F64
    """(C,)"""
    scale: F64
    target: Target
    """With its anchor and scale."""


def prepare_rows(labelled: Labelled, split: Split, recipe: Recipe) -> Prepared:
    """Settle scales on the training part, run the front over training and validation part, lay the truth beside it.

    Raises:
        InputError: too short, a channel or target that never changes, or a class that training never meets.
        ConfigError: layers with memory where none is wanted.
    """
    values, truth = labelled.inputs.values[: split.validation], labelled.truth[: split.validation]
    _check(labelled, split)
    anchor, scale = settle(values[: split.train, 0], labelled.inputs.names)
    target, y = _scaled(labelled.target, truth, split.train)
    x = features.normalise(values, anchor, scale)
    spec = _spec(recipe, x.shape[2], target, split.train, labelled.inputs.period_ns)
    fixed = _fixed_weights(spec)
    pieces, told = _pieces(spec, x, y, split.train, np.random.default_rng(recipe.seed))
    rows = prepare.assemble(spec, pieces)
    prepare.fill_features(rows, fixed)
    laid = np.full(len(rows.clean), np.nan, np.float32)
    for run, labels in zip(rows.runs, told, strict=True):
        laid[run.start : run.stop] = labels
    return Prepared(rows, laid, fixed, anchor, scale, target)


def settle(values: F64, names: tuple[str, ...]) -> tuple[F64, F64]:
    """Give median and the power of two nearest to the standard deviation of channels (T, C).

    Of the whole training part, unlike a forecaster's: they never change again, so they may know all of it.
    """
    known = np.isfinite(values).sum(axis=0)
    spread = np.array([np.nanstd(c) if n else 0.0 for c, n in zip(values.T, known, strict=True)])
    for name, n, s in zip(names, known, spread, strict=True):
        if not s > 0:
            raise InputError(
                "a channel never changes in the training part",
                where=name,
                found=f"{n} valid values of {len(values)}",
                wanted="values that differ",
                do="leave the channel out with --columns",
            )
    return np.nanmedian(values, axis=0), np.exp2(np.round(np.log2(spread)))


def _scaled(target: Target, truth: F64, train: int) -> tuple[Target, F64]:
    if target.classes:
        return target, truth
    (anchor,), (scale,) = settle(truth[:train, None], (target.name,))
    return Target(target.name, target.unit, float(anchor), float(scale)), (truth - anchor) / scale


def _check(labelled: Labelled, split: Split) -> None:
    known = np.isfinite(labelled.truth)
    ends = {"training": split.train, "validation": split.validation, "test": split.test}
    start = 0
    for part, end in ends.items():
        found, least = int(known[start:end].sum()), LEAST_STEPS[part]
        if found < least:
            raise InputError(
                f"the {part} part is too short",
                where=labelled.target.name,
                found=f"{found} steps with a known target, of {end - start}",
                wanted=f"at least {least}",
                do="record for longer, or choose another --split",
            )
        start = end
    if labelled.target.classes:
        _check_classes(labelled.target, labelled.truth[: split.train][known[: split.train]])


def _check_classes(target: Target, labels: F64) -> None:
    met = np.unique(labels).astype(int)
    if len(met) > 1:
        return
    raise InputError(
        "the training part has only one class",
        where=target.name,
        found=", ".join(target.classes[k] for k in met),
        wanted="at least two of " + ", ".join(target.classes),
        do="record for longer, or choose another --split",
    )


# --- the network --------------------------------------------------------------------------------------------------


def _spec(recipe: Recipe, channels: int, target: Target, train: int, period_ns: int) -> NetworkSpec:
    ring = (recipe.front.ring or RING_STEPS) if recipe.memory else 2
    week = max(7 * UNITS_NS["d"] // period_ns, 168)
    spec = NetworkSpec(
        layers=_layers(recipe), channels=channels, horizon=1, levels=() if target.classes else recipe.levels,
        ring=min(ring, train // 2), seasons=(),
        half_life=min(recipe.front.half_life or float(week), train / 8, 6000.0),
        taps=max(1, sum(m <= ring for m in MEANS)), task="classify" if target.classes else "estimate",
        classes=len(target.classes), memory=recipe.memory,
    )  # fmt: skip
    if not recipe.memory:
        _check_memoryless(spec)
    return spec


def _layers(recipe: Recipe) -> tuple[LayerSpec, ...]:
    kind = recipe.cell.kind if recipe.memory else "dense"
    return recipe.layers or (LayerSpec(kind, recipe.cell.units),) * recipe.cell.layers


def _check_memoryless(spec: NetworkSpec) -> None:
    for layer, sizes in zip(spec.layers, shapes(spec.layers, spec.shape), strict=True):
        kind = kind_of(layer)
        if kind.sees_ring or kind.states(layer, sizes):
            raise ConfigError(
                "a layer remembers, but no memory is wanted",
                where="recipe: [[layers]]",
                found=layer.kind,
                wanted="dense layers",
                do="leave out --memoryless, or the layer",
            )


def _fixed_weights(spec: NetworkSpec) -> dict[str, F32]:
    """Tap means of the last readings; expect of each channel that it stays."""
    lags = spec.lags
    means = [np.where(lags < m, 1 / m, 0.0) for m in MEANS[: spec.taps] if m <= spec.ring] or [lags == 1]
    return {
        "taps": np.stack(means, axis=1).astype(np.float32),
        "next": np.zeros((len(lags), 1), np.float32),
        "roughness": taps.roughness(spec.recent),
        "lead_scale": np.ones(1, np.float32),
    }


# --- stretches ----------------------------------------------------------------------------------------------------


def _pieces(
    spec: NetworkSpec, x: F32, y: F64, train: int, rng: np.random.Generator
) -> tuple[list[prepare.Piece], list[F64]]:
    """Give the whole recording, then stretches of the training part with outages, each with its truth."""
    one = np.ones(x.shape[1:])
    whole = prepare.Piece(prepare.track(spec, x), x, one, train, None)
    length = min(COLD_STEPS, train // 2)
    starts = rng.integers(0, train - length + 1, COLD_RUNS)
    cut = np.stack([x[a : a + length, 0] for a in starts], axis=1)
    for k in range(COLD_RUNS):
        _silence(cut[:, k], rng)
    cold = prepare.Piece(
        prepare.track(spec, cut), cut, np.repeat(one, COLD_RUNS, axis=0), length, None, cold=True
    )
    return [whole, cold], [y, *(y[a : a + length] for a in starts)]


def _silence(x: F32, rng: np.random.Generator) -> None:
    """Let channels of a stretch (T, C) fall silent for a while, in place."""
    for _ in range(OUTAGES):
        channel, first = rng.integers(x.shape[1]), rng.integers(len(x))
        x[first : first + rng.integers(1, len(x) // 2), channel] = np.nan
