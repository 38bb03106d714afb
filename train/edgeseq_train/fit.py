"""From grid values to a trained network: settle, track, ridge, train."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np

from edgeseq.core import features
from edgeseq.core.network import NetworkSpec
from edgeseq.core.types import F32, F64
from edgeseq.errors import ConfigError, InputError
from edgeseq_train import prepare, ridge, seasons, taps
from edgeseq_train.history import Note
from edgeseq_train.recipe import Recipe, SplitRecipe

COLD_RUNS = 16
FULL_OUTPUTS = 400
"""A head with more outputs per channel is factored: leads are alike …"""
HEAD_RANK = 24
"""… and so many patterns over leads and levels suffice, with a quarter of the weights."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Values on the grid."""

    values: F64
    """(T, S, C): S streams of C channels; NaN where missing."""
    names: tuple[str, ...]
    """Of the S·C columns."""
    period_ns: int


@dataclass(frozen=True, slots=True)
class Split:
    """Rows [0, train), [train, validation), [validation, test)."""

    train: int
    validation: int
    test: int


@dataclass(frozen=True, slots=True)
class Fitted:
    """What training leaves."""

    spec: NetworkSpec
    weights: dict[str, F32]
    anchor: F64
    """(S, C)"""
    unit: F64
    ridge_weights: F64
    """(R, H)"""
    summary: dict[str, object]
    notes: list[Note]
    """How training went; the first note is the start."""


def split_rows(rows: int, recipe: SplitRecipe) -> Split:
    """Cut by time. Fractions of the rows, or row counts where all are > 1.

    >>> split_rows(100, SplitRecipe())
    Split(train=60, validation=80, test=100)
    """
    sizes = (recipe.train, recipe.validation, recipe.test)
    if any(s <= 0 for s in sizes):
        raise ConfigError(
            "a part of the split is empty", where="recipe: [split]", found=str(sizes), wanted="all > 0"
        )
    if all(s > 1 for s in sizes):
        a, b, c = (int(s) for s in sizes)
    else:
        a, b, c = (round(rows * s) for s in sizes)
    if a + b + c > rows + 2:
        raise ConfigError(
            "the split needs more rows than there are",
            where="recipe: [split]",
            found=f"{rows} rows",
            wanted=f"{a}+{b}+{c}",
        )
    return Split(a, a + b, min(a + b + c, rows))


def naive_error(x: F32, lag: int) -> F64:
    """Mean |x_t - x_{t-lag}| of the training part (S, C): the denominator of MASE."""
    moved = np.abs(x[lag:].astype(np.float64) - x[:-lag])
    return np.asarray(np.maximum(np.nanmean(moved, axis=0), 1e-4))


def fit(
    recording: Recording,
    horizon: int,
    recipe: Recipe,
    progress: Callable[..., None],
    say: Callable[[str], None],
) -> Fitted:
    """Train a network on the training part; everything is chosen on the validation part."""
    begun = time.perf_counter()
    split = split_rows(len(recording.values), recipe.split)
    _check_length(recording, split, horizon)
    anchor, unit = prepare.settle(recording.values[: split.train], recording.names)
    x = features.normalise(recording.values[: split.validation], anchor, unit)
    found = recipe.front.seasons
    if found is None:
        found = seasons.detect(recording.values[: split.train], recording.period_ns)
    spec, kept, solution, parts, running = _front(x, split, horizon, found, recipe)
    weights, rows = _rows(spec, kept, x, split, solution, parts, running, recipe)
    spec = rows.spec
    say(f"ridge on {spec.ring} lags, seasons {list(spec.seasons)}, {time.perf_counter() - begun:.1f} s")
    from edgeseq_train.loop import Trainer, initial_weights

    weights |= initial_weights(spec, np.random.default_rng(recipe.seed))
    weights["head.bias"] = _head_bias(spec)
    trainer = Trainer(rows, weights, solution.error, recipe.training, recipe.seed)
    best, notes = trainer.fit(progress)
    first, last = notes[0].validation_loss, min(n.validation_loss for n in notes)
    parameters = sum(a.size for a in best.values())
    summary: dict[str, object] = {
        "parameters": parameters,
        "steps": notes[-1].step,
        "validation_loss": last,
        "ridge_validation_loss": first,
        "recurrent": last < first,
        "seconds": round(time.perf_counter() - begun, 1),
    }
    return Fitted(spec, best, anchor, unit, solution.weights, summary, notes)


def _check_length(recording: Recording, split: Split, horizon: int) -> None:
    steps, least = len(recording.values), 4 * horizon + 200
    if split.train >= least:
        return
    share = max(split.train, 1) / steps
    wanted = math.ceil(least / share)
    day_ns = 86_400 * 10**9
    raise InputError(
        "the training part is too short",
        found=f"{split.train} steps, {100 * share:.0f} % of the recording's {steps}"
        f" ({steps * recording.period_ns / day_ns:.1f} days)",
        wanted=f"at least {least} steps for a horizon of {horizon}: a recording of {wanted} steps",
        do=f"record for {math.ceil(wanted * recording.period_ns / day_ns)} days, or forecast less far",
    )


