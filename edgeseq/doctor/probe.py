"""A client that asks the broker one thing after the other: paho, driven by hand, with a name of its own."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from paho.mqtt.client import Client, MQTTMessage, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edgeseq.config.resolve import Resolved
from edgeseq.errors import BrokerError, ConfigError

PATIENCE_S = 5.0
"""How long an answer may take."""
QUIET_S = 0.5
"""Nothing more comes after so long a silence."""
MANY = 10_000
EXPIRY_S = 60
"""How long the broker keeps the session of a probe that could not say goodbye (MQTT 5)."""
NOT_RETAINED = 2
"""MQTT 5 retain handling: no retained messages."""


class Probe:
    """One connection. It acknowledges only when told to, so that the broker's window can be seen."""

    def __init__(
        self, resolved: Resolved, client_id: str, *, is_clean: bool = True, expiry_s: int = 0
    ) -> None:
        self.received: list[MQTTMessage] = []
        self.greeting: Properties | None = None
        """Of the CONNACK; None with MQTT 3.1.1."""
        self.is_session_present = False
        self._acknowledged = 0
        self._where = f"{resolved.config.mqtt.host}:{resolved.port}"
        self._is_version_5 = resolved.config.mqtt.version == "5"
        self._reason: ReasonCode | None = None
        self._granted: list[ReasonCode] = []
        self._published: dict[int, ReasonCode] = {}
        self._client = _new_client(resolved, client_id, is_clean=is_clean, expiry_s=expiry_s)
        self._client.on_connect = self._on_connect
        self._client.on_message = lambda _client, _data, message: self.received.append(message)
        self._client.on_subscribe = lambda _client, _data, _mid, reasons, _more: self._granted.extend(reasons)
        self._client.on_publish = lambda _client, _data, mid, reason, _more: self._published.update(
            {mid: reason}
        )

    def connect(self) -> None:
        """Connect. Raises BrokerError."""
        try:
            self._client.reconnect()
        except (OSError, ValueError) as fault:  # ValueError: a host name that cannot be encoded
            raise BrokerError(
                "cannot be reached",
                where=self._where,
                found=str(fault) or type(fault).__name__,
                wanted="an MQTT broker",
                do="start the broker; check [mqtt] host, port, tls and ca_file",
            ) from fault
        self.wait_for(lambda: self._reason is not None)
        if self._reason is None:
            raise BrokerError(
                "takes connections, but does not answer",
                where=self._where,
                wanted="an MQTT broker that speaks the configured version",
                do='check [mqtt] port, tls and version; an old broker wants version = "3.1.1"',
            )
        if self._reason.is_failure:
            self.leave()
            raise BrokerError(
                "refuses the connection",
                where=self._where,
                found=str(self._reason),
                wanted="a client that may connect",
                do="check [mqtt] username, password and version, and which client ids the broker allows",
            )

    def subscribe(self, filters: Sequence[str], qos: int) -> list[ReasonCode]:
        """Subscribe without retained messages (MQTT 5); gives the broker's answers, fewer where it gave none."""
        self._granted.clear()
        if self._is_version_5:
            options = SubscribeOptions(qos, retainHandling=NOT_RETAINED)
            self._client.subscribe([(one, options) for one in filters])
        else:
            self._client.subscribe([(one, qos) for one in filters])
        self.wait_for(lambda: len(self._granted) >= len(filters))
        return list(self._granted)

    def read_retained(self, topic_filter: str) -> list[MQTTMessage]:
        """Subscribe to retained messages and give those that come."""
        self._client.subscribe(topic_filter, 1)
        self.listen(MANY)
        return [message for message in self.received if message.retain]

    def publish(self, topic: str, payloads: Sequence[bytes]) -> list[ReasonCode]:
        """Publish with QoS 1; gives the answers, fewer where the broker gave none."""
        mids = [self._client.publish(topic, payload, 1).mid for payload in payloads]
        self.wait_for(lambda: all(mid in self._published for mid in mids))
        return [self._published[mid] for mid in mids if mid in self._published]

    def listen(self, count: int) -> None:
        """Receive until there are so many messages in all, or no more come."""
        self.wait_for(lambda: len(self.received) >= count, quiet_s=QUIET_S)

    def acknowledge(self) -> int:
        """Acknowledge what was received since the last time → how many."""
        fresh = self.received[self._acknowledged :]
        for message in fresh:
            self._client.ack(message.mid, message.qos)
        self._acknowledged += len(fresh)
        return len(fresh)

    def wait_for(self, condition: Callable[[], bool], *, quiet_s: float = PATIENCE_S) -> None:
        """Read and write until a condition holds, nothing came for a while, or the connection is gone."""
        deadline_s = time.monotonic() + quiet_s
        while not condition() and time.monotonic() < deadline_s:
            found: Any = self._client.socket()
            if found is None:
                return
            seen = len(self.received)
            if not self._turn(found):
                return
            if len(self.received) > seen:
                deadline_s = time.monotonic() + quiet_s

    def _turn(self, found: Any) -> bool:
        """Read and write once; tells whether the connection stands."""
        wanted = [found] if self._client.want_write() else []
        pending = getattr(found, "pending", None)
        has_bytes = bool(pending and pending())
        readable, writable, _ = select.select([found], wanted, [], 0.0 if has_bytes else 0.05)
        result = MQTTErrorCode.MQTT_ERR_SUCCESS
        if readable or has_bytes:
            result = self._client.loop_read()
        if writable and result == MQTTErrorCode.MQTT_ERR_SUCCESS:
            result = self._client.loop_write()
        return result == MQTTErrorCode.MQTT_ERR_SUCCESS and self._client.loop_misc() == result

    def leave(self) -> None:
        """Say goodbye, if the connection stands."""
        if self._client.socket() is not None:
            self._client.disconnect()
            self.wait_for(lambda: self._client.socket() is None, quiet_s=QUIET_S)
            self._client.loop_write()

    def _on_connect(self, _client: Client, _: Any, flags: Any, reason: ReasonCode, more: Any) -> None:
        self._reason, self.greeting = reason, more
        self.is_session_present = bool(flags.session_present)


