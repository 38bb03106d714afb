"""Listen to a broker for a while: messages in their order, each with the time of its arrival; bounded."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import paho.mqtt.client as mqtt

from edgeseq.core.types import Message
from edgeseq.watch import Broker, connect

MOST_WAITING = 20_000
MOST_BYTES = 64 * 2**20
"""Of messages that wait; what comes beyond is lost here, and counted."""
PAUSE_S = 0.2


@dataclass(slots=True)
class Ear:
    """What was heard and waits to be taken."""

    waiting: queue.SimpleQueue[Message] = field(default_factory=queue.SimpleQueue)
    lost: int = 0
    put_bytes: int = 0
    """Of all messages that were put in, …"""
    taken_bytes: int = 0
    """… and taken out: each is counted by one thread alone."""

    def take(self, message: mqtt.MQTTMessage) -> None:
        """Put a message in, in the client's thread."""
        try:
            heard = Message(
                message.topic, bytes(message.payload), time.time_ns(), retained=bool(message.retain)
            )
        except UnicodeDecodeError:  # a topic that no broker should let through
            self.lost += 1
            return
        size = len(heard.payload) + len(heard.topic)
        if self.waiting.qsize() >= MOST_WAITING or self.put_bytes - self.taken_bytes + size > MOST_BYTES:
            self.lost += 1
            return
        self.put_bytes += size
        self.waiting.put(heard)

    def until(self, end_s: float) -> Iterator[Message | None]:
        """Give messages until then (monotonic s), None where none has come for a moment."""
        while (rest_s := end_s - time.monotonic()) > 0:
            try:
                message = self.waiting.get(timeout=min(PAUSE_S, rest_s))
            except queue.Empty:
                yield None
                continue
            self.taken_bytes += len(message.payload) + len(message.topic)
            yield message


@contextmanager
def listening(broker: Broker, topics: Iterable[str]) -> Iterator[Ear]:
    """Subscribe for a while. Raises BrokerError where the broker cannot be reached at first."""
    ear = Ear()
    client = connect(broker, topics, ear.take)
    try:
        yield ear
    finally:
        client.disconnect()
        client.loop_stop()
