"""What happens to the daemon: everything is a value in one inbox."""

from __future__ import annotations

import msgspec


class Message(msgspec.Struct, frozen=True, gc=False):
    """One MQTT application message as it arrived."""

    topic: str
    payload: bytes
    received_ns: int
    retained: bool = False
    dup: bool = False
    mid: int = 0
    """Packet id of a QoS 1 delivery; 0 for QoS 0."""


class Tick(msgspec.Struct, frozen=True):
    """Processing time went on. Ticks never touch a recurrent state."""

    now_ns: int


class Stop(msgspec.Struct, frozen=True):
    """The daemon shall finish what it has and go."""

    reason: str


class Scrape(msgspec.Struct, frozen=True):
    """Somebody asks for the metrics."""

    is_openmetrics: bool


class Reload(msgspec.Struct, frozen=True):
    """The configuration file may have changed (SIGHUP)."""