@contextmanager
def connected(
    resolved: Resolved, client_id: str, *, is_clean: bool = True, expiry_s: int = 0
) -> Iterator[Probe]:
    """Be connected for a while. Raises BrokerError or ConfigError."""
    probe = Probe(resolved, client_id, is_clean=is_clean, expiry_s=expiry_s)
    try:
        probe.connect()
        yield probe
    finally:
        probe.leave()


def _new_client(resolved: Resolved, client_id: str, *, is_clean: bool, expiry_s: int) -> Client:
    """Make a client with the configured rights, and no will. Raises ConfigError for TLS files."""
    settings, is_version_5 = resolved.config.mqtt, resolved.config.mqtt.version == "5"
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        clean_session=None if is_version_5 else is_clean,
        protocol=MQTTv5 if is_version_5 else MQTTv311,
        reconnect_on_failure=False,
        manual_ack=True,
    )
    client.connect_timeout = PATIENCE_S
    client.on_socket_open = _set_nodelay
    if settings.username is not None:
        client.username_pw_set(settings.username, resolved.password)
    try:
        if settings.tls:
            files = (resolved.ca_file, resolved.cert_file, resolved.key_file)
            ca_file, cert_file, key_file = (str(path) if path else None for path in files)
            client.tls_set(ca_file, cert_file, key_file)
    except (OSError, ValueError) as fault:
        raise ConfigError(
            "TLS cannot be set up",
            found=str(fault),
            wanted="certificates and a key in PEM format that belong together",
            do="check [mqtt] ca_file, cert_file and key_file",
        ) from fault
    if is_version_5:
        properties: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho's
        properties.SessionExpiryInterval = expiry_s
        properties.ReceiveMaximum = settings.inflight
        client.connect_async(settings.host, resolved.port, clean_start=is_clean, properties=properties)
    else:
        client.connect_async(settings.host, resolved.port)
    return client


def _set_nodelay(_client: Client, _: Any, opened: Any) -> None:
    if opened.family in (socket.AF_INET, socket.AF_INET6):
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
