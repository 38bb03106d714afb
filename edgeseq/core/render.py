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

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Literal, assert_never
from zlib import crc32

import msgspec
import numpy as np

from edgeseq.core.bridge import bridge_alerts, bridge_event
from edgeseq.core.decimals import significant
from edgeseq.core.estimated import Estimated, class_payload, estimate_payload
from edgeseq.core.forecast_payload import (
    BASELINE,
    Template,
    Texts,
    make_template,
    tell_forecast,
    write_forecasts,
)
from edgeseq.core.instants import format_instant
from edgeseq.core.payloads import (
    AlertPayload,
    ClassPayload,
    EventPayload,
    OpenAlert,
    StatusPayload,
)
from edgeseq.core.topics import slug
from edgeseq.core.types import (
    AlertEvent,
    AlertKind,
    ClassChanged,
    DataStatus,
    Estimate,
    Event,
    Forecast,
    InputsFilled,
    Limits,
    OtherEvent,
    Outgoing,
    Phase,
    StreamCreated,
    StreamInfo,
    StreamReset,
    StreamRule,
    StreamStatus,
)
from edgeseq.core.wording import sentence

LATEST_EVERY_NS = 900 * 10**9
"""Retained messages are written to the broker's disk: 100 retained forecasts/s made mosquitto write 59 GB a day."""

ALERT_ID_CHARS = 16

NEW = StatusPayload(phase=Phase.LEARNING, data=DataStatus.OK, alert="none")
"""Status of a stream that has none yet."""

_NONE_OPEN: Mapping[str, tuple[int | None, OpenAlert]] = MappingProxyType({})
"""As of nearly all streams, which share it."""

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class RenderContext:
    """What rendering needs to know of the node."""

    prefix: str
    node: str
    infos: Sequence[StreamInfo]
    """The registry's streams, by index; grows while the node runs."""
    rules: Mapping[str, StreamRule]
    """Key → rule."""
    bundles: Mapping[str, str]
    """Key of a rule → label of its bundle, such as house@3f9a51c2; rules without one are absent."""
    estimated: Mapping[str, Estimated] = field(default_factory=dict)
    """Key of a rule → what its estimator tells of; rules without one are absent."""

    @property
    def root(self) -> str:
        """Give the topic above all others of this node."""
        return f"{self.prefix}/{self.node}"

    def rule_of(self, stream: int) -> StreamRule:
        """Find a stream's rule."""
        return self.rules[self.infos[stream].rule]


@dataclass(slots=True)
class View:
    """What subscribers were told of one stream."""

    scalars: tuple[bytes, ...] = ()
    """The newest forecast of each channel, without its path and last brace."""
    name: bytes = b""
    """The stream's id as text, once it is asked for, …"""
    topics: tuple[str, ...] = ()
    """… and where the forecast of each channel goes."""
    latest_from_ns: int = -(2**62)
    """Origin from which on the next `latest` is due."""
    status: StatusPayload = NEW
    state: ClassPayload | None = None
    """Its class, where an estimator tells one."""
    open: Mapping[str, tuple[int | None, OpenAlert]] = field(default_factory=lambda: _NONE_OPEN)
    """Alert id → channel (None: the whole stream) and alert."""


@dataclass(slots=True)
class RenderState:
    """What subscribers were told. Never saved: rendering the statuses and open alerts of a state rebuilds it."""

    views: dict[int, View] = field(default_factory=dict)
    templates: dict[tuple[str, int], Template] = field(default_factory=dict)
    """Key of a rule and horizon → its payloads."""

    def view(self, stream: int) -> View:
        """Give the view of a stream."""
        view = self.views.get(stream)
        if view is None:
            view = self.views[stream] = View()
        return view


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
        outgoing.append(_open_alerts(context, render_state))
    return outgoing


