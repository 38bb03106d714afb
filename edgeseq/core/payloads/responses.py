"""What is answered to requests."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from edgeseq.core.payloads.alerts import AlertPayload
from edgeseq.core.payloads.node import HealthPayload, InfoPayload
from edgeseq.core.payloads.shared import Payload, Seconds, Time
from edgeseq.core.types import DataStatus, Phase


class StreamEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A stream in the list of them."""

    id: str
    """The level of its topics."""
    rule: str
    """Key of its rule in bridge/info."""
    topic: str
    """Where its first reading came from."""
    field: str | None
    """JSON path of its value; null for a plain number."""
    phase: Phase
    """As in `status`, like those below."""
    data: DataStatus
    """How its data arrives."""
    alert: Literal["none", "watch", "alert"]
    """Whether an alert is open."""


class RecordingEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What the node remembers of a channel: one value a period, as its forecasts saw them."""

    id: str
    """Of the stream."""
    channel: str | UnsetType = UNSET
    """Of streams with several channels."""
    unit: str | None = None
    """As far as it is known."""
    first: Time
    """Of the first value."""
    period_s: float
    """From one value to the next, in seconds."""
    values: list[float | None]
    """Null where there was none; of a counter what was added in the period."""


class ReadingsAround(msgspec.Struct, frozen=True, kw_only=True):
    """Readings around an alert: one value a period, as the detectors saw them."""

    first: Time
    """Time of the first value."""
    period_s: Seconds
    """Time between two values (s)."""
    onset: int
    """Index of the value at which the alert opened; the values may end before it."""
    values: list[float | None]
    """Up to 200 from before the alert and 100 from then on; null where there was no reading."""


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An event in the history of alerts."""

    number: int
    """Its place in the history."""
    table: str
    """The [[streams]] table: its name, else its first topic filter."""
    muted: bool
    """Whether a snooze or maintenance kept it from being told."""
    alert: AlertPayload
    """The event as it was, or would have been, told."""
    acknowledged: Time | None
    """When somebody took note of the alert."""
    acknowledged_by: str | None
    """Who, where that was said."""
    label: Literal["false_alarm", "real"] | None
    """What the alert was, in hindsight."""
    note: str | None
    """What else was said with the label."""
    readings: ReadingsAround | UnsetType = UNSET
    """The readings around the alert, where they were asked for and are kept."""


class WishEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A snooze or maintenance window."""

    number: int | None
    """What it is called to end it; null for those of the configuration."""
    purpose: Literal["snooze", "maintenance"]
    """What it is."""
    begin: str
    """A time, or a weekday and time."""
    end: str
    """A time, or a weekday and time."""
    time_zone: str
    """Of weekdays, and of times without an offset."""
    streams: tuple[str, ...]
    """Patterns of stream ids; none means all."""
    table: str | None
    """Of this table only."""
    kind: str | None
    """Of this kind only."""
    by: str | None
    """Who asked for it."""


class ResponsePayload(Payload, frozen=True, kw_only=True):
    """bridge/response/<verb>: what was asked for by bridge/request/<verb>, or why it cannot be told."""

    verb: str
    """health, info, snapshot, streams, recording, alerts, acknowledge, snooze, maintenance, label; unknown for all
    others."""
    id: str | int | None = None
    """As in the request."""
    error: str | UnsetType = UNSET
    """Why nothing was done; absent where all is well."""
    health: HealthPayload | UnsetType = UNSET
    """health: what bridge/health would say now."""
    info: InfoPayload | UnsetType = UNSET
    """info: what bridge/info says."""
    count: int | UnsetType = UNSET
    """streams, recording, alerts: how many there are in all; snooze, maintenance: how many streams the new one fits, of
    those that there are now."""
    streams: list[StreamEntry] | UnsetType = UNSET
    """streams: a page of them, in the order of their first readings."""
    recording: list[RecordingEntry] | UnsetType = UNSET
    """recording: a page of what is remembered of streams, in the same order."""
    next: int | UnsetType | None = UNSET
    """streams, recording, alerts: the `start` of the next page; null where this is the last."""
    alerts: list[HistoryEntry] | UnsetType = UNSET
    """alerts: a page of the history, newest first."""
    muting: list[WishEntry] | UnsetType = UNSET
    """snooze, maintenance: all that hold or are to come, 200 at most."""
    number: int | UnsetType = UNSET
    """snooze, maintenance: number of the one that was made or ended."""
    acknowledged: Time | UnsetType = UNSET
    """acknowledge: since when the alert has been known of; an earlier acknowledgement stands."""
