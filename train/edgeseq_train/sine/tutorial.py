"""The network of the tutorials: SimpleRNN(50, relu) on windows of 10 readings, Dense(1), mean squared error, Adam.

Trained by Keras as they do it, then converted to TFLite and run in the device's runtime after every reading. Each time
the whole window is run again from an empty state: what lies more than 10 readings back does not exist for it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from numpy.lib.stride_tricks import sliding_window_view

from edgeseq.core.types import F32, F64
from edgeseq_train.sine.outcome import Curve, Layer, Outcome
from edgeseq_train.sine.series import Sine

WINDOW = 10
UNITS = 50
BATCH = 32
EPOCHS = 20
NAME = f"SimpleRNN({UNITS}) on {WINDOW}"


def run_tutorial(sine: Sine, seed: int, epochs: int = EPOCHS) -> Outcome:
    """Train, convert, and forecast the test part."""
    network, curve = train(sine, seed, epochs)
    model = convert(network)
    forecast = opened(model)
    begun = time.perf_counter()
    one = np.array([forecast(sine.values[: t + 1]) for t in sine.origins])
    us = (time.perf_counter() - begun) / len(one) * 1e6
    free = np.stack([_feed(forecast, sine.values[: t + 1], sine.season) for t in sine.free_origins])
    return Outcome(NAME, one, free, None, layers_of(network), curve, us, len(model) / 1000)


def windows(values: F64) -> tuple[F32, F32]:
    """Cut (T,) into windows (n, 10, 1) and the reading after each (n, 1).

    >>> x, y = windows(np.arange(12.0))
    >>> x.shape, y.ravel().tolist()
    ((2, 10, 1), [10.0, 11.0])
    """
    cut = sliding_window_view(values.astype(np.float32), WINDOW + 1)
    return cut[:, :-1, None], cut[:, -1:]


def train(sine: Sine, seed: int, epochs: int) -> tuple[keras.Model, Curve]:
    """Train as the tutorials do; the validation windows are those of the validation part."""
    keras.utils.set_random_seed(seed)
    network = keras.Sequential(
        [
            keras.Input((WINDOW, 1)),
            # Unrolled: TFLite has no loop that is as fast.
            keras.layers.SimpleRNN(UNITS, activation="relu", unroll=True),
            keras.layers.Dense(1),
        ]
    )
    network.compile(optimizer="adam", loss="mse")
    seen = windows(sine.values[: sine.split.train])
    unseen = windows(sine.values[sine.split.train - WINDOW : sine.split.validation])
    history = network.fit(*seen, validation_data=unseen, epochs=epochs, batch_size=BATCH, verbose=0).history
    at = list(range(1, epochs + 1))
    return network, Curve(at, "epoch", history["loss"], history["val_loss"], "mean squared error")


def layers_of(network: keras.Model) -> tuple[Layer, ...]:
    """List the layers as Keras counts them."""
    return tuple(
        Layer(
            f"{type(layer).__name__}({layer.units})", str(tuple(layer.output.shape[1:])), layer.count_params()
        )
        for layer in network.layers
    )


def convert(network: keras.Model) -> bytes:
    """Make a TFLite file that takes one window (1, 10, 1)."""
    window = tf.TensorSpec((1, WINDOW, 1), tf.float32)
    with tempfile.TemporaryDirectory(prefix="edgeseq-") as folder:
        network.export(folder, format="tf_saved_model", verbose=False, input_signature=[window])
        return bytes(tf.lite.TFLiteConverter.from_saved_model(folder).convert())


def opened(model: bytes) -> Callable[[F64], float]:
    """Open the file in the device's runtime → a function from all readings so far to the next one's forecast."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    given, said = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def forecast(history: F64) -> float:
        interpreter.set_tensor(given, history[-WINDOW:].astype(np.float32)[None, :, None])
        interpreter.invoke()
        return float(interpreter.get_tensor(said)[0, 0])

    return forecast


def _feed(forecast: Callable[[F64], float], history: F64, steps: int) -> F64:
    known = history[-WINDOW:]
    for _ in range(steps):
        known = np.append(known, forecast(known))
    return known[-steps:]
