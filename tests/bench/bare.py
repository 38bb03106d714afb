"""A bare interpreter, for what a device's steps are measured beside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edgeseq.adapters.interpreter.runtimes import make_interpreter

Alternative = Callable[[], Any]
"""Something whose calls are timed."""


def by_index(model: bytes, batch: int) -> Alternative:
    """Call the primary subgraph at a batch size, by tensor index, with arguments that lie ready."""
    interpreter = make_interpreter("litert", model)
    for detail in interpreter.get_input_details():
        interpreter.resize_tensor_input(detail["index"], [batch, *detail["shape_signature"][1:]])
    interpreter.allocate_tensors()
    inputs = [(d["index"], np.full(d["shape"], 0.1, np.float32)) for d in interpreter.get_input_details()]
    outputs = [d["index"] for d in interpreter.get_output_details()]

    def call() -> Any:
        for index, array in inputs:
            interpreter.set_tensor(index, array)
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in outputs]

    return call
