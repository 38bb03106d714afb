"""The vocabulary of edgeseq: every word the core speaks.

Shape letters, used in all docstrings:
B batch, T time, C channels, F features, U units, L layers, H horizon, Q quantile levels,
R ring length, N streams of a group, K calibrated leads.

Times are integer nanoseconds since the epoch, UTC. Values are float64 in the sensor's unit until a
forecaster's anchor and unit have been applied.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
Index = NDArray[np.intp]
"""What places things in arrays. Where it has 32 bits NumPy's `take`, `put` and `repeat` refuse 64-bit integers."""
I32 = NDArray[np.int32]
I16 = NDArray[np.int16]
U64 = NDArray[np.uint64]
Bool = NDArray[np.bool_]

Aggregate = Literal["last", "mean", "sum", "min", "max"]
OnGap = Literal["missing", "hold"]
Kind = Literal["gauge", "counter"]
Source = Literal["model", "baseline"]
Quality = Literal["ok", "degraded", "missing"]
Severity = Literal["info", "warning", "critical"]

COVERAGE = 0.9
"""Nominal coverage of published intervals, unless a rule wants another."""

CALIBRATED_LEADS = (1, 2, 4, 8, 16, 24, 48, 96)
"""Leads at which intervals are calibrated; between them offsets are interpolated."""


# --- what happens to the daemon: everything is a value in one inbox -------------------------------------------


class Message(msgspec.Struct, frozen=True, gc=False):
    """One MQTT application message as it arrived."""

    topic: str
    payload: bytes
    received_ns: int
    retained: bool = False
    dup: bool = False
    mid: int = 0
    """Packet id of a QoS 1 delivery; 0 for QoS 0."""


class Tick(msgspec.Struct, frozen=True):
    """Processing time went on. Ticks never touch a recurrent state."""

    now_ns: int


class Stop(msgspec.Struct, frozen=True):
    """The daemon shall finish what it has and go."""

    reason: str


class Scrape(msgspec.Struct, frozen=True):
    """Somebody asks for the metrics."""

    is_openmetrics: bool


class Reload(msgspec.Struct, frozen=True):
    """The configuration file may have changed (SIGHUP)."""


# --- what a stream is ---------------------------------------------------------------------------------------


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Values outside [min, max] are out of range (sensor unit)."""

    min: float | None = None
    max: float | None = None


class ChannelSource(msgspec.Struct, frozen=True):
    """Where a channel's value comes from: a topic (filter) and a JSON path, or None for a raw number."""

    topic: str
    field: str | None = None


class KnownSource(msgspec.Struct, frozen=True):
    """Where a covariate's future comes from: an array of objects of time and value, or an object of two arrays."""

    topic: str
    field: str | None = None
    """JSON path of that array or object, or None where it is the payload."""
    time: str = "time"
    """JSON path within an object of the array, or of the array of times."""
    value: str = "value"


class AlertKind(enum.StrEnum):
    """Named anomalies. A closed set; later detectors add names."""

    SPIKE = "spike"
    STUCK = "stuck"
    SILENT = "silent"
    OUT_OF_RANGE = "out_of_range"
    LEVEL_SHIFT = "level_shift"
    DRIFT = "drift"
    VARIANCE_CHANGE = "variance_change"
    BROKEN_PROFILE = "broken_profile"
    BROKEN_RELATION = "broken_relation"
    NOVELTY = "novelty"
    LIMIT_AHEAD = "limit_ahead"


class SwitchSource(msgspec.Struct, frozen=True):
    """What tells whether a machine is on: a topic and a JSON path, or None where the payload is the value."""

    topic: str
    field: str | None = None
    equals: str | None = None
    """Text of the value that means on; None: true, on, and numbers other than 0 do."""


class Alerting(msgspec.Struct, frozen=True):
    """How deviations of a rule's streams become alerts; limits, stuck values and silence have their own settings."""

    kinds: tuple[AlertKind, ...] = ()
    """Kinds that are told; none means all."""
    min_deviation: dict[str, tuple[float, float]] = {}
    """Channel → smallest deviation from what is expected: in sensor units, and as a share of what is expected."""
    direction: Literal["both", "above", "below"] = "both"
    """On which side of what is expected deviations count."""
    sensitivity: float = 1.0
    """What scores are multiplied by: 2 alerts at half the deviation."""
    min_duration_ns: int = 0
    """How long a deviation lasts before an alert opens."""
    refractory_ns: int | None = None
    """Time after an alert in which none of its kind opens; None: 12 periods for kinds of behaviour, else none."""


