"""Recurrent cells as layers: the output is the cell's first state."""

from __future__ import annotations

from edgeseq.core.cells import CELLS, Cell, project
from edgeseq.core.layers.protocol import Layer, LayerSpec, Shape, State, View, Weights
from edgeseq.core.ops import Ops, Tensor


def recurrent(cell: Cell) -> Layer:
    """Make a layer of a recurrent cell."""

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


RECURRENT = {kind: recurrent(cell) for kind, cell in CELLS.items()}