def _tell(context: RenderContext, render_state: RenderState, event: OtherEvent) -> Iterable[Outgoing]:
    """Turn an event that is no forecast into messages."""
    match event:
        case Estimate():
            estimated = context.estimated[context.rule_of(event.stream).key]
            told = estimate_payload(event, estimated, context.infos[event.stream].id)
            return [Outgoing(f"{_base(context, event.stream)}/estimate", _encode(told))]
        case ClassChanged():
            state = class_payload(event, context.estimated[context.rule_of(event.stream).key])
            render_state.view(event.stream).state = state
            return [_retained(f"{_base(context, event.stream)}/state", _encode(state))]
        case AlertEvent():
            return _alert(context, render_state.view(event.stream), event)
        case StreamStatus():
            return _status(context, render_state.view(event.stream), event)
        case StreamCreated():
            return _created(context, event)
        case StreamReset():
            stream = context.infos[event.stream].id
            reset = EventPayload(event="stream.reset", stream=stream, gap_steps=event.gap_steps)
            return [bridge_event(context.root, reset)]
        case _:
            assert_never(event)


def announce(context: RenderContext, render_state: RenderState) -> list[Outgoing]:
    """Repeat all that is retained: for a broker that may have lost it, after every connect."""
    outgoing: list[Outgoing] = []
    for stream, view in sorted(render_state.views.items()):
        outgoing.extend(_status_messages(context, stream, view))
        if view.state:
            outgoing.append(_retained(f"{_base(context, stream)}/state", _encode(view.state)))
        outgoing.extend(_retained(*switch) for switch in _switches(context, stream, view).items())
    return [*outgoing, _open_alerts(context, render_state)]


def alert_id(stream: str, channel: str, kind: str, opened_step: int, bundle: str) -> str:
    """Identify an alert: the same readings give the same id, on any machine, so that repeating is harmless.

    >>> alert_id("pump1", "vibration", "spike", 17, "baseline")
    'wkot55bcez6yq2kb'
    """
    source = "\0".join([stream, channel, kind, str(opened_step), bundle])
    return base64.b32encode(hashlib.sha256(source.encode()).digest()).decode().lower()[:ALERT_ID_CHARS]


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
        view.scalars = tell_forecast(outgoing, together, event, view.name, view.topics)
        if event.origin_ns >= view.latest_from_ns:
            view.latest_from_ns = _next_latest_ns(view.name, event.origin_ns)
            outgoing += _latest(context, event.stream, view)
    return outgoing


def _write(context: RenderContext, render_state: RenderState, event: Forecast) -> Texts:
    """Write the numbers of all forecasts that were made together with this one: NumPy's cost is by the call."""
    rule = context.rule_of(event.stream)
    key = rule.key, event.columns.value.shape[2]
    template = render_state.templates.get(key)
    if template is None:
        template = make_template(rule, context.bundles.get(rule.key), key[1])
        render_state.templates[key] = template
    return write_forecasts(template, event.columns)


def _address(context: RenderContext, view: View, stream: int) -> None:
    """Keep what a stream's forecasts are addressed by."""
    channels = range(len(context.rule_of(stream).forecast_names))
    view.topics = tuple(f"{_base(context, stream, c)}/forecast" for c in channels)
    view.name = _encode(context.infos[stream].id)[1:-1]


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
    base = _base(context, stream)
    yield _retained(f"{base}/status", _encode(view.status))
    is_offline = view.status.data in (DataStatus.SILENT, DataStatus.OFF)
    yield _retained(f"{base}/availability", b"offline" if is_offline else b"online")
    yield from _latest(context, stream, view)


def _latest(context: RenderContext, stream: int, view: View) -> Iterator[Outgoing]:
    """Retain the newest forecast of each channel with the stream's status."""
    status = view.status
    told = _encode({"phase": status.phase, "data": status.data, "alert": status.alert})
    for c, scalars in enumerate(view.scalars):
        yield _retained(f"{_base(context, stream, c)}/latest", b"%b,%b" % (scalars, told[1:]))


