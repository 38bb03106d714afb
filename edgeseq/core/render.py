"""Render: events → what is published, under <prefix>/<node>/.

    <stream>/forecast       after every step; not retained, QoS 0 (forecasts are state: the latest wins)
    <stream>/latest         the newest forecast and status, retained; every 15 min and when the status changes
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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, TypeGuard, assert_never

import msgspec
import numpy as np
from msgspec import UNSET

from edgeseq.core.bridge import bridge_alerts, bridge_event
from edgeseq.core.estimated import Estimated, class_payload, estimate_payload
from edgeseq.core.instants import format_instant
from edgeseq.core.payloads import (
    AlertPayload,
    ClassPayload,
    EventPayload,
    ForecastPayload,
    LatestPayload,
    OpenAlert,
    Path,
    StatusPayload,
    significant,
)
from edgeseq.core.topics import slug
from edgeseq.core.types import (
    COVERAGE,
    AlertEvent,
    AlertKind,
    ClassChanged,
    DataStatus,
    Estimate,
    Event,
    Forecast,
    InputsFilled,
    Limits,
    Outgoing,
    Phase,
    PublishedEvent,
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
BASELINE = "baseline"

NEW = StatusPayload(phase=Phase.LEARNING, data=DataStatus.OK, alert="none")
"""Status of a stream that has none yet."""

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

    scalars: list[ForecastPayload] = field(default_factory=list)
    """The newest forecast of each channel, without its path."""
    latest_ns: int | None = None
    """Origin of the newest `latest`."""
    status: StatusPayload = NEW
    state: ClassPayload | None = None
    """Its class, where an estimator tells one."""
    open: dict[str, tuple[int | None, OpenAlert]] = field(default_factory=dict)
    """Alert id → channel (None: the whole stream) and alert."""


@dataclass(slots=True)
class RenderState:
    """What subscribers were told. Never saved: rendering the statuses and open alerts of a state rebuilds it."""

    views: dict[int, View] = field(default_factory=dict)

    def view(self, stream: int) -> View:
        """Give the view of a stream."""
        return self.views.setdefault(stream, View())


def render(context: RenderContext, render_state: RenderState, events: Sequence[Event]) -> list[Outgoing]:
    """Turn events into messages, in order; `render_state` is changed in place."""
    outgoing: list[Outgoing] = []
    numbers = _numbers(events)
    # Of filled inputs the forecasts themselves tell.
    for event in filter(_is_published, events):
        match event:
            case Forecast():
                outgoing.extend(_forecast(context, render_state.view(event.stream), event, next(numbers)))
            case Estimate():
                estimated = context.estimated[context.rule_of(event.stream).key]
                told = estimate_payload(event, estimated, context.infos[event.stream].id)
                outgoing.append(Outgoing(f"{_base(context, event.stream)}/estimate", _encode(told)))
            case ClassChanged():
                state = class_payload(event, context.estimated[context.rule_of(event.stream).key])
                render_state.view(event.stream).state = state
                outgoing.append(_retained(f"{_base(context, event.stream)}/state", _encode(state)))
            case AlertEvent():
                outgoing.extend(_alert(context, render_state.view(event.stream), event))
            case StreamStatus():
                outgoing.extend(_status(context, render_state.view(event.stream), event))
            case StreamCreated():
                outgoing.extend(_created(context, event))
            case StreamReset():
                stream = context.infos[event.stream].id
                reset = EventPayload(event="stream.reset", stream=stream, gap_steps=event.gap_steps)
                outgoing.append(bridge_event(context.root, reset))
            case _:
                assert_never(event)
    if any(isinstance(event, AlertEvent) for event in events):
        outgoing.append(_open_alerts(context, render_state))
    return outgoing


def _is_published(event: Event) -> TypeGuard[PublishedEvent]:
    return not isinstance(event, InputsFilled)


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


class _Numbers(NamedTuple):
    """The numbers of one forecast, rounded: by channel, then by lead."""

    lower: list[list[float | None]]
    value: list[list[float | None]]
    upper: list[list[float | None]]
    observed: list[float | None]
    score: list[float | None]
    skill: list[float | None]


def _numbers(events: Sequence[Event]) -> Iterator[_Numbers]:
    """Round the numbers of all forecasts at once: NumPy's cost is by the call."""
    forecasts = [event for event in events if isinstance(event, Forecast)]
    if not forecasts:
        return
    names = _Numbers._fields
    flat = significant(
        np.concatenate([getattr(f, name).ravel() for f in forecasts for name in names])
    ).tolist()
    at = 0
    for forecast in forecasts:
        C, H = forecast.value.shape
        start = at + 3 * C * H
        rows = [flat[i : i + H] for i in range(at, start, H)]
        at = start + 3 * C
        scalars = flat[start:at]
        yield _Numbers(
            rows[:C], rows[C : 2 * C], rows[2 * C :], scalars[:C], scalars[C : 2 * C], scalars[2 * C :]
        )


