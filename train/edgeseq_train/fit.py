"""From grid values to a trained network: settle, track, ridge, train."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edgeseq.core.network import NetworkSpec
from edgeseq.core.types import F32, F64
from edgeseq_train import prepare, ridge, seasons, taps
from edgeseq_train.checkpoint import Checkpoint
from edgeseq_train.fronts import Front, lag_choices, settled_front
from edgeseq_train.history import Note
from edgeseq_train.lengths import check_length, check_parts
from edgeseq_train.parts import Recording, Split, naive_error, split_rows
from edgeseq_train.recipe import Recipe

if TYPE_CHECKING:  # TensorFlow takes seconds to import
    from edgeseq_train.loop import Trainer

COLD_RUNS = 16
FULL_OUTPUTS = 400
"""A head with more outputs per channel is factored: leads are alike …"""
HEAD_RANK = 24
"""… and so many patterns over leads and levels suffice, with a quarter of the weights."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """What training leaves."""

    spec: NetworkSpec
    weights: dict[str, F32]
    anchor: F64
    """(S, C)"""
    unit: F64
    ridge: ridge.Ridge
    summary: dict[str, object]
    notes: list[Note]
    """How training went; the first note is the start."""


def fit(
    recording: Recording,
    horizon: int,
    recipe: Recipe,
    progress: Callable[..., None],
    say: Callable[[str], None],
    checkpoint: Checkpoint | None = None,
    shown: Callable[[Trainer], None] = lambda _: None,
) -> Fitted:
    """Train a network on the training part; everything is chosen on the validation part.

    checkpoint: where to keep how far training is, and whether to go on from there.
    shown: is given the trainer before it trains; may raise, where that need not be.
    """
    begun = time.perf_counter()
    split = split_rows(len(recording.values), recipe.split)
    check_length(
        len(recording.values),
        split.train,
        recording.period_ns,
        horizon,
        recipe.front.seasons,
        recipe.front.ring,
    )
    check_parts(recording, split, horizon)
    choices = lag_choices(recording, split, horizon, recipe)
    settled = settled_front(recording, split, horizon, choices, recipe)
    weights, rows = _rows(settled.front, settled.x, split, recipe, recording)
    spec = rows.spec
    reach = f"{len(spec.lags)} lags" if spec.segments else f"{spec.ring} lags"
    say(f"ridge on {reach}, seasons {list(spec.seasons)}, {time.perf_counter() - begun:.1f} s")
    reachable = tuple(season for _, usable in choices for season in usable)
    for text in seasons.unused(recipe.front.seasons or (), spec.seasons, spec.ring, reachable):
        say(text)
    from edgeseq_train.course import train
    from edgeseq_train.initial import initial_weights
    from edgeseq_train.loop import Trainer

    weights |= initial_weights(spec, np.random.default_rng(recipe.seed))
    weights["head.bias"] = _head_bias(spec)
    trainer = Trainer(rows, weights, settled.front.solution.error, recipe.training, recipe.seed)
    shown(trainer)
    best, notes = train(trainer, progress, say, checkpoint)
    summary = _summary(best, notes, time.perf_counter() - begun)
    return Fitted(spec, best, settled.anchor, settled.unit, settled.front.solution, summary, notes)


def _summary(best: dict[str, F32], notes: list[Note], seconds: float) -> dict[str, object]:
    """Say what training came to, as the manifest holds it."""
    first, last = notes[0].validation_loss, min(n.validation_loss for n in notes)
    return {
        "parameters": sum(a.size for a in best.values()),
        "steps": notes[-1].step,
        "validation_loss": last,
        "ridge_validation_loss": first,
        "recurrent": last < first,
        "seconds": round(seconds, 1),
    }


def _rows(
    front: Front, x: F32, split: Split, recipe: Recipe, recording: Recording
) -> tuple[dict[str, F32], prepare.Rows]:
    """Make the fixed weights and the training rows."""
    spec, solution, parts, running = front.spec, front.solution, front.parts, front.running
    sample = []
    for p, scale in zip(parts, running, strict=True):
        first, step = spec.ring - 1, max(1, split.train // 1000)
        d = ridge.differences(p.clean, spec.lags, first, split.train, step)
        sample.append(d / scale[first : split.train : step, None])
    matrix = taps.taps(spec.lags, spec.recent, spec.seasons, solution.weights, np.concatenate(sample))
    rank = HEAD_RANK if spec.outputs > FULL_OUTPUTS and not spec.decoder else 0
    known = 0 if recording.known is None else recording.known.shape[1]
    covariates = spec.channels - recording.target_channels
    spec = msgspec.structs.replace(spec, taps=matrix.shape[1], rank=rank, known=known, covariates=covariates)
    weights = {
        "taps": matrix,
        "next": solution.weights[:, :1].astype(np.float32),
        "roughness": taps.roughness(spec.recent),
        "lead_scale": ridge.lead_scale(solution.weights, parts, running, spec.lags, spec.horizon),
        "highway": solution.weights.astype(np.float32),
    }
    lag = spec.seasons[0] if spec.seasons else 1
    naive = naive_error(x[: split.train], lag)
    # Covariates are inputs only: no error of theirs counts.
    naive[:, recording.target_channels :] = np.inf
    pieces = [prepare.Piece(front.kept, x, naive, split.train, recording.known)]
    if recipe.training.cold_share > 0:
        rng = np.random.default_rng(recipe.seed)
        length = min(spec.ring + 2 * recipe.training.segment + spec.horizon, split.train // 2)
        pieces += prepare.cold_starts(spec, pieces[0], length, COLD_RUNS, rng)
    rows = prepare.assemble(spec, pieces)
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
