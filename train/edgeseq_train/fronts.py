"""What is settled before anything is learned: anchor and unit, seasons and lags, and ridge on them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from edgeseq.core import features
from edgeseq.core.layers import LayerSpec
from edgeseq.core.network import NetworkSpec
from edgeseq.core.types import F32, F64, I64
from edgeseq_train import prepare, ridge, seasons
from edgeseq_train.parts import Recording, Split
from edgeseq_train.recipe import Recipe

MOST_HIGHWAY_WEIGHTS = 60_000
"""Lags × leads that are chosen unasked: the whole network then stays below 100,000 weights."""
PAYS, PAYS_WITHOUT_SEASON = 0.005, 0.02
"""How much less error more lags must bring, for their state and weights. Lags far back say nothing certain where
there is no season: what they gain on one stretch they lose on the next."""


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


def settled_front(
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


def lag_choices(recording: Recording, split: Split, horizon: int, recipe: Recipe) -> list[Choice]:
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
