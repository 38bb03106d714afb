"""From grid values to a trained network: settle, track, ridge, train."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from edgeseq.core import features
from edgeseq.core.known import NO_INPUTS, KnownInputs
from edgeseq.core.layers import LayerSpec
from edgeseq.core.network import NetworkSpec
from edgeseq.core.types import F32, F64, I64
from edgeseq.errors import ConfigError
from edgeseq_train import prepare, ridge, seasons, taps
from edgeseq_train.checkpoint import Checkpoint
from edgeseq_train.history import Note
from edgeseq_train.lengths import check_length, check_parts
from edgeseq_train.recipe import Recipe, SplitRecipe

if TYPE_CHECKING:  # TensorFlow takes seconds to import
    from edgeseq_train.loop import Trainer

COLD_RUNS = 16
MOST_HIGHWAY_WEIGHTS = 60_000
"""Lags × leads that are chosen unasked: the whole network then stays below 100,000 weights."""
PAYS, PAYS_WITHOUT_SEASON = 0.005, 0.02
"""How much less error more lags must bring, for their state and weights. Lags far back say nothing certain where
there is no season: what they gain on one stretch they lose on the next."""
FULL_OUTPUTS = 400
"""A head with more outputs per channel is factored: leads are alike …"""
WILD = 1000.0
"""Typical changes in one: beyond, it is no change of what is measured."""
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
    units: tuple[str | None, ...] = ()
    """Of the S·C columns, as the source writes them; None where it does not know, empty where nobody asked."""
    start_ns: int | None = None
    """Time of the first step as the device names it (`core.align.origin_ns`), for calendars; None: unknown."""
    targets: int | None = None
    """Channels of each stream that are to be forecast, the first ones; the rest are covariates. None: all."""
    channels: tuple[str, ...] = ()
    """(C,) names of a stream's channels; empty where there is one, without a name of its own."""
    known: F32 | None = None
    """(T, K) inputs whose future is known, such as the calendar; None: there are none."""
    inputs: KnownInputs = NO_INPUTS
    """What those are."""

    @property
    def known_names(self) -> tuple[str, ...]:
        """Name the K inputs whose future is known."""
        return self.inputs.names

    @property
    def channel_units(self) -> list[str | None]:
        """Name the unit of each of a stream's channels (C): that of all its columns, None where they differ."""
        channels = self.values.shape[2]
        units = [set(self.units[c::channels]) for c in range(channels)]
        return [next(iter(own)) if len(own) == 1 else None for own in units]

    @property
    def target_channels(self) -> int:
        """Count the channels that are to be forecast."""
        return self.values.shape[2] if self.targets is None else self.targets


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
    ridge: ridge.Ridge
    summary: dict[str, object]
    notes: list[Note]
    """How training went; the first note is the start."""