class StreamRule(msgspec.Struct, frozen=True):
    """One resolved [[streams]] table: which messages become which streams, and how they are treated.

    Either `topics` (each matching topic and field is a stream of one channel) or `channels` with `name`
    (one stream of C channels).
    """

    key: str
    """Stable name of the rule: its `name`, else its first topic filter."""
    period_ns: int
    name: str | None = None
    topics: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    """JSON paths (a.b.c); empty means the payload is the number itself."""
    channels: dict[str, ChannelSource] = {}
    covariates: int = 0
    """So many of the channels, the last ones, are only inputs of the bundle's model: no forecast, no alert."""
    known: dict[str, KnownSource] = {}
    """Covariate of the bundle's model → where its future comes from."""
    aggregate: Aggregate = "last"
    lateness_steps: int = 0
    """Steps by which a reading may come behind the newest one and still count."""
    on_gap: OnGap = "missing"
    kind: Kind = "gauge"
    unit: str | None = None
    """Unit of every channel that `units` does not name."""
    units: dict[str, str] = {}
    """Channel → unit, where the channels differ."""
    horizon: int = 24
    """Forecast steps of the baseline; a bundle brings its own."""
    coverage: float = COVERAGE
    """Share of the readings that the interval of a forecast is to hold."""
    crossing_probability: float = 0.5
    """Probability of crossing a limit from which limit_ahead alerts."""
    season_steps: int = 0
    """Season of the baseline in steps; 0 means none."""
    time_field: str | None = None
    id_field: str | None = None
    quality_field: str | None = None
    quality_good: tuple[Any, ...] = ()
    """Values of the quality field that mean good; anything else makes the reading missing."""
    use_retained: bool = False
    max_streams: int = 0
    """Most streams of this rule; 0 means no limit but the node's."""
    max_age_ns: int = 0
    """Reject a stream's first reading when older than this; 0 means no limit."""
    silent_after_ns: int = 0
    """Fixed deadline of silence; 0 means learned from the inter-arrival times."""
    limits: dict[str, Limits] = {}
    alerts: bool = True
    alerting: Alerting = Alerting()
    active_when: SwitchSource | None = None
    """What tells whether the machine is on; None: it always is."""
    settle_ns: int = 0
    """Time after the machine was switched on in which nothing is judged."""
    alerts_per_week: float = 0.0
    """Budget of the rule's alerts; 0 means none."""
    publish_path: bool = True
    bundle: str | None = None
    """Key of the bundle that serves this rule's streams, or None for the baseline."""
    estimate: str | None = None
    """Key of the bundle that estimates something else of this rule's streams, or None."""
    decoder: str | None = None
    """Name of the decoder (`core.decoders`) that reads its topics; None: JSON paths, or plain numbers."""
    may_ask: bool = False
    """Whether the decoder may ask devices for something: to be born again (Sparkplug)."""
    convert: tuple[str, ...] = ()
    """Units that readings of a decoder become where theirs are of the same dimension."""
    conversions: dict[str, tuple[float, float]] = {}
    """Channel → factor and offset by which its readings become those of its unit, where no decoder reads them."""

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Name the channels: those of `channels`, else a single one called value."""
        return tuple(self.channels) or ("value",)

    @property
    def filters(self) -> tuple[str, ...]:
        """List the topic filters of all that it reads."""
        channels = (source.topic for source in self.channels.values())
        known = (source.topic for source in self.known.values())
        return (*self.topics, *channels, *known, *((self.active_when.topic,) if self.active_when else ()))

    @property
    def forecast_names(self) -> tuple[str, ...]:
        """Name the channels that are forecast: all but the covariates."""
        return self.channel_names[: len(self.channel_names) - self.covariates]

    def unit_of(self, channel_name: str) -> str | None:
        """Name the unit of a channel, or None."""
        return self.units.get(channel_name, self.unit)


class Target(msgspec.Struct, frozen=True):
    """What an estimator tells of a stream: a number that is none of its channels, or the class it is in."""

    name: str
    unit: str | None = None
    anchor: float = 0.0
    scale: float = 1.0
    """Number = anchor + scale · output. Fixed in training: no device sees the target."""
    classes: tuple[str, ...] = ()
    """Names of the N classes in the order of the outputs; empty: the target is a number."""


class Options(msgspec.Struct, frozen=True):
    """Settings of the core that hold for all streams."""

    max_streams: int = 1000
    """New streams beyond this many are refused."""
    max_payload_bytes: int = 65_536
    """Longer payloads are refused before they are parsed."""
    clock: Literal["wall", "readings"] = "wall"
    """What silence is measured by: the ticks' time, or the newest reading's."""
    synchronised: bool = True
    """Whether the system clock can be trusted enough to refuse readings from the future."""


class StreamInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """Identity of one stream: made once, on first sight, and journaled before its first reading."""

    id: str
    """Slug [a-z0-9-] of topic and field: the part of every output topic."""
    rule: str
    """Key of its StreamRule."""
    topic: str
    """Topic it was first seen on (display and diagnostics)."""
    field: str | None
    created_ns: int
    channels: tuple[str, ...] | None = None
    """Names of its channels, of which the journal knows only the numbers; None where it has but one."""
    unit: str | None = None
    """Unit that its decoder knew when it was made, or converted to; None where its rule says it, if anything does."""


Heard = tuple[str, bytes]
"""Topic and payload of a message that said what others mean (a description), and is kept for that."""


# --- columns ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Readings:
    """Columns of readings in arrival order, all of one length n. A NaN value is a reading known to be bad."""

    message_index: I32
    stream_index: I32
    """Index into the registry of streams."""
    channel: I16
    time_ns: I64
    """Event time: the payload's, else the time of arrival."""
    received_ns: I64
    value: F64
    id_hash: U64
    """Identity of the reading for deduplication; 0 means it has none."""
    comparable: Bool
    """Whether the hash may be looked up among the stream's recent ones. False: only remember it, since (packet id,
    payload) identifies a reading only against a redelivery, which the broker marks DUP."""

    def __len__(self) -> int:
        return len(self.stream_index)

    def take(self, rows: Any) -> Readings:
        """Select rows by slice, mask or index array."""
        return Readings(*(getattr(self, name)[rows] for name in self.__slots__))

    @staticmethod
    def empty() -> Readings:
        """Make columns of length 0."""
        return Readings.from_rows([])

    @staticmethod
    def from_rows(rows: list[tuple[int, int, int, int, int, float, int, bool]]) -> Readings:
        """Make columns from tuples in the order of the fields."""
        columns: list[tuple[Any, ...]] = list(zip(*rows, strict=True)) or [()] * len(READING_DTYPES)
        arrays: list[Any] = [np.array(c, dtype=t) for c, t in zip(columns, READING_DTYPES, strict=True)]
        return Readings(*arrays)


