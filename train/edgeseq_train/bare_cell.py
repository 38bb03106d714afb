"""A network's recurrent part in closed loop between the front and the head, which NumPy computes in float32.

The front depends on nothing learned and the head feeds nothing back, so both are computed for all steps at once, and
only the cell is stepped. Nothing here knows TensorFlow: either runtime's environment can run it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from edgeseq.adapters.interpreter.runtimes import make_interpreter
from edgeseq.bundle.manifest import Signature
from edgeseq.core import network
from edgeseq.core.forecast import RecurrentState, StateSpec, initial_state
from edgeseq.core.layers import View, stack
from edgeseq.core.network import FRONT_STATES, NetworkSpec
from edgeseq.core.types import F32
from edgeseq_train.prepare import BLAS

Advance = Callable[[F32, RecurrentState], RecurrentState]
"""Features (B, F) and the cell's states → its next states."""
HEAD_STEPS = 256
"""Steps whose forecasts are held at a time."""


def cell_states(spec: NetworkSpec) -> tuple[StateSpec, ...]:
    """List the states of the layers."""
    return network.state_spec(spec)[len(FRONT_STATES) :]


def views(spec: NetworkSpec, weights: Mapping[str, F32], x: F32) -> list[View]:
    """Run the front over x (T, B, C) → what it makes of each step."""
    state = initial_state(network.state_spec(spec)[: len(FRONT_STATES)], x.shape[1])
    made = []
    with np.errstate(over="ignore", invalid="ignore"):
        for row in x:
            view, state = network.front(BLAS, spec, weights, row, state)
            made.append(view)
    return made


def exact(spec: NetworkSpec, weights: Mapping[str, F32]) -> Advance:
    """Make the cell as NumPy computes it."""

    def advance(features: F32, state: RecurrentState) -> RecurrentState:
        view = View(base=None, difference=None, scale=None, features=features)
        return stack(BLAS, spec.layers, weights, view, state, spec.shape)[1]

    return advance


def open_cell(runtime: str, model: bytes, signature: Signature, spec: NetworkSpec, batch: int) -> Advance:
    """Bind a bare model to an interpreter at one batch size.

    Raises:
        ValueError, RuntimeError: the runtime refuses the model.
    """
    return bind_cell(make_interpreter(runtime, model), signature, spec, batch)


def bind_cell(interpreter: Any, signature: Signature, spec: NetworkSpec, batch: int) -> Advance:
    """Bind an interpreter that has a bare model at one batch size; raises as `open_cell`."""
    inputs = {detail["name"]: detail["index"] for detail in interpreter.get_input_details()}
    outputs = {detail["name"]: detail["index"] for detail in interpreter.get_output_details()}
    arguments = [inputs[name] for name in signature.inputs.values()]
    results = [outputs[name] for name in signature.outputs.values()]
    for index, shape in zip(
        arguments, [(spec.features,), *(s.shape for s in cell_states(spec))], strict=True
    ):
        interpreter.resize_tensor_input(index, (batch, *shape))
    interpreter.allocate_tensors()

    def advance(features: F32, state: RecurrentState) -> RecurrentState:
        for index, array in zip(arguments, (features, *state), strict=True):
            interpreter.set_tensor(index, array)
        interpreter.invoke()
        return tuple(interpreter.get_tensor(index) for index in results)

    return advance


def roll(spec: NetworkSpec, advance: Advance, seen: Sequence[View]) -> dict[str, F32]:
    """Step a cell through what the front made, from its initial state → each state after each step (T, B, ...)."""
    specs = cell_states(spec)
    state = initial_state(specs, len(seen[0].features))
    kept = []
    for view in seen:
        state = advance(view.features, state)
        kept.append(state)
    return {s.name: np.stack(column) for s, column in zip(specs, zip(*kept, strict=True), strict=True)}


def forecasts(
    spec: NetworkSpec, weights: Mapping[str, F32], seen: Sequence[View], output: F32
) -> Iterator[F32]:
    """Say what the head makes of the layers' outputs (T, B, U) → quantiles (t, B, C, H, Q), some steps at a time."""
    for start in range(0, len(seen), HEAD_STEPS):
        part = seen[start : start + HEAD_STEPS]
        fields = ("base", "difference", "scale", "features")
        joined = View(*(np.concatenate([getattr(view, name) for view in part]) for name in fields))
        taken = output[start : start + len(part)]
        q = network.head(BLAS, spec, weights, joined, taken.reshape(-1, taken.shape[-1]))
        yield q.reshape(len(part), -1, *q.shape[1:])


def representative(
    spec: NetworkSpec, weights: Mapping[str, F32], x: F32, count: int, rng: np.random.Generator
) -> dict[str, F32]:
    """Draw what the exact cell is given along x (T, B, C), at moments after the ring is full.

    Returns:
        "x" (count, F), and each state of the cell by name (count, ...).
    """
    seen = views(spec, weights, x)
    states = roll(spec, exact(spec, weights), seen)
    given = {"x": np.stack([view.features for view in seen[1:]])} | {k: a[:-1] for k, a in states.items()}
    flat = {name: a[spec.ring :].reshape(-1, *a.shape[2:]) for name, a in given.items()}
    drawn = rng.choice(len(flat["x"]), min(count, len(flat["x"])), replace=False)
    return {name: a[drawn] for name, a in flat.items()}