def split_rows(rows: int, recipe: SplitRecipe) -> Split:
    """Cut by time. Fractions of the rows, or row counts where none is below 1.

    >>> split_rows(100, SplitRecipe())
    Split(train=60, validation=80, test=100)
    """
    sizes = (recipe.train, recipe.validation, recipe.test)
    if not all(0 < s < math.inf for s in sizes):
        raise ConfigError(
            "a part of the split is empty", where="recipe: [split]", found=str(sizes), wanted="all > 0"
        )
    if any(s > 1 for s in sizes) and any(s < 1 for s in sizes):
        raise ConfigError(
            "the split mixes counts and shares",
            where="--split, or recipe: [split]",
            found=", ".join(f"{s:g}" for s in sizes),
            wanted="three shares such as 0.6,0.2,0.2, or three counts of steps such as 8640,2880,2880",
            do=f"there are {rows} steps",
        )
    if all(s >= 1 for s in sizes):
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
    """Mean |x_t - x_{t-lag}| of the training part (S, C): the denominator of MASE.

    Where no two values lie a lag apart, such as every fifth step with a lag of 1, each is compared with the known one
    before it. What a broken sensor says once must not be what all errors are counted in: no difference counts as more
    than WILD typical ones.
    """
    moved = np.abs(x[lag:].astype(np.float64) - x[:-lag])
    known = np.isfinite(moved)
    for s, c in np.argwhere((moved > 0).any(axis=0)):
        column = moved[:, s, c]
        np.minimum(column, WILD * np.median(column[column > 0]), out=column)
    error = np.where(known, moved, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    for s, c in np.argwhere(~known.any(axis=0)):
        column = x[:, s, c].astype(np.float64)
        error[s, c] = np.abs(np.diff(column[np.isfinite(column)])).mean()
    return np.asarray(np.maximum(error, 1e-4))


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
    choices = _lag_choices(recording, split, horizon, recipe)
    settled = _settled_front(recording, split, horizon, choices, recipe)
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


@dataclass(frozen=True, slots=True)
class Front:
    """What is settled before anything is learned."""

    spec: NetworkSpec
    kept: prepare.Track
    solution: ridge.Ridge
    parts: list[ridge.Part]
    """Of the target channels."""
    running: list[F64]
    """Running scale of each part (T,)."""


class SettledFront(NamedTuple):
    """A front, and the scales its values are in."""

    front: Front
    x: F32
    """(T, S, C) of training and validation part."""
    anchor: F64
    unit: F64


def _settled_front(
    recording: Recording, split: Split, horizon: int, choices: list[Choice], recipe: Recipe
) -> SettledFront:
    """Choose the front with the scales of the longest lags, then settle as a device with its ring does."""
    anchor, unit = _settled(recording, split, horizon, choices[-1][0][-1][1])
    x = features.normalise(recording.values[: split.validation], anchor, unit)
    front = _front(x, split, horizon, choices, recipe, recording.target_channels)
    found = _settled(recording, split, horizon, front.spec.ring)
    if not np.array_equal(found, (anchor, unit)):
        # A device that keeps less history than the longest lags tried settles elsewhere.
        anchor, unit = found
        x = features.normalise(recording.values[: split.validation], anchor, unit)
        choices = [(front.spec.segments or ((0, front.spec.ring),), front.spec.seasons)]
        front = _front(x, split, horizon, choices, recipe, recording.target_channels)
    return SettledFront(front, x, anchor, unit)


def _settled(recording: Recording, split: Split, horizon: int, ring: int) -> tuple[F64, F64]:
    kept = prepare.kept_steps(ring, horizon, recording.period_ns)
    return prepare.settle(recording.values[: split.train], recording.names, kept)


Choice = tuple[seasons.Segments, tuple[int, ...]]
"""Lags, and the seasons within their reach."""


def _lag_choices(recording: Recording, split: Split, horizon: int, recipe: Recipe) -> list[Choice]:
    """List what ridge shall try, shortest reach first."""
    found = recipe.front.seasons
    if found is None:
        targets = recording.values[: split.train, :, : recording.target_channels]
        found = seasons.detect(targets, recording.period_ns)
        found = seasons.tentative(found, recording.period_ns, split.train)
    asked = recipe.front.ring
    segments: list[seasons.Segments] = [((0, asked),)] if asked else []
    segments = segments or [
        s
        for s in seasons.lag_candidates(found, horizon, split.train, asked=recipe.front.seasons is not None)
        if len(_lags(s)) * horizon <= MOST_HIGHWAY_WEIGHTS
    ]
    segments = segments or [((0, max(2, MOST_HIGHWAY_WEIGHTS // horizon)),)]
    return [(s, tuple(season for season in found if season < s[-1][1])) for s in segments]


def _front(x: F32, split: Split, horizon: int, choices: list[Choice], recipe: Recipe, targets: int) -> Front:
    """Choose the lags: run the front, solve ridge on each choice, keep the best on validation."""
    spec = _spec(choices[-1], x.shape[2], horizon, split, recipe)
    front = _solved(spec, x, split, targets)
    lags = [_lags(segments) for segments, _ in choices]
    m = ridge.moments(front.parts, np.unique(np.concatenate(lags))[::-1], horizon)
    tried = [ridge.solve(m, front.parts, own, horizon, s) for own, (_, s) in zip(lags, choices, strict=True)]
    # Each lead may take the lags of a shorter choice, or none.
    still = ridge.persistence(m, front.parts, horizon)
    solutions = [
        ridge.best_of(
            [still, *(r for other, r in zip(lags, tried, strict=True) if np.isin(other, own).all())]
        )
        for own in lags
    ]
    score = [_score(r.error) for r in solutions]
    margin = PAYS if choices[-1][1] else PAYS_WITHOUT_SEASON
    k = next(i for i, s in enumerate(score) if s <= min(score) + margin)
    chosen = _spec(choices[k], x.shape[2], horizon, split, recipe)
    if chosen != spec:
        front = _solved(chosen, x, split, targets)
    return dataclasses.replace(front, solution=ridge.narrowed(solutions[k], chosen.lags))


def _lags(segments: seasons.Segments) -> I64:
    return np.concatenate([np.arange(*span) for span in segments])[::-1].astype(np.int64)


def _score(error: F64) -> float:
    """Judge errors per lead (H,) as a geometric mean over horizons would."""
    marks = sorted({h for h in (1, 24, 96) if h < len(error)} | {len(error)})
    return float(np.mean([np.log(error[:h].mean()) for h in marks]))


def _spec(choice: Choice, channels: int, horizon: int, split: Split, recipe: Recipe) -> NetworkSpec:
    segments, usable = choice
    ring = segments[-1][1]
    half_life = recipe.front.half_life or min(7.0 * (usable[-1] if usable else 24), split.train / 8)
    cell = LayerSpec(recipe.cell.kind, recipe.cell.units)
    return NetworkSpec(
        layers=recipe.layers or (cell,) * recipe.cell.layers, channels=channels, horizon=horizon,
        levels=recipe.levels, ring=ring, seasons=usable, half_life=min(half_life, 6000.0), taps=1,
        segments=segments if len(segments) > 1 else (), decoder=recipe.decoder,
    )  # fmt: skip


def _solved(spec: NetworkSpec, x: F32, split: Split, targets: int) -> Front:
    """Run the front over all streams and cut what ridge is solved on."""
    kept = prepare.track(spec, x)
    columns = [(s, c) for s in range(x.shape[1]) for c in range(targets)]
    parts = [
        ridge.Part(
            kept.clean[:, s, c].astype(np.float64), x[:, s, c].astype(np.float64),
            max(float(kept.clean[: split.train, s, c].std()), 1e-3), split.train,
        )
        for s, c in columns
    ]  # fmt: skip
    running = [np.sqrt(kept.variance[:, s, c].astype(np.float64)) for s, c in columns]
    nothing = ridge.Ridge(spec.lags, np.zeros((len(spec.lags), spec.horizon)), np.ones(spec.horizon))
    return Front(spec, kept, nothing, parts, running)


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
