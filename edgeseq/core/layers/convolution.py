"""Causal convolution over time, its past inputs carried as state; below a recurrent layer it makes CNN + RNN.

y_t = tanh(Σ_j K_j x_{t - j·dilation} + b), j = 0 … width - 1 (arXiv 1609.03499, §2.1: causal and dilated).
Before the first step its inputs count as 0.
"""

from __future__ import annotations

from edgeseq.core.cells import project
from edgeseq.core.layers.protocol import Layer, LayerSpec, Shape, State, View, Weights
from edgeseq.core.ops import Ops, Tensor


def reach(spec: LayerSpec) -> int:
    """Count the steps from the oldest input to the present one."""
    return (spec.width - 1) * spec.dilation


def _weights(spec: LayerSpec, shape: Shape) -> dict[str, tuple[int, ...]]:
    """List the weights; rows of the kernel: width blocks of inputs, the oldest first."""
    return {"kernel": (spec.width * shape.inputs, spec.units), "bias": (spec.units,)}


def _states(spec: LayerSpec, shape: Shape) -> dict[str, tuple[int, ...]]:
    return {"past": (reach(spec), shape.inputs)} if reach(spec) else {}


def _step(ops: Ops, spec: LayerSpec, w: Weights, x: Tensor, view: View, state: State) -> tuple[Tensor, State]:
    if not state:
        return ops.tanh(project(ops, w, x)), ()
    (past,) = state
    inputs = int(x.shape[-1])
    older = ops.reshape(past[:, :: spec.dilation], (-1, (spec.width - 1) * inputs))
    output = ops.tanh(project(ops, w, ops.concat([older, x], 1)))
    return output, (ops.concat([past[:, 1:], ops.reshape(x, (-1, 1, inputs))], 1),)


CONVOLUTION = Layer(_weights, _states, _step)