READING_DTYPES = (np.int32, np.int32, np.int16, np.int64, np.int64, np.float64, np.uint64, np.bool_)
"""dtypes of the columns of Readings, in order; also the journal's."""


class Reason(enum.StrEnum):
    """Why a message, a field or a reading was not applied. A closed set: counted and logged by these names."""

    UNKNOWN_TOPIC = "unknown_topic"
    RETAINED = "retained"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    BAD_UTF8 = "bad_utf8"
    MALFORMED_JSON = "malformed_json"
    TOO_DEEP = "too_deep"
    NO_FIELD = "no_field"
    WRONG_TYPE = "wrong_type"
    MALFORMED = "malformed"
    NO_BIRTH = "no_birth"
    UNKNOWN_UNIT = "unknown_unit"
    NOT_FINITE = "not_finite"
    BAD_TIME = "bad_time"
    TIME_IN_FUTURE = "time_in_future"
    TOO_OLD = "too_old"
    TOO_MANY_STREAMS = "too_many_streams"
    DUPLICATE = "duplicate"
    LATE = "late"


class Rejection(msgspec.Struct, frozen=True):
    """One thing not applied, and why. `detail` is short, printable and bounded."""

    message_index: int
    reason: Reason
    topic: str
    detail: str = ""


# --- what comes out -----------------------------------------------------------------------------------------


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


@dataclass(slots=True)
class Counts:
    """What happened to readings since the process started.

    received = applied + late + duplicate + rejected + shed, after every `advance` of what `accept` gave.
    """

    received: int = 0
    applied: int = 0
    late: int = 0
    duplicate: int = 0
    rejected: dict[Reason, int] = field(default_factory=dict)
    shed: int = 0
    """Of messages given up unread, each of which counts as one reading."""
    ignored: int = 0
    """Messages that say no number, as is normal for their family: neither received nor rejected."""

    @property
    def pending(self) -> int:
        """Count the readings that were accepted and not advanced yet."""
        settled = self.applied + self.late + self.duplicate + self.shed
        return self.received - settled - sum(self.rejected.values())

    def reject(self, reason: Reason, readings: int = 1) -> None:
        """Count what could not be used."""
        self.rejected[reason] = self.rejected.get(reason, 0) + readings
