"""What weights are before training: which are learned, and how they are drawn."""

from __future__ import annotations

import numpy as np

from edgeseq.core import network
from edgeseq.core.network import NetworkSpec
from edgeseq.core.types import F32

LEARNED = ("layer", "head", "highway", "known", "decoder")


def trainable(name: str) -> bool:
    """Tell the learned weights from the fixed ones."""
    return name.startswith(LEARNED)


def initial_weights(spec: NetworkSpec, rng: np.random.Generator) -> dict[str, F32]:
    """Draw the learned weights (Glorot, orthogonal recurrence, forget gate open); the head starts at 0 = ridge."""
    weights = {}
    silent = {
        "head.basis" if spec.rank else "head.kernel",
        "known.kernel",
        "known.lead",
        "decoder.say_kernel",
    }
    for name, shape in network.weight_shapes(spec).items():
        if not trainable(name) or name == "highway":
            continue
        if name.endswith("recurrent"):
            weights[name] = orthogonal(shape, rng)
        elif name in silent or len(shape) == 1:
            weights[name] = np.zeros(shape)
        else:
            limit = np.sqrt(6 / (shape[0] + min(shape[1], spec.units)))
            weights[name] = rng.uniform(-limit, limit, shape)
    for index, layer in enumerate(spec.layers):
        if layer.kind == "lstm":
            weights[f"layer{index}.bias"][layer.units : 2 * layer.units] = 1.0
    return {name: np.asarray(a, dtype=np.float32) for name, a in weights.items()}


def orthogonal(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Draw an orthogonal block (U, U) for each gate of a recurrence (U, G·U)."""
    u = shape[0]
    blocks = [np.linalg.qr(rng.standard_normal((u, u)))[0] for _ in range(shape[1] // u)]
    return np.concatenate(blocks, axis=1)
