"""All that a link needs to know, and a paho client set up by it."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from paho.mqtt.client import Client, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edgeseq.core.types import Outgoing

CONNECT_TIMEOUT_S = 5.0

MAX_ALERTS_IN_FLIGHT = 20
"""Unacknowledged by the broker; the default of paho and of mosquitto."""

AnyClient = TypeVar("AnyClient", bound=Client)


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
    """Larger packets are a fault of the broker."""
    is_tls: bool = False
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    stale_filters: tuple[str, ...] = ()
    """Subscriptions of the session that the configuration no longer has."""
    backoff_s: tuple[float, float] = (1.0, 30.0)
    connack_timeout_s: float = 10.0

    def __repr__(self) -> str:
        """Tell nobody the password: this may end up in a traceback or a log."""
        return f"Settings({self.client_id} at {self.host}:{self.port})"


def open_client(kind: type[AnyClient], settings: Settings) -> AnyClient:
    """Make a paho client. Raises OSError (also for TLS files that cannot be used)."""
    version_5 = settings.is_version_5
    client = kind(
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
        client.connect_async(
            settings.host, settings.port, keepalive_s, clean_start=False, properties=_properties(settings)
        )
    else:
        client.connect_async(settings.host, settings.port, keepalive_s)
    return client


def _properties(settings: Settings) -> Properties:
    # No TopicAliasMaximum: the broker may not use topic aliases.
    properties: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho's
    properties.SessionExpiryInterval = settings.session_expiry_s
    properties.ReceiveMaximum = settings.inflight
    properties.MaximumPacketSize = settings.max_packet_bytes
    found: Properties = properties
    return found
