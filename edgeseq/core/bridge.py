"""The node's own topics, <prefix>/<node>/bridge/…; `root` is <prefix>/<node>."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from edgeseq.core.payloads import (
    AlertGroup,
    EventPayload,
    HealthPayload,
    InfoPayload,
    OpenAlert,
    OpenAlertsPayload,
    ResponsePayload,
    StatePayload,
    UpdateStatePayload,
)
from edgeseq.core.types import Outgoing

MAX_LISTED_ALERTS = 200
"""Open alerts listed in bridge/alerts; its `count` tells them all."""

SMALLEST_GROUP = 3
"""Alerts that open together before they are told as one."""

MAX_LISTED_GROUPS = MAX_LISTED_STREAMS = 20


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


def bridge_alerts(
    root: str, alerts: Iterable[OpenAlert], groups: Mapping[str, Mapping[str, str]] | None = None
) -> Outgoing:
    """List the open alerts, newest first, and those that belong together: group → id of an alert → its stream."""
    newest = sorted(alerts, key=lambda alert: (alert.opened, alert.id), reverse=True)
    payload = OpenAlertsPayload(
        count=len(newest), alerts=newest[:MAX_LISTED_ALERTS], groups=_groups(groups or {})
    )
    return _retained(root, "alerts", payload)


def _groups(groups: Mapping[str, Mapping[str, str]]) -> list[AlertGroup]:
    large = [(group, members) for group, members in groups.items() if len(members) >= SMALLEST_GROUP]
    large.sort(key=lambda one: (-len(one[1]), one[0]))
    return [
        AlertGroup(group=group, count=len(members), streams=listed(members.values()))
        for group, members in large[:MAX_LISTED_GROUPS]
    ]


def listed(streams: Iterable[str]) -> list[str]:
    """List streams, each once, in order, as many as there is room for.

    >>> listed(["b", "a", "b"])
    ['a', 'b']
    """
    return sorted(set(streams))[:MAX_LISTED_STREAMS]


def bridge_event(root: str, payload: EventPayload) -> Outgoing:
    """Tell what happened to a stream; not retained."""
    return Outgoing(f"{root}/bridge/event", msgspec.json.encode(payload), qos=1)


def request_filter(root: str) -> str:
    """Give the topic filter of what others ask of the node.

    >>> request_filter("edgeseq/attic")
    'edgeseq/attic/bridge/request/+'
    """
    return f"{root}/bridge/request/+"


def update_filters(root: str) -> tuple[str, ...]:
    """Give the topic filters of bundles that are sent over the air.

    >>> update_filters("edgeseq/attic")
    ('edgeseq/attic/bridge/update/release', 'edgeseq/attic/bridge/update/chunk/+/+')
    """
    return f"{root}/bridge/update/release", f"{root}/bridge/update/chunk/+/+"


def update_state(root: str, payload: UpdateStatePayload) -> Outgoing:
    """Tell how far a bundle has come that is sent over the air; not retained."""
    return Outgoing(f"{root}/bridge/update/state", msgspec.json.encode(payload), qos=1)


def bridge_response(root: str, payload: ResponsePayload) -> Outgoing:
    """Answer a request; not retained."""
    return Outgoing(f"{root}/bridge/response/{payload.verb}", msgspec.json.encode(payload), qos=1)


def _retained(root: str, name: str, payload: msgspec.Struct) -> Outgoing:
    return Outgoing(f"{root}/bridge/{name}", msgspec.json.encode(payload), qos=1, retain=True)
