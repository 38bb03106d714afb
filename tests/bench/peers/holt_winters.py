"""River's Holt-Winters, a model for each topic: learn and forecast 24 steps with each reading. PORT QOS."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from typing import Any

import paho.mqtt.client as mqtt
from river.time_series import HoltWinters  # type: ignore[import-not-found]  # an environment of its own

from tests.bench.peers.link import serve

HORIZON = SEASON = 24


def new_model() -> Any:
    """Make an additive model with a season."""
    return HoltWinters(alpha=0.3, beta=0.1, gamma=0.1, seasonality=SEASON)


models: defaultdict[str, Any] = defaultdict(new_model)
seen: defaultdict[str, int] = defaultdict(int)


def forecast(client: mqtt.Client, qos: int, message: mqtt.MQTTMessage) -> None:
    """Learn one value, publish the path."""
    reading = json.loads(message.payload)
    model = models[message.topic]
    model.learn_one(reading["temperature"])
    seen[message.topic] += 1
    # River has no forecast before the first season is complete.
    path = model.forecast(HORIZON) if seen[message.topic] > SEASON else []
    answer = {"seq": reading["seq"], "path": [round(value, 3) for value in path]}
    client.publish("out/" + message.topic, json.dumps(answer), qos)


serve(forecast, int(sys.argv[1]), int(sys.argv[2]))
