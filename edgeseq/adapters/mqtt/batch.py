"""The fast transport: all packets of one recv at once, and all that a batch sends by one send.

Paho connects, subscribes and keeps alive (see hooks.py). PUBLISH and PUBACK are ours, both ways: a message costs a
tenth of what paho needs for it, since nothing is done per packet but to cut it out of what was received.

Memory is bounded whatever the peer does: no more is read while the inbox has no room or the peer does not take what we
answer, no packet beyond max_packet_bytes is waited for, and states are refused while MAX_UNSENT_BYTES wait.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

from paho.mqtt.enums import MQTTErrorCode

from edgeseq.adapters.mqtt import packets
from edgeseq.adapters.mqtt.corked import Corked
from edgeseq.adapters.mqtt.hooks import LAST_MID_OF_PAHO, HookedClient
from edgeseq.adapters.mqtt.packets import Malformed, Publishes, frame
from edgeseq.adapters.mqtt.paho import PahoTransport, refusal_of
from edgeseq.adapters.mqtt.seams import Listener
from edgeseq.adapters.mqtt.settings import Settings, open_client
from edgeseq.core.types import Message, Outgoing

RECEIVE_BYTES = 2**18
"""Read at once: some 4000 messages."""

MAX_UNSENT_BYTES = 2**22
"""Gathered for a slow peer: some 2000 forecasts with their path."""

FLUSH_BYTES = 2**16
"""So much is written before the batch is complete: the peer can begin."""

_OK, _AGAIN = MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_AGAIN

_KINDS = {
    packets.CONNACK,
    packets.SUBACK,
    packets.UNSUBACK,
    packets.PINGRESP,
    packets.DISCONNECT,
}
"""What a broker sends beside PUBLISH and PUBACK; of QoS 2 nothing, as we neither ask for it nor send it."""


class BatchTransport(PahoTransport):
    """Paho with our own reading and writing."""

    def __init__(self, settings: Settings, listener: Listener, now_ns: Callable[[], int]) -> None:
        client = open_client(HookedClient, settings)
        client.hooks = self
        super().__init__(client, settings, listener)
        self._hooked = client
        self._now_ns = now_ns
        self._publishes = Publishes(is_version_5=settings.is_version_5, max_bytes=settings.max_packet_bytes)
        self._corked: Corked | None = None
        self._messages: list[Message] = []
        self._data = b""
        self._at = 0
        self._rest = bytearray()
        self._needed = 0
        self._topics: dict[str, bytes] = {}
        self._mid = LAST_MID_OF_PAHO

    # --- the connection

    def take_socket(self, opened: socket.socket) -> Corked:
        """Begin a new connection; nothing of the last one counts any more."""
        self._data, self._at = b"", 0
        self._rest.clear()
        self._needed = 0
        self._fault = None
        self._corked = Corked(opened)
        return self._corked

    def _closing(self) -> None:
        self._corked, self._data = None, b""
        super()._closing()

    @property
    def wants_read(self) -> bool:
        """Whether the peer takes what we answer."""
        return self.unsent < 2 * MAX_UNSENT_BYTES

    @property
    def wants_write(self) -> bool:
        """Whether something waits for the peer to take more."""
        return self._corked is not None and self._corked.wants_write

    @property
    def has_more(self) -> bool:
        """Whether packets wait for room in the inbox."""
        return bool(self._data)

    @property
    def unsent(self) -> int:
        """Count the bytes that are not written."""
        return len(self._corked.unsent) if self._corked else 0

    def keep_alive(self) -> None:
        """Ping, or give up. A broker that is not listened to, since there is no room, owes no answer."""
        if self._listener.room == 0:
            self._hooked.excuse_ping()
        super().keep_alive()

    # --- reading

    def read(self) -> None:
        """Read what is there, as far as the listener has room."""
        if self._listener.room > 0:
            self._client.loop_read()

    def read_packets(self) -> MQTTErrorCode:
        """Receive once, and take all packets that are complete; called by paho."""
        try:
            if not self._data and not self._receive():
                return _AGAIN
            return self._take_packets()
        except BlockingIOError:
            return _AGAIN
        except OSError:
            return MQTTErrorCode.MQTT_ERR_CONN_LOST
        except Malformed as fault:
            self._fault = f"the broker sent what it may not: {fault}"
            if self._settings.is_version_5 and self._corked and self._client.is_connected():
                self._corked.send(bytes((packets.DISCONNECT, 1, fault.code)))
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        finally:
            self.deliver()

    def _receive(self) -> bool:
        """Receive, and tell whether a packet may be complete. Raises OSError; BlockingIOError where nothing came."""
        if self._corked is None:
            return False
        received = self._corked.recv(RECEIVE_BYTES)
        if not received:
            raise ConnectionResetError
        self._hooked.excuse_ping()  # whatever comes is a sign of life; the answer may stand far behind it
        if not self._rest:
            self._data = received
            return True
        self._rest += received
        if len(self._rest) < self._needed:
            return False
        self._data = bytes(self._rest)
        self._rest.clear()
        return True

    def _take_packets(self) -> MQTTErrorCode:
        data, at, room, now_ns = self._data, self._at, self._listener.room, self._now_ns()
        while True:
            if self._client.is_connected():
                at = self._publishes.read(data, at, self._messages, room, now_ns)
            found = frame(data, at, self._settings.max_packet_bytes) if len(data) > at else None
            if found is None or sum(found) > len(data):
                break
            if data[at] & 0xF0 == packets.PUBLISH and self._client.is_connected():  # no room for it
                self._data, self._at = data, at
                return _OK
            begin, length = found
            result = self._take_other(data[at], data[begin : begin + length])
            if result > 0 or self._client.socket() is None:  # closed, so nothing is kept
                return result
            at = begin + length
        self._data, self._at = b"", 0
        self._rest += data[at:]
        self._needed = sum(found) - at if found else 0
        return _OK

    def _take_other(self, first: int, body: bytes) -> MQTTErrorCode:
        kind = first & 0xF0
        is_first, is_connected = kind == packets.CONNACK, self._client.is_connected()
        if kind == packets.PUBACK and is_connected:
            return self._take_puback(body)
        if kind not in _KINDS or (is_first is is_connected and kind != packets.DISCONNECT):
            where = "after" if is_connected else "before"
            raise Malformed(f"packet of kind {first >> 4} {where} CONNACK", packets.PROTOCOL_ERROR)
        return self._hooked.take_packet(first, body)

    def _take_puback(self, body: bytes) -> MQTTErrorCode:
        if len(body) < 2:
            raise Malformed("PUBACK without packet id")
        refusal = refusal_of(body[2]) if len(body) > 2 else None
        if refusal:
            self.deliver()
        self._listener.settled(int.from_bytes(body[:2], "big"), refusal)
        return _OK

    def deliver(self) -> None:
        """Pass on the messages read so far."""
        if self._messages:
            messages, self._messages = self._messages, []
            self._listener.arrived(messages)

    # --- writing

    def write(self) -> None:
        """Write what the peer takes now."""
        if self._corked:
            self._corked.flush()

    def send_states(self, outgoing: Sequence[Outgoing]) -> int:
        """Take messages of QoS 0 as far as there is room → how many. It is done for each reading: hence in one loop."""
        corked = self._corked
        if corked is None:
            return 0
        known, length_bytes = self._topics.get, packets.length_bytes
        parts: list[bytes] = []
        size = 0
        for count, out in enumerate(outgoing):
            if len(corked.unsent) + size >= MAX_UNSENT_BYTES:
                corked.send(b"".join(parts))
                return count
            topic, payload = known(out.topic) or self._encode(out.topic), out.payload
            length = len(topic) + len(payload)
            parts += (b"\x31" if out.retain else b"\x30", length_bytes(length), topic, payload)
            size += length
            if size >= FLUSH_BYTES:
                corked.send(b"".join(parts))
                corked.flush()
                parts.clear()
                size = 0
        corked.send(b"".join(parts))
        return len(outgoing)

    def send_alert(self, out: Outgoing, mid: int) -> int:
        """Take a message of QoS 1, marked where it goes again."""
        if self._corked is None or len(self._corked.unsent) >= MAX_UNSENT_BYTES:
            return 0
        is_again, mid = mid != 0, mid or self._next_mid()
        data = packets.publish_bytes(
            out.topic,
            out.payload,
            mid,
            is_retained=out.retain,
            is_again=is_again,
            is_version_5=self._settings.is_version_5,
        )
        self._corked.send(data)
        return mid

    def acknowledge(self, mids: list[int]) -> None:
        """Tell the broker that it may forget these, in order."""
        if self._corked:
            self._corked.send(packets.puback_bytes(mids))

    def _encode(self, topic: str) -> bytes:
        """Encode a topic and what stands between it and the payload: in MQTT 5, no properties."""
        if len(self._topics) >= packets.MAX_TOPICS:
            self._topics.clear()
        encoded = packets.topic_bytes(topic) + (b"\0" if self._settings.is_version_5 else b"")
        self._topics[topic] = encoded
        return encoded

    def _next_mid(self) -> int:
        while True:
            self._mid = self._mid + 1 if self._mid < 65_535 else LAST_MID_OF_PAHO + 1
            if not self._listener.is_in_flight(self._mid):
                return self._mid
