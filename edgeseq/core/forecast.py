"""The Stepper protocol: one step of a forecaster for a batch of streams.

A Stepper has no hidden state: the recurrent state goes in and comes out, as a tuple of arrays in the order of
`state_spec`, one row per stream. All of them pass one conformance suite (tests/runtimes).

Values x are what the core makes of readings: (value - anchor) / unit in float64, then float32; NaN is missing.
Quantiles come back in the same scale; the core inverts them.
"""

from __future__ import annotations

import functools
import math
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeseq.core.types import F32

RecurrentState = tuple[NDArray[np.float32], ...]


class Packed(tuple[NDArray[np.float32], ...]):  # noqa: SLOT001  # a tuple can have none
    """A RecurrentState whose arrays are views of the columns of one matrix (B, W), so that it moves as one."""

    matrix: NDArray[np.float32]


class StateSpec(msgspec.Struct, frozen=True):
    """One named array of a recurrent state. Shape without the batch axis."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    init: float = 0.0


class Stepper(Protocol):
    """Advance a batch of streams by one grid step, or by many."""

    name: str
    """Shown to subscribers, such as house@3f9a51c2 or baseline."""
    channels: int
    horizon: int
    levels: tuple[float, ...]
    """Quantile levels, ascending, symmetric around 0.5."""
    ring: int
    """Steps of history that warm the state completely."""
    known: int
    """K: inputs that are known for the future too (calendar, covariates); 0 for most."""
    state_spec: tuple[StateSpec, ...]

    def step(self, x: F32, state: RecurrentState, known: F32 | None = None) -> tuple[F32, RecurrentState]:
        """Take x (B, C), the state (B, ...) and known (B, 1 + H, K) → quantiles (B, C, H, Q) and the next state.

        known holds the inputs of this step and of the H leads; None where K = 0.

        The arguments are not changed; the result shares no memory with them. A row's result never depends on
        the other rows of its batch.
        """
        ...

    def replay(self, x: F32, state: RecurrentState, known: F32 | None = None) -> tuple[F32, RecurrentState]:
        """Take x (B, T, C), T >= 1, and known (B, T + H, K) → quantiles (B, C, H, Q) of the last step, and the state.

        Equal to T calls of step.
        """
        ...


def initial_state(spec: tuple[StateSpec, ...], batch: int) -> RecurrentState:
    """Make the state of streams that have seen nothing, one row each.

    >>> [s.shape for s in initial_state((StateSpec("h0", (4,)), StateSpec("mean", (1,))), batch=2)]
    [(2, 4), (2, 1)]
    """
    return tuple(np.full((batch, *s.shape), s.init, dtype=np.dtype(s.dtype)) for s in spec)


def unpacked(spec: tuple[StateSpec, ...], matrix: NDArray[Any]) -> Packed:
    """Show a matrix (B, W) as the state whose columns it holds, in the order of the specification.

    >>> state = unpacked((StateSpec("h0", (2, 2)), StateSpec("mean", (1,))), np.arange(10.0).reshape(2, 5))
    >>> state[0][1].tolist(), state[1].tolist()
    ([[5.0, 6.0], [7.0, 8.0]], [[4.0], [9.0]])
    """
    state = Packed(
        matrix[:, part] if shape is None else matrix[:, part].reshape(len(matrix), *shape)
        for part, shape in _layout(spec)
    )
    state.matrix = matrix
    return state


@functools.cache
def _layout(spec: tuple[StateSpec, ...]) -> list[tuple[slice, tuple[int, ...] | None]]:
    """Give the columns of each array, and its shape where that is not the columns'."""
    stops = np.cumsum([math.prod(s.shape) for s in spec]).tolist()
    parts = map(slice, [0, *stops[:-1]], stops)
    return [(part, None if len(s.shape) == 1 else s.shape) for part, s in zip(parts, spec, strict=True)]


def packed(state: RecurrentState) -> NDArray[Any]:
    """Give a state as its matrix (B, W), which is made where it is none yet."""
    if isinstance(state, Packed):
        return state.matrix
    return np.concatenate([array.reshape(len(array), math.prod(array.shape[1:])) for array in state], axis=1)
