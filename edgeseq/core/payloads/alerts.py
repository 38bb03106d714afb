"""What is told of alerts: their events, and the list of open ones."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edgeseq.core.payloads.shared import Payload, Seconds, Time
from edgeseq.core.types import AlertKind, Severity


class Crossing(msgspec.Struct, frozen=True, kw_only=True):
    """When a forecast crosses a limit."""

    time: Time | None
    """When it does with the configured probability; null where that is not within the horizon."""
    earliest: Time | None
    """Begin of the interval of that time, of the forecast's coverage; null where beyond the horizon."""
    latest: Time | None
    """Its end; null where beyond the horizon."""
    probability: float | None
    """That it lies beyond the limit at some lead within the horizon."""


class AlertPayload(Payload, frozen=True, kw_only=True):
    """<stream>/alert: an event, delivered at least once; the same id and seq is the same event."""

    event_type: Literal["opened", "updated", "cleared", "acknowledged"]
    """What happened to the alert. updated: it has become more severe, has another name (`kind`), or has lasted for 24,
    48, 96, … steps. acknowledged: a person has taken note of it."""
    id: Annotated[str, Meta(pattern="^[a-z2-7]{16}$")]
    """The alert's identity from opening to clearing."""
    seq: int
    """Counts the stream's alert events; an acknowledgement has the number of the event that was acknowledged."""
    stream: str
    """Id of the stream: the level of its topics."""
    channel: str | None
    """Null where the stream has one channel, or the alert concerns all of them."""
    kind: AlertKind
    """Name of the anomaly."""
    severity: Severity
    """How much it matters. Outside a configured limit: critical. Stuck, silent, heading for a limit: warning. Else by
    the score: info below 1.5, critical from 4 on, though never for a lone spike. It never falls while the alert is
    open."""
    group: Annotated[str, Meta(pattern="^[a-z2-7]{16}$")]
    """The same for alerts of one table and kind that open within four periods, two minutes at least: more likely than
    not they have one cause, and one notification may stand for all of them."""
    opened: Time
    """Time of the opening."""
    time: Time
    """Time of this event."""
    cleared: Time | None
    """Time of the clearing; null while open."""
    observed: float | None
    """The reading of this event."""
    expected: float | None
    """What it would be usually: its forecast, made one step earlier, or its usual level, trend or pattern."""
    lower: float | None
    """Lower end of the range that raises no alert of this kind; null where it has none."""
    upper: float | None
    """Upper end of the range that raises no alert of this kind; null where it has none."""
    unit: str | None
    """Unit of the numbers, as configured, else as in the bundle; null where neither says one."""
    p_value: float | None
    """Small for what is unlikely; null where the kind has none."""
    residual: float | None = None
    """observed - expected; null where nothing was expected."""
    score: float | None = None
    """How far the kind's own measure has gone: 1 is the threshold of an alert; null where the kind has none."""
    signs: list[AlertKind] = []
    """All kinds of anomaly that have spoken for this alert, its own among them."""
    channels: list[str] = []
    """Channels that have their part in it, where these are others than `channel`."""
    since: Time | None = None
    """Time of the first reading of the deviation; `opened` is later where it must last before an alert opens."""
    duration_s: Seconds | None = None
    """Time from `since` to this event (s)."""
    is_normal_now: bool = False
    """Of a clearing: what was unusual has lasted as long as a new stream learns, and counts as normal from now on."""
    crossing: Crossing | None = None
    """limit_ahead: when the limit is crossed, as seen from `time`; null for other kinds and when it is cleared."""
    acknowledged: bool = False
    """Whether a person has taken note."""
    message: str
    """The event in a sentence."""


class OpenAlert(msgspec.Struct, frozen=True, kw_only=True):
    """An alert in the list of open ones."""

    id: str
    """As in `alert`, like all of these."""
    stream: str
    """Id of the stream."""
    channel: str | None
    """Name of the channel."""
    kind: AlertKind
    """Name of the anomaly."""
    severity: Severity
    """How much it matters. Outside a configured limit: critical. Stuck, silent, heading for a limit: warning. Else by
    the score: info below 1.5, critical from 4 on, though never for a lone spike. It never falls while the alert is
    open."""
    opened: Time
    """Time of the opening."""
    message: str
    """The newest event in a sentence."""
    group: str
    """As in `alert`."""
    muted: bool = False
    """Whether a snooze or maintenance keeps it from being told: no `alert`, and no reason for `anomaly` to be ON."""
    acknowledged: Time | None = None
    """Since when a person has known of it; null where nobody does."""
    acknowledged_by: str | None = None
    """Who, where that was said."""


class AlertGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Open alerts that have one cause, more likely than not."""

    group: str
    """As in `alert`."""
    count: int
    """How many of them are open and not muted."""
    streams: list[str]
    """Ids of their streams, of 20 at most."""


class OpenAlertsPayload(Payload, frozen=True, kw_only=True):
    """bridge/alerts, retained: the alerts that are open now, newest first."""

    count: int
    """How many are open; the list may be shorter."""
    alerts: list[OpenAlert]
    """Newest first."""
    groups: list[AlertGroup] = []
    """Groups of three and more, the largest first, 20 at most."""
