"""What happens inside the recurrent part: NumPy runs the network with the shipped weights, and its gates are heard.

Gates are the cells' logistic functions, and only they: an Ops that notes what `sigmoid` gives hears them all, so that
no cell needs to be written a second time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeseq.core import network
from edgeseq.core.forecast import initial_state
from edgeseq.core.layers import stack
from edgeseq.core.network import FRONT_STATES, NetworkSpec
from edgeseq.core.ops import NumpyOps, Tensor
from edgeseq.core.types import F32, F64

GATES = {"gru": ("keep (z)", "reset (r)"), "lstm": ("input (i)", "forget (f)", "output (o)")}
"""Kind of layer → its gates in the order in which `core.cells` computes them."""
MEANINGS = {
    "gru": "Keep (z): how much of the old state stays; at 100 % nothing new enters. "
    "Reset (r): how much of the old state is looked at when the new one is made.",
    "lstm": "Input (i): how much of what is new enters the memory. Forget (f): how much of the memory stays; at 100 % "
    "all of it. Output (o): how much of the memory shows.",
}
WARM_RINGS = 2
"""So many rings are run before the first step that is kept: then the state is the one of a device."""


@dataclass(frozen=True, slots=True)
class Inside:
    """What was seen at the kept steps."""

    gates: dict[str, F64]
    """Gate of the last layer that has any → (n, S) mean over units, 0 closed … 1 open."""
    kind: str
    """Of that layer, or empty."""
    output: F32
    """(n, S, U) of the last layer: the recurrent part's state as the head sees it."""


class ListeningOps(NumpyOps):
    """NumPy's operations, noting what every logistic function gives."""

    def __init__(self) -> None:
        self.heard: list[F32] = []

    def sigmoid(self, a: Tensor) -> Tensor:  # type: ignore[override]  # here it is a method: it must remember
        """Take the logistic function and note it."""
        self.heard.append(NumpyOps.sigmoid(a))
        return self.heard[-1]


def has_memory(spec: NetworkSpec) -> bool:
    """Tell whether the network carries any state beside the front's."""
    return len(network.state_spec(spec)) > len(FRONT_STATES)


def look_inside(
    spec: NetworkSpec, weights: Mapping[str, F32], x: F32, known: F32 | None, start: int, stop: int
) -> Inside:
    """Run the network over x (T, S, C) and known inputs (T, K), and keep the steps [start, stop)."""
    index, names = _gated(spec)
    first = max(0, start - WARM_RINGS * spec.ring)
    state: tuple[Any, ...] = initial_state(network.state_spec(spec), x.shape[1])
    k = len(FRONT_STATES)
    heard: list[list[F64]] = []
    outputs = []
    for t in range(first, stop):
        ops = ListeningOps()
        given = None if known is None else np.broadcast_to(known[t], (x.shape[1], 1, known.shape[1]))
        with np.errstate(invalid="ignore"):
            view, front = network.front(ops, spec, weights, x[t], state[:k], given)
            output, own = stack(ops, spec.layers, weights, view, state[k:], spec.shape)
        state = (*front, *own)
        if t >= start:
            outputs.append(output)
            own_gates = ops.heard[index : index + len(names)]
            heard.append([np.asarray(g, np.float64).mean(axis=1) for g in own_gates])
    gates = {name: np.array([row[i] for row in heard]) for i, name in enumerate(names)}
    kind = next((layer.kind for layer in spec.layers[::-1] if layer.kind in GATES), "") if names else ""
    return Inside(gates, kind, np.stack(outputs))


def _gated(spec: NetworkSpec) -> tuple[int, tuple[str, ...]]:
    """Find the last layer with gates: its first place among all that is heard, and its gates' names.

    Layers above and below are only counted over where their gates are known; another kind of layer may use the
    logistic function too, hence nothing is said of networks that have one.
    """
    if any(layer.kind not in GATES and layer.kind not in ("rnn", "dense") for layer in spec.layers):
        return 0, ()
    counts = [len(GATES.get(layer.kind, ())) for layer in spec.layers]
    last = max((i for i, n in enumerate(counts) if n), default=None)
    if last is None:
        return 0, ()
    return sum(counts[:last]), GATES[spec.layers[last].kind]
