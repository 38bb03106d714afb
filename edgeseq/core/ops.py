"""The operations that the network is written in, so that one text serves the device, training and export.

`edgeseq.core.network` speaks only these, Python arithmetic and basic slicing. NumpyOps runs it on the device and as
the float64 oracle; training brings a twin for TensorFlow. Each has a builtin in TFLite.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

Tensor = Any
"""A NumPy array or a symbolic tensor; only the Ops know which."""
State = tuple[Tensor, ...]
Advance = Callable[[Tensor, State], tuple[Tensor, State]]
"""(lead h, state) → output (n, m), next state."""


class Ops(Protocol):
    """Element-wise functions, matrix product and shape changes on tensors."""

    def where(self, condition: Tensor, yes: Tensor, no: Tensor) -> Tensor:
        """Select element-wise; arguments broadcast."""

    def minimum(self, a: Tensor, b: Tensor | float) -> Tensor:
        """Take the smaller, element-wise."""

    def maximum(self, a: Tensor, b: Tensor | float) -> Tensor:
        """Take the larger, element-wise."""

    def abs(self, a: Tensor) -> Tensor:
        """Take the magnitude."""

    def sqrt(self, a: Tensor) -> Tensor:
        """Take the square root."""

    def exp(self, a: Tensor) -> Tensor:
        """Take the exponential."""

    def log(self, a: Tensor) -> Tensor:
        """Take the natural logarithm."""

    def tanh(self, a: Tensor) -> Tensor:
        """Take the hyperbolic tangent."""

    def sigmoid(self, a: Tensor) -> Tensor:
        """Take the logistic function."""

    def matmul(self, a: Tensor, b: Tensor) -> Tensor:
        """Multiply rows a (n, K) by a matrix b (K, m)."""

    def sum(self, a: Tensor, axis: int) -> Tensor:
        """Add up along an axis."""

    def concat(self, parts: Sequence[Tensor], axis: int) -> Tensor:
        """Join along an axis."""

    def reshape(self, a: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Change the shape; one -1 allowed."""

    def transpose(self, a: Tensor, axes: tuple[int, ...]) -> Tensor:
        """Change the order of the axes."""

    def column(self, a: Tensor, h: Tensor) -> Tensor:
        """Take lead h, as `scan` counts it, of a (n, H, k) → (n, k)."""

    def scan(self, advance: Advance, count: int, state: State) -> Tensor:
        """Advance `count` times, h = 0 … count - 1, from a state: outputs (n, count, m)."""


class NumpyOps:
    """Ops on NumPy arrays; the dtype of the arguments is kept."""

    where = staticmethod(np.where)
    minimum = staticmethod(np.minimum)
    maximum = staticmethod(np.maximum)
    abs = staticmethod(np.abs)
    sqrt = staticmethod(np.sqrt)
    exp = staticmethod(np.exp)
    log = staticmethod(np.log)
    tanh = staticmethod(np.tanh)
    transpose = staticmethod(np.transpose)

    @staticmethod
    def sigmoid(a: Tensor) -> Tensor:
        """Take the logistic function, by tanh: it cannot overflow."""
        return 0.5 * np.tanh(0.5 * a) + 0.5

    @staticmethod
    def matmul(a: Tensor, b: Tensor) -> Tensor:
        """Multiply each row on its own: BLAS sums differently for 1 row and for many, and a row must equal itself."""
        return (a[:, None, :] @ b)[:, 0, :]

    @staticmethod
    def sum(a: Tensor, axis: int) -> Tensor:
        """Add up along an axis."""
        return np.sum(a, axis=axis)

    @staticmethod
    def concat(parts: Sequence[Tensor], axis: int) -> Tensor:
        """Join along an axis."""
        return np.concatenate(parts, axis=axis)

    @staticmethod
    def reshape(a: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Change the shape."""
        return np.reshape(a, shape)

    @staticmethod
    def column(a: Tensor, h: Tensor) -> Tensor:
        """Take lead h of a (n, H, k)."""
        return a[:, h]

    @staticmethod
    def scan(advance: Advance, count: int, state: State) -> Tensor:
        """Advance in a loop of Python."""
        outputs = []
        for h in range(count):
            y, state = advance(h, state)
            outputs.append(y[:, None])
        return np.concatenate(outputs, axis=1)


NUMPY = NumpyOps()
