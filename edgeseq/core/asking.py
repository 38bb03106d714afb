"""What others may ask for by bridge/request/<verb>, as structs. JSON Schema is generated from them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Short = Annotated[str, Meta(max_length=64)]
AlertId = Annotated[str, Meta(pattern="^[a-z2-7]{16}$")]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What all requests share; nothing at all asks for the defaults."""

    id: Short | int | None = None
    """Comes back in the response."""
    by: Short | None = None
    """Who asks; told to others where it matters."""


class StreamsRequest(Asked, frozen=True, kw_only=True):
    """bridge/request/streams: a page of the streams."""

    start: Annotated[int, Meta(ge=0)] = 0
    """Number of the first stream to tell; the `next` of the page before."""
    limit: Annotated[int, Meta(ge=1)] = 50
    """Most to tell; never more than 100."""


class RecordingRequest(Asked, frozen=True, kw_only=True):
    """bridge/request/recording: what the node remembers of its streams, by pages of some 40 KB."""

    start: Annotated[int, Meta(ge=0)] = 0
    """Number of the first stream to tell; the `next` of the page before."""
    since: Annotated[str, Meta(max_length=40)] | None = None
    """Only values of later times, such as 2026-03-01T10:00:00Z."""


class AlertsRequest(Asked, frozen=True, kw_only=True):
    """bridge/request/alerts: a page of the history, newest first."""

    start: Annotated[int, Meta(ge=1, le=2**62)] | None = None
    """Number that the page begins before; the `next` of the page before, null for the newest."""
    limit: Annotated[int, Meta(ge=1)] = 20
    """Most to tell; never more than 50, nor more than 10 with readings."""
    stream: Annotated[str, Meta(max_length=256)] | None = None
    """Only of this stream, by its id."""
    labelled: bool = False
    """Only openings of alerts that have a label."""
    readings: bool = False
    """With the readings around each alert, as far as they are kept."""


class AcknowledgeRequest(Asked, frozen=True, kw_only=True):
    """bridge/request/acknowledge: somebody knows of an open alert, or of all that a stream has open."""

    alert: AlertId | None = None
    """Its id."""
    stream: Annotated[str, Meta(max_length=256)] | None = None
    """Id of the stream, instead."""


class SnoozeRequest(Asked, frozen=True, kw_only=True):
    """bridge/request/snooze: alerts are not told for a while, from now on; those that are open then are told."""

    stream: Annotated[str, Meta(max_length=256)] | None = None
    """Of these streams: an id, or a pattern with * and ?."""
    table: Annotated[str, Meta(max_length=256)] | None = None
    """Of this [[streams]] table: its name, else its first topic filter."""
    kind: Short | None = None
    """Of this kind, such as silent."""
    duration: Annotated[str, Meta(max_length=32)] | None = None
    """How long, such as 2h."""
    until: Annotated[str, Meta(max_length=40)] | None = None
    """Until when, such as 2026-03-01T10:00:00Z."""
    cancel: Annotated[int, Meta(ge=1)] | None = None
    """Number of a snooze that is to end now, instead of all the above."""


class MaintenanceRequest(Asked, frozen=True, kw_only=True):
    """bridge/request/maintenance: a window in which alerts are not told; without `begin` only the list."""

    begin: Annotated[str, Meta(max_length=40)] | None = None
    """A time such as 2026-03-01T10:00:00Z, or a weekday and time such as "Sun 02:00" for every week."""
    end: Annotated[str, Meta(max_length=40)] | None = None
    """As begin."""
    time_zone: Short = "UTC"
    """Of weekdays, and of times without an offset."""
    streams: Annotated[list[Annotated[str, Meta(max_length=256)]], Meta(max_length=20)] = []
    """Patterns of stream ids, with * and ?; none means all."""
    table: Annotated[str, Meta(max_length=256)] | None = None
    """Of this [[streams]] table only."""
    kind: Short | None = None
    """Of this kind only."""
    cancel: Annotated[int, Meta(ge=1)] | None = None
    """Number of a window that is to end now, instead of all the above."""


class LabelRequest(Asked, frozen=True, kw_only=True):
    """bridge/request/label: what an alert was, in hindsight."""

    alert: AlertId | None = None
    """Its id."""
    stream: Annotated[str, Meta(max_length=256)] | None = None
    """Id of a stream, instead: its newest alert, one that is open before others."""
    label: Literal["false_alarm", "real", "none"]
    """none takes a label back."""
    note: Annotated[str, Meta(max_length=200)] | None = None
    """Whatever else is to be known."""


REQUESTS: dict[str, type[Asked]] = {
    "health": Asked,
    "info": Asked,
    "snapshot": Asked,
    "streams": StreamsRequest,
    "recording": RecordingRequest,
    "alerts": AlertsRequest,
    "acknowledge": AcknowledgeRequest,
    "snooze": SnoozeRequest,
    "maintenance": MaintenanceRequest,
    "label": LabelRequest,
}
"""Verb → what it may be told."""
