"""The naive script of the tutorials: with each reading, the last 64 are run through a GRU again. PORT QOS.

GRU of 64 units and a dense layer for 24 leads and 3 quantiles, in NumPy, with random weights.
"""

from __future__ import annotations

import json
import os
import sys
from collections import defaultdict, deque

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import paho.mqtt.client as mqtt
from numpy.typing import NDArray

from tests.bench.peers.link import serve

WINDOW, UNITS, HORIZON, QUANTILES = 64, 64, 24, 3

rng = np.random.default_rng(0)
kernel = 0.1 * rng.standard_normal((3 * UNITS,)).astype(np.float32)
recurrent = 0.1 * rng.standard_normal((UNITS, 3 * UNITS)).astype(np.float32)
bias = np.zeros(3 * UNITS, np.float32)
dense = 0.1 * rng.standard_normal((UNITS, HORIZON * QUANTILES)).astype(np.float32)
windows: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=WINDOW))


def run(window: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run a GRU over a window (T,) → (H, Q)."""
    h = np.zeros(UNITS, np.float32)
    inputs = window[:, None] * kernel + bias
    for x in inputs:
        ahead = h @ recurrent
        gates = 1 / (1 + np.exp(-(x[: 2 * UNITS] + ahead[: 2 * UNITS])))
        z, r = gates[:UNITS], gates[UNITS:]
        candidate = np.tanh(x[2 * UNITS :] + r * ahead[2 * UNITS :])
        h = z * h + (1 - z) * candidate
    path: NDArray[np.float32] = (h @ dense).reshape(HORIZON, QUANTILES)
    return path


def forecast(client: mqtt.Client, qos: int, message: mqtt.MQTTMessage) -> None:
    """Run the window of a topic again, publish the path."""
    reading = json.loads(message.payload)
    window = windows[message.topic]
    window.append(reading["temperature"])
    padded = [window[0]] * (WINDOW - len(window)) + list(window)
    values = np.array(padded, np.float32)
    mean, scale = values.mean(), values.std() + 1e-3
    path = run((values - mean) / scale) * scale + mean
    answer = {"seq": reading["seq"], "path": np.round(path, 3).tolist()}
    client.publish("out/" + message.topic, json.dumps(answer), qos)


serve(forecast, int(sys.argv[1]), int(sys.argv[2]))
