"""The least that a Python MQTT service does: parse a reading and publish it again. python echo.py PORT QOS."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import msgspec
import paho.mqtt.client as mqtt

from tests.bench.peers.link import serve

_parse: Callable[[bytes], Any] = msgspec.json.Decoder().decode


def echo(client: mqtt.Client, qos: int, message: mqtt.MQTTMessage) -> None:
    """Publish what came."""
    _parse(bytes(message.payload))
    client.publish("out/" + message.topic, message.payload, qos)


serve(echo, int(sys.argv[1]), int(sys.argv[2]))
