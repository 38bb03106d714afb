"""What happens inside the recurrent part: NumPy runs the network with the shipped weights, and its gates are heard.

Gates are the cells' logistic functions, and only they: an Ops that notes what `sigmoid` gives hears them all, so that
no cell needs to be written a second time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    state: tuple[Any, ...] = initial_state(network.state_spec(spec), x.shape[1])
    k = len(FRONT_STATES)
    heard: list[list[F32]] = []
    outputs = []
    for t in range(max(0, start - WARM_RINGS * spec.ring), stop):
        ops = ListeningOps()
        given = None if known is None else np.broadcast_to(known[t], (x.shape[1], 1, known.shape[1]))
        with np.errstate(invalid="ignore"):
            view, front = network.front(ops, spec, weights, x[t], state[:k], given)
            output, own = stack(ops, spec.layers, weights, view, state[k:], spec.shape)
        state = (*front, *own)
        if t >= start:
            outputs.append(output)
            heard.append(ops.heard)
    kind, gates = _last_gates([layer.kind for layer in spec.layers], heard)
    return Inside(gates, kind, np.stack(outputs))


def _last_gates(kinds: Sequence[str], heard: Sequence[Sequence[F32]]) -> tuple[str, dict[str, F64]]:
    """Pick the gates of the last layer that has any out of all that was heard at each step.

    Nothing is said where more was heard than gates are known: another kind of layer may use the logistic function too.
    """
    gated = [kind for kind in kinds if kind in GATES]
    if not gated or len(heard[0]) != sum(len(GATES[kind]) for kind in gated):
        return "", {}
    names = GATES[gated[-1]]
    means = np.array([[gate.mean(axis=1) for gate in step[-len(names) :]] for step in heard], np.float64)
    return gated[-1], {name: means[:, i] for i, name in enumerate(names)}
