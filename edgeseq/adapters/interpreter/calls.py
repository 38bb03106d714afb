"""One signature of a TFLite file at one shape, as a plain function of arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgeseq.adapters.interpreter.runtimes import RUNTIME_FAULTS, make_interpreter
from edgeseq.bundle import Manifest
from edgeseq.core.forecast import initial_state
from edgeseq.core.types import F32

Call = Callable[[Sequence[F32]], Sequence[F32]]
"""(x, known where the model takes it, *state) of fixed shapes → (quantiles if asked for, *next state), new arrays."""


def make_call(
    manifest: Manifest, signature: str, runtime: str, model: bytes, x_shape: tuple[int, ...]
) -> Call:
    """Bind a signature to an interpreter of its own, at one shape.

    The primary subgraph is called by tensor index, which is up to three times faster than a signature runner
    (a runner announces all shapes again at each call).

    Raises:
        KeyError, ValueError, RuntimeError: the file has no such signature or tensors.
    """
    tensors = manifest.signatures[signature]
    interpreter = make_interpreter(runtime, model)
    inputs = {detail["name"]: detail["index"] for detail in interpreter.get_input_details()}
    outputs = {detail["name"]: detail["index"] for detail in interpreter.get_output_details()}
    shapes = _shapes(manifest, x_shape)
    if tensors.inputs.keys() <= shapes.keys() and set(tensors.inputs.values()) == inputs.keys():
        for name, tensor in tensors.inputs.items():
            interpreter.resize_tensor_input(inputs[tensor], shapes[name])
        interpreter.allocate_tensors()
        order = [inputs[tensor] for tensor in tensors.inputs.values()]
        call = _call_by_index(interpreter, order, [outputs[tensor] for tensor in tensors.outputs.values()])
    else:
        runner = interpreter.get_signature_runner(tensors.key or signature)
        call = _call_by_runner(runner, list(tensors.inputs.values()), list(tensors.outputs.values()))
    says = "quantiles" in tensors.outputs
    return _surviving(call, _check_results(manifest, call, shapes, says=says))


def _shapes(manifest: Manifest, x_shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    batch, steps = x_shape[0], 1 if len(x_shape) == 2 else x_shape[1]
    inputs = {"x": x_shape}
    if manifest.known:
        inputs["known"] = (batch, steps + manifest.horizon, len(manifest.known))
    return inputs | {spec.name: (batch, *spec.shape) for spec in manifest.state}


def _check_results(
    manifest: Manifest, call: Call, shapes: dict[str, tuple[int, ...]], *, says: bool
) -> list[tuple[int, ...]]:
    """Run once on zeros and compare what comes out with the manifest. Gives the shapes of the results."""
    batch, states = shapes["x"][0], [shapes[spec.name] for spec in manifest.state]
    inputs = [np.zeros(shapes[name], np.float32) for name in ("x", "known") if name in shapes]
    results = call((*inputs, *initial_state(manifest.state, batch)))
    wanted = [(batch, *manifest.output_shape)] * says + states
    found = [result.shape for result in results]
    if found != wanted or any(result.dtype != np.float32 for result in results):
        raise ValueError(f"results of shapes {found}, wanted float32 {wanted}")
    return wanted


def _surviving(call: Call, shapes: list[tuple[int, ...]]) -> Call:
    """Make a refusal of the runtime a fault of the rows: NaN, which the guard turns into a fresh state."""

    def surviving(arrays: Sequence[F32]) -> tuple[F32, ...]:
        try:
            return tuple(call(arrays))
        except RUNTIME_FAULTS:
            return tuple(np.full(shape, np.nan, np.float32) for shape in shapes)

    return surviving


def _call_by_index(interpreter: Any, inputs: list[int], outputs: list[int]) -> Call:
    def call(arrays: Sequence[F32]) -> tuple[F32, ...]:
        for index, array in zip(inputs, arrays, strict=True):
            interpreter.set_tensor(index, array)
        interpreter.invoke()
        return tuple(interpreter.get_tensor(index) for index in outputs)

    return call


def _call_by_runner(runner: Any, inputs: list[str], outputs: list[str]) -> Call:
    # Tensors are what the manifest names: a file may call an argument and a result alike, or otherwise.
    arguments = {detail["name"]: name for name, detail in runner.get_input_details().items()}
    results = {detail["name"]: name for name, detail in runner.get_output_details().items()}
    order, wanted = [arguments[tensor] for tensor in inputs], [results[tensor] for tensor in outputs]

    def call(arrays: Sequence[F32]) -> tuple[F32, ...]:
        found = runner(**dict(zip(order, arrays, strict=True)))
        return tuple(found[name] for name in wanted)

    return call
