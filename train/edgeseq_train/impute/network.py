"""The network that looks both ways: the learned part, written once for NumPy, training and the runtime.

    features (B, T, F) ─┬▶ forward cell  ─▶ h ─┐
                        └◀ backward cell ─▶ h ─┴─ head ─▶ quantiles = moves · weights + correction, and widths

A row is one channel in one window; what its features and moves are stands in `sight`. The median is a sum of the
moves, weighted anew at each step, and of a correction. The head starts at 0: the straight line between known values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np

from edgeseq.core.cells import CELLS, project
from edgeseq.core.ops import NUMPY, Ops, Tensor
from edgeseq.core.types import F32

LEVELS = (0.05, 0.5, 0.95)
WAYS = ("forward", "backward")

Weights = Mapping[str, Tensor]
States = tuple[Tensor, ...]
Array = Any
"""A NumPy array, float32 in a runtime and float64 in the oracle."""


class ImputerSpec(msgspec.Struct, frozen=True):
    """All that the code needs beside the weights to be the network."""

    cell: Literal["gru", "lstm", "rnn"]
    units: int
    """Of each way."""
    features: int
    moves: int

    @property
    def outputs(self) -> int:
        """Count what the head gives: a weight of each move, the correction, two widths."""
        return self.moves + 3

    @property
    def states(self) -> tuple[str, ...]:
        """Name the states of a cell; the first is its output."""
        return CELLS[self.cell].states


def weight_shapes(spec: ImputerSpec) -> dict[str, tuple[int, ...]]:
    """Name all weights with their shapes."""
    cell, u = CELLS[spec.cell], spec.units
    wide = cell.gates * u
    full = {
        "kernel": (spec.features, wide),
        "recurrent": (u, wide),
        "bias": (wide,),
        "recurrent_bias": (wide,),
    }
    shapes = {f"{way}.{name}": full[name] for way in WAYS for name in cell.weights}
    return {**shapes, "head.kernel": (2 * u, spec.outputs), "head.bias": (spec.outputs,)}


def of_way(weights: Weights, way: str) -> dict[str, Tensor]:
    """Select the weights of one way's cell: forward.kernel → kernel."""
    return {name.removeprefix(f"{way}."): a for name, a in weights.items() if name.startswith(way)}


def step(ops: Ops, spec: ImputerSpec, weights: Weights, way: str, features: Tensor, states: States) -> States:
    """Advance one way's cell by one step: features (B, F), states (B, U) each."""
    w = of_way(weights, way)
    return CELLS[spec.cell].advance(ops, w, project(ops, w, features), states)


def head(
    ops: Ops, spec: ImputerSpec, weights: Weights, forward: Tensor, backward: Tensor, moves: Tensor
) -> Tensor:
    """Give quantiles LEVELS (n, 3) as distances from the line, in bridges, of both outputs (n, U) and moves (n, K)."""
    out = ops.matmul(ops.concat((forward, backward), 1), weights["head.kernel"]) + weights["head.bias"]
    k = spec.moves
    median = ops.sum(out[:, :k] * moves, 1)[:, None] + out[:, k : k + 1]
    width = _softplus(ops, out[:, k + 1 :])
    return ops.concat((median - width[:, :1], median, median + width[:, 1:]), 1)


def _softplus(ops: Ops, a: Tensor) -> Tensor:
    """Take log(1 + exp(a)); so written it cannot overflow."""
    return ops.maximum(a, 0.0) + ops.log(1.0 + ops.exp(-ops.abs(a)))


@dataclass(frozen=True, slots=True)
class Passes:
    """The network as three functions of arrays: in NumPy, or in a runtime."""

    forward: Callable[[Array, tuple[Array, ...]], tuple[Array, ...]]
    """features (B, F), states → states"""
    backward: Callable[[Array, tuple[Array, ...]], tuple[Array, ...]]
    head: Callable[[Array, Array, Array], Array]
    """outputs (n, U) of both ways, moves (n, K) → (n, 3)"""
    spec: ImputerSpec
    dtype: type[np.float32 | np.float64] = np.float32


def numpy_passes(spec: ImputerSpec, weights: Mapping[str, F32]) -> Passes:
    """Give the network in float64: the oracle of all runtimes."""
    exact = {name: a.astype(np.float64) for name, a in weights.items()}
    return Passes(
        lambda x, states: step(NUMPY, spec, exact, "forward", x, states),
        lambda x, states: step(NUMPY, spec, exact, "backward", x, states),
        lambda forward, backward, moves: head(NUMPY, spec, exact, forward, backward, moves),
        spec,
        np.float64,
    )


def impute(passes: Passes, features: F32, moves: F32) -> Array:
    """Estimate every step of windows from all of each window.

    Args:
        passes: the network.
        features: (B, T, F).
        moves: (B, T, K).

    Returns:
        (B, T, 3) quantiles LEVELS as distances from the line, in bridges (`sight`).
    """
    batch, steps, _ = features.shape
    spec = passes.spec
    outputs = np.empty((2, steps, batch, spec.units), passes.dtype)
    for way, advance, order in (
        (0, passes.forward, range(steps)),
        (1, passes.backward, range(steps - 1, -1, -1)),
    ):
        states: tuple[Array, ...] = tuple(np.zeros((batch, spec.units), passes.dtype) for _ in spec.states)
        for t in order:
            states = advance(np.ascontiguousarray(features[:, t], passes.dtype), states)
            outputs[way, t] = states[0]
    flat = outputs.reshape(2, steps * batch, spec.units)
    rows = np.ascontiguousarray(np.swapaxes(moves, 0, 1), passes.dtype).reshape(-1, spec.moves)
    return np.swapaxes(passes.head(flat[0], flat[1], rows).reshape(steps, batch, -1), 0, 1)


def initial_weights(spec: ImputerSpec, rng: np.random.Generator) -> dict[str, F32]:
    """Draw the weights (Glorot, orthogonal recurrence, forget gate open); the head starts at 0."""
    u, weights = spec.units, {}
    for name, shape in weight_shapes(spec).items():
        a = np.zeros(shape)
        if name.endswith("recurrent"):
            blocks = [np.linalg.qr(rng.standard_normal((u, u)))[0] for _ in range(shape[1] // u)]
            a = np.concatenate(blocks, axis=1)
        elif name.endswith("ward.kernel"):
            limit = np.sqrt(6 / (shape[0] + u))
            a = rng.uniform(-limit, limit, shape)
        elif name.endswith("ward.bias") and spec.cell == "lstm":
            a[u : 2 * u] = 1.0
        weights[name] = a.astype(np.float32)
    return weights
