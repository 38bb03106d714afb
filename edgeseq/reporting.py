"""What the daemon tells of itself: bridge/info, bridge/health and its log lines."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from typing import Any

from msgspec import UNSET

from edgeseq import __version__
from edgeseq.adapters.log import Log, OncePerMinute
from edgeseq.adapters.metrics import Metrics, resident_bytes
from edgeseq.adapters.mqtt import Link
from edgeseq.compose import Node
from edgeseq.core.achieved import achieved
from edgeseq.core.bridge import bridge_health, bridge_info
from edgeseq.core.instants import format_instant
from edgeseq.core.payloads import HealthPayload, InfoPayload, RuleInfo, TableIntervals
from edgeseq.core.pipeline import mean_gap_ns
from edgeseq.core.types import (
    AlertEvent,
    DataStatus,
    Event,
    Forecast,
    InputsFilled,
    Outgoing,
    Reason,
    Rejection,
    StreamCreated,
    StreamReset,
    StreamStatus,
    StreamSwitched,
)


def info(node: Node) -> Outgoing:
    """Tell what runs here."""
    return bridge_info(node.context.root, info_of(node))


def info_of(node: Node) -> InfoPayload:
    """Put together what runs here."""
    rules = [
        RuleInfo(
            rule.key,
            _seconds(rule.period_ns),
            rule.channel_names,
            node.context.bundles.get(rule.key),
            found.bundle if (found := node.context.estimated.get(rule.key)) else None,
        )
        for rule in node.resolved.rules
    ]
    return InfoPayload(
        version=__version__,
        node=node.context.node,
        rules=rules,
        updates=node.updates or UNSET,
        variants=node.variants or UNSET,
    )


def health_of(node: Node, metrics: Metrics, link: Link, *, inbox_messages: int) -> HealthPayload:
    """Put together how the node fares."""
    counts = node.state.counts
    return HealthPayload(
        time=format_instant(time.time_ns()),
        uptime_s=round(time.monotonic() - metrics.started_s, 1),
        streams=node.state.registry.streams,
        open_alerts=sum(len(view.open) for view in node.render_state.views.values()),
        received=counts.received,
        applied=counts.applied,
        late=counts.late,
        duplicate=counts.duplicate,
        rejected={str(reason): n for reason, n in sorted(counts.rejected.items())},
        shed=counts.shed,
        ignored=counts.ignored,
        rss_bytes=resident_bytes() or None,
        inbox_messages=inbox_messages,
        alerts_waiting=len(link.unacknowledged()),
        alerts_dropped=link.alerts_dropped,
        connections=metrics.connections,
        sessions_lost=metrics.sessions_lost,
        storage_faults=metrics.storage_faults,
        requests=metrics.requests,
        requests_refused=metrics.requests_refused,
        intervals=intervals_of(node),
        **_desk_fields(node),
    )


def intervals_of(node: Node) -> list[TableIntervals]:
    """Tell what the published intervals of each table have held of late."""
    told = ((group.rule, achieved(group.table, group.targets)) for group in node.state.groups)
    return [
        TableIntervals(
            table=rule.key,
            promised=rule.coverage,
            coverage=_digits(found.coverage),
            width=_digits(found.width),
            outcomes=found.outcomes,
        )
        for rule, found in told
    ]


def _digits(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def _desk_fields(node: Node) -> dict[str, Any]:
    """Tell how the desk fares."""
    if (desk := node.desk) is None:
        return {}
    return {
        "alerts_muted": desk.muted,
        "ledger_faults": desk.faults,
        "history_lost": desk.lost,
        "alert_rates": desk.rates.told(node.context.rules.values(), node.now_ns()),
    }


def health(node: Node, payload: HealthPayload) -> Outgoing:
    """Tell how the node fares."""
    return bridge_health(node.context.root, payload)


def tell_events(log: Log, node: Node, events: Iterable[Event]) -> None:
    """Log what an operator wants to find later: alerts, new streams, resets. Never forecasts.

    To be called before the events are rendered: what subscribers were told so far says what is new.
    """
    statuses: dict[int, DataStatus] = {}
    for event in events:
        match event:
            case Forecast():  # nearly all of them
                continue
            case AlertEvent() if event.event_type != "updated":
                info_ = node.context.infos[event.stream]
                channel = node.context.rule_of(event.stream).channel_names[event.channel]
                kind = str(event.kind)
                log("alert.changed", stream=info_.id, channel=channel, kind=kind, event_type=event.event_type)
            case StreamCreated():
                info_ = node.context.infos[event.stream]
                log("stream.created", stream=info_.id, topic=info_.topic, field=info_.field)
            case StreamReset():
                log("stream.reset", stream=node.context.infos[event.stream].id, gap_steps=event.gap_steps)
            case StreamSwitched():
                skill = float(f"{event.skill:.3g}") if math.isfinite(event.skill) else None
                stream = node.context.infos[event.stream].id
                log("stream.switched", stream=stream, source=event.source, skill=skill)
            case StreamStatus():
                before = statuses.get(event.stream, node.render_state.view(event.stream).status.data)
                statuses[event.stream] = event.data
                if event.data is DataStatus.MISMATCH is not before:
                    _tell_mismatch(log, node, event.stream)
            case InputsFilled():
                _tell_inputs(log, node, event)
            case _:
                pass


def _tell_mismatch(log: Log, node: Node, stream: int) -> None:
    """Log that readings do not come as the configuration says, and what to do about it."""
    every_ns = node.context.rule_of(stream).period_ns
    gap_ns = mean_gap_ns(node.state, stream)
    do = (
        'set every to about that, or on_gap = "hold" for a sensor that reports only changes'
        if gap_ns > every_ns
        else 'most readings are lost: set another aggregate than last, such as "mean", or a shorter every'
    )
    log(
        "stream.mismatched",
        stream=node.context.infos[stream].id,
        data=str(DataStatus.MISMATCH),
        every_s=_seconds(every_ns),
        readings_every_s=float(f"{gap_ns / 1e9:.3g}"),
        do=do,
    )


def _tell_inputs(log: Log, node: Node, event: InputsFilled) -> None:
    """Log that forecasts begin or cease to stand on known covariates that no message gave."""
    stream = node.context.infos[event.stream].id
    if not event.leads:
        log("inputs.given", stream=stream)
        return
    sources = node.context.rule_of(event.stream).known.values()
    topics = sorted({source.topic for source in sources})
    detail = "no message gives the known covariates of so many leads: older values stand in"
    log("inputs.filled", stream=stream, leads_filled=event.leads, topics=topics, detail=detail)


def tell_rejections(
    log: Log, limit: OncePerMinute, rejections: Iterable[Rejection], *, late: int, topic: str
) -> None:
    """Log the first rejection of each reason in a minute, with how many were not told before it."""
    now_s = time.monotonic()
    for rejection in rejections:
        held_back = limit.allow(rejection.reason, now_s)
        if held_back is not None:
            reason = str(rejection.reason)
            log(
                "reading.rejected",
                reason=reason,
                topic=rejection.topic,
                detail=rejection.detail,
                untold=held_back,
            )
    if late and (held_back := limit.allow(Reason.LATE, now_s)) is not None:
        detail = f"{late} older than the newest step"
        log("reading.rejected", reason=str(Reason.LATE), topic=topic, detail=detail, untold=held_back)


def _seconds(period_ns: int) -> int | float:
    whole, rest = divmod(period_ns, 10**9)
    return period_ns / 1e9 if rest else whole
