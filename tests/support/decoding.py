"""Rules and messages that decode is tested with."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from edgeseq.core.decode import decode
from edgeseq.core.registry import Registry
from edgeseq.core.types import (
    ChannelSource,
    Message,
    Options,
    Readings,
    Reason,
    Rejection,
    StreamInfo,
    StreamRule,
)

S = 10**9
NOW_NS = 1_772_359_200 * S  # 2026-03-01T10:00:00Z
OPTIONS = Options()

HOUSE = StreamRule(
    key="zigbee2mqtt/+",
    period_ns=600 * S,
    topics=("zigbee2mqtt/+", "zigbee2mqtt/+/#"),
    exclude=("zigbee2mqtt/bridge/#",),
    fields=("temperature", "humidity"),
)

RAW = StreamRule(key="plc/#", period_ns=S, topics=("plc/#",))

STAMPED = StreamRule(
    key="line/+", period_ns=S, topics=("line/+",), fields=("v",), time_field="ts", id_field="meta.id"
)

PUMP = StreamRule(
    key="pump1",
    name="pump1",
    period_ns=S,
    channels={"flow": ChannelSource("p1/flow"), "power": ChannelSource("p1/elec", "power.total")},
)

RULES = (HOUSE, RAW, STAMPED, PUMP)


def message(topic: str, payload: bytes | str | dict[str, Any], **changes: Any) -> Message:
    """Make a message that arrived at NOW_NS."""
    content = (
        payload if isinstance(payload, bytes) else payload.encode() if isinstance(payload, str) else None
    )
    content = json.dumps(payload).encode() if content is None else content
    return msgspec.structs.replace(Message(topic, content, NOW_NS), **changes)


def read(
    *messages: Message, rules: tuple[StreamRule, ...] = RULES, options: Options = OPTIONS
) -> tuple[Readings, list[Rejection], list[StreamInfo]]:
    """Decode with a fresh registry."""
    return decode(Registry(rules), options, messages)


def reasons(rejections: list[Rejection]) -> list[Reason]:
    """List the reasons alone."""
    return [rejection.reason for rejection in rejections]
