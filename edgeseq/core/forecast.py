"""The Stepper protocol: one step of a forecaster for a batch of streams.

A Stepper has no hidden state: the recurrent state goes in and comes out, as a tuple of arrays in the order of
`state_spec`, one row per stream. All of them pass one conformance suite (tests/runtimes).

Values x are what the core makes of readings: (value - anchor) / unit in float64, then float32; NaN is missing.
Quantiles come back in the same scale; the core inverts them.
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeseq.core.types import F32, Index

RecurrentState = tuple[NDArray[np.float32], ...]


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


def step_rows(
    stepper: Stepper, x: F32, stored: RecurrentState, at: Index, into: Index, known: F32 | None = None
) -> NDArray[Any]:
    """Step the rows `at` (n,) of stored states (N, ...) → quantiles; the next states become the rows `into`.

    The rows `at` stay as they are; `into` (n,) are others, all different. A stepper with a method of this name takes
    and puts the rows itself, without a copy between.
    """
    own = getattr(stepper, "step_rows", None)
    if own is not None:
        quantiles: NDArray[Any] = own(x, stored, at, into, known)
        return quantiles
    quantiles, following = stepper.step(x, take_rows(stored, at), known)
    put_rows(stored, into, following)
    return quantiles


def take_rows(stored: RecurrentState, at: Index) -> RecurrentState:
    """Copy rows of stored states."""
    # `take` would first copy all of an array that is a view of a wider one.
    return tuple(a.take(at, axis=0) if a.flags.c_contiguous else a[at] for a in stored)


def put_rows(stored: RecurrentState, into: Index, state: RecurrentState) -> None:
    """Keep states as rows of stored ones."""
    for array, rows in zip(stored, state, strict=True):
        array[into] = rows
