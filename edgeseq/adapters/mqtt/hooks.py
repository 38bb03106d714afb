"""Paho's client, but for how packets come and go: all that edgeseq knows of paho's inside.

The methods that begin with an underscore are paho's private ones, so the versions of paho are bounded in
pyproject.toml, tests/contract holds each of them to this, and `selfcheck` tries the installed one at start.
"""

from __future__ import annotations

import socket
from typing import Any, Protocol

from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTErrorCode

from edgeseq.adapters.mqtt.corked import Corked
from edgeseq.adapters.mqtt.packets import Malformed
from edgeseq.adapters.mqtt.paho import UNREADABLE

LAST_MID_OF_PAHO = 1023
"""Packet ids up to here are for SUBSCRIBE and UNSUBSCRIBE, those beyond for our own messages: none can collide."""


class Hooks(Protocol):
    """Who moves the packets; the batch transport."""

    def take_socket(self, opened: socket.socket) -> Corked:
        """Begin a new connection on this socket."""
        ...

    def read_packets(self) -> MQTTErrorCode:
        """Read what is there."""
        ...


class HookedClient(Client):
    """Paho's client. `hooks` is set before it is used."""

    hooks: Hooks

    def _create_socket(self) -> Any:
        opened: Any = super()._create_socket()
        return self.hooks.take_socket(opened)

    def _packet_read(self) -> MQTTErrorCode:
        return self.hooks.read_packets()

    def _mid_generate(self) -> int:
        if self._last_mid >= LAST_MID_OF_PAHO:
            self._last_mid = 0
        return super()._mid_generate()

    def excuse_ping(self) -> None:
        """Count a ping that went out as answered: paho would close the connection where the answer takes long."""
        if self._ping_t > 0:
            self._ping_t = 0.0

    def take_packet(self, first: int, body: bytes) -> MQTTErrorCode:
        """Let paho take a packet: CONNACK, SUBACK, PINGRESP, … Raises Malformed."""
        self._in_packet = {
            "command": first,
            "have_remaining": 1,
            "remaining_count": [],
            "remaining_mult": 1,
            "remaining_length": len(body),
            "packet": bytearray(body),
            "to_process": 0,
            "pos": 0,
        }
        try:
            return self._packet_handle()
        except UNREADABLE as fault:
            raise Malformed(f"packet of kind {first >> 4}: {type(fault).__name__}: {fault}") from fault
