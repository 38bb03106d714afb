"""The node's own topics, <prefix>/<node>/bridge/…; `root` is <prefix>/<node>."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from edgeseq.core.payloads import (
    EventPayload,
    HealthPayload,
    InfoPayload,
    OpenAlert,
    OpenAlertsPayload,
    ResponsePayload,
    StatePayload,
)
from edgeseq.core.types import Outgoing

MAX_LISTED_ALERTS = 200
"""Open alerts listed in bridge/alerts; its `count` tells them all."""


def bridge_state(root: str, state: Literal["online", "offline", "stopped"]) -> Outgoing:
    """Tell whether the node runs. The offline one is the last will, which the broker sends.

    >>> bridge_state("edgeseq/attic", "offline").payload
    b'{"state":"offline"}'
    """
    return _retained(root, "state", StatePayload(state))


def bridge_info(root: str, payload: InfoPayload) -> Outgoing:
    """Tell what runs here."""
    return _retained(root, "info", payload)


def bridge_health(root: str, payload: HealthPayload) -> Outgoing:
    """Tell how the node fares."""
    return _retained(root, "health", payload)


def bridge_alerts(root: str, alerts: Iterable[OpenAlert]) -> Outgoing:
    """List the open alerts, newest first."""
    newest = sorted(alerts, key=lambda alert: (alert.opened, alert.id), reverse=True)
    payload = OpenAlertsPayload(count=len(newest), alerts=newest[:MAX_LISTED_ALERTS])
    return _retained(root, "alerts", payload)


def bridge_event(root: str, payload: EventPayload) -> Outgoing:
    """Tell what happened to a stream; not retained."""
    return Outgoing(f"{root}/bridge/event", msgspec.json.encode(payload), qos=1)


def request_filter(root: str) -> str:
    """Give the topic filter of what others ask of the node.

    >>> request_filter("edgeseq/attic")
    'edgeseq/attic/bridge/request/+'
    """
    return f"{root}/bridge/request/+"


def bridge_response(root: str, payload: ResponsePayload) -> Outgoing:
    """Answer a request; not retained."""
    return Outgoing(f"{root}/bridge/response/{payload.verb}", msgspec.json.encode(payload), qos=1)


def _retained(root: str, name: str, payload: msgspec.Struct) -> Outgoing:
    return Outgoing(f"{root}/bridge/{name}", msgspec.json.encode(payload), qos=1, retain=True)
