"""A layer of one's own, in one file: minGRU (Feng et al., arXiv 2410.01201, §3.1).

    z = σ(W_z x + b_z), h̃ = W_h x + b_h, h' = (1 - z) ⊙ h + z ⊙ h̃

Its gate does not look at the state. It trains, exports, quantizes and runs by what is written here; a recipe names
this file in `modules`.
"""

from __future__ import annotations

from edgeseq.core.cells import project
from edgeseq.core.layers import LAYERS, Layer, LayerSpec, Shape, State, View, Weights
from edgeseq.core.ops import Ops, Tensor


def weights(spec: LayerSpec, shape: Shape) -> dict[str, tuple[int, ...]]:
    """Both products in one matrix."""
    return {"kernel": (shape.inputs, 2 * spec.units), "bias": (2 * spec.units,)}


def states(spec: LayerSpec, shape: Shape) -> dict[str, tuple[int, ...]]:
    """Carry one state."""
    return {"h": (spec.units,)}


def step(ops: Ops, spec: LayerSpec, w: Weights, x: Tensor, view: View, state: State) -> tuple[Tensor, State]:
    """Advance by one step."""
    a = project(ops, w, x)
    z = ops.sigmoid(a[:, : spec.units])
    h = (1.0 - z) * state[0] + z * a[:, spec.units :]
    return h, (h,)


LAYERS["mingru"] = Layer(weights, states, step)