def _alert(context: RenderContext, view: View, event: AlertEvent) -> Iterator[Outgoing]:
    """Publish an alert event, and the anomaly switches that it turns."""
    rule = context.rule_of(event.stream)
    # Silence is the whole stream's; the core keeps it with the first channel.
    channel = None if event.kind is AlertKind.SILENT or not rule.channels else event.channel
    payload = _alert_payload(context, rule, event, channel)
    before = _switches(context, event.stream, view)
    if event.event_type == "cleared":
        view.open = {name: alert for name, alert in view.open.items() if name != payload.id} or _NONE_OPEN
    else:
        view.open = {**view.open, payload.id: (channel, _open_alert(payload))}
    topic = f"{_base(context, event.stream, channel)}/alert"
    yield Outgoing(topic, _encode(payload), qos=1, alert_id=f"{payload.id}:{payload.seq}")
    for switch, word in _switches(context, event.stream, view).items():
        if before[switch] != word:
            yield _retained(switch, word)


def _alert_payload(
    context: RenderContext, rule: StreamRule, event: AlertEvent, channel: int | None
) -> AlertPayload:
    """Describe an alert event."""
    stream = context.infos[event.stream].id
    name = rule.channel_names[event.channel]
    unit = rule.unit_of(name)
    label = stream if channel is None else f"{stream} {name}"
    bundle = context.bundles.get(rule.key, BASELINE)
    numbers = np.array([event.observed, event.expected, event.lower, event.upper, event.p_value])
    observed, expected, lower, upper, p_value = significant(numbers).tolist()
    return AlertPayload(
        event_type=event.event_type,
        id=alert_id(stream, name, event.kind, event.opened_step, bundle),
        seq=event.seq,
        stream=stream,
        channel=None if channel is None else name,
        kind=event.kind,
        severity="warning",
        opened=format_instant(event.opened_ns),
        time=format_instant(event.time_ns),
        cleared=None if event.cleared_ns is None else format_instant(event.cleared_ns),
        observed=observed,
        expected=expected,
        lower=lower,
        upper=upper,
        unit=unit,
        p_value=p_value,
        message=sentence(event, label, unit, rule.limits.get(name, Limits())),
    )


def _open_alerts(context: RenderContext, render_state: RenderState) -> Outgoing:
    """List the open alerts of all streams."""
    views = render_state.views.values()
    return bridge_alerts(context.root, (alert for view in views for _, alert in view.open.values()))


def _open_alert(payload: AlertPayload) -> OpenAlert:
    """Shorten an alert for the list of open ones."""
    return OpenAlert(**{name: getattr(payload, name) for name in OpenAlert.__struct_fields__})


def _created(context: RenderContext, event: StreamCreated) -> Iterator[Outgoing]:
    """Tell of a new stream and set its switches."""
    info = context.infos[event.stream]
    yield bridge_event(
        context.root, EventPayload(event="stream.created", stream=info.id, topic=info.topic, field=info.field)
    )
    yield _retained(f"{_base(context, event.stream)}/availability", b"online")
    for topic, word in _switches(context, event.stream, View()).items():
        yield _retained(topic, word)


# --- topics and helpers -----------------------------------------------------------------------------------------


def _base(context: RenderContext, stream: int, channel: int | None = None) -> str:
    """Give the topic above a stream's, or above one of its channels' where it has several."""
    info = context.infos[stream]
    rule = context.rules[info.rule]
    if channel is None or not rule.channels:
        return f"{context.root}/{info.id}"
    return f"{context.root}/{info.id}/{slug(rule.channel_names[channel])}"


def _switches(context: RenderContext, stream: int, view: View) -> dict[str, bytes]:
    """Give the state of a stream's anomaly topics."""
    rule = context.rule_of(stream)
    places: list[int | None] = [None, *range(len(rule.forecast_names) if rule.channels else 0)]
    raised: set[int | None] = {channel for channel, _ in view.open.values()}
    if view.open:
        raised.add(None)
    return {
        f"{_base(context, stream, place)}/anomaly": b"ON" if place in raised else b"OFF" for place in places
    }


def _retained(topic: str, payload: bytes) -> Outgoing:
    """Make a message that describes a state."""
    return Outgoing(topic, payload, qos=1, retain=True)
