"""Layers over whole segments of time, for training: the device's own step, without stepping where nothing carries over.

A recurrent cell projects all T inputs in one product; a layer without memory takes all T·B rows at once, and so does a
convolution; any other layer is stepped in a loop, so that a layer of one's own trains without a word here.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from edgeseq.core import cells
from edgeseq.core.layers import LayerSpec, Shape, View, kind_of
from edgeseq.core.layers.convolution import reach
from edgeseq.core.ops import Ops, Tensor
from edgeseq_train.tf_ops import TENSORFLOW

States = tuple[Tensor, ...]

STRETCH = 128
"""Steps of a stretch: about the root of the number of steps of a recording."""


def unroll(
    spec: LayerSpec, w: dict[str, Tensor], x: Tensor, view: View | None, states: States, shape: Shape,
    ops: Ops = TENSORFLOW,
) -> tuple[Tensor, States]:  # fmt: skip
    """Run one layer over x (T, B, inputs) → outputs (T, B, U) and the last states.

    view: of all T·B rows, where the layer sees the ring.
    """
    if spec.kind in cells.CELLS:
        return _recurrent(ops, cells.CELLS[spec.kind], w, x, states)
    if spec.kind == "convolution":
        return _convolution(spec, w, x, states)
    layer = kind_of(spec)
    if not layer.states(spec, shape):
        flat, _ = layer.step(ops, spec, w, _flat(x), view, ())  # type: ignore[arg-type]  # given where it is read
        return _timed(flat, x), ()

    def advance(now: Tensor, state: States) -> tuple[Tensor, States]:
        return layer.step(ops, spec, w, now, None, state)  # type: ignore[arg-type]  # no layer needs both

    return scan(advance, x, states, spec.units)


def _flat(x: Tensor) -> Tensor:
    return tf.reshape(x, (-1, x.shape[-1]))


def _timed(flat: Tensor, like: Tensor) -> Tensor:
    steps, batch = like.shape[0] or tf.shape(like)[0], like.shape[1] or tf.shape(like)[1]
    return tf.reshape(flat, (steps, batch, flat.shape[-1]))


def _recurrent(
    ops: Ops, cell: cells.Cell, w: dict[str, Tensor], x: Tensor, states: States
) -> tuple[Tensor, States]:
    projected = _timed(cells.project(ops, w, _flat(x)), x)

    def advance(now: Tensor, state: States) -> tuple[Tensor, States]:
        state = cell.advance(ops, w, now, state)
        return state[0], state

    return scan(advance, projected, states, states[0].shape[-1])


def _convolution(spec: LayerSpec, w: dict[str, Tensor], x: Tensor, states: States) -> tuple[Tensor, States]:
    """Take all windows of past and segment at once."""
    steps = x.shape[0] or tf.shape(x)[0]
    whole = tf.concat([*(tf.transpose(past, (1, 0, 2)) for past in states), x], 0)
    windows = [whole[k * spec.dilation : k * spec.dilation + steps] for k in range(spec.width)]
    flat = tf.tanh(cells.project(TENSORFLOW, w, _flat(tf.concat(windows, -1))))
    last = whole[-reach(spec) :]
    return _timed(flat, x), tuple(tf.transpose(last, (1, 0, 2)) for _ in states)


def scan(advance: Any, x: Tensor, states: States, units: int) -> tuple[Tensor, States]:
    """Advance over x (T, B, ·) by advance(x_t, states) → (output (B, U), states): outputs (T, B, U), last states.

    A long stretch is a loop over stretches: in the gradient of one loop each step costs as much as there are steps.
    """
    steps = x.shape[0]
    if steps is None or steps < 4 * STRETCH:
        return _scan(advance, x, states, units)
    whole = steps - steps % STRETCH
    stretches = tf.reshape(x[:whole], (-1, STRETCH, *(n or -1 for n in x.shape[1:])))
    out, states = _scan(lambda now, state: _scan(advance, now, state, units), stretches, states, units)
    out = tf.reshape(out, (whole, *tf.unstack(tf.shape(out))[2:]))
    rest, states = _scan(advance, x[whole:], states, units)
    return tf.ensure_shape(tf.concat([out, rest], 0), (steps, x.shape[1], units)), states


def _scan(advance: Any, x: Tensor, states: States, units: int) -> tuple[Tensor, States]:
    steps = x.shape[0] or tf.shape(x)[0]
    # Read from an array: the gradient of x[t] would be a whole zero tensor for each t.
    inputs = tf.TensorArray(tf.float32, steps).unstack(x)
    outputs = tf.TensorArray(tf.float32, steps, element_shape=(*x.shape[1:-1], units))

    def body(t: Tensor, out: Tensor, state: States) -> tuple[Tensor, Tensor, States]:
        y, following = advance(inputs.read(t), state)
        kept = tuple(tf.ensure_shape(a, s.shape) for a, s in zip(following, state, strict=True))
        return t + 1, out.write(t, y), kept

    _, outputs, states = tf.while_loop(
        lambda t, *_: t < steps,
        body,
        (tf.constant(0), outputs, states),
        parallel_iterations=1,
        maximum_iterations=steps,
    )
    return outputs.stack(), states
