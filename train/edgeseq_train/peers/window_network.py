"""Networks that see a window of the past again at every origin: how they are trained, and how they forecast.

A small loop of its own instead of Keras's: a missing target counts for nothing, and the weights that were best on
validation are kept. It is the same for all of them, so that they differ by what they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from edgeseq.core.types import F32, I64
from edgeseq_train.peers.panel import Panel, Trained, Unfit
from edgeseq_train.peers.windows import AllChannels, OneChannel, Windows

MODULES = (__name__, "edgeseq_train.peers.windows")
"""Whose text decides what these networks forecast."""
VALIDATION_WINDOWS = 2048
CHUNK_WINDOWS = 2048


class Plan(NamedTuple):
    """How long and on what a network is trained: Adam, its rate decayed as a cosine, the gradient's norm clipped."""

    window: int
    """L: steps of the past."""
    steps: int
    learning_rate: float = 1e-3
    batch: int = 256
    """Windows per step."""
    validate_every: int = 100
    patience: int = 8
    """Stop after so many validations without gain."""
    squared: bool = False
    """Squared error instead of absolute error."""


def fit_network(
    make: Callable[[Panel, int, int], Any], view: type[OneChannel | AllChannels], plan: Plan, panel: Panel,
    horizon: int, seed: int,
) -> Trained | Unfit:  # fmt: skip
    """Train the Keras model that `make` builds of panel, window L and horizon H on the windows of a view.

    Of one channel it maps (B, L) → (B, H), of all (B, L, C + V) → (B, C, H).
    """
    first, stop = plan.window - 1, panel.train - horizon
    if stop - first < 2 * horizon:
        return Unfit(
            f"a window of {plan.window} and a horizon of {horizon} need more than {panel.train} steps"
        )
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    model = make(panel, plan.window, horizon)
    shape = tf.TensorSpec(model.input_shape, tf.float32)
    call = tf.function(lambda x: model(x, training=False), input_signature=[shape], autograph=False)

    def predict(windows: Windows, numbers: I64) -> F32:
        chunks = (numbers[k : k + CHUNK_WINDOWS] for k in range(0, len(numbers), CHUNK_WINDOWS))
        return np.concatenate([call(tf.constant(windows.inputs(chunk))).numpy() for chunk in chunks])

    shown = view(panel, plan.window, horizon)
    checked = _thinned(panel.train - 1, panel.validation - horizon, shown.per_origin)
    _descend(model, plan, shown, (first, stop), checked, predict, seed)
    channels, values = panel.z.shape[1], shown.inputs(np.array([first * shown.per_origin])).size

    def forecast(panel: Panel, origins: slice) -> F32:
        windows = view(panel, plan.window, horizon)
        numbers = np.arange(origins.start * windows.per_origin, origins.stop * windows.per_origin)
        return predict(windows, numbers).reshape(-1, channels, horizon)

    parameters = int(sum(np.prod(w.shape) for w in model.trainable_weights))
    return Trained(forecast, parameters, state_values=values * shown.per_origin // channels)


def _descend(
    model: Any, plan: Plan, shown: Windows, origins: tuple[int, int], checked: I64,
    predict: Callable[[Windows, I64], F32], seed: int,
) -> None:  # fmt: skip
    """Train in place on origins [start, stop); leave the weights that were best on the windows to check."""
    rng = np.random.default_rng(seed)
    start, stop = (t * shown.per_origin for t in origins)
    step = _stepping(model, plan)
    truth = shown.targets(checked)
    best, kept, waited = np.inf, model.get_weights(), 0
    for k in range(1, plan.steps + 1):
        numbers = rng.integers(start, stop, plan.batch)
        step(shown.inputs(numbers), shown.targets(numbers))
        if k % plan.validate_every:
            continue
        error = predict(shown, checked) - truth
        loss = float(np.nanmean(np.square(error) if plan.squared else np.abs(error)))
        if loss < best:
            best, kept, waited = loss, model.get_weights(), 0
            continue
        waited += 1
        if waited >= plan.patience:
            break
    model.set_weights(kept)


def _stepping(model: Any, plan: Plan) -> Callable[[F32, F32], None]:
    """Make the function of one optimizer step."""
    import keras
    import tensorflow as tf

    rate = keras.optimizers.schedules.CosineDecay(plan.learning_rate, plan.steps)
    optimizer = keras.optimizers.Adam(rate, global_clipnorm=1.0)
    optimizer.build(model.trainable_weights)

    @tf.function(autograph=False)
    def step(x: Any, y: Any) -> None:
        known = tf.math.is_finite(y)
        with tf.GradientTape() as tape:
            error = tf.where(known, model(x, training=True) - tf.where(known, y, 0.0), 0.0)
            loss = tf.reduce_mean(tf.square(error) if plan.squared else tf.abs(error))
        gradients = tape.gradient(loss, model.trainable_weights)
        optimizer.apply_gradients(zip(gradients, model.trainable_weights, strict=True))

    return lambda x, y: step(tf.constant(x), tf.constant(y))


def _thinned(start: int, stop: int, per_origin: int) -> I64:
    """Choose windows of origins [start, stop), evenly in time and of every channel."""
    every = np.arange(start * per_origin, stop * per_origin)
    stride = max(1, len(every) // VALIDATION_WINDOWS)
    while np.gcd(stride, per_origin) > 1:  # such a stride would leave channels out
        stride += 1
    return every[::stride]
