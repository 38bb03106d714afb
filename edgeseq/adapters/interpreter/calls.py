"""One signature of a TFLite file at one shape, as a plain function of arrays."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from edgeseq.adapters.interpreter.runtimes import RUNTIME_FAULTS, make_interpreter
from edgeseq.bundle import Manifest
from edgeseq.core.forecast import RecurrentState, initial_state, put_rows, take_rows
from edgeseq.core.table import NO_MATRIX, Pairs
from edgeseq.core.types import F32, Index

_WIDE_BYTES = 64
"""Of a row that is put as one item."""


class Call(Protocol):
    """A signature at one batch size, as a function."""

    def __call__(self, arrays: Sequence[F32], into: Sequence[F32] | None = None) -> Sequence[F32]:
        """Take x, known where the model takes it, and the state → quantiles if asked for, and the next state.

        Args:
            arrays: of at most as many rows as the batch has; what is missing is filled by the last one.
            into: of as many rows, to be written; None: make new arrays of the whole batch.
        """
        ...


class RowCall(Protocol):
    """The step signature at one batch size, on rows of stored states."""

    def __call__(
        self, given: Sequence[F32], stored: RecurrentState, at: Index, into: Index, quantiles: F32
    ) -> float:
        """Step rows `at` (n,) of stored states into rows `into`, and write their quantiles.

        Args:
            given: x, and known where the model takes it, of n rows: at most as many as the batch has.
            stored: see forecast.step_rows, with at and into.
            quantiles: (n, ...), written.

        Returns:
            the sum of the squares of all results, which is not finite where one of them is not.
        """
        ...


class Calls(NamedTuple):
    """A signature bound to an interpreter."""

    arrays: Call
    rows: RowCall


def make_call(
    manifest: Manifest, signature: str, runtime: str, model: bytes, x_shape: tuple[int, ...]
) -> Calls:
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
        results = [outputs[tensor] for tensor in tensors.outputs.values()]
        call = _call_by_index(interpreter, order, results, x_shape[0])
        rows = _rows_by_index(interpreter, order, results, x_shape[0])
    else:
        runner = interpreter.get_signature_runner(tensors.key or signature)
        call = _call_by_runner(
            runner, list(tensors.inputs.values()), list(tensors.outputs.values()), x_shape[0]
        )
        rows = _rows_by_call(call)
    says = "quantiles" in tensors.outputs
    return Calls(_surviving(call, _check_results(manifest, call, shapes, says=says)), _surviving_rows(rows))


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

    def surviving(arrays: Sequence[F32], into: Sequence[F32] | None = None) -> Sequence[F32]:
        try:
            return call(arrays, into)
        except RUNTIME_FAULTS:
            results = [np.empty(shape, np.float32) for shape in shapes] if into is None else into
            for result in results:
                result.fill(np.nan)
            return results

    return surviving


def _surviving_rows(call: RowCall) -> RowCall:
    """Do the same for rows of stored states."""

    def surviving(
        given: Sequence[F32], stored: RecurrentState, at: Index, into: Index, quantiles: F32
    ) -> float:
        try:
            return call(given, stored, at, into, quantiles)
        except RUNTIME_FAULTS:
            quantiles.fill(np.nan)
            for array in stored:
                array[into] = np.nan
            return math.nan

    return surviving


def _call_by_index(interpreter: Any, inputs: list[int], outputs: list[int], batch: int) -> Call:
    # No view of the interpreter's memory may live while it runs: each lives within one expression.
    places = [(index, interpreter.tensor(index)) for index in inputs]
    results = [interpreter.tensor(index) for index in outputs]

    def call(arrays: Sequence[F32], into: Sequence[F32] | None = None) -> Sequence[F32]:
        for (index, view), array in zip(places, arrays, strict=True):
            if array.flags.c_contiguous and len(array) == batch:
                interpreter.set_tensor(index, array)
            else:
                _fill(view(), array)
        interpreter.invoke()
        if into is None:
            return tuple(interpreter.get_tensor(index) for index in outputs)
        for view, result in zip(results, into, strict=True):
            result[...] = view() if len(result) == batch else view()[: len(result)]
        return into

    return call


def _rows_by_index(interpreter: Any, inputs: list[int], outputs: list[int], batch: int) -> RowCall:
    # Views live as shortly as above. What lies in the table goes to the interpreter's memory and back at once.
    places = [interpreter.tensor(index) for index in inputs]
    says, *results = (interpreter.tensor(index) for index in outputs)

    def call(given: Sequence[F32], stored: RecurrentState, at: Index, into: Index, quantiles: F32) -> float:
        n, first = len(at), len(given)
        is_full = n == batch
        for view, array in zip(places, given, strict=False):
            _fill(view(), array)
        matrix, small, wide = _laid(stored)
        for k, array in wide:
            if is_full:  # rows are in bounds: "clip" only saves NumPy a copy
                array.take(at, axis=0, out=places[first + k](), mode="clip")
            else:
                _fill(places[first + k](), array.take(at, axis=0))
        moved = matrix.take(at, axis=0) if small else matrix
        for k, words in small:
            _fill(places[first + k](), moved[:, words])
        interpreter.invoke()
        quantiles[...] = says() if is_full else says()[:n]
        total = float(np.vdot(quantiles, quantiles))
        for k, array in wide:
            result = results[k]() if is_full else results[k]()[:n]
            total += float(np.vdot(result, result))
            _put(array, into, result)
        if small:
            for k, words in small:
                moved[:, words] = results[k]() if is_full else results[k]()[:n]
            total += float(np.vdot(moved, moved))
            matrix[into] = moved
        return total

    return call


def _laid(
    stored: RecurrentState,
) -> tuple[F32, Sequence[tuple[int, slice]], Sequence[tuple[int, F32]]]:
    """Give the matrix that small states lie in, which ones and where, and the others."""
    if isinstance(stored, Pairs):
        return stored.matrix, stored.small, stored.wide
    return NO_MATRIX, (), tuple(enumerate(stored))


def _put(array: F32, into: Index, rows: F32) -> None:
    """Write rows; wide ones as one item each, which NumPy moves twice as fast."""
    if array.strides[0] < _WIDE_BYTES:
        array[into] = rows
        return
    item = _item(array.strides[0])
    array.reshape(len(array), -1).view(item).put(into, rows.reshape(len(rows), -1).view(item), mode="clip")


@functools.cache
def _item(row_bytes: int) -> np.dtype[np.void]:
    return np.dtype((np.void, row_bytes))


def _rows_by_call(call: Call) -> RowCall:
    def rows(given: Sequence[F32], stored: RecurrentState, at: Index, into: Index, quantiles: F32) -> float:
        following = tuple(np.empty((len(at), *array.shape[1:]), np.float32) for array in stored)
        call((*given, *take_rows(stored, at)), (quantiles, *following))
        put_rows(stored, into, following)
        return sum(float(np.vdot(a, a)) for a in (quantiles, *following))

    return rows


def _fill(place: F32, array: F32) -> None:
    """Write rows into a batch; the last one stands in for what is missing, as valid as any."""
    if len(array) == len(place):
        place[...] = array
        return
    place[: len(array)] = array
    place[len(array) :] = array[-1]


def _call_by_runner(runner: Any, inputs: list[str], outputs: list[str], batch: int) -> Call:
    # Tensors are what the manifest names: a file may call an argument and a result alike, or otherwise.
    arguments = {detail["name"]: name for name, detail in runner.get_input_details().items()}
    results = {detail["name"]: name for name, detail in runner.get_output_details().items()}
    order, wanted = [arguments[tensor] for tensor in inputs], [results[tensor] for tensor in outputs]

    def call(arrays: Sequence[F32], into: Sequence[F32] | None = None) -> Sequence[F32]:
        filled = []
        for array in arrays:
            place = np.empty((batch, *array.shape[1:]), np.float32)
            _fill(place, array)
            filled.append(place)
        found = runner(**dict(zip(order, filled, strict=True)))
        if into is None:
            return tuple(found[name] for name in wanted)
        for name, result in zip(wanted, into, strict=True):
            result[...] = found[name][: len(result)]
        return into

    return call
