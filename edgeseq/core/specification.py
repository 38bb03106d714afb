"""What a network is: its sizes, and the states and weights that follow from them.

Shapes as everywhere; L lags of the ring that anything looks at, K known inputs (calendar, covariates whose future is
known).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
import numpy as np

from edgeseq.core import decoder, heads
from edgeseq.core.decoder import DecoderSpec
from edgeseq.core.forecast import StateSpec
from edgeseq.core.layers import LayerSpec, Shape, kind_of, shapes
from edgeseq.core.types import I64

Task = Literal["forecast", "estimate", "classify"]
Architecture = Literal["highway-2", "highway-3"]
"""Names of the network's text as it was and as it is; a change of what it computes gets another name."""
CREDULOUS: Architecture = "highway-2"
"""Believed every value, and only clipped it: a spike moved the forecasts after it by up to 8 scales."""

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
    architecture: Architecture = "highway-3"

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
