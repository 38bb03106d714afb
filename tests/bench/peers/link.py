"""How the peers connect: paho as its documentation shows it, but without Nagle's delay."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion


def serve(handle: Callable[[mqtt.Client, int, mqtt.MQTTMessage], None], port: int, qos: int) -> None:
    """Call `handle` for each message, for ever."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="peer", userdata=qos)

    def set_nodelay(_client: mqtt.Client, _: Any, opened: Any) -> None:
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    client.on_socket_open = set_nodelay
    client.on_connect = lambda c, *_: c.subscribe("bench/+", qos)
    client.on_message = handle
    client.connect("127.0.0.1", port)
    client.loop_forever()
