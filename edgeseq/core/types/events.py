"""What comes out of the core."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Literal

import msgspec

from edgeseq.core.types.streams import AlertKind
from edgeseq.core.types.words import F64, Quality, Severity, Source


class Phase(enum.StrEnum):
    """Whether a stream's own calibration holds yet."""

    LEARNING = "learning"
    LIVE = "live"


class DataStatus(enum.StrEnum):
    """How a stream's data arrives."""

    OK = "ok"
    SILENT = "silent"
    STUCK = "stuck"
    MISMATCH = "mismatch"
    OFF = "off"


@dataclass(frozen=True, slots=True, eq=False)
class ForecastColumns:
    """The numbers of n forecasts made together, in sensor units, (n, C) or (n, C, H); C without covariates."""

    observed: F64
    """NaN where missing."""
    lower: F64
    value: F64
    upper: F64
    score: F64
    """0 at the forecast, 1 at the edge of the 99.9 % band, NaN without a forecast."""
    skill: F64
    """1 - error of what serves / error of the baseline; NaN while unknown."""


class Forecast(msgspec.Struct, frozen=True, gc=False):
    """The forecast of one stream after one step: a row of the columns made together with it.

    Its arrays are views, so whoever keeps a forecast keeps the columns of all that were made with it.
    """

    order: int
    """Position of the reading that caused it in its batch; events are emitted in this order."""
    stream: int
    step: int
    origin_ns: int
    source: Source
    leads_filled: int
    """Leads whose known covariates no message has given, so that they were filled (`core.known`)."""
    row: int
    columns: ForecastColumns

    @property
    def observed(self) -> F64:
        """Give the reading of each channel (C,), NaN where missing."""
        return self._own(self.columns.observed)

    @property
    def lower(self) -> F64:
        """Give the lower ends of the intervals (C, H)."""
        return self._own(self.columns.lower)

    @property
    def value(self) -> F64:
        """Give the medians (C, H)."""
        return self._own(self.columns.value)

    @property
    def upper(self) -> F64:
        """Give the upper ends of the intervals (C, H)."""
        return self._own(self.columns.upper)

    @property
    def score(self) -> F64:
        """Tell how unexpected each channel's reading was (C,)."""
        return self._own(self.columns.score)

    @property
    def skill(self) -> F64:
        """Compare what serves with the baseline, by channel (C,)."""
        return self._own(self.columns.skill)

    def _own(self, column: F64) -> F64:
        own: F64 = column[self.row]
        return own


class InputsFilled(msgspec.Struct, frozen=True):
    """Known covariates of some leads are no longer given by messages, or (0) are again."""

    order: int
    stream: int
    leads: int


class Estimate(msgspec.Struct, frozen=True):
    """What an estimator makes of one stream at one step."""

    order: int
    stream: int
    step: int
    origin_ns: int
    quality: Quality
    """ok: all channels had a value; degraded: some had none; missing: none had, so there is no estimate."""
    numbers: F64
    """(3,) lower, value, upper in the target's unit, or (N,) probabilities of its classes; NaN where there is none."""


class ClassChanged(msgspec.Struct, frozen=True):
    """An estimator sees a stream in another class than before, or in its first one."""

    order: int
    stream: int
    index: int
    """Of Target.classes."""
    since_ns: int


class AlertEvent(msgspec.Struct, frozen=True):
    """An alert opened, updated or cleared."""

    order: int
    stream: int
    channel: int
    kind: AlertKind
    event_type: Literal["opened", "updated", "cleared"]
    opened_step: int
    opened_ns: int
    time_ns: int
    cleared_ns: int | None
    observed: float
    expected: float
    lower: float
    upper: float
    p_value: float
    seq: int
    source: Source
    opened_as: AlertKind | None = None
    """Kind that it opened as, which its identity is made of; None: `kind`."""
    since_ns: int | None = None
    """Time of the first sample of the deviation; None: of the opening."""
    score: float = float("nan")
    """1 at the threshold of the kind; NaN where it has none."""
    severity: Severity = "warning"
    signs: tuple[AlertKind, ...] = ()
    """All kinds that have spoken for it."""
    channels: tuple[int, ...] = ()
    """Channels that have their part in it; empty: the channel alone."""
    is_normal_now: bool = False
    """Cleared because what was unusual has lasted as long as a new stream learns."""
    crossing_steps: tuple[float | None, float | None, float | None] | None = None
    """Of limit_ahead: steps from `time_ns` until the limit is crossed, at the earliest, and at the latest; None where
    that does not lie within the horizon."""


class StreamStatus(msgspec.Struct, frozen=True):
    """The state of a stream that subscribers see, emitted when it changes."""

    order: int
    stream: int
    phase: Phase
    data: DataStatus
    alert: Literal["none", "watch", "alert"]


class StreamReset(msgspec.Struct, frozen=True):
    """A gap longer than the ring made the state worthless; it starts anew."""

    order: int
    stream: int
    gap_steps: int


class StreamSwitched(msgspec.Struct, frozen=True):
    """Another forecaster serves a stream: the model, which has come to err less than the baseline, or that again."""

    order: int
    stream: int
    source: Source
    skill: float
    """1 - error of the model's blend / error of the baseline, over channels and leads; NaN while unknown."""


class StreamCreated(msgspec.Struct, frozen=True):
    """A stream was seen for the first time."""

    order: int
    stream: int


OtherEvent = (
    Estimate | ClassChanged | AlertEvent | StreamStatus | StreamReset | StreamSwitched | StreamCreated
)
Event = Forecast | OtherEvent | InputsFilled


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """One MQTT publish."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    alert_id: str | None = None
    """Set on alert events: they are kept in the outbox until the broker has acknowledged them."""
