"""A transport of the link, a pair of sockets, and at the other end whatever a test sends as a broker."""

from __future__ import annotations

import select
import socket
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from edgeseq.adapters.mqtt import BatchTransport, PlainTransport, Settings
from edgeseq.adapters.mqtt import packets as p
from edgeseq.core.types import Message, Outgoing

TRANSPORTS = (BatchTransport, PlainTransport)
SETTINGS = Settings("localhost", 1883, "edgeseq-test", ("in/#",), Outgoing("out/will", b"gone"))


@dataclass
class Told:
    """What a link would be told, in order; consecutive messages stand in one list."""

    room: int = 100_000
    events: list[Any] = field(default_factory=list)
    in_flight: set[int] = field(default_factory=set)

    @property
    def messages(self) -> list[Message]:
        """List all messages so far."""
        return [message for event in self.events if isinstance(event, list) for message in event]

    def connected(self, *, is_session_present: bool, window: int, most_bytes: int | None) -> None:
        """Note."""
        self.events.append(("connected", is_session_present, window))

    def refused(self, reason: str) -> None:
        """Note."""
        self.events.append(("refused", reason))

    def subscribed(self, refusals: list[str | None]) -> None:
        """Note."""
        self.events.append(("subscribed", refusals))

    def arrived(self, messages: list[Message]) -> None:
        """Note."""
        self.room -= len(messages)
        if self.events and isinstance(self.events[-1], list):
            self.events[-1] += messages
        else:
            self.events.append(messages)

    def settled(self, mid: int, refusal: str | None) -> None:
        """Note."""
        self.events.append(("settled", mid, refusal))

    def is_in_flight(self, mid: int) -> bool:
        """Tell what the test says."""
        return mid in self.in_flight

    def lost(self, reason: str, *, is_malformed: bool) -> None:
        """Note."""
        self.events.append(("lost", reason, is_malformed))

    def closing(self) -> None:
        """Take no note."""


class Wire:
    """A transport that has sent CONNECT to a test; its clock counts the times it was asked."""

    def __init__(
        self,
        kind: type[BatchTransport | PlainTransport] = BatchTransport,
        buffer_bytes: int = 0,
        **changes: Any,
    ) -> None:
        self.settings = msgspec.structs.replace(SETTINGS, **changes)
        self.told = Told()
        self.reads = 0
        self.transport = kind(self.settings, self.told, self._now_ns)
        self.buffer_bytes = buffer_bytes
        self.broker: Any = None
        self.connect()

    def connect(self) -> None:
        """Connect, anew."""
        if self.broker is not None:
            self.broker.close()
        ours, self.broker = socket.socketpair()
        if self.buffer_bytes:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.buffer_bytes)
        self.broker.setblocking(False)
        client: Any = self.transport._client
        client._create_socket_connection = lambda: ours
        self.transport.connect()
        self.transport.write()

    def _now_ns(self) -> int:
        self.reads += 1
        return self.reads

    @property
    def is_version_5(self) -> bool:
        """Whether it speaks MQTT 5."""
        return self.settings.is_version_5

    def send(self, data: bytes) -> None:
        """Let the broker send, and the transport read all of it."""
        while data:
            try:
                data = data[self.broker.send(data) :]
            except BrokenPipeError:
                break
            except BlockingIOError:
                pass
            self.read()

    def read(self) -> None:
        """Let the transport read until nothing is left that it may read, as the link does."""
        while self.transport.socket() is not None and self.told.room > 0:
            readable = select.select([self.transport.socket()], [], [], 0)[0]
            if not readable and not self.transport.has_more:
                break
            self.transport.read()
            self.transport.keep_alive()
        self.transport.write()

    def received(self) -> bytes:
        """Give what has come to the broker since the last time."""
        data = b""
        while True:
            self.transport.write()
            try:
                more = self.broker.recv(2**16)
            except (BlockingIOError, ConnectionError):
                return data
            if not more:
                return data
            data += more

    def broker_has_nothing(self) -> bool:
        """Tell whether nothing has come to the broker yet."""
        return not select.select([self.broker], [], [], 0)[0]

    def accept(self) -> None:
        """Let the broker accept it and its subscription; what was told of that is forgotten."""
        self.send(self.connack())
        (subscribe,) = (body for first, body in split(self.received()) if first & 0xF0 == 0x80)
        self.send(packet(p.SUBACK, subscribe[:2] + self.more + b"\1"))
        self.received()
        self.told.events.clear()

    @property
    def more(self) -> bytes:
        """No properties, where there could be some."""
        return b"\0" if self.is_version_5 else b""

    def connack(self, code: int = 0, properties: bytes = b"") -> bytes:
        """Encode a CONNACK."""
        encoded = p.length_bytes(len(properties)) + properties if self.is_version_5 else b""
        return packet(p.CONNACK, bytes((0, code)) + encoded)

    def publish(
        self, topic: str | bytes, payload: bytes, mid: int = 0, *, flags: int = 0, properties: bytes = b""
    ) -> bytes:
        """Encode a PUBLISH of the broker; QoS 1 with a packet id."""
        name = topic if isinstance(topic, bytes) else topic.encode()
        body = len(name).to_bytes(2, "big") + name + (mid.to_bytes(2, "big") if mid else b"")
        encoded = p.length_bytes(len(properties)) + properties if self.is_version_5 else b""
        return packet(p.PUBLISH | (2 if mid else 0) | flags, body + encoded + payload)

    def close(self) -> None:
        """Close both ends."""
        self.transport.disconnect()
        self.broker.close()


def packet(first: int, body: bytes) -> bytes:
    """Put a packet together."""
    return bytes((first,)) + p.length_bytes(len(body)) + body


def split(data: bytes) -> list[tuple[int, bytes]]:
    """Take packets apart: first byte and body of each. The data must end where a packet does."""
    found, at = [], 0
    while at < len(data):
        place = p.frame(data, at, 2**28)
        assert place is not None, data[at:]
        begin, length = place
        assert begin + length <= len(data), "an incomplete packet"
        found.append((data[at], data[begin : begin + length]))
        at = begin + length
    return found


PINGREQ = 0xC0
VERSIONS = pytest.mark.parametrize("version_5", [True, False], ids=["v5", "v3.1.1"])
BOTH = pytest.mark.parametrize("kind", TRANSPORTS, ids=["batch", "plain"])


def lost(wire: Wire) -> list[tuple[str, bool]]:
    """List the losses that were told: reason, and whether the broker was to blame."""
    return [event[1:] for event in wire.told.events if event[0] == "lost"]
