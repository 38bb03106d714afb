"""Sensors on one connection: QoS 1 at a steady rate, kept until the broker acknowledges, and honest books of both.

A socket and forty lines of MQTT 3.1.1 instead of a client library: what was sent how often, and what the broker has
promised to keep, is then known for certain.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from typing import NamedTuple

from tests.support.broker import PATIENCE_S, wait_until

Key = tuple[str, float]
"""Topic and value: no topic has a value twice."""

TURN_S = 0.01
MOST_UNACKNOWLEDGED = 5000


class Reading(NamedTuple):
    """What a sensor says."""

    topic: str
    value: float
    payload: bytes

    @property
    def key(self) -> Key:
        """Tell it from all others."""
        return self.topic, self.value


class Sender(threading.Thread):
    """Publishes readings until they end or `stop` is called; a lost connection is made again, the rest sent again."""

    def __init__(self, port: int, readings: Iterator[Reading], per_s: float) -> None:
        super().__init__(name="sender", daemon=True)
        self.promised: dict[Key, float] = {}
        """Acknowledged by the broker → when first (time.monotonic)."""
        self.sent: Counter[Key] = Counter()
        """How often each was written to a socket."""
        self.fault: BaseException | None = None
        self.is_paused = False
        """Publish only what `say` was given."""
        self.busy_s = 0.0
        """So long it has published."""
        self._port = port
        self._readings = readings
        self._per_s = per_s
        self._unacknowledged: OrderedDict[int, Reading] = OrderedDict()
        self._mid = 0
        self._socket: socket.socket | None = None
        self._received = b""
        self._urgent: deque[Reading] = deque()
        self._is_ending = False
        self._is_stopping = False

    def say(self, reading: Reading) -> None:
        """Publish one more, after all that was sent before."""
        self._urgent.append(reading)

    def end(self) -> None:
        """Publish no more than what `say` was given."""
        self._is_ending = True

    def stop(self) -> None:
        """Publish no more, and wait until the broker has acknowledged everything."""
        self._is_ending = self._is_stopping = True
        wait_until(lambda: not self.is_alive(), "all readings acknowledged by the broker", 2 * PATIENCE_S)
        if self.fault is not None:
            raise self.fault

    def run(self) -> None:
        """Publish."""
        try:
            self._run()
        except BaseException as fault:
            self.fault = fault
            raise
        finally:
            self._disconnect()

    def _run(self) -> None:
        due, last_s = 0.0, time.monotonic()
        while not (self._is_stopping and not self._unacknowledged and not self._urgent):
            try:
                connected = self._connect()
                now_s = time.monotonic()
                spent_s, last_s = now_s - last_s, now_s
                if self.is_paused or self._is_ending:
                    spent_s = 0.0
                self.busy_s += spent_s
                due = min(due + spent_s * self._per_s, self._per_s)
                self._send(connected, self._take(int(due)))
                due -= int(due)
                self._read(connected)
            except OSError:
                self._disconnect()
                time.sleep(0.1)

    def _take(self, count: int) -> list[Reading]:
        taken = [self._urgent.popleft() for _ in range(len(self._urgent))]
        room = (
            0
            if self._is_ending or self.is_paused
            else max(0, MOST_UNACKNOWLEDGED - len(self._unacknowledged))
        )
        return taken + list(itertools.islice(self._readings, min(count, room)))

    def _connect(self) -> socket.socket:
        if self._socket is not None:
            return self._socket
        made = socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE_S)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        body = b"\0\4MQTT\4\0\0\0" + _text("sensors")  # no clean session, no keep-alive
        made.sendall(bytes([0x10, len(body)]) + body)
        answer = made.recv(4, socket.MSG_WAITALL)
        if len(answer) < 4 or answer[3] != 0:
            made.close()
            raise ConnectionRefusedError(answer)
        made.settimeout(TURN_S)
        self._socket, self._received = made, b""
        again = list(self._unacknowledged.items())
        self._write(made, [(mid, reading, True) for mid, reading in again])
        return made

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, to: socket.socket, readings: list[Reading]) -> None:
        packets = []
        for reading in readings:
            self._mid = self._mid % 65_535 + 1
            self._unacknowledged[self._mid] = reading
            packets.append((self._mid, reading, False))
        self._write(to, packets)

    def _write(self, to: socket.socket, packets: list[tuple[int, Reading, bool]]) -> None:
        self.sent.update(reading.key for _, reading, _ in packets)
        data = b"".join(_publish(mid, reading, is_dup=is_dup) for mid, reading, is_dup in packets)
        to.settimeout(PATIENCE_S)
        to.sendall(data)
        to.settimeout(TURN_S)

    def _read(self, source: socket.socket) -> None:
        with contextlib.suppress(TimeoutError):
            data = source.recv(65_536)
            if not data:
                raise ConnectionResetError
            self._received += data
        whole = len(self._received) // 4 * 4
        now_s = time.monotonic()
        for kind, length, mid in struct.iter_unpack(">BBH", self._received[:whole]):
            assert (kind, length) == (0x40, 2), "nothing but PUBACK comes"
            reading = self._unacknowledged.pop(mid)
            self.promised.setdefault(reading.key, now_s)
        self._received = self._received[whole:]


def _publish(mid: int, reading: Reading, *, is_dup: bool) -> bytes:
    body = _text(reading.topic) + struct.pack(">H", mid) + reading.payload
    length, rest = b"", len(body)
    while True:
        rest, low = divmod(rest, 128)
        length += bytes([low | (0x80 if rest else 0)])
        if not rest:
            return bytes([0x3A if is_dup else 0x32]) + length + body


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">H", len(data)) + data
