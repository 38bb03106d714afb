"""Attention over the ring: several heads, each looks at the places of the past that the present state asks for.

Attention as Bahdanau et al. (arXiv 1409.0473) brought it to sequences, with the products of Luong et al.
(arXiv 1508.04025: score eq. 8 `general`, output eq. 5). The query comes from the layer below, a key from a lag's
position and from its content: how far the value is from the present one, and whether it was rising. Values are the
lagged differences at the place and right after it, in running scales. Nothing is carried: the ring is the memory, and
a step costs O(L), with no past state to be encoded again. At the edge of a hole in the lags
(`NetworkSpec.segments`) the place after one is the next lag that is kept.
"""

from __future__ import annotations

import math

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

SCORE_LIMIT = 15.0
"""Scores are bounded to ± this much, so that their exponentials cannot overflow; beyond, a head looks at one place."""


def key_units(spec: LayerSpec) -> int:
    """Width of a head's query."""
    return max(1, spec.units // spec.heads)


def _weights(spec: LayerSpec, shape: Shape) -> dict[str, tuple[int, ...]]:
    context = spec.heads * min(spec.width, shape.lags) * shape.channels
    return {
        "query_kernel": (shape.inputs, spec.heads * key_units(spec)),
        "content_kernel": (shape.inputs, spec.heads * 2),
        **{f"position{k}": (key_units(spec), shape.lags) for k in range(spec.heads)},
        "kernel": (shape.inputs + context, spec.units),
        "bias": (spec.units,),
    }


def _step(ops: Ops, spec: LayerSpec, w: Weights, x: Tensor, view: View, state: State) -> tuple[Tensor, State]:
    d = lagged_scales(ops, view)
    contexts = [context for share in shares(ops, spec, w, x, d) for context in _values(ops, spec, share, d)]
    return ops.tanh(project(ops, w, ops.concat([x, *contexts], 1))), ()


def shares(ops: Ops, spec: LayerSpec, w: Weights, x: Tensor, d: Tensor) -> list[Tensor]:
    """Say how each head spreads its attention: x (B, inputs), d (B, C, L) → (B, C, L) ≥ 0 each, adding up to 1."""
    size, lags = key_units(spec), int(d.shape[2])
    query = ops.matmul(x, w["query_kernel"]) * (1.0 / math.sqrt(size))
    asked = ops.matmul(x, w["content_kernel"])
    rise = ops.concat([d[:, :, :1] * 0.0, d[:, :, 1:] - d[:, :, :-1]], 2)
    found = []
    for k in range(spec.heads):
        place = ops.matmul(query[:, k * size : (k + 1) * size], w[f"position{k}"])
        level, slope = (ops.reshape(asked[:, 2 * k + i : 2 * k + i + 1], (-1, 1, 1)) for i in range(2))
        score = ops.reshape(place, (-1, 1, lags)) + level * d + slope * rise
        odds = ops.exp(ops.maximum(ops.minimum(score, SCORE_LIMIT), -SCORE_LIMIT))
        found.append(odds / ops.reshape(ops.sum(odds, 2), (-1, int(d.shape[1]), 1)))
    return found


def _values(ops: Ops, spec: LayerSpec, share: Tensor, d: Tensor) -> list[Tensor]:
    """Weigh the differences at the places looked at, and 1 … width - 1 lags after them: (B, C) each."""
    lags = int(d.shape[2])
    return [
        ops.sum(share[:, :, : lags - after] * d[:, :, after:], 2) for after in range(min(spec.width, lags))
    ]


ATTENTION = Layer(_weights, no_states, _step, sees_ring=True)
