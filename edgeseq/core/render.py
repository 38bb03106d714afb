"""Render: events → what is published, under <prefix>/<node>/.

    <stream>/forecast       after every step; not retained, QoS 0 (forecasts are state: the latest wins)
    <stream>/latest         the newest forecast and status, retained; once in 15 min and when the status changes
    <stream>/status         phase, data and alert, retained; when it changes
    <stream>/anomaly        ON while an alert is open, else OFF, retained
    <stream>/availability   offline while the stream is silent, else online, retained
    <stream>/estimate       what an estimator says, after every step; not retained, QoS 0
    <stream>/state          the class that it says, retained; when it changes
    <stream>/alert          alerts opened and cleared; QoS 1, at least once
    bridge/…                the node itself (edgeseq.core.bridge)

A stream of several channels has forecast, latest, anomaly and alert under <stream>/<channel>/ instead; its
<stream>/anomaly is ON while any channel's is, and alerts that concern the whole stream stay at <stream>/alert.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Literal, assert_never
from zlib import crc32

import msgspec

from edgeseq.core.alert_payload import alert_id
from edgeseq.core.alerting import open_alerts, tell_alert
from edgeseq.core.bridge import bridge_event
from edgeseq.core.estimated import class_payload, estimate_payload
from edgeseq.core.forecast_payload import Template, Texts, make_template, tell_forecast, write_forecasts
from edgeseq.core.number_forms import SIGNIFICANT_DIGITS
from edgeseq.core.payloads import EventPayload, StatusPayload
from edgeseq.core.told import NEW, RenderContext, RenderState, View, base, retained, switches
from edgeseq.core.types import (
    AlertEvent,
    ClassChanged,
    DataStatus,
    Estimate,
    Event,
    Forecast,
    InputsFilled,
    OtherEvent,
    Outgoing,
    Phase,
    StreamCreated,
    StreamReset,
    StreamStatus,
    StreamSwitched,
)

__all__ = ["NEW", "RenderContext", "RenderState", "View", "alert_id", "announce", "render"]

LATEST_EVERY_NS = 900 * 10**9
"""Retained messages are written to the broker's disk: 100 retained forecasts/s made mosquitto write 59 GB a day."""

_encode = msgspec.json.Encoder().encode


def render(context: RenderContext, render_state: RenderState, events: Sequence[Event]) -> list[Outgoing]:
    """Turn events into messages, in order; `render_state` is changed in place."""
    outgoing: list[Outgoing] = []
    forecasts: list[Forecast] = []
    texts: dict[int, Texts] = {}
    has_alerts = False
    for event in events:
        if isinstance(event, Forecast):
            forecasts.append(event)
            continue
        outgoing += _forecasts(context, render_state, forecasts, texts)
        forecasts.clear()
        # Of filled inputs the forecasts themselves tell.
        if not isinstance(event, InputsFilled):
            has_alerts = has_alerts or isinstance(event, AlertEvent)
            outgoing += _tell(context, render_state, event)
    outgoing += _forecasts(context, render_state, forecasts, texts)
    if has_alerts:
        outgoing.append(open_alerts(context, render_state))
    return outgoing


def _tell(context: RenderContext, render_state: RenderState, event: OtherEvent) -> Iterable[Outgoing]:
    """Turn an event that is no forecast into messages."""
    match event:
        case Estimate():
            estimated = context.estimated[context.rule_of(event.stream).key]
            told = estimate_payload(event, estimated, context.infos[event.stream].id)
            return [Outgoing(f"{base(context, event.stream)}/estimate", _encode(told))]
        case ClassChanged():
            state = class_payload(event, context.estimated[context.rule_of(event.stream).key])
            render_state.view(event.stream).state = state
            return [retained(f"{base(context, event.stream)}/state", _encode(state))]
        case AlertEvent():
            return tell_alert(context, render_state, event)
        case StreamStatus():
            return _status(context, render_state.view(event.stream), event)
        case StreamCreated():
            return _created(context, event)
        case StreamReset():
            stream = context.infos[event.stream].id
            reset = EventPayload(event="stream.reset", stream=stream, gap_steps=event.gap_steps)
            return [bridge_event(context.root, reset)]
        case StreamSwitched():
            return [_switched(context, event)]
        case _:
            assert_never(event)


def announce(context: RenderContext, render_state: RenderState) -> list[Outgoing]:
    """Repeat all that is retained: for a broker that may have lost it, after every connect."""
    outgoing: list[Outgoing] = []
    for stream, view in sorted(render_state.views.items()):
        outgoing.extend(_status_messages(context, stream, view))
        if view.state:
            outgoing.append(retained(f"{base(context, stream)}/state", _encode(view.state)))
        outgoing.extend(retained(*switch) for switch in switches(context, stream, view).items())
    return [*outgoing, open_alerts(context, render_state)]


# --- one event --------------------------------------------------------------------------------------------------


