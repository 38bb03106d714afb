"""The link to the broker: paho-mqtt by its public API, driven by our own selector loop.

Paho's callbacks only put values into the inbox; nothing in them can raise. A connection is attempted in a thread of
its own (name lookup, TCP and TLS may block for seconds), and while one is under way this thread leaves the client
alone. Acknowledgements are manual, and belong to the connection that delivered: a generation number tells.

Two kinds of messages go out. States (forecasts, retained topics): the latest of a topic wins, so while the broker is
away or slow one per topic is kept. Alerts: QoS 1 from a bounded outbox, kept until the broker has acknowledged them.
Paho's own queue, which has no bound, never holds more than MAX_UNSENT messages.
"""

from __future__ import annotations

import random
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import msgspec
from paho.mqtt.client import Client, MQTTMessage, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edgeseq.core.types import Message, Outgoing

CONNECT_TIMEOUT_S = 5.0
STABLE_AFTER_S = 30.0
"""A connection that lasted this long was good: the next failure starts at the shortest delay again."""

MAX_UNSENT = 2000
"""Messages handed to paho that the socket has not taken. A forecast with its path has some 2 KB."""

MAX_ALERTS_IN_FLIGHT = 20
"""Paho's own default; beyond it, it would queue without bound."""

MAX_OUTBOX = 10_000
"""Alerts kept for a broker that is away: some 5 MB."""

NOT_ON_EVERY_CONNECT = 1
"""MQTT 5 retain handling: retained messages come with a new subscription only."""


class Delivery(msgspec.Struct, frozen=True):
    """A message, and the connection it came by."""

    message: Message
    generation: int


class Connected(msgspec.Struct, frozen=True):
    """The broker has accepted us."""

    is_session_present: bool


class Disconnected(msgspec.Struct, frozen=True):
    """An accepted connection is gone."""

    reason: str
    is_repeated: bool = False
    """The broker has closed one soon after the other: as if two clients stole each other's session."""


class Unreachable(msgspec.Struct, frozen=True):
    """A connection could not be made."""

    reason: str
    retry_s: float


class Refused(msgspec.Struct, frozen=True):
    """The broker does not want us."""

    reason: str
    retry_s: float


class Subscribed(msgspec.Struct, frozen=True):
    """The broker has taken our subscriptions: from here on, nothing published with QoS 1 is missed."""


class SubscriptionRefused(msgspec.Struct, frozen=True):
    """The broker does not allow some of the subscriptions."""

    filters: tuple[str, ...]
    reason: str


class PublishRefused(msgspec.Struct, frozen=True):
    """The broker has refused an alert for good."""

    topic: str
    reason: str


class Settings(msgspec.Struct, frozen=True):
    """All that a link needs to know."""

    host: str
    port: int
    client_id: str
    filters: tuple[str, ...]
    will: Outgoing
    is_version_5: bool = True
    username: str | None = None
    password: str | None = None
    keepalive_s: int = 20
    qos: int = 1
    inflight: int = 1000
    session_expiry_s: int = 7 * 86_400
    max_packet_bytes: int = 2**20
    is_tls: bool = False
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    stale_filters: tuple[str, ...] = ()
    """Subscriptions of the session that the configuration no longer has."""
    backoff_s: tuple[float, float] = (1.0, 30.0)
    connack_timeout_s: float = 10.0


class Sink(Protocol):
    """Where values go; the inbox."""

    @property
    def is_full(self) -> bool:
        """Whether reading must pause."""
        ...

    def fileno(self) -> int:
        """Give the file that wakes the selector."""
        ...

    def deliver(self, item: object) -> None:
        """Take a value."""
        ...

    def wake(self) -> None:
        """Wake the selector, from another thread."""
        ...

    def clear_wakeups(self) -> None:
        """Forget the wake-ups so far."""
        ...


