"""The forecaster as one stateful function, written once for the device, for training and for export.

    x (B, C) ─ front ─▶ clean value, ring, running mean and scale ─ features ─▶ layers ─ head ─▶ quantiles (B, C, H, Q)
                              └────────────── linear highway: lags → H leads ────────┘

`front` depends on no learned weight: it fills missing values, clips, keeps the ring and the running statistics.
The highway starts as the ridge solution; the layers correct it and give the spread (DESIGN.md, The model).
Shapes as everywhere; V = B·C rows of single channels, L lags of the ring that anything looks at, K known inputs
(calendar, covariates whose future is known). x is (value - anchor) / unit.
All constants are ≥ 1e-4, since float16 rounds smaller ones to 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeseq.core import decoder, heads
from edgeseq.core.decoder import DecoderSpec
from edgeseq.core.forecast import RecurrentState, StateSpec
from edgeseq.core.layers import LayerSpec, Shape, View, kind_of, shapes, stack
from edgeseq.core.ops import NUMPY, Ops, Tensor
from edgeseq.core.types import F32, I64

Weights = Mapping[str, Tensor]
Task = Literal["forecast", "estimate", "classify"]

X_VALID = 2e9
"""|x| beyond this, infinities and NaN count as missing; features.normalise bounds x at half of it."""
CLIP_SCALES = 8.0
"""A value farther from the running mean than this many scales is clipped: a spike must not poison the state."""
CLIP_PATIENCE = 4.0
"""After so many clipped values in a row they are a new level, and the bound widens …"""
CLIP_WIDE = 64.0
"""… to this many scales, so that a scale of any size is reached within a few steps."""
COLD_READINGS = 32.0
"""Until so many readings the running scale is not trusted …"""
COLD_BOUND = 100.0
"""… and values are clipped to this many units."""
SCALE_FLOOR = 0.02
"""Smallest running scale, in units."""
COUNT_LIMIT = 1e6
"""Counters stop here: float32 counts exactly to 1.6e7."""
FEATURE_LIMIT = 8.0
FRONT_STATES = ("n", "mean", "variance", "age", "seen", "streak", "ring", "expected")
RING = FRONT_STATES.index("ring")


class NetworkSpec(msgspec.Struct, frozen=True):
    """All that the code needs beside the weights to be the network."""

    layers: tuple[LayerSpec, ...]
    """From the features up."""
    channels: int
    horizon: int
    levels: tuple[float, ...]
    """Ascending, symmetric around 0.5."""
    ring: int
    seasons: tuple[int, ...]
    """Season lengths in steps, ascending, each < ring; may be empty."""
    half_life: float
    """Of the running mean and scale, in readings."""
    taps: int
    """Fixed linear features of the lags; the first is the ridge's forecast of the next step."""
    segments: tuple[tuple[int, int], ...] = ()
    """Lags [start, stop) that the network looks at, ascending, from lag 0 on; empty: the whole ring."""
    known: int = 0
    """K: inputs that are known for the future too."""
    covariates: int = 0
    """How many channels, the last ones, are inputs only."""
    task: Task = "forecast"
    """forecast: the inputs' future; estimate: a number that is no input; classify: the class that the inputs show."""
    classes: int = 0
    """N of a classifier."""
    memory: bool = True
    """False: an estimator that sees the present values and nothing else (one-to-one), whatever state is carried."""
    rank: int = 0
    """Rank of the head where there are many leads; 0: full."""
    decoder: DecoderSpec | None = None
    """Says lead after lead what else the head says of all at once: an encoder-decoder."""
    architecture: str = "highway-2"
    """Name of this text; another architecture gets another name."""

    @property
    def lags(self) -> I64:
        """List the lags (L,), the oldest first; the last is 0."""
        spans = self.segments or ((0, self.ring),)
        return np.concatenate([np.arange(*span) for span in spans])[::-1].astype(np.int64)

    @property
    def recent(self) -> int:
        """Count the lags from 0 on without a hole."""
        return self.segments[0][1] if self.segments else self.ring

    @property
    def targets(self) -> int:
        """Count the channels that are forecast, the first ones."""
        return self.channels - self.covariates

    @property
    def units(self) -> int:
        """Width of what the layers say."""
        return self.layers[-1].units

    @property
    def channel_features(self) -> int:
        """Count the features of one channel."""
        return self.taps + len(EXTRA_FEATURES)

    @property
    def features(self) -> int:
        """Count the inputs of the first layer, all channels."""
        return self.channels * self._inputs_of_channel + self.known

    @property
    def _inputs_of_channel(self) -> int:
        if self.task == "forecast":
            return self.channel_features
        return self.channel_features + 1 + self.taps if self.memory else len(PRESENT_FEATURES)

    @property
    def shape(self) -> Shape:
        """Sizes for the first layer."""
        return Shape(self.features, self.targets, len(self.lags))

    @property
    def outputs(self) -> int:
        """Count what the head says: of each channel for each lead gate, correction and Q - 1 widths.

        An estimator says once correction and Q - 1 widths, or N logits.
        """
        if self.task == "forecast":
            return self.horizon * (len(self.levels) + 1)
        return self.classes or len(self.levels)