def _forecast(context: RenderContext, view: View, event: Forecast, numbers: _Numbers) -> Iterator[Outgoing]:
    """Publish the forecast of each channel, and `latest` when it is due."""
    rule = context.rule_of(event.stream)
    lower, value, upper, observed, score, skill = numbers
    stream = context.infos[event.stream].id
    label = context.bundles.get(rule.key) if event.source == "model" else None
    digest = label.rpartition("@")[2] if label else BASELINE
    view.scalars = []
    for c, name in enumerate(rule.forecast_names):
        place = f"{stream}/{name}" if rule.channels else stream
        scalars = ForecastPayload(
            id=f"{place}:{event.step}:{digest}",
            stream=stream,
            channel=name if rule.channels else UNSET,
            origin=format_instant(event.origin_ns),
            period_s=_seconds(rule.period_ns),
            unit=rule.unit_of(name),
            observed=observed[c],
            value=value[c][0],
            lower=lower[c][0],
            upper=upper[c][0],
            coverage=COVERAGE,
            score=score[c],
            quality="ok" if observed[c] == observed[c] else "missing",  # NaN differs from itself
            source=event.source,
            skill=skill[c],
            bundle=label,
            leads_filled=event.leads_filled or UNSET,
        )
        view.scalars.append(scalars)
        payload = scalars
        if rule.publish_path:
            path = Path(_leads(rule.period_ns, len(value[c])), lower[c], value[c], upper[c])
            payload = msgspec.structs.replace(scalars, path=path)
        yield Outgoing(f"{_base(context, event.stream, c)}/forecast", _encode(payload))
    if view.latest_ns is None or event.origin_ns - view.latest_ns >= LATEST_EVERY_NS:
        view.latest_ns = event.origin_ns
        yield from _latest(context, event.stream, view)


def _status(context: RenderContext, view: View, event: StreamStatus) -> Iterator[Outgoing]:
    """Publish a status that changed."""
    view.status = StatusPayload(phase=event.phase, data=event.data, alert=event.alert)
    yield from _status_messages(context, event.stream, view)


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
    for c, scalars in enumerate(view.scalars):
        shared = {name: getattr(scalars, name) for name in scalars.__struct_fields__ if name != "path"}
        payload = LatestPayload(**shared, phase=status.phase, data=status.data, alert=status.alert)
        yield _retained(f"{_base(context, stream, c)}/latest", _encode(payload))


def _alert(context: RenderContext, view: View, event: AlertEvent) -> Iterator[Outgoing]:
    """Publish an alert event, and the anomaly switches that it turns."""
    rule = context.rule_of(event.stream)
    # Silence is the whole stream's; the core keeps it with the first channel.
    channel = None if event.kind is AlertKind.SILENT or not rule.channels else event.channel
    payload = _alert_payload(context, rule, event, channel)
    before = _switches(context, event.stream, view)
    if event.event_type == "cleared":
        view.open.pop(payload.id, None)
    else:
        view.open[payload.id] = channel, _open_alert(payload)
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


def _seconds(time_ns: int) -> int | float:
    """Turn ns into seconds, an integer where whole."""
    return time_ns / 1e9 if time_ns % 10**9 else time_ns // 10**9


@lru_cache(maxsize=256)
def _leads(period_ns: int, horizon: int) -> list[int | float]:
    """List the times from origin to each forecast step (s)."""
    return [_seconds(period_ns * lead) for lead in range(1, horizon + 1)]
