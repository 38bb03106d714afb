"""What a kind of layer is: its weights, its states and one step, over `edgeseq.core.ops`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import msgspec

from edgeseq.core.ops import Ops, Tensor

Weights = Mapping[str, Tensor]
State = tuple[Tensor, ...]
Positive = Annotated[int, msgspec.Meta(ge=1)]

LAG_LIMIT = 8.0
"""Lagged differences are bounded to ± so many running scales before a layer weighs them, as all features are."""


class LayerSpec(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One layer of a network. What its kind has no use for is left alone."""

    kind: str
    """A name of LAYERS."""
    units: Positive
    """Width of the output."""
    width: Positive = 3
    """convolution: inputs it sees, the present one among them; attention: values it takes from each place."""
    dilation: Positive = 1
    """convolution: steps between its inputs."""
    heads: Positive = 4
    """attention: places it looks at."""


class View(NamedTuple):
    """What the front makes of one step, for layers and head; V = B·C rows of single channels, L lags of the ring."""

    base: Tensor
    """(B, C) the clean value."""
    difference: Tensor
    """(V, L) ring minus clean value, oldest lag first; slots not yet seen hold the running mean."""
    scale: Tensor
    """(B, C) running standard deviation."""
    features: Tensor
    """(B, F) inputs of the first layer."""
    future: Tensor | None = None
    """(B, H, K) known inputs of the leads."""


class Shape(NamedTuple):
    """The sizes a layer's weights depend on."""

    inputs: int
    """Width of the layer below, or F."""
    channels: int
    lags: int


@dataclass(frozen=True, slots=True)
class Layer:
    """A kind of layer. Weights and states are named within the layer: kernel, h.

    A layer carries states or sees the ring, not both: with the ring before it, it has no need to remember.
    """

    weights: Callable[[LayerSpec, Shape], dict[str, tuple[int, ...]]]
    """Shapes of the weights by name.

    By its name training knows what to do with a weight: `…recurrent` (U, n·U) starts orthogonal, decays, and has the
    recurrent dropout before it; `…kernel` starts as Glorot drew it and decays; vectors start at 0. A matrix that is
    the second argument of `ops.matmul` as a whole, not a slice of one, is quantized to int8.
    """
    states: Callable[[LayerSpec, Shape], dict[str, tuple[int, ...]]]
    """Shapes of the states by name, without the batch axis; they start at 0. {} for a layer without memory."""
    step: Callable[[Ops, LayerSpec, Weights, Tensor, View, State], tuple[Tensor, State]]
    """(ops, spec, weights, x (B, inputs), view, states) → output (B, units) and the next states."""
    sees_ring: bool = False
    """Whether the step reads `view` beside x."""


def no_states(spec: LayerSpec, shape: Shape) -> dict[str, tuple[int, ...]]:
    """List the states of a layer without memory: none."""
    return {}


def lagged_scales(ops: Ops, view: View) -> Tensor:
    """Give the lagged differences in running scales, bounded: (B, C, L)."""
    channels, lags = int(view.base.shape[1]), int(view.difference.shape[1])
    d = ops.reshape(view.difference, (-1, channels, lags)) / ops.reshape(view.scale, (-1, channels, 1))
    return ops.maximum(ops.minimum(d, LAG_LIMIT), -LAG_LIMIT)
