"""Alert events → messages: what is told at once, what a mute holds back until later, and what people make of it.

An alert that opens while it is muted is not told, and is no reason for `anomaly` to be ON; it stands in bridge/alerts
with `muted`. What ends the mute while it is open tells its newest event, with the bytes that it would have had. Its
clearing is told where its opening was.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from edgeseq.core.alert_payload import describe, open_alert, with_acknowledgement
from edgeseq.core.bridge import SMALLEST_GROUP, bridge_alerts, bridge_event, listed
from edgeseq.core.instants import format_instant
from edgeseq.core.muting import Subject, is_muted, told_from
from edgeseq.core.payloads import AlertPayload, EventPayload
from edgeseq.core.told import (
    Acknowledgement,
    Recorded,
    RenderContext,
    RenderState,
    Standing,
    View,
    base,
    retained,
    switches,
)
from edgeseq.core.types import AlertEvent, AlertKind, Outgoing

GROUP_GROWTH = SMALLEST_GROUP
"""A group is told when it has so many alerts, and whenever it has so many times as many."""

_encode = msgspec.json.Encoder().encode


def tell_alert(context: RenderContext, render_state: RenderState, event: AlertEvent) -> Iterator[Outgoing]:
    """Publish an alert event, and the anomaly switches that it turns."""
    rule, view = context.rule_of(event.stream), render_state.view(event.stream)
    # Silence is the whole stream's; the core keeps it with the first channel.
    channel = None if event.kind is AlertKind.SILENT or not rule.channels else event.channel
    payload = describe(context, render_state, rule, event, channel)
    subject = Subject(payload.stream, rule.key, event.kind)
    before = switches(context, event.stream, view)
    topic = f"{base(context, event.stream, channel)}/alert"
    out = Outgoing(topic, _encode(payload), qos=1, alert_id=f"{payload.id}:{payload.seq}")
    standing = view.open.get(payload.id)
    is_known = _is_known(render_state, subject, event, payload.id, standing)
    if is_known and standing and not standing.is_told:
        yield _told_late(render_state, payload.id, standing)
    # Who knows of an alert learns of its end, muted or not.
    is_silenced = event.event_type != "cleared" and is_muted(render_state.mutes, subject, event.time_ns)
    if is_known and not is_silenced:
        yield out
    if event.event_type == "cleared":
        _forget(render_state, view, payload)
    else:
        alert = open_alert(payload, render_state.acknowledged.get(payload.id), is_muted=is_silenced)
        view.put(payload.id, Standing(channel, alert, out, subject, is_known))
        if not is_silenced:
            yield from _grouped(context, render_state, payload)
    _record(render_state, payload, event, rule.key, is_muted=is_silenced or not is_known)
    for switch, word in switches(context, event.stream, view).items():
        if before[switch] != word:
            yield retained(switch, word)


def review(context: RenderContext, render_state: RenderState, now_ns: int) -> list[Outgoing]:
    """Tell what is muted no longer, and turn the switches of what is muted from now on."""
    outgoing: list[Outgoing] = []
    for stream, view in sorted(render_state.views.items()):
        if not view.open:
            continue
        before = switches(context, stream, view)
        for name, standing in view.open.items():
            outgoing += _review(render_state, stream, name, standing, now_ns)
        after = switches(context, stream, view)
        outgoing += [retained(switch, word) for switch, word in after.items() if before[switch] != word]
    return [*outgoing, open_alerts(context, render_state)]


def acknowledgement(render_state: RenderState, name: str, taken: Acknowledgement) -> Outgoing | None:
    """Write the event that a person knows of an open alert; None where no such alert is open."""
    standing = _standing(render_state, name)
    if standing is None:
        return None
    newest = msgspec.json.decode(standing.newest.payload, type=AlertPayload)
    who = f", acknowledged by {taken.by}" if taken.by else ", acknowledged"
    payload = msgspec.structs.replace(
        newest,
        event_type="acknowledged",
        time=format_instant(taken.time_ns),
        acknowledged=True,
        message=newest.message + who,
    )
    return Outgoing(
        standing.newest.topic, _encode(payload), qos=1, alert_id=f"{name}:{payload.seq}:acknowledged"
    )


def acknowledge(render_state: RenderState, name: str, taken: Acknowledgement) -> None:
    """Note that a person knows of an alert."""
    render_state.acknowledged[name] = taken
    for view in render_state.views.values():
        if standing := view.open.get(name):
            view.put(name, standing._replace(alert=with_acknowledgement(standing.alert, taken)))


def _standing(render_state: RenderState, name: str) -> Standing | None:
    return next((view.open[name] for view in render_state.views.values() if name in view.open), None)


def open_alerts(context: RenderContext, render_state: RenderState) -> Outgoing:
    """List the open alerts of all streams."""
    views = render_state.views.values()
    alerts = [standing.alert for view in views for standing in view.open.values()]
    return bridge_alerts(context.root, alerts, render_state.groups)


# --- telling now or later ---------------------------------------------------------------------------------------


def _is_known(
    render_state: RenderState, subject: Subject, event: AlertEvent, name: str, standing: Standing | None
) -> bool:
    """Tell whether subscribers know of an alert, or should from this event on."""
    if name in render_state.told_late or (standing and standing.is_told):
        return True
    return told_from(render_state.mutes, subject, event.opened_ns) <= event.time_ns


def _forget(render_state: RenderState, view: View, payload: AlertPayload) -> None:
    """Let go of an alert that is cleared."""
    view.drop(payload.id)
    _leave(render_state, payload.group, payload.id)
    render_state.acknowledged.pop(payload.id, None)
    render_state.told_late.discard(payload.id)


def _told_late(render_state: RenderState, name: str, standing: Standing) -> Outgoing:
    render_state.told_late.add(name)
    render_state.late.append(standing.newest)
    return standing.newest


def _review(
    render_state: RenderState, stream: int, name: str, standing: Standing, now_ns: int
) -> list[Outgoing]:
    """Look whether an open alert is muted now; it is told when it no longer is."""
    is_now = is_muted(render_state.mutes, standing.subject, now_ns)
    if is_now == standing.alert.muted and (is_now or standing.is_told):
        return []
    alert = msgspec.structs.replace(standing.alert, muted=is_now)
    view = render_state.views[stream]
    view.put(name, standing._replace(alert=alert, is_told=standing.is_told or not is_now))
    if is_now:
        _leave(render_state, alert.group, name)
        return []
    _join(render_state, alert.group, name, alert.stream)
    return [_told_late(render_state, name, standing)]


# --- groups -----------------------------------------------------------------------------------------------------


def _join(render_state: RenderState, group: str, name: str, stream: str) -> int:
    members = render_state.groups.setdefault(group, {})
    members[name] = stream
    return len(members)


def _leave(render_state: RenderState, group: str, name: str) -> None:
    members = render_state.groups.get(group, {})
    members.pop(name, None)
    if not members:
        render_state.groups.pop(group, None)


def _grouped(context: RenderContext, render_state: RenderState, payload: AlertPayload) -> Iterator[Outgoing]:
    """Count an alert to its group; tell the group when it has become one, and when it has grown much."""
    if payload.id in render_state.groups.get(payload.group, {}):
        return
    count = _join(render_state, payload.group, payload.id, payload.stream)
    if count < SMALLEST_GROUP or not _is_power(count, GROUP_GROWTH):
        return
    streams = listed(render_state.groups[payload.group].values())
    yield bridge_event(
        context.root,
        EventPayload(
            event="alerts.grouped", stream=payload.stream, group=payload.group, count=count, streams=streams
        ),
    )


def _is_power(number: int, of: int) -> bool:
    """Tell whether a number is a power of another.

    >>> [n for n in range(1, 30) if _is_power(n, 3)]
    [1, 3, 9, 27]
    """
    while number > 1 and number % of == 0:
        number //= of
    return number == 1


# --- the history -------------------------------------------------------------------------------------------------


def _record(
    render_state: RenderState, payload: AlertPayload, event: AlertEvent, table: str, *, is_muted: bool
) -> None:
    """Note an event for the history, and how far time has come in alerts."""
    render_state.newest_alert_ns = max(render_state.newest_alert_ns, event.time_ns)
    if render_state.record is not None:
        render_state.record.append(Recorded(payload, event, table, is_muted))