def _front(
    x: F32, split: Split, horizon: int, found: tuple[int, ...], recipe: Recipe
) -> tuple[NetworkSpec, prepare.Track, ridge.Ridge, list[ridge.Part], list[F64]]:
    """Choose the ring: run the front, solve ridge on each candidate, keep the best on validation."""
    asked = recipe.front.ring
    rings = (asked,) if asked else seasons.ring_candidates(found, split.train)
    usable = tuple(s for s in found if s < rings[-1])
    half_life = recipe.front.half_life or min(7.0 * (usable[-1] if usable else 24), split.train / 8)
    spec = NetworkSpec(
        cell=recipe.cell.kind, layers=recipe.cell.layers, units=recipe.cell.units, channels=x.shape[2],
        horizon=horizon, levels=recipe.levels, ring=rings[-1], seasons=usable, half_life=min(half_life, 6000.0), taps=1,
    )  # fmt: skip
    kept = prepare.track(spec, x)
    columns = [(s, c) for s in range(x.shape[1]) for c in range(x.shape[2])]
    parts = [
        ridge.Part(
            kept.clean[:, s, c].astype(np.float64), x[:, s, c].astype(np.float64),
            float(kept.clean[: split.train, s, c].std()), split.train,
        )
        for s, c in columns
    ]  # fmt: skip
    running = [np.sqrt(kept.variance[:, s, c].astype(np.float64)) for s, c in columns]
    m = ridge.moments(parts, rings[-1], horizon)
    solutions = [ridge.solve(m, parts, r, horizon, tuple(s for s in usable if s < r)) for r in rings]
    # A longer ring must pay: half a per cent of error for its state.
    score = [np.log(s.error).mean() + np.log(s.error[0]) * 0.5 for s in solutions]
    k = next(i for i, s in enumerate(score) if s <= min(score) + 0.005)
    ring = rings[k]
    spec = msgspec.structs.replace(spec, ring=ring, seasons=tuple(s for s in usable if s < ring))
    return spec, kept, solutions[k], parts, running


def _rows(
    spec: NetworkSpec, kept: prepare.Track, x: F32, split: Split, solution: ridge.Ridge, parts: list[ridge.Part],
    running: list[F64], recipe: Recipe,
) -> tuple[dict[str, F32], prepare.Rows]:  # fmt: skip
    """Make the fixed weights and the training rows."""
    sample = []
    for p, scale in zip(parts, running, strict=True):
        index = np.arange(spec.ring - 1, split.train, max(1, split.train // 1000))
        sample.append(
            ridge.differences(p.clean, spec.ring, spec.ring - 1, split.train, max(1, split.train // 1000))
            / scale[index, None]
        )
    matrix = taps.taps(spec.ring, spec.seasons, solution.weights, np.concatenate(sample))
    rank = HEAD_RANK if spec.outputs > FULL_OUTPUTS else 0
    spec = msgspec.structs.replace(spec, taps=matrix.shape[1], rank=rank)
    weights = {
        "taps": matrix,
        "next": solution.weights[:, :1].astype(np.float32),
        "roughness": taps.roughness(spec.ring),
        "lead_scale": ridge.lead_scale(solution.weights, parts, running, spec.ring, spec.horizon),
        "highway": solution.weights.astype(np.float32),
    }
    lag = spec.seasons[0] if spec.seasons else 1
    naive = naive_error(x[: split.train], lag)
    pieces = [(kept, x, naive, split.train, False)]
    if recipe.training.cold_share > 0:
        rng = np.random.default_rng(recipe.seed)
        length = min(spec.ring + 2 * recipe.training.segment + spec.horizon, split.train // 2)
        cold, stream = prepare.cold_starts(x[: split.train], length, COLD_RUNS, rng)
        pieces.append((prepare.track(spec, cold), cold, naive[stream], length, True))
    rows = prepare.assemble(spec, pieces)
    rows.seen = np.minimum(rows.seen, spec.ring)
    prepare.fill_features(rows, weights)
    return weights, rows


def _head_bias(spec: NetworkSpec) -> F32:
    """Start the widths so that the levels stand at a Laplace distribution's distances, in mean absolute errors."""
    levels = np.array(spec.levels)
    at = np.where(levels < 0.5, np.log(2 * levels), -np.log(2 * (1 - levels)))
    widths = np.diff(at)
    bias = np.zeros((spec.horizon, len(levels) + 1))
    bias[:, 2:] = np.log(np.expm1(widths))
    return bias.reshape(-1).astype(np.float32)
