"""Events of two rules, and what render makes of them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np

from edgeseq.core.render import RenderContext, RenderState, render
from edgeseq.core.types import (
    F64,
    AlertEvent,
    AlertKind,
    ChannelSource,
    DataStatus,
    Event,
    Forecast,
    Limits,
    Outgoing,
    Phase,
    Source,
    StreamInfo,
    StreamRule,
    StreamStatus,
)
from tests.support.streams import one_forecast
from tests.support.validate import validate

S = 10**9
NOW_NS = 1_772_359_200 * S  # 2026-03-01T10:00:00Z
CELLAR, PUMP = 0, 1

HOUSE = StreamRule(key="house", period_ns=600 * S, topics=("z/+",), fields=("temperature",), unit="°C")
PUMPS = StreamRule(
    key="pump1",
    name="pump1",
    period_ns=S // 2,
    channels={"flow": ChannelSource("p/flow"), "Vib X": ChannelSource("p/vib")},
    units={"Vib X": "mm/s"},
    limits={"Vib X": Limits(max=11)},
)
INFOS = [
    StreamInfo("cellar-temperature", "house", "z/cellar", "temperature", 0),
    StreamInfo("pump1", "pump1", "p/flow", None, 0),
]
CONTEXT = RenderContext(
    "edgeseq", "attic", INFOS, {"house": HOUSE, "pump1": PUMPS}, {"house": "house@3f9a51c2"}
)


def forecast(
    stream: int = CELLAR, *, origin_ns: int = NOW_NS, source: Source = "model", **columns: F64
) -> Forecast:
    """Make a forecast of 2 leads for the channels of a stream."""
    C = len(CONTEXT.rule_of(stream).channel_names)
    value = np.tile([12.5, 12.6], (C, 1))
    usual = {
        "observed": np.full(C, 12.4),
        "lower": value - 0.4,
        "value": value,
        "upper": value + 0.4,
        "score": np.full(C, 0.12),
        "skill": np.full(C, 0.18),
    }
    return one_forecast(usual | columns, stream=stream, step=2941234, origin_ns=origin_ns, source=source)


def alert(kind: AlertKind = AlertKind.SPIKE, event_type: str = "opened", **changes: Any) -> AlertEvent:
    """Make an alert event of the pump's second channel."""
    event = AlertEvent(
        order=0,
        stream=PUMP,
        channel=1,
        kind=kind,
        event_type="opened",
        opened_step=17,
        opened_ns=NOW_NS,
        time_ns=NOW_NS,
        cleared_ns=None,
        observed=7.9,
        expected=4.1,
        lower=3.6,
        upper=4.7,
        p_value=0.0004,
        seq=17,
        source="baseline",
    )
    if event_type == "cleared":
        changes = {"time_ns": NOW_NS + 3900 * S, "cleared_ns": NOW_NS + 3900 * S, "seq": 18, **changes}
    return msgspec.structs.replace(event, event_type=event_type, **changes)


def status(stream: int = CELLAR, data: DataStatus = DataStatus.OK) -> StreamStatus:
    """Make a status."""
    return StreamStatus(order=0, stream=stream, phase=Phase.LIVE, data=data, alert="none")


def published(*events: Event, state: RenderState | None = None) -> dict[str, Any]:
    """Render and give topic (below the node) → payload, the last one where a topic repeats; all are validated."""
    found: dict[str, Any] = {}
    for outgoing in render(CONTEXT, state if state is not None else RenderState(), events):
        validate(outgoing.topic, outgoing.payload)
        found[outgoing.topic.removeprefix("edgeseq/attic/")] = read(outgoing)
    return found


def read(outgoing: Outgoing) -> Any:
    """Read a payload, JSON or a word."""
    text = outgoing.payload.decode()
    return json.loads(text) if text.startswith("{") else text