class Link:
    """A connection that is made again whenever it is lost. Only `wait` moves it; one thread uses it."""

    def __init__(
        self, settings: Settings, sink: Sink, *, generation: int = 0, now_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self.settings = settings
        self.generation = generation
        """Of the present connection; a link that follows another one goes on counting."""
        self.is_connected = False
        self.published = 0
        self.superseded = 0
        self.alerts_dropped = 0
        self._sink = sink
        self._now_ns = now_ns
        self._client = _new_client(settings)
        self._listen()
        self._selector = selectors.DefaultSelector()
        self._selector.register(sink.fileno(), selectors.EVENT_READ)
        self._watched: Any = None
        self._states: dict[str, Outgoing] = {}
        self._outbox: dict[tuple[str, bytes], Outgoing] = {}
        self._in_flight: dict[int, tuple[str, bytes]] = {}
        self._unsent = 0
        self._is_reading = False
        self._packets = 0
        self._failures = 0
        self._next_attempt_s = 0.0
        self._attempt: threading.Thread | None = None
        self._outcome: list[str | None] = []
        self._deadline_s = 0.0
        self._since_s = 0.0
        self._has_lost = False
        self._is_closing = False

    # --- the loop's side

    def wait(self, timeout_s: float) -> None:
        """Wait for the network or a wake-up, at most so long; then read all there is and write all that goes."""
        self._see_to_connection()
        self._watch()
        if self._has_pending_bytes() and not self._sink.is_full:
            timeout_s = 0.0
        for key, events in self._selector.select(timeout_s):
            if key.fileobj is not self._watched:
                self._sink.clear_wakeups()
            elif events & selectors.EVENT_WRITE:
                self._client.loop_write()
        if self._attempt is None and self._client.socket() is not None:
            self._read_all()
            self._client.loop_misc()
            # What callbacks have queued (subscriptions) is not written by paho itself.
            if self._client.want_write():
                self._client.loop_write()
        self._flush()

    def acknowledge(self, deliveries: Iterable[Delivery]) -> None:
        """Tell the broker that it may forget these, in order. Those of an earlier connection are left out."""
        for delivery in deliveries:
            if delivery.message.mid and delivery.generation == self.generation and self.is_connected:
                self._client.ack(delivery.message.mid, 1)

    def publish(self, out: Outgoing) -> None:
        """Send, now or when possible: the latest of a topic, or every alert."""
        if out.alert_id is not None:
            if len(self._outbox) >= MAX_OUTBOX:
                self._outbox.pop(next(iter(self._outbox)))
                self.alerts_dropped += 1
            self._outbox[out.topic, out.payload] = out
        else:
            self.superseded += self._states.pop(out.topic, None) is not None
            self._states[out.topic] = out
        self._flush()

    def unacknowledged(self) -> list[Outgoing]:
        """List the alerts that the broker may not have, oldest first."""
        return list(self._outbox.values())

    def hand_over(self) -> list[Outgoing]:
        """Give all that has not gone out to whoever follows; nothing is left here."""
        left = [*self._outbox.values(), *self._states.values()]
        self._outbox.clear()
        self._states.clear()
        return left

    @property
    def waiting(self) -> int:
        """Count what is still to go out."""
        return len(self._states) + len(self._outbox) + self._unsent

    def close(self, last: Sequence[Outgoing] = (), timeout_s: float = 3.0) -> None:
        """Send what waits, then these, and say goodbye, so that the will is not published."""
        for out in last:
            self.publish(out)
        deadline_s = time.monotonic() + timeout_s
        while self.is_connected and self.waiting and time.monotonic() < deadline_s:
            self.wait(0.05)
        self._is_closing = True
        if self._attempt is None and self._client.socket() is not None:
            self._client.disconnect()
            self._client.loop_write()
        self._selector.close()

    # --- connecting

    def _see_to_connection(self) -> None:
        now_s = time.monotonic()
        if self._outcome:
            fault = self._outcome.pop()
            self._attempt = None
            if fault is None:
                self._deadline_s = now_s + self.settings.connack_timeout_s
            else:
                self._sink.deliver(Unreachable(fault, self._back_off()))
        elif self._attempt is None and self._client.socket() is None and now_s >= self._next_attempt_s:
            self._attempt = threading.Thread(target=self._connect, name="connect", daemon=True)
            self._attempt.start()
        elif self._attempt is None and not self.is_connected and 0 < self._deadline_s < now_s:
            self._deadline_s = 0.0
            self._client.disconnect()

    def _connect(self) -> None:
        """Run in a thread of its own."""
        fault: str | None = None
        try:
            self._client.reconnect()
        except (OSError, ValueError) as found:  # ValueError: a host name that cannot be encoded
            fault = str(found) or type(found).__name__
        self._outcome.append(fault)
        self._sink.wake()

    def _back_off(self) -> float:
        shortest_s, longest_s = self.settings.backoff_s
        delay_s = min(longest_s, shortest_s * 2.0**self._failures)
        self._failures = min(self._failures + 1, 16)
        # Jitter, so that a house full of daemons does not come back in step.
        delay_s *= random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        self._next_attempt_s = time.monotonic() + delay_s
        return round(delay_s, 3)

    def _watch(self) -> None:
        """Keep the selector in step with paho's socket."""
        found = self._client.socket() if self._attempt is None else None
        if found is None:
            return
        events = 0 if self._sink.is_full else selectors.EVENT_READ
        if self._client.want_write():
            events |= selectors.EVENT_WRITE
        if self._watched is None and events:
            self._selector.register(found, events)
            self._watched = found
        elif self._watched is not None and events:
            self._selector.modify(found, events)
        elif self._watched is not None:
            self._unwatch()

    def _unwatch(self) -> None:
        if self._watched is not None:
            self._selector.unregister(self._watched)
            self._watched = None

    def _has_pending_bytes(self) -> bool:
        """Tell whether TLS has decrypted bytes that select cannot see."""
        pending = getattr(self._client.socket(), "pending", None) if self._attempt is None else None
        return bool(pending and pending())

    def _read_all(self) -> None:
        """Read packets until none is complete: loop_read takes one at a time."""
        while not self._sink.is_full:
            seen = self._packets
            self._is_reading = True
            result = self._client.loop_read()
            self._is_reading = False
            if result != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return
            if self._packets == seen and not self._has_pending_bytes():
                return

    # --- sending

    def _flush(self) -> None:
        waiting = (key for key in self._outbox if key not in self._in_flight.values())
        if self.is_connected and self._outbox and len(self._in_flight) < MAX_ALERTS_IN_FLIGHT:
            for key in list(waiting)[: MAX_ALERTS_IN_FLIGHT - len(self._in_flight)]:
                out = self._outbox[key]
                info = self._client.publish(out.topic, out.payload, out.qos, out.retain)
                if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS:
                    self._in_flight[info.mid] = key
                    self.published += 1
        while self._states and self.is_connected and self._unsent < MAX_UNSENT:
            topic, out = next(iter(self._states.items()))
            self._unsent += 1
            info = self._client.publish(topic, out.payload, 0, out.retain)
            if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                self._unsent -= 1
                return
            self._states.pop(topic, None)
            self.published += 1

    # --- paho's callbacks: they note, and cannot raise

    def _listen(self) -> None:
        client = self._client
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_socket_open = _set_nodelay
        client.on_socket_close = lambda *_: self._unwatch()

    def _on_connect(self, client: Client, _: Any, flags: Any, reason: ReasonCode, __: Any) -> None:
        self._packets += 1
        self._deadline_s = 0.0
        if reason.is_failure:
            self._sink.deliver(Refused(str(reason), self._back_off()))
            return
        self.generation += 1
        self.is_connected = True
        self._since_s = time.monotonic()
        self._subscribe(client)
        self._sink.deliver(Connected(bool(flags.session_present)))

    def _subscribe(self, client: Client) -> None:
        settings = self.settings
        if settings.stale_filters:
            client.unsubscribe(list(settings.stale_filters))
        if not settings.filters:
            return
        if settings.is_version_5:
            options = SubscribeOptions(settings.qos, retainHandling=NOT_ON_EVERY_CONNECT)
            client.subscribe([(f, options) for f in settings.filters])
        else:
            client.subscribe([(f, settings.qos) for f in settings.filters])

    def _on_disconnect(self, client: Client, _: Any, flags: Any, reason: ReasonCode, __: Any) -> None:
        was_connected, self.is_connected = self.is_connected, False
        self._unsent = 0
        if self._is_closing:
            return
        if was_connected:
            is_stable = time.monotonic() - self._since_s > STABLE_AFTER_S
            if is_stable:
                self._failures = 0
            self._back_off()
            is_repeated = self._has_lost and not is_stable and reason != "Keep alive timeout"
            self._has_lost = True
            code = f" (code {reason.value})" if flags.is_disconnect_packet_from_server else ""
            self._sink.deliver(Disconnected(f"{reason}{code}", is_repeated))
        elif time.monotonic() >= self._next_attempt_s:  # not refused a moment ago
            text = f"{reason}: connected, but no answer; does the broker speak this MQTT version?"
            self._sink.deliver(Unreachable(text, self._back_off()))

    def _on_message(self, client: Client, _: Any, found: MQTTMessage) -> None:
        self._packets += 1
        try:
            topic = found.topic
        except UnicodeDecodeError:
            topic = "\ufffd"  # matches no rule: counted as unknown
        mid = found.mid if found.qos else 0
        payload = bytes(found.payload)
        message = Message(topic, payload, self._now_ns(), retained=found.retain, dup=found.dup, mid=mid)
        self._sink.deliver(Delivery(message, self.generation))

    def _on_publish(self, client: Client, _: Any, mid: int, reason: ReasonCode, __: Any) -> None:
        if not self._is_reading:  # written; a QoS 0 message, whose mid may equal an alert's
            self._unsent = max(0, self._unsent - 1)
            return
        self._packets += 1
        key = self._in_flight.pop(mid, None)
        out = self._outbox.pop(key, None) if key else None
        if out and reason.is_failure:
            self._sink.deliver(PublishRefused(out.topic, str(reason)))

    def _on_subscribe(self, client: Client, _: Any, mid: int, reasons: list[ReasonCode], __: Any) -> None:
        self._packets += 1
        pairs = list(zip(self.settings.filters, reasons, strict=False))
        refused = tuple(f for f, reason in pairs if reason.is_failure)
        if refused:
            text = next(str(reason) for _, reason in pairs if reason.is_failure)
            self._sink.deliver(SubscriptionRefused(refused, text))
        self._sink.deliver(Subscribed())


def _set_nodelay(_client: Client, _: Any, opened: Any) -> None:
    # Paho never does: small messages waited for 5 ms and more (echo of 200 a second: 5.0 ms, without Nagle 0.2 ms).
    if opened.family in (socket.AF_INET, socket.AF_INET6):
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _new_client(settings: Settings) -> Client:
    """Make paho's client. Raises OSError (also for TLS files that cannot be used)."""
    version_5 = settings.is_version_5
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=settings.client_id,
        clean_session=None if version_5 else False,
        protocol=MQTTv5 if version_5 else MQTTv311,
        reconnect_on_failure=False,
        manual_ack=True,
    )
    client.connect_timeout = CONNECT_TIMEOUT_S
    client.max_inflight_messages = MAX_ALERTS_IN_FLIGHT
    if settings.username is not None:
        client.username_pw_set(settings.username, settings.password)
    if settings.is_tls:
        client.tls_set(settings.ca_file, settings.cert_file, settings.key_file)
    client.will_set(settings.will.topic, settings.will.payload, qos=1, retain=True)
    keepalive_s = settings.keepalive_s
    if version_5:
        properties: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho's
        properties.SessionExpiryInterval = settings.session_expiry_s
        properties.ReceiveMaximum = settings.inflight
        properties.MaximumPacketSize = settings.max_packet_bytes
        client.connect_async(
            settings.host, settings.port, keepalive_s, clean_start=False, properties=properties
        )
    else:
        client.connect_async(settings.host, settings.port, keepalive_s)
    return client
