"""Layers without memory: dense over the layer below, and dense over the ring beside it (the feed-forward contrast)."""

from __future__ import annotations

from edgeseq.core.cells import project
from edgeseq.core.layers.protocol import (
    Layer,
    LayerSpec,
    Shape,
    State,
    View,
    Weights,
    lagged_scales,
    no_states,
)
from edgeseq.core.ops import Ops, Tensor


def _dense_weights(spec: LayerSpec, shape: Shape) -> dict[str, tuple[int, ...]]:
    return {"kernel": (shape.inputs, spec.units), "bias": (spec.units,)}


def _dense(
    ops: Ops, spec: LayerSpec, w: Weights, x: Tensor, view: View, state: State
) -> tuple[Tensor, State]:
    """Tanh of a linear map: y = tanh(W x + b)."""
    return ops.tanh(project(ops, w, x)), ()


def _ring_weights(spec: LayerSpec, shape: Shape) -> dict[str, tuple[int, ...]]:
    ring = (shape.channels * shape.lags, spec.units)
    return {"kernel": (shape.inputs, spec.units), "ring_kernel": ring, "bias": (spec.units,)}


def _ring(ops: Ops, spec: LayerSpec, w: Weights, x: Tensor, view: View, state: State) -> tuple[Tensor, State]:
    """Tanh of a linear map of the layer below and of all lagged differences d: y = tanh(W x + R d + b)."""
    d = ops.reshape(lagged_scales(ops, view), (-1, int(w["ring_kernel"].shape[0])))
    return ops.tanh(project(ops, w, x) + ops.matmul(d, w["ring_kernel"])), ()


DENSE = Layer(_dense_weights, no_states, _dense)
RING = Layer(_ring_weights, no_states, _ring, sees_ring=True)
