"""A broker on loopback that does what a test says, packet by packet; MQTT 5, with or without TLS."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Self

from edgeseq.adapters.mqtt import packets as p
from tests.support.rig import Rig
from tests.support.wire import packet

Packets = list[tuple[int, bytes]]
"""First byte and body of each."""


class ScriptedBroker:
    """Listens; `connection` takes the next client."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self._context = context
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(30)
        self.port = int(self._server.getsockname()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    @contextlib.contextmanager
    def connection(self, rig: Rig) -> Iterator[Connection]:
        """Take the connection that the link of a rig makes."""
        rig.until(lambda: select.select([self._server], [], [], 0)[0], "a connection")
        raw, _ = self._server.accept()
        opened = self._context.wrap_socket(raw, server_side=True) if self._context else raw
        with opened:
            opened.setblocking(False)
            yield Connection(rig, opened)


class Connection:
    """A client's connection."""

    def __init__(self, rig: Rig, opened: socket.socket) -> None:
        self.rig = rig
        self.raw = opened
        self.packets: Packets = []
        self._received = b""

    def send(self, data: bytes) -> None:
        """Send all, while the link reads."""

        def is_sent() -> bool:
            nonlocal data
            with contextlib.suppress(BlockingIOError, ssl.SSLWantWriteError):
                data = data[self.raw.send(data) :]
            return not data

        self.rig.until(is_sent, "sent")

    def receive(self, size: int = 2**16) -> None:
        """Take what has come."""
        with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError):
            self._received += self.raw.recv(size)
        while (place := p.frame(self._received, 0, 2**28)) and sum(place) <= len(self._received):
            begin, length = place
            self.packets.append((self._received[0], self._received[begin : begin + length]))
            self._received = self._received[begin + length :]

    def read(self, condition: Callable[[Packets], object], size: int = 2**16) -> Packets:
        """Read until a condition on all packets so far holds, while the link goes on; gives all packets so far."""

        def holds() -> bool:
            self.receive(size)
            return bool(condition(self.packets))

        self.rig.until(holds, "packets of the link")
        return self.packets

    def accept(self, *, is_session_present: bool = False, properties: bytes = b"") -> None:
        """Accept the client and its subscription."""
        self.read(lambda found: any(first & 0xF0 == 0x10 for first, _ in found))
        self.send(packet(p.CONNACK, bytes((is_session_present, 0, len(properties))) + properties))
        found = self.read(lambda found: any(first == 0x82 for first, _ in found))
        mid = next(body[:2] for first, body in found if first == 0x82)
        self.send(packet(p.SUBACK, mid + b"\0\1"))

    @staticmethod
    def publish(topic: str, payload: bytes, mid: int = 0) -> bytes:
        """Encode a PUBLISH; of QoS 1 where it has a packet id."""
        number = mid.to_bytes(2, "big") if mid else b""
        return packet(p.PUBLISH | (2 if mid else 0), p.topic_bytes(topic) + number + b"\0" + payload)