def _forecasts(
    context: RenderContext, render_state: RenderState, forecasts: list[Forecast], texts: dict[int, Texts]
) -> list[Outgoing]:
    """Publish forecasts, one for each channel, and `latest` where it is due; `texts` grows by what is written."""
    outgoing: list[Outgoing] = []
    known = render_state.views.get
    for event in forecasts:
        together = texts.get(id(event.columns))
        if together is None:
            together = texts[id(event.columns)] = _write(context, render_state, event)
        view = known(event.stream) or render_state.view(event.stream)
        if not view.topics:
            _address(context, view, event.stream)
        if view.unit is not None:
            together = together._replace(template=_template(context, render_state, event, view.unit))
        view.scalars = tell_forecast(outgoing, together, event, view.name, view.topics)
        if event.origin_ns >= view.latest_from_ns:
            view.latest_from_ns = _next_latest_ns(view.name, event.origin_ns)
            outgoing += _latest(context, event.stream, view)
    return outgoing


def _write(context: RenderContext, render_state: RenderState, event: Forecast) -> Texts:
    """Write the numbers of all forecasts that were made together with this one: NumPy's cost is by the call."""
    return write_forecasts(_template(context, render_state, event, None), event.columns)


def _template(
    context: RenderContext, render_state: RenderState, event: Forecast, unit: str | None
) -> Template:
    """Give what stands around the numbers: of a rule's streams, or of those with a unit of their own."""
    rule = context.rule_of(event.stream)
    key = rule.key, event.columns.value.shape[2], unit
    template = render_state.templates.get(key)
    if template is None:
        own = rule if unit is None else msgspec.structs.replace(rule, unit=unit, units={})
        template = render_state.templates[key] = make_template(own, context.bundles.get(rule.key), key[1])
    return template


def _address(context: RenderContext, view: View, stream: int) -> None:
    """Keep what a stream's forecasts are addressed by."""
    channels = range(len(context.rule_of(stream).forecast_names))
    view.topics = tuple(f"{base(context, stream, c)}/forecast" for c in channels)
    view.name = _encode(context.infos[stream].id)[1:-1]
    view.unit = context.infos[stream].unit


def _next_latest_ns(name: bytes, origin_ns: int) -> int:
    """Tell when a stream's next `latest` is due: each has its own place in the quarter of an hour.

    Streams that began together would else retain theirs together, too. The place is the name's, so that a replay
    says what the daemon said.
    """
    place_ns = (crc32(name) * LATEST_EVERY_NS) >> 32
    return origin_ns + LATEST_EVERY_NS - (origin_ns - place_ns) % LATEST_EVERY_NS


def _status(context: RenderContext, view: View, event: StreamStatus) -> Iterator[Outgoing]:
    """Publish a status that changed."""
    view.status = _status_payload(event.phase, event.data, event.alert)
    yield from _status_messages(context, event.stream, view)


@cache
def _status_payload(
    phase: Phase, data: DataStatus, alert: Literal["none", "watch", "alert"]
) -> StatusPayload:
    """Make a status, of which there are few: streams share them."""
    return StatusPayload(phase=phase, data=data, alert=alert)


def _status_messages(context: RenderContext, stream: int, view: View) -> Iterator[Outgoing]:
    """Tell a stream's status in all its forms."""
    above = base(context, stream)
    yield retained(f"{above}/status", _encode(view.status))
    is_offline = view.status.data in (DataStatus.SILENT, DataStatus.OFF)
    yield retained(f"{above}/availability", b"offline" if is_offline else b"online")
    yield from _latest(context, stream, view)


def _latest(context: RenderContext, stream: int, view: View) -> Iterator[Outgoing]:
    """Retain the newest forecast of each channel with the stream's status."""
    status = view.status
    told = _encode({"phase": status.phase, "data": status.data, "alert": status.alert})
    for c, scalars in enumerate(view.scalars):
        yield retained(f"{base(context, stream, c)}/latest", b"%b,%b" % (scalars, told[1:]))


def _switched(context: RenderContext, event: StreamSwitched) -> Outgoing:
    """Tell what serves a stream from now on."""
    stream = context.infos[event.stream].id
    skill = float(f"{event.skill:.{SIGNIFICANT_DIGITS}g}") if math.isfinite(event.skill) else None
    payload = EventPayload(event="stream.switched", stream=stream, source=event.source, skill=skill)
    return bridge_event(context.root, payload)


def _created(context: RenderContext, event: StreamCreated) -> Iterator[Outgoing]:
    """Tell of a new stream and set its switches."""
    info = context.infos[event.stream]
    yield bridge_event(
        context.root, EventPayload(event="stream.created", stream=info.id, topic=info.topic, field=info.field)
    )
    yield retained(f"{base(context, event.stream)}/availability", b"online")
    for topic, word in switches(context, event.stream, View()).items():
        yield retained(topic, word)
