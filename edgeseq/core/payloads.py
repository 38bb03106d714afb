"""The wire schema, version 1: every payload that edgeseq publishes, as structs. JSON Schema is generated from them.

Numbers carry 5 significant digits; null is a value that is unknown or missing. Times are ISO 8601, UTC.
Consumers ignore fields they do not know: new fields may come within a version.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import UNSET, Meta, UnsetType

from edgeseq.core.types import F64, AlertKind, DataStatus, Phase, Source

SIGNIFICANT_DIGITS = 5

# Correctly rounded powers: comparing with them and dividing by 10^0 … 10^22 (exact in float64) makes the rounding
# independent of how a platform computes logarithms, and of a value's neighbours in the array.
_LOWEST_EXPONENT, _HIGHEST_EXPONENT, _EXACT_EXPONENT = -300, 300, 22
_POWERS = np.array([float(f"1e{e}") for e in range(_LOWEST_EXPONENT, _HIGHEST_EXPONENT + 1)])

Time = Annotated[
    str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$", description="ISO 8601, UTC")
]
Seconds = Annotated[int | float, Meta(description="whole where possible")]


def significant(values: F64) -> F64:
    """Round to 5 significant digits, any shape; the result prints with at most that many.

    >>> significant(np.array([12.345678, -0.000123456, 123456.7, np.nan])).tolist()
    [12.346, -0.00012346, 123460.0, nan]
    """
    magnitude = np.abs(values)
    exponent = np.searchsorted(_POWERS, magnitude, side="right") - 1 + _LOWEST_EXPONENT
    shift = SIGNIFICANT_DIGITS - 1 - exponent
    usual = np.abs(shift) <= _EXACT_EXPONENT
    power = _POWERS[np.where(usual, np.abs(shift), 0) - _LOWEST_EXPONENT]
    rounded = np.where(shift >= 0, np.rint(values * power) / power, np.rint(values / power) * power)
    odd = ~usual & np.isfinite(values) & (values != 0)
    if odd.any():
        rounded[odd] = [float(f"{value:.{SIGNIFICANT_DIGITS}g}") for value in values[odd].tolist()]
    return np.where(usual | odd, rounded, values)


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """What all JSON payloads share."""

    schema: Literal[1] = 1
    """Version of the wire schema."""


# --- per stream -------------------------------------------------------------------------------------------------


class Path(msgspec.Struct, frozen=True):
    """The forecast of all leads, in columns."""

    lead_s: list[Seconds]
    """Time from origin to the forecast value (s)."""
    lower: list[float | None]
    value: list[float | None]
    upper: list[float | None]


class _Scalars(Payload, frozen=True, kw_only=True):
    """A forecast without its path."""

    id: str
    """Stream, grid step and bundle; the same step forecast again has the same id, and the latest wins."""
    stream: str
    channel: str | UnsetType = UNSET
    """Only where the stream has several."""
    origin: Time
    """Time of the newest reading that the forecast knows."""
    period_s: Seconds
    """Length of a step (s)."""
    unit: str | None
    observed: float | None
    """The reading at the origin; null where it is missing."""
    value: float | None
    """Forecast of the next step."""
    lower: float | None
    """Prediction interval of the next step."""
    upper: float | None
    coverage: float
    """Share of readings that the interval is made to hold."""
    score: float | None
    """How unexpected the reading was: 0 as forecast, 1 at the edge of the 99.9 % band."""
    quality: Literal["ok", "missing"]
    """Whether there was a reading at the origin."""
    source: Source
    """What made the forecast."""
    skill: float | None
    """1 - error of what serves / error of the baseline; null while unknown."""
    bundle: str | None
    """The model's name and digest; null for the baseline."""


class ForecastPayload(_Scalars, frozen=True, kw_only=True):
    """<stream>/forecast: after every step. The next step's numbers on top, all leads in `path`."""

    path: Path | UnsetType = UNSET
    """Absent where the configuration switches it off."""


