"""What the demo's subscriber received: the only thing that the checks and the report look at."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Annotated

import msgspec

Time = Annotated[dt.datetime, msgspec.Meta(tz=True)]


class Path(msgspec.Struct, frozen=True):
    """A forecast's leads; None is a lead without a forecast yet."""

    lead_s: list[float]
    lower: list[float | None]
    value: list[float | None]
    upper: list[float | None]


class Forecast(msgspec.Struct, frozen=True):
    """A forecast as subscribers read it."""

    stream: str
    origin: Time
    observed: float | None = None
    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    source: str = ""
    skill: float | None = None
    path: Path | None = None


class AlertMessage(msgspec.Struct, frozen=True):
    """An alert event as subscribers read it."""

    event_type: str
    id: str
    stream: str
    kind: str
    opened: Time
    cleared: Time | None = None
    message: str = ""


@dataclass(slots=True)
class Alert:
    """One alert, from its opening to its end."""

    stream: str
    kind: str
    opened_ns: int
    message: str
    cleared_ns: int | None = None


@dataclass(slots=True)
class Evidence:
    """Everything received, by stream and time."""

    forecasts: dict[str, dict[int, Forecast]] = field(default_factory=dict)
    """Stream → origin in ns → the last forecast of that origin."""
    alerts: dict[str, Alert] = field(default_factory=dict)
    """By alert id."""
    unreadable: int = 0

    def of(self, stream: str) -> dict[int, Forecast]:
        """Give a stream's forecasts by origin."""
        return self.forecasts.get(stream, {})


def note(evidence: Evidence, topic: str, payload: bytes) -> None:
    """Keep a received forecast or alert event; what does not read as one is counted."""
    reader = {"forecast": _note_forecast, "alert": _note_alert}.get(topic.rpartition("/")[2])
    if reader is None:
        return
    try:
        reader(evidence, payload)
    except msgspec.MsgspecError:
        evidence.unreadable += 1


def _note_forecast(evidence: Evidence, payload: bytes) -> None:
    forecast = msgspec.json.decode(payload, type=Forecast)
    evidence.forecasts.setdefault(forecast.stream, {})[to_ns(forecast.origin)] = forecast


def _note_alert(evidence: Evidence, payload: bytes) -> None:
    event = msgspec.json.decode(payload, type=AlertMessage)
    alert = evidence.alerts.setdefault(
        event.id, Alert(event.stream, event.kind, to_ns(event.opened), event.message)
    )
    if event.event_type == "cleared":
        alert.cleared_ns = to_ns(event.cleared) if event.cleared else alert.opened_ns


def to_ns(time: dt.datetime) -> int:
    """Give a time as nanoseconds UTC; exact to the microsecond."""
    return (time - _EPOCH) // _MICROSECOND * 1000


_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
