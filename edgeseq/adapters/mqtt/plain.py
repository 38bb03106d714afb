"""The transport by paho's public API: slower by an order of magnitude, and safe with any paho.

Packets are read one at a time, and alerts are sent again by paho itself. Paho's own queue, which has no bound, never
holds more than MAX_UNSENT messages. What it cannot do: refuse a packet beyond max_packet_bytes before it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from edgeseq.adapters.mqtt.corked import set_nodelay
from edgeseq.adapters.mqtt.packets import UNREADABLE as UNREADABLE_TOPIC
from edgeseq.adapters.mqtt.paho import UNREADABLE, PahoTransport
from edgeseq.adapters.mqtt.seams import Listener
from edgeseq.adapters.mqtt.settings import Settings, open_client
from edgeseq.core.types import Message, Outgoing

MAX_UNSENT = 2000
"""Messages handed to paho that the socket has not taken. A forecast with its path has some 2 KB."""

MAX_UNSENT_ACKS = 10_000
"""Acknowledgements likewise; beyond it, reading stops."""

MAX_BYTES_AT_ONCE = 2**18
"""Of payloads, read before they are delivered and counted."""

_OK = MQTTErrorCode.MQTT_ERR_SUCCESS


class PlainTransport(PahoTransport):
    """Paho as it comes."""

    def __init__(self, settings: Settings, listener: Listener, now_ns: Callable[[], int]) -> None:
        super().__init__(open_client(Client, settings), settings, listener)
        self._now_ns = now_ns
        self._messages: list[Message] = []
        self._bytes = 0
        self._packets = 0
        self._states = 0
        self._acks = 0
        self._is_reading = False
        self._client.on_message = self._on_message
        self._client.on_publish = self._on_publish
        self._client.on_socket_open = lambda _client, _data, opened: set_nodelay(opened)

    @property
    def wants_read(self) -> bool:
        """Whether the peer takes our acknowledgements."""
        return self._acks < MAX_UNSENT_ACKS

    @property
    def wants_write(self) -> bool:
        """Whether paho has something to write."""
        return self._client.want_write()

    @property
    def has_more(self) -> bool:
        """Whether TLS has decrypted bytes that a selector cannot see."""
        pending = getattr(self._client.socket(), "pending", None)
        return bool(pending and pending())

    @property
    def unsent(self) -> int:
        """Count the messages that the socket has not taken."""
        return self._states

    def connect(self) -> None:
        """Connect, and begin the handshake."""
        self._states = self._acks = 0
        super().connect()

    def read(self) -> None:
        """Read packets until none is complete, or enough are there: loop_read takes one at a time."""
        self._bytes = 0
        while self._listener.room > len(self._messages) and self._bytes < MAX_BYTES_AT_ONCE:
            seen = self._packets
            self._is_reading = True
            try:
                result = self._client.loop_read()
            except UNREADABLE as fault:
                self._fault = f"{type(fault).__name__}: {fault}"
                self.disconnect()
                break
            finally:
                self._is_reading = False
            if result != _OK or (self._packets == seen and not self.has_more):
                break
        self.deliver()

    def write(self) -> None:
        """Write what the peer takes now."""
        if self._client.want_write():
            self._client.loop_write()
        if not self._client.want_write():
            self._acks = 0

    def send_states(self, outgoing: Sequence[Outgoing]) -> int:
        """Take messages of QoS 0 as far as there is room → how many."""
        for count, out in enumerate(outgoing):
            if not self._send_state(out):
                return count
        return len(outgoing)

    def _send_state(self, out: Outgoing) -> bool:
        if self._states >= MAX_UNSENT:
            return False
        self._states += 1
        is_taken = self._client.publish(out.topic, out.payload, 0, out.retain).rc == _OK
        self._states -= not is_taken
        return is_taken

    def send_alert(self, out: Outgoing, mid: int) -> int:
        """Take a message of QoS 1; those of an earlier connection paho itself sends again."""
        if mid:
            return mid
        info = self._client.publish(out.topic, out.payload, 1, out.retain)
        return info.mid if info.rc == _OK else 0

    def acknowledge(self, mids: list[int]) -> None:
        """Tell the broker that it may forget these, in order."""
        self._acks += len(mids)
        for mid in mids:
            self._client.ack(mid, 1)

    def deliver(self) -> None:
        """Pass on the messages read so far."""
        if self._messages:
            messages, self._messages = self._messages, []
            self._listener.arrived(messages)

    # --- paho's callbacks

    def _on_connect(self, client: Client, _: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        self._packets += 1
        super()._on_connect(client, _, flags, reason, properties)

    def _on_subscribe(self, client: Client, _: Any, mid: int, reasons: list[ReasonCode], __: Any) -> None:
        self._packets += 1
        super()._on_subscribe(client, _, mid, reasons, __)

    def _on_message(self, client: Client, _: Any, found: MQTTMessage) -> None:
        self._packets += 1
        try:
            topic = found.topic
        except UnicodeDecodeError:
            topic = UNREADABLE_TOPIC
        mid = found.mid if found.qos else 0
        payload = bytes(found.payload)
        self._bytes += len(payload)
        message = Message(topic, payload, self._now_ns(), retained=found.retain, dup=found.dup, mid=mid)
        self._messages.append(message)

    def _on_publish(self, client: Client, _: Any, mid: int, reason: ReasonCode, __: Any) -> None:
        if not self._is_reading:  # written; a QoS 0 message, whose mid may equal an alert's
            self._states = max(0, self._states - 1)
            return
        self._packets += 1
        self._listener.settled(mid, str(reason) if reason.is_failure else None)