class LatestPayload(_Scalars, frozen=True, kw_only=True):
    """<stream>/latest, retained: the newest forecast for those who just subscribed, and the stream's status."""

    phase: Phase
    data: DataStatus
    alert: Literal["none", "watch", "alert"]


class StatusPayload(Payload, frozen=True, kw_only=True):
    """<stream>/status, retained: when it changes."""

    phase: Phase
    """Whether the stream's own calibration holds yet."""
    data: DataStatus
    """How its data arrives."""
    alert: Literal["none", "watch", "alert"]


class AlertPayload(Payload, frozen=True, kw_only=True):
    """<stream>/alert: an event, delivered at least once; the same id and seq is the same event."""

    event_type: Literal["opened", "updated", "cleared"]
    id: Annotated[str, Meta(pattern="^[a-z2-7]{16}$")]
    """The alert's identity from opening to clearing."""
    seq: int
    """Counts the stream's alert events."""
    stream: str
    channel: str | None
    """Null where the stream has one channel, or the alert concerns all of them."""
    kind: AlertKind
    severity: Literal["warning", "critical"]
    opened: Time
    time: Time
    """Time of this event."""
    cleared: Time | None
    observed: float | None
    expected: float | None
    lower: float | None
    upper: float | None
    unit: str | None
    p_value: float | None
    """Small for what is unlikely; null where the kind has none."""
    acknowledged: bool = False
    message: str
    """The event in a sentence."""


# --- of the node ------------------------------------------------------------------------------------------------


class StatePayload(msgspec.Struct, frozen=True):
    """bridge/state, retained, also as the last will: offline is a lost connection, stopped a clean end."""

    state: Literal["online", "offline", "stopped"]


class RuleInfo(msgspec.Struct, frozen=True):
    """One [[streams]] table as resolved."""

    key: str
    period_s: Seconds
    channels: tuple[str, ...]
    bundle: str | None


class InfoPayload(Payload, frozen=True, kw_only=True):
    """bridge/info, retained: what runs here."""

    version: str
    node: str
    rules: list[RuleInfo]


class HealthPayload(Payload, frozen=True, kw_only=True):
    """bridge/health, retained: how the node fares, since it started."""

    time: Time
    uptime_s: Seconds
    streams: int
    open_alerts: int
    received: int
    """Readings and rejections."""
    applied: int
    late: int
    duplicate: int
    rejected: dict[str, int]
    """Reason → count."""
    rss_bytes: int | None = None
    inbox_messages: int = 0
    """Messages that wait."""


class OpenAlert(msgspec.Struct, frozen=True, kw_only=True):
    """An alert in the list of open ones."""

    id: str
    stream: str
    channel: str | None
    kind: AlertKind
    severity: Literal["warning", "critical"]
    opened: Time
    message: str


class OpenAlertsPayload(Payload, frozen=True, kw_only=True):
    """bridge/alerts, retained: the alerts that are open now, newest first."""

    count: int
    """How many are open; the list may be shorter."""
    alerts: list[OpenAlert]


class EventPayload(Payload, frozen=True, kw_only=True):
    """bridge/event: something happened to a stream."""

    event: Literal["stream.created", "stream.reset"]
    stream: str
    topic: str | UnsetType = UNSET
    """stream.created: where its readings come from."""
    field: str | UnsetType | None = UNSET
    gap_steps: int | UnsetType = UNSET
    """stream.reset: steps without a reading."""


MESSAGES: dict[str, type[msgspec.Struct]] = {
    "forecast": ForecastPayload,
    "latest": LatestPayload,
    "status": StatusPayload,
    "alert": AlertPayload,
    "bridge/state": StatePayload,
    "bridge/info": InfoPayload,
    "bridge/health": HealthPayload,
    "bridge/alerts": OpenAlertsPayload,
    "bridge/event": EventPayload,
}
"""Last levels of a topic → its JSON payload."""

WORDS: dict[str, tuple[str, ...]] = {"anomaly": ("ON", "OFF"), "availability": ("online", "offline")}
"""Last level of a topic → the words it carries as plain text."""
