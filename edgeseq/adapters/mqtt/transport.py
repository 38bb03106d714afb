"""What both transports share: paho's client, which connects, and what it tells to the link.

Paho's callbacks only pass on; nothing in them can raise.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Protocol

from paho.mqtt import MQTTException, properties
from paho.mqtt.client import Client
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edgeseq.adapters.mqtt.settings import MAX_ALERTS_IN_FLIGHT, Settings
from edgeseq.core.types import Message, Outgoing

NOT_ON_EVERY_CONNECT = 1
"""MQTT 5 retain handling: retained messages come with a new subscription only."""

_OTHER = properties.MQTTException  # type: ignore[attr-defined] # a class of its own in paho 2.1
UNREADABLE = (MQTTException, _OTHER, struct.error, LookupError, ValueError, TypeError)
"""What paho raises on packets that no broker should send; 2.1 more of it than 2.2."""


class Listener(Protocol):
    """Who is told; the link."""

    @property
    def room(self) -> int:
        """Count the messages that may still be read."""
        ...

    def connected(self, *, is_session_present: bool, window: int) -> None:
        """Take note: the broker has accepted us, and takes so many alerts at once."""
        ...

    def refused(self, reason: str) -> None:
        """Take note: the broker does not want us."""
        ...

    def subscribed(self, refusals: list[str | None]) -> None:
        """Take note of the broker's answer for each filter: None, or why not."""
        ...

    def arrived(self, messages: list[Message]) -> None:
        """Take messages."""
        ...

    def settled(self, mid: int, refusal: str | None) -> None:
        """Take note: the broker has an alert, or refuses it."""
        ...

    def is_in_flight(self, mid: int) -> bool:
        """Tell whether an alert has this packet id."""
        ...

    def lost(self, reason: str, *, is_malformed: bool) -> None:
        """Take note: the connection is gone."""
        ...

    def closing(self) -> None:
        """Forget the socket: it is about to be closed."""
        ...


class Transport(Protocol):
    """What a link moves packets by. One thread uses it, but for `connect`."""

    def connect(self) -> None:
        """Connect, and begin the handshake; may block. Raises OSError, ValueError (a host name none can encode)."""
        ...

    def disconnect(self) -> None:
        """Say goodbye and close."""
        ...

    def socket(self) -> Any:
        """Give what a selector can watch, or None while there is no connection."""
        ...

    @property
    def wants_read(self) -> bool:
        """Whether the peer may send more: it takes what we answer."""
        ...

    @property
    def wants_write(self) -> bool:
        """Whether to tell when the peer takes more."""
        ...

    @property
    def has_more(self) -> bool:
        """Whether reading gives something that a selector cannot see."""
        ...

    @property
    def unsent(self) -> int:
        """Count what is taken and not yet written, in whatever unit; 0 when all is."""
        ...

    def read(self) -> None:
        """Read what is there, as far as the listener has room."""
        ...

    def write(self) -> None:
        """Write what the peer takes now."""
        ...

    def keep_alive(self) -> None:
        """Ping, and give up a peer that is silent for too long."""
        ...

    def send_state(self, out: Outgoing) -> bool:
        """Take a message of QoS 0, or tell that there is no room."""
        ...

    def send_alert(self, out: Outgoing, mid: int) -> int:
        """Take a message of QoS 1, again where it has a packet id. Gives its packet id; 0: no room."""
        ...

    def acknowledge(self, mids: list[int]) -> None:
        """Tell the broker that it may forget these, in order."""
        ...


OpenTransport = Callable[[Settings, Listener, Callable[[], int]], Transport]


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
        self._listener.connected(is_session_present=bool(flags.session_present), window=window)

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
    except KeyError:
        return f"code {code}"
