"""Alert events → payloads: what identifies an alert, what it says, and its line in the list of open ones."""

from __future__ import annotations

import base64
import hashlib
import math

import msgspec
import numpy as np

from edgeseq.core.decimals import significant
from edgeseq.core.forecast_payload import BASELINE
from edgeseq.core.instants import format_instant
from edgeseq.core.payloads import AlertPayload, Crossing, OpenAlert
from edgeseq.core.told import Acknowledgement, RenderContext, RenderState
from edgeseq.core.types import AlertEvent, Limits, StreamRule
from edgeseq.core.wording import sentence

ID_CHARS = 16

GROUP_STEPS, SHORTEST_GROUP_NS = 4, 120 * 10**9
"""Alerts of one table and kind that open in the same so many periods, two minutes at least, have one cause: sensors
behind a gateway that is gone fall silent within a period of each other."""


def alert_id(stream: str, channel: str, kind: str, opened_step: int, bundle: str) -> str:
    """Identify an alert: the same readings give the same id, on any machine, so that repeating is harmless.

    >>> alert_id("pump1", "vibration", "spike", 17, "baseline")
    'wkot55bcez6yq2kb'
    """
    return _digest(stream, channel, kind, str(opened_step), bundle)


def group_id(rule: StreamRule, kind: str, opened_ns: int) -> str:
    """Identify the alerts that open together. Spans of time are laid on a fixed grid, so that order decides nothing.

    >>> rule, minute = StreamRule("pumps", 10**9), 60 * 10**9
    >>> group_id(rule, "silent", minute) == group_id(rule, "silent", 0) != group_id(rule, "silent", 2 * minute)
    True
    """
    return _digest("group", rule.key, kind, str(opened_ns // group_span_ns(rule)))


def group_span_ns(rule: StreamRule) -> int:
    """Give the length of the spans of time whose alerts are a group."""
    return max(GROUP_STEPS * rule.period_ns, SHORTEST_GROUP_NS)


def _digest(*parts: str) -> str:
    return base64.b32encode(hashlib.sha256("\0".join(parts).encode()).digest()).decode().lower()[:ID_CHARS]


def describe(
    context: RenderContext,
    render_state: RenderState,
    rule: StreamRule,
    event: AlertEvent,
    channel: int | None,
) -> AlertPayload:
    """Describe an alert event."""
    info = context.infos[event.stream]
    name = rule.channel_names[event.channel]
    unit = info.unit or rule.unit_of(name)
    label = info.id if channel is None else f"{info.id} {name}"
    parts = [rule.channel_names[c] for c in event.channels]
    observed, expected, lower, upper, p_value, residual, score = _figures(event)
    # What it is called may change, what it is may not.
    first = event.opened_as or event.kind
    identity = alert_id(info.id, name, first, event.opened_step, context.bundles.get(rule.key, BASELINE))
    return AlertPayload(
        event_type=event.event_type,
        id=identity,
        seq=event.seq,
        stream=info.id,
        channel=None if channel is None else name,
        kind=event.kind,
        severity=event.severity,
        group=group_id(rule, first, event.opened_ns),
        opened=format_instant(event.opened_ns),
        time=format_instant(event.time_ns),
        cleared=None if event.cleared_ns is None else format_instant(event.cleared_ns),
        observed=observed,
        expected=expected,
        lower=lower,
        upper=upper,
        unit=unit,
        p_value=p_value,
        residual=residual,
        score=score,
        signs=list(event.signs or (event.kind,)),
        channels=parts,
        since=format_instant(_since_ns(event)),
        duration_s=_duration_s(event),
        is_normal_now=event.is_normal_now,
        acknowledged=_is_known(render_state.acknowledged.get(identity), event),
        crossing=crossing_of(event, rule),
        message=sentence(event, label, unit, rule.limits.get(name, Limits()), parts, rule.period_ns),
    )


def _figures(event: AlertEvent) -> list[float]:
    """Give observed, expected, lower, upper, p-value, residual and score as they are told."""
    residual = event.observed - event.expected
    shown = (event.observed, event.expected, event.lower, event.upper, event.p_value, residual, event.score)
    figures: list[float] = significant(np.array(shown)).tolist()
    return figures


def _is_known(taken: Acknowledgement | None, event: AlertEvent) -> bool:
    """Tell whether a person had taken note of an alert by the time of an event."""
    return taken is not None and taken.time_ns <= event.time_ns


def _since_ns(event: AlertEvent) -> int:
    """Give the time of the first reading of the deviation."""
    return event.opened_ns if event.since_ns is None else event.since_ns


def crossing_of(event: AlertEvent, rule: StreamRule) -> Crossing | None:
    """Say when a limit is crossed."""
    if event.crossing_steps is None or event.event_type == "cleared":
        return None
    time, earliest, latest = (
        None if steps is None else format_instant(event.time_ns + round(steps * rule.period_ns))
        for steps in event.crossing_steps
    )
    probability = event.score * rule.crossing_probability * rule.alerting.sensitivity
    return Crossing(
        time=time,
        earliest=earliest,
        latest=latest,
        probability=round(probability, 3) if math.isfinite(probability) else None,
    )


def _duration_s(event: AlertEvent) -> int | float:
    """Say how long the deviation has lasted at the time of the event, whole where possible."""
    whole, rest = divmod(max(event.time_ns - _since_ns(event), 0), 10**9)
    if rest == 0:
        return whole
    seconds = float(significant(np.array(whole + rest / 1e9)))
    return int(seconds) if seconds.is_integer() else seconds


def open_alert(payload: AlertPayload, taken: Acknowledgement | None, *, is_muted: bool) -> OpenAlert:
    """Shorten an alert for the list of open ones."""
    own = ("muted", "acknowledged", "acknowledged_by")
    shared = {name: getattr(payload, name) for name in OpenAlert.__struct_fields__ if name not in own}
    return with_acknowledgement(OpenAlert(muted=is_muted, **shared), taken)


def with_acknowledgement(alert: OpenAlert, taken: Acknowledgement | None) -> OpenAlert:
    """Mark an alert of the list that somebody knows of."""
    if taken is None:
        return alert
    since = format_instant(taken.time_ns)
    return msgspec.structs.replace(alert, acknowledged=since, acknowledged_by=taken.by)
