"""The network in the TFLite runtime, on as many rows at once as there are: filling needs no TensorFlow."""

from __future__ import annotations

from typing import Any

from edgeseq.adapters.interpreter.runtimes import make_interpreter, runtime_fault
from edgeseq.errors import OperatorError
from edgeseq_train.impute.network import Array, ImputerSpec, Passes

RUNTIME = "litert"


def open_passes(model: bytes, spec: ImputerSpec) -> Passes:
    """Open a model that `export` made.

    Raises:
        OperatorError: the runtime cannot be used here.
    """
    fault = runtime_fault(RUNTIME)
    if fault is not None:
        raise OperatorError(
            "the runtime cannot be used", where=RUNTIME, found=fault, do="pip install 'edgeseq[edge]'"
        )
    interpreter = make_interpreter(RUNTIME, model)
    runners = {name: interpreter.get_signature_runner(name) for name in ("forward", "backward", "head")}

    def cell(runner: Any) -> Any:
        def step(x: Array, states: tuple[Array, ...]) -> tuple[Array, ...]:
            found = runner(x=x, **dict(zip(spec.states, states, strict=True)))
            return tuple(found[f"{name}_next"] for name in spec.states)

        return step

    def head(forward: Array, backward: Array, moves: Array) -> Array:
        quantiles: Array = runners["head"](forward=forward, backward=backward, moves=moves)["quantiles"]
        return quantiles

    return Passes(cell(runners["forward"]), cell(runners["backward"]), head, spec)