EXTRA_FEATURES = ("level", "innovation", "volatility", "roughness", "age", "youth")
PRESENT_FEATURES = ("value", "missing")
"""Of a channel, where there is no memory."""


def spec_from_manifest(network: Mapping[str, Any]) -> NetworkSpec:
    """Read the specification back from a manifest's `network`."""
    return msgspec.convert(network, NetworkSpec)


def state_spec(spec: NetworkSpec) -> tuple[StateSpec, ...]:
    """List the state arrays: the front's, then layer by layer.

    The running mean starts at 0 (the anchor is a median) and the variance at 1 (the unit is a spread), with the
    weight of one reading: n starts at 1.
    """
    channels = (spec.channels,)
    start = {"n": 1.0, "variance": 1.0}
    front = [
        StateSpec(name, (*channels, spec.ring) if name == "ring" else channels, init=start.get(name, 0.0))
        for name in FRONT_STATES
    ]
    own = [
        StateSpec(f"{name}{index}", shape)
        for index, (layer, sizes) in enumerate(zip(spec.layers, shapes(spec.layers, spec.shape), strict=True))
        for name, shape in kind_of(layer).states(layer, sizes).items()
    ]
    return (*front, *own)


def weight_shapes(spec: NetworkSpec) -> dict[str, tuple[int, ...]]:
    """List all weights: the fixed ones of the front, the highway, layer by layer, the head."""
    L, H, U, C, K = len(spec.lags), spec.horizon, spec.units, spec.targets, spec.known
    named: dict[str, tuple[int, ...]] = {
        "taps": (L, spec.taps), "next": (L, 1), "roughness": (spec.recent - 1, 2), "lead_scale": (H,),
    }  # fmt: skip
    if spec.task == "forecast":
        named["highway"] = (L, H)
    for index, (layer, sizes) in enumerate(zip(spec.layers, shapes(spec.layers, spec.shape), strict=True)):
        own = kind_of(layer).weights(layer, sizes)
        named |= {f"layer{index}.{name}": shape for name, shape in own.items()}
    if spec.task != "forecast":
        return named | heads.weights(spec.features, U, spec.outputs, is_classifier=spec.task == "classify")
    if C > 1:
        named["head.mix"] = (U, C * U)
    words = U + spec.channel_features
    named["head.bias"] = (spec.outputs,)
    if spec.decoder:
        own = decoder.weights(spec.decoder, words, K, spec.seasons, len(spec.levels) + 1)
        return named | {f"decoder.{name}": shape for name, shape in own.items()}
    named["head.kernel"] = (words, spec.rank or spec.outputs)
    if spec.rank:
        named["head.basis"] = (spec.rank, spec.outputs)
    if K:
        named |= {"known.kernel": (words, K), "known.lead": (H, K)}
    return named


def step(
    ops: Ops,
    spec: NetworkSpec,
    weights: Weights,
    x: Tensor,
    state: tuple[Tensor, ...],
    known: Tensor | None = None,
) -> tuple[Tensor, Any]:
    """Advance by one grid step: x (B, C), state and known (B, 1 + H, K) → quantiles (B, C, H, Q) and the next state."""
    k = len(FRONT_STATES)
    view, front_next = front(ops, spec, weights, x, state[:k], known)
    output, own_next = stack(ops, spec.layers, weights, view, state[k:], spec.shape)
    quantiles = _beside(ops, spec, head(ops, spec, weights, view, output), front_next[RING])
    return quantiles, (*front_next, *own_next)


def _beside(ops: Ops, spec: NetworkSpec, quantiles: Tensor, ring: Tensor) -> Tensor:
    """Let the covariates stand still at their last clean value, so that every channel has its place."""
    if not spec.covariates or spec.task != "forecast":
        return quantiles
    still = ops.reshape(ring[:, spec.targets :, spec.ring - 1], (-1, spec.covariates, 1, 1))
    return ops.concat([quantiles, still + quantiles[:, :1] * 0.0], 1)


