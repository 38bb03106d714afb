"""The front of the network: from a reading to features, without a learned weight.

It fills missing values, doubts what lies far outside, clips, keeps the ring and the running statistics, and computes
what the layers see.
V = B·C rows of single channels, L lags of the ring. x is (value - anchor) / unit.
All constants are ≥ 1e-4, since float16 rounds smaller ones to 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from edgeseq.core.layers import View
from edgeseq.core.ops import Ops, Tensor
from edgeseq.core.specification import CREDULOUS, NetworkSpec

Weights = Mapping[str, Tensor]

X_VALID = 2e9
"""|x| beyond this, infinities and NaN count as missing; features.normalise bounds x at half of it."""
CLIP_SCALES = 8.0
"""A value farther from the running mean than this many scales is outside. A lone one is a spike and counts as missing;
from the second in a row on values are believed but clipped …"""
CLIP_PATIENCE = 4.0
"""… and after so many in a row they are a new level, and the bound widens …"""
CLIP_WIDE = 64.0
"""… to this many scales, so that a scale of any size is reached within a few steps."""
LONE_WEIGHT = 0.5
"""Mean and scale learn so much of a lone value's clipped deviation: pulses in more than one of (8 · 0.5)² = 16
readings widen the scale until they lie inside, and are believed. With 0 a sensor that begins to pulse would never be
followed."""
COLD_READINGS = 32.0
"""Until so many readings the running scale is not trusted …"""
COLD_BOUND = 100.0
"""… and values are clipped to this many units."""
SCALE_FLOOR = 0.02
"""Smallest running scale, in units."""
COUNT_LIMIT = 1e6
"""Counters stop here: float32 counts exactly to 1.6e7."""
FEATURE_LIMIT = 8.0


def front(
    ops: Ops,
    spec: NetworkSpec,
    weights: Weights,
    x: Tensor,
    state: tuple[Tensor, ...],
    known: Tensor | None = None,
) -> tuple[View, Any]:
    """Clean one value per channel, advance ring and running statistics, and compute the features.

    known (B, 1 + H, K): inputs of this step and of the leads, where the network takes any.
    """
    *kept, expected = state
    clean, mask, tracked = track(ops, spec, x, tuple(kept))
    _, mean, variance, age, seen, _, ring = tracked
    # The ring knows whether there was a forecast: kept[4] is `seen` before this step.
    innovation = mask * ops.minimum(kept[4], 1.0) * (clean - expected)
    lagged = select(ops, spec, ring)
    view = observe(ops, spec, weights, clean, lagged, mean, variance, age, seen, innovation)
    view = absolute(ops, spec, weights, view, x)
    if known is not None:
        features = ops.concat([view.features, known[:, 0]], 1)
        view = view._replace(features=features, future=known[:, 1:])
    expected = clean + ops.reshape(ops.matmul(view.difference, weights["next"]), (-1, spec.channels))
    return _of_targets(ops, spec, view), (*tracked, expected)


def _of_targets(ops: Ops, spec: NetworkSpec, view: View) -> View:
    """Leave out what only covariates have; the features are of all channels."""
    if not spec.covariates:
        return view
    L, C, n = len(spec.lags), spec.channels, spec.targets
    difference = ops.reshape(ops.reshape(view.difference, (-1, C, L))[:, :n], (-1, L))
    return view._replace(base=view.base[:, :n], scale=view.scale[:, :n], difference=difference)


def track(ops: Ops, spec: NetworkSpec, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Any]:
    """Fill, clip and count one value per channel: x (B, C) → clean value, mask (1 believed), next states."""
    n, mean, variance, age, seen, streak, ring = state
    zero = mean * 0.0
    observed = ops.abs(x) <= X_VALID
    mask = ops.where(observed, zero + 1.0, zero)
    clipped, outside = _clip(ops, ops.where(observed, x, mean), n, mean, variance, mask, streak)
    lone = _lone(ops, spec, outside, n, streak)
    believed = mask - lone
    # A missing value neither ends nor prolongs a streak.
    streak = ops.minimum(streak + 1.0, COUNT_LIMIT) * outside + streak * (1.0 - mask)
    age = (1.0 - believed) * ops.minimum(age + 1.0, COUNT_LIMIT)
    clean = ops.where(believed >= 1.0, clipped, _fill(ops, spec, mean, age, seen, ring))

    n = ops.minimum(n + mask, COUNT_LIMIT)
    rate = mask * ops.maximum(1.0 / n, 1.0 - 0.5 ** (1.0 / spec.half_life))
    deviation = (clipped - mean) * (1.0 - (1.0 - LONE_WEIGHT) * lone)
    mean = mean + rate * deviation
    variance = (1.0 - rate) * (variance + rate * deviation * deviation)
    variance = ops.maximum(variance, SCALE_FLOOR * SCALE_FLOOR)
    seen = ops.minimum(seen + ops.maximum(mask, ops.minimum(seen, 1.0)), float(spec.ring))
    ring = ops.concat([ring[:, :, 1:], ops.reshape(clean, (-1, spec.channels, 1))], 2)
    return clean, believed, (n, mean, variance, age, seen, streak, ring)


def _fill(ops: Ops, spec: NetworkSpec, mean: Tensor, age: Tensor, seen: Tensor, ring: Tensor) -> Tensor:
    """Stand in for a missing value: the last one, fading with its age into the value one season ago (or the mean)."""
    half_life = max(1.0, spec.seasons[0] / 8) if spec.seasons else 12.0
    weight = ops.exp(age * (-math.log(2.0) / half_life))
    last = ops.where(seen >= 1.0, ring[:, :, spec.ring - 1], mean)
    past = mean
    if spec.seasons:
        # The ring has not moved yet: one season before the present step lies `season` places from its end.
        season = spec.seasons[-1]
        past = ops.where(seen >= float(season), ring[:, :, spec.ring - season], mean)
    return weight * last + (1.0 - weight) * past


def _clip(
    ops: Ops, x: Tensor, n: Tensor, mean: Tensor, variance: Tensor, mask: Tensor, streak: Tensor
) -> tuple[Tensor, Tensor]:
    """Bound a value around the running mean, more widely after a streak; and say whether it was outside (1)."""
    width = ops.where(streak >= CLIP_PATIENCE, streak * 0.0 + CLIP_WIDE, streak * 0.0 + CLIP_SCALES)
    bound = ops.where(n > COLD_READINGS, width * ops.sqrt(variance), variance * 0.0 + COLD_BOUND)
    outside = ops.where(ops.abs(x - mean) > CLIP_SCALES * ops.sqrt(variance), mask, mask * 0.0)
    # Not mean + clip(deviation): a value within the bound shall pass unchanged to the last bit.
    return ops.maximum(ops.minimum(x, mean + bound), mean - bound), outside


def _lone(ops: Ops, spec: NetworkSpec, outside: Tensor, n: Tensor, streak: Tensor) -> Tensor:
    """Doubt (1) the first value outside where the scale is known: the next one tells a spike from a new level."""
    if spec.architecture == CREDULOUS:
        return outside * 0.0
    first = ops.where(streak >= 1.0, outside * 0.0, outside)
    return ops.where(n > COLD_READINGS, first, outside * 0.0)


def select(ops: Ops, spec: NetworkSpec, ring: Tensor) -> Tensor:
    """Take the lags out of rings (B, C, R) → (V, L), the oldest first."""
    rows = ops.reshape(ring, (-1, spec.ring))
    if not spec.segments:
        return rows
    return ops.concat(
        [rows[:, spec.ring - stop : spec.ring - start] for start, stop in spec.segments[::-1]], 1
    )


def observe(
    ops: Ops, spec: NetworkSpec, weights: Weights, clean: Tensor, lagged: Tensor, mean: Tensor, variance: Tensor,
    age: Tensor, seen: Tensor, innovation: Tensor,
) -> View:  # fmt: skip
    """Compute the features of one step from the front's quantities, all (B, C) but the lags (V, L)."""
    rows = (-1, 1)
    scale = ops.sqrt(variance)
    base, unit = ops.reshape(clean, rows), ops.reshape(scale, rows)
    difference = visible(ops, spec, lagged, mean, seen) - base
    # Mean size of changes, fast and slow, against each other and against the scale.
    recent = difference[:, len(spec.lags) - spec.recent :]
    change = ops.matmul(ops.abs(recent[:, 1:] - recent[:, :-1]), weights["roughness"]) / unit + 0.01
    parts = [
        ops.matmul(difference, weights["taps"]) / unit,
        (base - ops.reshape(mean, rows)) / unit,
        ops.reshape(innovation, rows) / (unit * weights["lead_scale"][:1]),
        ops.log(change[:, :1] / change[:, 1:]),
        ops.log(change[:, 1:]),
        1.0 - ops.exp(ops.reshape(age, rows) * -0.1),
        1.0 - ops.reshape(seen, rows) * (1.0 / spec.ring),
    ]
    features = _bounded(ops, ops.concat(parts, 1))
    return View(clean, difference, scale, ops.reshape(features, (-1, spec.channels * spec.channel_features)))


