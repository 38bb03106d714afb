"""The operations of `edgeseq.core.ops` in TensorFlow: the same network text for training and export."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from edgeseq.core.ops import Advance, State, Tensor


class TensorFlowOps:
    """Ops on symbolic tensors; each becomes a builtin of TFLite."""

    where = staticmethod(tf.where)
    minimum = staticmethod(tf.minimum)
    maximum = staticmethod(tf.maximum)
    abs = staticmethod(tf.abs)
    sqrt = staticmethod(tf.sqrt)
    exp = staticmethod(tf.exp)
    log = staticmethod(tf.math.log)
    tanh = staticmethod(tf.tanh)
    sigmoid = staticmethod(tf.sigmoid)
    matmul = staticmethod(tf.matmul)
    reshape = staticmethod(tf.reshape)
    transpose = staticmethod(tf.transpose)

    @staticmethod
    def sum(a: Tensor, axis: int) -> Tensor:
        """Add up along an axis."""
        return tf.reduce_sum(a, axis)

    @staticmethod
    def concat(parts: Sequence[Tensor], axis: int) -> Tensor:
        """Join along an axis."""
        return tf.concat(list(parts), axis)

    @staticmethod
    def column(a: Tensor, h: Tensor) -> Tensor:
        """Take lead h of a (n, H, k)."""
        return tf.gather(a, h, axis=1)

    def scan(self, advance: Advance, count: int, state: State) -> Tensor:
        """Advance in a loop of the graph, its outputs in an array."""
        outputs = tf.TensorArray(tf.float32, count)

        def body(h: Tensor, out: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
            y, following = advance(h, state)
            kept = tuple(tf.ensure_shape(a, s.shape) for a, s in zip(following, state, strict=True))
            return h + 1, out.write(h, y), kept

        _, outputs, _ = tf.while_loop(
            lambda h, *_: h < count, body, (tf.constant(0), outputs, state),
            parallel_iterations=1, maximum_iterations=count,
        )  # fmt: skip
        return tf.transpose(outputs.stack(), (1, 0, 2))


class MaskedOps(TensorFlowOps):
    """TensorFlow's operations with a mask on what one weight is multiplied with: recurrent dropout."""

    def __init__(self, weight: Tensor, mask: Tensor) -> None:
        self._weight, self._mask = weight, mask

    def matmul(self, a: Tensor, b: Tensor) -> Tensor:
        """Multiply, what meets the weight being masked."""
        return tf.matmul(a * self._mask if b is self._weight else a, b)


TENSORFLOW = TensorFlowOps()