def advance(
    ops: Ops,
    spec: NetworkSpec,
    weights: Weights,
    x: Tensor,
    state: tuple[Tensor, ...],
    known: Tensor | None = None,
) -> Any:
    """Advance by one grid step that nobody asks a forecast of → the next state, as `step` gives it."""
    k = len(FRONT_STATES)
    view, front_next = front(ops, spec, weights, x, state[:k], known)
    _, own_next = stack(ops, spec.layers, weights, view, state[k:], spec.shape)
    return (*front_next, *own_next)


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
    """Fill, clip and count one value per channel: x (B, C) → clean value, mask (1 observed), next states."""
    n, mean, variance, age, seen, streak, ring = state
    zero = mean * 0.0
    observed = ops.abs(x) <= X_VALID
    mask = ops.where(observed, zero + 1.0, zero)
    age = (1.0 - mask) * ops.minimum(age + 1.0, COUNT_LIMIT)
    fill = _fill(ops, spec, mean, age, seen, ring)
    clipped, streak = _clip(ops, ops.where(observed, x, mean), n, mean, variance, mask, streak)
    clean = ops.where(observed, clipped, fill)

    n = ops.minimum(n + mask, COUNT_LIMIT)
    rate = mask * ops.maximum(1.0 / n, 1.0 - 0.5 ** (1.0 / spec.half_life))
    deviation = clean - mean
    mean = mean + rate * deviation
    variance = (1.0 - rate) * (variance + rate * deviation * deviation)
    variance = ops.maximum(variance, SCALE_FLOOR * SCALE_FLOOR)
    seen = ops.minimum(seen + ops.maximum(mask, ops.minimum(seen, 1.0)), float(spec.ring))
    ring = ops.concat([ring[:, :, 1:], ops.reshape(clean, (-1, spec.channels, 1))], 2)
    return clean, mask, (n, mean, variance, age, seen, streak, ring)


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
    """Bound a value around the running mean; a streak of bounded values widens the bound."""
    width = ops.where(streak >= CLIP_PATIENCE, streak * 0.0 + CLIP_WIDE, streak * 0.0 + CLIP_SCALES)
    bound = ops.where(n > COLD_READINGS, width * ops.sqrt(variance), variance * 0.0 + COLD_BOUND)
    deviation = x - mean
    outside = ops.where(ops.abs(deviation) > CLIP_SCALES * ops.sqrt(variance), mask, mask * 0.0)
    # A missing value neither ends nor prolongs a streak.
    streak = ops.minimum(streak + 1.0, COUNT_LIMIT) * outside + streak * (1.0 - mask)
    # Not mean + clip(deviation): a value within the bound shall pass unchanged to the last bit.
    return ops.maximum(ops.minimum(x, mean + bound), mean - bound), streak


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


def head(
    ops: Ops, spec: NetworkSpec, weights: Weights, view: View, output: Tensor, taught: Tensor | None = None
) -> Tensor:
    """Make quantiles (B, targets, H, Q) of the highway and the cell's output (B, U); an estimator's head is in `heads`.

    Median = x + gate · (highway - x) + scale · r · correction; outward from it cumulative softplus widths, in units
    of scale · r: quantiles cannot cross. r (H,) is the ridge's error per lead, so that all leads learn alike.
    taught: see `decoder.decode`; only training has any.
    """
    if spec.task != "forecast":
        say = heads.classify if spec.task == "classify" else heads.estimate
        return say(ops, weights, view.features, output)
    H, Q = spec.horizon, len(spec.levels)
    words = _words(ops, spec, weights, view, output)
    linear = ops.matmul(view.difference, weights["highway"])
    if spec.decoder:
        raw = _decode(ops, spec, spec.decoder, weights, view, words, linear, taught)
    else:
        raw = ops.reshape(_speak(ops, spec, weights, words), (-1, H, Q + 1))
    unit = ops.reshape(view.scale, (-1, 1)) * weights["lead_scale"]
    gate = 1.0 + 0.5 * ops.tanh(raw[:, :, 0])
    correction = raw[:, :, 1]
    if view.future is not None and not spec.decoder:
        correction = correction + _foresee(ops, spec, weights, view.future, words)
    median = ops.reshape(view.base, (-1, 1)) + gate * linear + unit * correction
    widths = [heads.softplus(ops, raw[:, :, 2 + k]) * unit for k in range(Q - 1)]
    return ops.reshape(heads.outward(ops, median, widths), (-1, spec.targets, H, Q))


