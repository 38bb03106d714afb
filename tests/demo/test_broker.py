"""Laws of the demo's broker: it carries messages, ends with its owner, and loses just what it is told to."""

from __future__ import annotations

import queue
import socket

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edgeseq.demo.broker import Loss, embedded_broker
from edgeseq.watch import Broker, Inbox, connect

SENT = 40


def _received(port: int, topic: str) -> list[int]:
    """Send numbers to a topic, then to another one as an end mark, and collect what comes."""
    inbox: Inbox = queue.Queue()
    subscriber = connect(Broker("127.0.0.1", port), ["#"], inbox)
    publisher = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
    publisher.connect("127.0.0.1", port)
    publisher.loop_start()
    for number in range(SENT):
        publisher.publish(topic, str(number), qos=1)
    publisher.publish("end", "", qos=1)
    numbers = []
    try:
        while (message := inbox.get(timeout=20))[0] != "end":
            numbers.append(int(message[1]))
    finally:
        for client in (publisher, subscriber):
            client.disconnect()
            client.loop_stop()
    return numbers


@pytest.mark.parametrize(
    ("loss", "topic", "lost"),
    [
        (None, "a/forecast", set()),
        (Loss("/forecast", 10), "a/forecast", {9, 19, 29, 39}),
        (Loss("/forecast", 10), "a/alert", set()),
    ],
)
def test_broker_delivers_in_order_all_but_what_it_loses(
    loss: Loss | None, topic: str, lost: set[int]
) -> None:
    """Messages arrive once and in order, except each n-th of the topics that are to suffer."""
    with embedded_broker(loss) as port:
        assert _received(port, topic) == [number for number in range(SENT) if number not in lost]


def test_broker_is_gone_afterwards_even_after_an_error() -> None:
    """Leaving the context stops the broker, whatever happened inside: its port is free."""
    with pytest.raises(KeyboardInterrupt), embedded_broker() as port:
        raise KeyboardInterrupt
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", port))
