"""A socket that speaks MQTT, as either side: answers what only asks for an answer, and hands out what was published."""

from __future__ import annotations

import select
import socket
import time

from tests.bench.stream import packets
from tests.bench.stream.packets import Packet

READ_BYTES = 1 << 20
PATIENCE_S = 60.0


class Closed(ConnectionError):
    """The other side has gone."""


class Connection:
    """Never blocks; what the socket does not take waits here."""

    def __init__(self, opened: socket.socket) -> None:
        opened.setblocking(False)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = opened
        self.version = 4
        self.acknowledged = 0
        """PUBACKs received."""
        self.is_accepted = False
        """CONNACK received."""
        self.subscriptions = 0
        """SUBSCRIBEs and SUBACKs received."""
        self._unsent = b""
        self._rest = b""

    @property
    def has_unsent(self) -> bool:
        """Tell whether something waits for the socket."""
        return bool(self._unsent)

    def send(self, data: bytes) -> None:
        """Send, now or later."""
        self._unsent = self._unsent + data if self._unsent else data
        self.flush()

    def flush(self) -> None:
        """Give the socket what it takes."""
        try:
            sent = self.socket.send(self._unsent) if self._unsent else 0
        except BlockingIOError:
            return
        self._unsent = self._unsent[sent:]

    def receive(self) -> tuple[bytes, list[Packet]]:
        """Read what is there; give the buffer and the PUBLISHes in it. Raises Closed."""
        try:
            data = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return b"", []
        if not data:
            raise Closed("the other side closed the connection")
        buffer = self._rest + data if self._rest else data
        found, end = packets.split(buffer)
        self._rest = buffer[end:]
        return buffer, self._sorted(buffer, found)

    def _sorted(self, buffer: bytes, found: list[Packet]) -> list[Packet]:
        answers: list[bytes] = []
        published: list[Packet] = []
        for each in found:
            kind = each[0] >> 4
            if kind == packets.PUBLISH:
                published.append(each)
                if each[0] & 6:
                    at = each[1]
                    answers.append(
                        packets.puback(packets.number16(buffer, at + 2 + packets.number16(buffer, at)))
                    )
            elif kind == packets.PUBACK:
                self.acknowledged += 1
            else:
                answers.append(self._answer(kind, buffer[each[1] : each[2]]))
        if answer := b"".join(answers):
            self.send(answer)
        return published

    def _answer(self, kind: int, body: bytes) -> bytes:
        if kind == packets.CONNECT:
            self.version = packets.version_of(body)
            return packets.connack(self.version)
        if kind == packets.PINGREQ:
            return packets.PONG
        if kind in (packets.SUBSCRIBE, packets.UNSUBSCRIBE):
            self.subscriptions += kind == packets.SUBSCRIBE
            return packets.granted(body, kind, self.version)
        self.is_accepted |= kind == packets.CONNACK
        self.subscriptions += kind == packets.SUBACK
        return b""

    def wait(self, *, subscriptions: int, patience_s: float = PATIENCE_S) -> None:
        """Serve until so many subscriptions were made. Raises TimeoutError."""
        deadline_s = time.monotonic() + patience_s
        while self.subscriptions < subscriptions:
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"no subscription within {patience_s:.0f} s")
            select.select([self.socket], [], [], 0.1)
            self.receive()
            self.flush()

    def close(self) -> None:
        """Close it."""
        self.socket.close()


class FakeBroker:
    """A broker of one client: what the client publishes ends here, what is sent here it has subscribed to."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def accept(self) -> Connection:
        """Wait for the client and its subscription. Raises TimeoutError."""
        self._listener.settimeout(PATIENCE_S)
        connection = Connection(self._listener.accept()[0])
        connection.wait(subscriptions=1)
        return connection

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()


def join(port: int, client_id: bytes, filters: dict[bytes, int]) -> Connection:
    """Connect to a real broker as a client, subscribed to filters (→ QoS)."""
    connection = Connection(socket.create_connection(("127.0.0.1", port)))
    connection.send(packets.connect(client_id))
    if filters:
        connection.send(packets.subscribe(1, filters))
        connection.wait(subscriptions=1)
    return connection