def _words(ops: Ops, spec: NetworkSpec, weights: Weights, view: View, output: Tensor) -> Tensor:
    """Say for each channel what the head is made of (V, U + channel features): all channels share the rest."""
    own = output
    if spec.targets > 1:
        # Each channel takes its own mixture of the state all channels share.
        own = ops.reshape(ops.matmul(output, weights["head.mix"]), (-1, spec.units))
    features = view.features[:, : spec.targets * spec.channel_features]
    return ops.concat([own, ops.reshape(features, (-1, spec.channel_features))], 1)


def _speak(ops: Ops, spec: NetworkSpec, weights: Weights, words: Tensor) -> Tensor:
    """Say for each channel gate, correction and widths (V, H·(Q + 1))."""
    raw = ops.matmul(words, weights["head.kernel"])
    if spec.rank:
        raw = ops.matmul(raw, weights["head.basis"])
    return raw + weights["head.bias"]


def _decode(
    ops: Ops, spec: NetworkSpec, own_spec: DecoderSpec, weights: Weights, view: View, words: Tensor, linear: Tensor,
    taught: Tensor | None,
) -> Tensor:  # fmt: skip
    """Say gate, correction and widths lead after lead (V, H, Q + 1)."""
    own = {name.removeprefix("decoder."): a for name, a in weights.items() if name.startswith("decoder.")}
    known = view.future
    if known is not None:
        # All channels of a stream know the same.
        shape = (-1, 1, spec.horizon, spec.known)
        known = ops.concat([ops.reshape(known, shape)] * spec.targets, 1)
        known = ops.reshape(known, (-1, spec.horizon, spec.known))
    return decoder.decode(
        ops, own_spec, own, words, linear / ops.reshape(view.scale, (-1, 1)), weights["lead_scale"],
        weights["head.bias"], spec.seasons, known, taught,
    )  # fmt: skip


def _foresee(ops: Ops, spec: NetworkSpec, weights: Weights, future: Tensor, words: Tensor) -> Tensor:
    """Correct by what is known of the leads: future (B, H, K) → (V, H).

    Σ_k known_hk · (a_hk + b_k(words)): each input has a weight per lead, and one that depends on the state.
    """
    H, K, C = spec.horizon, spec.known, spec.targets
    share = ops.reshape(ops.matmul(words, weights["known.kernel"]), (-1, C, 1, K))
    weighted = ops.reshape(future, (-1, 1, H, K)) * (share + weights["known.lead"])
    return ops.reshape(ops.sum(weighted, 3), (-1, H))


class NetworkStepper:
    """The network on NumPy: the oracle in float64, the fallback of a device without runtime in float32."""

    def __init__(
        self, spec: NetworkSpec, weights: Mapping[str, F32], dtype: Any = np.float32, name: str = "numpy"
    ) -> None:
        self.name = name
        self.channels = spec.channels
        self.horizon = spec.horizon
        self.levels = spec.levels
        self.ring = spec.ring
        self.known = spec.known
        self.state_spec = state_spec(spec)
        self._spec = spec
        self._dtype = np.dtype(dtype)
        self._weights = {k: np.asarray(a, dtype=self._dtype) for k, a in weights.items()}

    def step(
        self, x: NDArray[Any], state: RecurrentState, known: NDArray[Any] | None = None
    ) -> tuple[NDArray[Any], RecurrentState]:
        """Advance a batch by one step; arrays in and out are of the stepper's dtype."""
        foreseen = None if known is None else self._own(known)
        with np.errstate(over="ignore", invalid="ignore"):
            quantiles, following = step(
                NUMPY, self._spec, self._weights, self._own(x), tuple(map(self._own, state)), foreseen
            )
        return quantiles, following

    def replay(
        self, x: NDArray[Any], state: RecurrentState, known: NDArray[Any] | None = None
    ) -> tuple[NDArray[Any], RecurrentState]:
        """Advance by T steps, of which only the last one says something."""
        last = x.shape[1] - 1
        for t in range(last):
            now = None if known is None else self._own(known[:, t : t + 1 + self.horizon])
            with np.errstate(over="ignore", invalid="ignore"):
                state = advance(
                    NUMPY, self._spec, self._weights, self._own(x[:, t]), tuple(map(self._own, state)), now
                )
        return self.step(x[:, last], state, None if known is None else known[:, last:])

    def _own(self, a: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(a, dtype=self._dtype)
