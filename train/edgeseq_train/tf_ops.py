"""The operations of `edgeseq.core.ops` in TensorFlow: the same network text for training and export."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from edgeseq.core.ops import Tensor


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

    @staticmethod
    def sum(a: Tensor, axis: int) -> Tensor:
        """Add up along an axis."""
        return tf.reduce_sum(a, axis)

    @staticmethod
    def concat(parts: Sequence[Tensor], axis: int) -> Tensor:
        """Join along an axis."""
        return tf.concat(list(parts), axis)


TENSORFLOW = TensorFlowOps()
