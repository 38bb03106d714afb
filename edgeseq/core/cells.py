"""Recurrent cells as the papers write them, over the operations of `edgeseq.core.ops`.

A cell's input projection is separate from its recurrence: training projects all T inputs in one product, the device
one. Weights and gate order are those of Keras, so that layers can be compared weight by weight:
kernel (F, G·U), recurrent (U, G·U), bias (G·U), with G gates; the GRU adds recurrent_bias (G·U).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgeseq.core.ops import Ops, Tensor

Weights = Mapping[str, Tensor]
State = tuple[Tensor, ...]


def rnn(ops: Ops, w: Weights, a: Tensor, state: State) -> State:
    """H' = tanh(a + U h), with a = W x + b. Elman 1990."""
    (h,) = state
    return (ops.tanh(a + ops.matmul(h, w["recurrent"])),)


def gru(ops: Ops, w: Weights, a: Tensor, state: State) -> State:
    """Gated recurrent unit, reset gate after the product (arXiv 1406.1078v1 and cuDNN): one product per step.

    z = σ(a_z + U_z h + b_z), r = σ(a_r + U_r h + b_r), n = tanh(a_n + r ⊙ (U_n h + b_n)), h' = z ⊙ h + (1 - z) ⊙ n.
    """
    (h,) = state
    u = int(h.shape[-1])
    b = ops.matmul(h, w["recurrent"]) + w["recurrent_bias"]
    z = ops.sigmoid(a[:, :u] + b[:, :u])
    r = ops.sigmoid(a[:, u : 2 * u] + b[:, u : 2 * u])
    n = ops.tanh(a[:, 2 * u :] + r * b[:, 2 * u :])
    return (z * h + (1.0 - z) * n,)


def lstm(ops: Ops, w: Weights, a: Tensor, state: State) -> State:
    """Long short-term memory with forget gate (Gers et al. 2000).

    i, f, o = σ(…), g = tanh(…), c' = f ⊙ c + i ⊙ g, h' = o ⊙ tanh(c'), gates in the order i, f, g, o.
    """
    h, c = state
    u = int(h.shape[-1])
    a = a + ops.matmul(h, w["recurrent"])
    i, f, o = ops.sigmoid(a[:, :u]), ops.sigmoid(a[:, u : 2 * u]), ops.sigmoid(a[:, 3 * u :])
    g = ops.tanh(a[:, 2 * u : 3 * u])
    c = f * c + i * g
    return o * ops.tanh(c), c


@dataclass(frozen=True, slots=True)
class Cell:
    """A kind of cell: its recurrence, how many gates, and the names of its states (the first is its output)."""

    advance: Callable[[Ops, Weights, Tensor, State], State]
    gates: int
    states: tuple[str, ...]
    weights: tuple[str, ...]


CELLS = {
    "rnn": Cell(rnn, 1, ("h",), ("kernel", "recurrent", "bias")),
    "gru": Cell(gru, 3, ("h",), ("kernel", "recurrent", "bias", "recurrent_bias")),
    "lstm": Cell(lstm, 4, ("h", "c"), ("kernel", "recurrent", "bias")),
}


def project(ops: Ops, w: Weights, x: Tensor) -> Tensor:
    """Project inputs (n, F) → (n, G·U)."""
    return ops.matmul(x, w["kernel"]) + w["bias"]
