"""The layers a network is built of, under one protocol; networks of the literature are tuples of them.

    (gru,)             GRU            (convolution, gru)  CNN + RNN
    (lstm, lstm)       stacked LSTM   (dense, dense)      feed-forward, no memory but the ring

A kind of layer is three functions (class Layer): which weights it has, which states, and one step. It is written over
`edgeseq.core.ops`, so that device, training and export run the same text. To add one, write its functions in a module
of its own and name it in LAYERS; `tests/core/test_layers.py` then tries it with all others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from edgeseq.core.cells import CELLS, Cell, project
from edgeseq.core.ops import Ops, Tensor

Weights = Mapping[str, Tensor]
State = tuple[Tensor, ...]


class LayerSpec(msgspec.Struct, frozen=True):
    """One layer of a network."""

    kind: str
    """A name of LAYERS."""
    units: int
    """Width of the output."""


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
    """A kind of layer. Weights and states are named within the layer: kernel, h."""

    weights: Callable[[LayerSpec, Shape], dict[str, tuple[int, ...]]]
    """Shapes of the weights by name. Matrices whose name ends with `kernel` or `recurrent` decay in training."""
    states: Callable[[LayerSpec, Shape], dict[str, tuple[int, ...]]]
    """Shapes of the states by name, without the batch axis; they start at 0. {} for a layer without memory."""
    step: Callable[[Ops, LayerSpec, Weights, Tensor, View, State], tuple[Tensor, State]]
    """(ops, spec, weights, x (B, inputs), view, states) → output (B, units) and the next states."""
    sees_ring: bool = False
    """Whether the step reads `view` beside x."""


def _recurrent(cell: Cell) -> Layer:
    """Make a layer of a recurrent cell; its output is its first state."""

    def weights(spec: LayerSpec, shape: Shape) -> dict[str, tuple[int, ...]]:
        wide = cell.gates * spec.units
        full = {"kernel": (shape.inputs, wide), "recurrent": (spec.units, wide), "bias": (wide,)}
        full["recurrent_bias"] = (wide,)
        return {name: full[name] for name in cell.weights}

    def states(spec: LayerSpec, shape: Shape) -> dict[str, tuple[int, ...]]:
        return dict.fromkeys(cell.states, (spec.units,))

    def step(
        ops: Ops, spec: LayerSpec, w: Weights, x: Tensor, view: View, state: State
    ) -> tuple[Tensor, State]:
        following = cell.advance(ops, w, project(ops, w, x), state)
        return following[0], following

    return Layer(weights, states, step)


def _dense_weights(spec: LayerSpec, shape: Shape) -> dict[str, tuple[int, ...]]:
    return {"kernel": (shape.inputs, spec.units), "bias": (spec.units,)}


def _no_states(spec: LayerSpec, shape: Shape) -> dict[str, tuple[int, ...]]:
    return {}


def _dense(
    ops: Ops, spec: LayerSpec, w: Weights, x: Tensor, view: View, state: State
) -> tuple[Tensor, State]:
    """Tanh of a linear map: y = tanh(W x + b)."""
    return ops.tanh(project(ops, w, x)), ()


LAYERS: dict[str, Layer] = {
    **{kind: _recurrent(cell) for kind, cell in CELLS.items()},
    "dense": Layer(_dense_weights, _no_states, _dense),
}


def layer_weights(weights: Weights, layer: int) -> dict[str, Tensor]:
    """Select one layer's arrays: layer0.kernel → kernel."""
    prefix = f"layer{layer}."
    return {name.removeprefix(prefix): a for name, a in weights.items() if name.startswith(prefix)}


def shapes(layers: Sequence[LayerSpec], shape: Shape) -> list[Shape]:
    """Give each layer the sizes that its weights depend on."""
    inputs = [shape.inputs, *(layer.units for layer in layers)]
    return [shape._replace(inputs=n) for n, _ in zip(inputs, layers, strict=False)]


def stack(
    ops: Ops, layers: Sequence[LayerSpec], weights: Weights, view: View, states: State, shape: Shape
) -> tuple[Tensor, State]:
    """Advance all layers by one step: the view and all layers' states → output (B, U) and the next states."""
    x, position = view.features, 0
    following: list[Tensor] = []
    for index, (spec, sizes) in enumerate(zip(layers, shapes(layers, shape), strict=True)):
        kind = LAYERS[spec.kind]
        count = len(kind.states(spec, sizes))
        own = states[position : position + count]
        x, state = kind.step(ops, spec, layer_weights(weights, index), x, view, own)
        following.extend(state)
        position += count
    return x, tuple(following)