def absolute(ops: Ops, spec: NetworkSpec, weights: Weights, view: View, x: Tensor) -> View:
    """Show an estimator how high its inputs stand; a forecaster's features are left as they are.

    A forecast is relative to where a series stands, so all features are; what CO2 says of a room is not. With memory
    the values x (B, C) and the tapped means of the ring come beside the relative features, as they are: in units that
    training fixed. Values are those read, not those clipped to the running scale: a lamp that goes on is no spike.
    Without memory there is the value, 0 where it is missing, and whether it is.
    """
    if spec.task == "forecast":
        return view
    observed = ops.abs(x) <= X_VALID
    zero = view.base * 0.0
    if not spec.memory:
        parts = [ops.where(observed, x, zero), ops.where(observed, zero, zero + 1.0)]
        return view._replace(features=_bounded(ops, ops.concat(parts, 1)))
    base = ops.reshape(view.base, (-1, 1))
    present = ops.reshape(ops.where(observed, x, view.base), (-1, 1))
    levels = ops.concat([present, base + ops.matmul(view.difference, weights["taps"])], 1)
    levels = ops.reshape(levels, (-1, spec.channels * (1 + spec.taps)))
    return view._replace(features=ops.concat([view.features, _bounded(ops, levels)], 1))


def _bounded(ops: Ops, features: Tensor) -> Tensor:
    return ops.maximum(ops.minimum(features, FEATURE_LIMIT), -FEATURE_LIMIT)


def visible(ops: Ops, spec: NetworkSpec, lagged: Tensor, mean: Tensor, seen: Tensor) -> Tensor:
    """Show lags (V, L), the running mean standing in for those that no value has reached yet."""
    reach = (spec.lags + 1).astype(np.float32)
    return ops.where(ops.reshape(seen, (-1, 1)) >= reach, lagged, ops.reshape(mean, (-1, 1)))
