"""The layers a network is built of, under one protocol; networks of the literature are tuples of them.

    (gru,)             GRU            (convolution, gru)  CNN + RNN
    (lstm, lstm)       stacked LSTM   (gru, attention)    attention over the ring
    (ring, dense)      feed-forward on the same ring (MLP)

A kind of layer is three functions (class Layer): which weights it has, which states, and one step. It is written over
`edgeseq.core.ops`, so that device, training and export run the same text. To add one, write its functions in a file of
its own and name it in LAYERS; tests/train/mingru.py is an example, whole and in no need of another file.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgeseq.core.layers.attention import ATTENTION
from edgeseq.core.layers.convolution import CONVOLUTION
from edgeseq.core.layers.feedforward import DENSE, RING
from edgeseq.core.layers.protocol import Layer, LayerSpec, Shape, State, View, Weights
from edgeseq.core.layers.recurrent import RECURRENT
from edgeseq.core.ops import Ops, Tensor
from edgeseq.errors import ConfigError

__all__ = [
    "LAYERS",
    "Layer",
    "LayerSpec",
    "Shape",
    "State",
    "View",
    "Weights",
    "kind_of",
    "layer_weights",
    "shapes",
    "stack",
]

LAYERS: dict[str, Layer] = {
    **RECURRENT,
    "dense": DENSE,
    "ring": RING,
    "convolution": CONVOLUTION,
    "attention": ATTENTION,
}


def kind_of(spec: LayerSpec) -> Layer:
    """Look a layer's kind up.

    Raises:
        ConfigError: there is no such kind.
    """
    if kind := LAYERS.get(spec.kind):
        return kind
    raise ConfigError(
        "no such kind of layer",
        where="[[layers]] kind",
        found=spec.kind,
        wanted=f"one of {', '.join(LAYERS)}",
        do="name a layer of your own in edgeseq.core.layers.LAYERS before it is used",
    )


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
        kind = kind_of(spec)
        count = len(kind.states(spec, sizes))
        own = states[position : position + count]
        x, state = kind.step(ops, spec, layer_weights(weights, index), x, view, own)
        following.extend(state)
        position += count
    return x, tuple(following)
