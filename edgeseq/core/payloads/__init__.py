"""The wire schema, version 1: every payload that edgeseq publishes, as structs. JSON Schema is generated from them.

Numbers carry 5 significant digits; null is a value that is unknown or missing. Times are ISO 8601, UTC.
Consumers ignore fields they do not know: new fields may come within a version.

streams.py    forecasts, status, estimates     node.py       what runs, how it fares, events
alerts.py     alerts and the open ones         responses.py  what is answered to requests
models.py     variants and updates             shared.py     what all have
"""

from __future__ import annotations

import msgspec

from edgeseq.core.payloads.alerts import AlertGroup, AlertPayload, Crossing, OpenAlert, OpenAlertsPayload
from edgeseq.core.payloads.models import (
    PairedTest,
    UpdateInfo,
    UpdateStatePayload,
    VariantChoice,
    VariantCost,
)
from edgeseq.core.payloads.node import (
    AlertRate,
    EventPayload,
    HealthPayload,
    InfoPayload,
    RuleInfo,
    StatePayload,
    TableIntervals,
)
from edgeseq.core.payloads.responses import (
    HistoryEntry,
    ReadingsAround,
    RecordingEntry,
    ResponsePayload,
    StreamEntry,
    WishEntry,
)
from edgeseq.core.payloads.shared import Payload, Seconds, Time
from edgeseq.core.payloads.streams import (
    ClassPayload,
    EstimatePayload,
    ForecastPayload,
    LatestPayload,
    Path,
    StatusPayload,
)

__all__ = [
    "MESSAGES",
    "WORDS",
    "AlertGroup",
    "AlertPayload",
    "AlertRate",
    "ClassPayload",
    "Crossing",
    "EstimatePayload",
    "EventPayload",
    "ForecastPayload",
    "HealthPayload",
    "HistoryEntry",
    "InfoPayload",
    "LatestPayload",
    "OpenAlert",
    "OpenAlertsPayload",
    "PairedTest",
    "Path",
    "Payload",
    "ReadingsAround",
    "RecordingEntry",
    "ResponsePayload",
    "RuleInfo",
    "Seconds",
    "StatePayload",
    "StatusPayload",
    "StreamEntry",
    "TableIntervals",
    "Time",
    "UpdateInfo",
    "UpdateStatePayload",
    "VariantChoice",
    "VariantCost",
    "WishEntry",
]

MESSAGES: dict[str, type[msgspec.Struct]] = {
    "forecast": ForecastPayload,
    "latest": LatestPayload,
    "status": StatusPayload,
    "estimate": EstimatePayload,
    "state": ClassPayload,
    "alert": AlertPayload,
    "bridge/state": StatePayload,
    "bridge/info": InfoPayload,
    "bridge/health": HealthPayload,
    "bridge/alerts": OpenAlertsPayload,
    "bridge/event": EventPayload,
    "bridge/response": ResponsePayload,
    "update/state": UpdateStatePayload,
}
"""Last levels of a topic → its JSON payload."""

WORDS: dict[str, tuple[str, ...]] = {"anomaly": ("ON", "OFF"), "availability": ("online", "offline")}
"""Last level of a topic → the words it carries as plain text."""
