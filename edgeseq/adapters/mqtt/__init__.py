"""The link to the broker; paho-mqtt below it, with our own reading and writing of packets.

link.py       the connection's life, what waits to be sent        happenings.py  what it tells, as values
outbox.py     alerts until they are acknowledged                  settings.py    what it needs to know
transport.py  the seam between link and packets; paho's callbacks
batch.py      the fast transport: packets.py (codec), corked.py (socket), hooks.py (paho's inside)
plain.py      the transport by paho's public API, where selfcheck.py finds that the fast one does not work
"""

from __future__ import annotations

import time
from collections.abc import Callable

from edgeseq.adapters.mqtt.batch import BatchTransport
from edgeseq.adapters.mqtt.happenings import (
    Connected,
    Degraded,
    Deliveries,
    Disconnected,
    PublishRefused,
    Refused,
    Subscribed,
    SubscriptionRefused,
    TooLarge,
    Unreachable,
)
from edgeseq.adapters.mqtt.link import Link
from edgeseq.adapters.mqtt.plain import PlainTransport
from edgeseq.adapters.mqtt.seams import Sink
from edgeseq.adapters.mqtt.selfcheck import find_fault
from edgeseq.adapters.mqtt.settings import MAX_ALERTS_IN_FLIGHT, Settings

__all__ = [
    "MAX_ALERTS_IN_FLIGHT",
    "BatchTransport",
    "Connected",
    "Degraded",
    "Deliveries",
    "Disconnected",
    "Link",
    "PlainTransport",
    "PublishRefused",
    "Refused",
    "Settings",
    "Sink",
    "Subscribed",
    "SubscriptionRefused",
    "TooLarge",
    "Unreachable",
    "find_fault",
    "open_link",
]


def open_link(
    settings: Settings, sink: Sink, *, generation: int = 0, now_ns: Callable[[], int] = time.time_ns
) -> Link:
    """Make a link by the fastest transport that works. Raises OSError (TLS files that cannot be used)."""
    fault = find_fault(is_version_5=settings.is_version_5)
    if fault:
        sink.deliver(Degraded(fault))
    transport = PlainTransport if fault else BatchTransport
    return Link(settings, sink, transport, generation=generation, now_ns=now_ns)
