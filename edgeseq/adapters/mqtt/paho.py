"""What both transports share: paho's client, which connects, and what it tells to the link.

Paho's callbacks only pass on; nothing in them can raise.
"""

from __future__ import annotations

import struct
from typing import Any

from paho.mqtt import MQTTException, properties
from paho.mqtt.client import Client
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edgeseq.adapters.mqtt.seams import Listener
from edgeseq.adapters.mqtt.settings import MAX_ALERTS_IN_FLIGHT, Settings

NOT_ON_EVERY_CONNECT = 1
"""MQTT 5 retain handling: retained messages come with a new subscription only."""

_OTHER = properties.MQTTException  # type: ignore[attr-defined] # a class of its own in paho 2.1
UNREADABLE = (MQTTException, _OTHER, struct.error, LookupError, ValueError, TypeError)
"""What paho raises on packets that no broker should send; 2.1 more of it than 2.2."""


class PahoTransport:
    """Connecting, subscribing and keeping alive: paho's part of both transports."""

    def __init__(self, client: Client, settings: Settings, listener: Listener) -> None:
        self._client = client
        self._settings = settings
        self._listener = listener
        self._fault: str | None = None
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_socket_close = lambda *_: self._closing()

    def connect(self) -> None:
        """Connect, and begin the handshake."""
        self._client.reconnect()

    def disconnect(self) -> None:
        """Say goodbye and close."""
        self._client.disconnect()
        self._client.loop_write()

    def socket(self) -> Any:
        """Give what a selector can watch."""
        return self._client.socket()

    def keep_alive(self) -> None:
        """Ping, or give up; and write what callbacks have queued (subscriptions), which paho does not by itself."""
        self._client.loop_misc()
        if self._client.want_write():
            self._client.loop_write()

    def _closing(self) -> None:
        self._listener.closing()

    def deliver(self) -> None:
        """Pass on the messages read so far: before anything else is told."""

    def _on_connect(self, client: Client, _: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        self.deliver()
        if reason.is_failure:
            self._listener.refused(str(reason))
            return
        window = min(MAX_ALERTS_IN_FLIGHT, getattr(properties, "ReceiveMaximum", MAX_ALERTS_IN_FLIGHT))
        self._subscribe()
        self._listener.connected(
            is_session_present=bool(flags.session_present),
            window=window,
            most_bytes=getattr(properties, "MaximumPacketSize", None),
        )

    def _subscribe(self) -> None:
        settings = self._settings
        if settings.stale_filters:
            self._client.unsubscribe(list(settings.stale_filters))
        if not settings.filters:
            return
        if settings.is_version_5:
            options = SubscribeOptions(settings.qos, retainHandling=NOT_ON_EVERY_CONNECT)
            self._client.subscribe([(f, options) for f in settings.filters])
        else:
            self._client.subscribe([(f, settings.qos) for f in settings.filters])

    def _on_subscribe(self, client: Client, _: Any, mid: int, reasons: list[ReasonCode], __: Any) -> None:
        self.deliver()
        self._listener.subscribed([str(reason) if reason.is_failure else None for reason in reasons])

    def _on_disconnect(self, client: Client, _: Any, flags: Any, reason: ReasonCode, __: Any) -> None:
        self.deliver()
        fault, self._fault = self._fault, None
        code = f" (code {reason.value})" if flags.is_disconnect_packet_from_server else ""
        self._listener.lost(fault or f"{reason}{code}", is_malformed=fault is not None)


def refusal_of(code: int) -> str | None:
    """Put the reason code of a PUBACK into words; None: the broker has it."""
    if code < 0x80:
        return None
    try:
        return str(ReasonCode(PacketTypes.PUBACK, identifier=code))
    except (KeyError, ValueError):  # a code of no packet, or of another one
        return f"code {code}"
