"""The wire schema, version 1: every payload that edgeseq publishes, as structs. JSON Schema is generated from them.

Numbers carry 5 significant digits; null is a value that is unknown or missing. Times are ISO 8601, UTC.
Consumers ignore fields they do not know: new fields may come within a version.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from edgeseq.core.types import AlertKind, DataStatus, Phase, Quality, Severity, Source

Time = Annotated[
    str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$", description="ISO 8601, UTC")
]
Seconds = Annotated[int | float, Meta(description="whole where possible")]


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
    """Lower ends of the prediction intervals."""
    value: list[float | None]
    """Forecasts (medians)."""
    upper: list[float | None]
    """Upper ends of the prediction intervals."""


class _Scalars(Payload, frozen=True, kw_only=True):
    """A forecast without its path."""

    id: str
    """Stream, grid step and bundle; the same step forecast again has the same id, and the latest wins."""
    stream: str
    """Id of the stream: the level of its topics."""
    channel: str | UnsetType = UNSET
    """Only where the stream has several."""
    origin: Time
    """Time of the grid step of the reading, up to half a period away from it; `value` is for one period later."""
    period_s: Seconds
    """Length of a step (s)."""
    unit: str | None
    """Unit of the numbers, as configured, else as in the bundle; null where neither says one."""
    observed: float | None
    """The reading of that step; null where it is missing."""
    value: float | None
    """Forecast of the next step (median)."""
    lower: float | None
    """Lower end of its prediction interval."""
    upper: float | None
    """Upper end of its prediction interval."""
    coverage: float
    """Share of readings that the interval is made to hold."""
    score: float | None
    """How unexpected the reading was: 0 as forecast, 1 at the edge of the 99.9 % band."""
    quality: Literal["ok", "missing"]
    """Whether there was a reading at the origin."""
    source: Source
    """What made the forecast: the bundle's model where it has been better than the baseline, also while `learning`."""
    skill: float | None
    """1 - error of what serves / error of the baseline; null while unknown."""
    bundle: str | None
    """The model's name and digest; null for the baseline."""
    leads_filled: int | UnsetType = UNSET
    """So many leads had a known covariate that no message has given for their time. Stood in has the value of the same
    time of day on the nearest of the 7 days before, else the last one, else the mean of training, so these leads are
    less certain than their intervals say. Absent where all are given."""


class ForecastPayload(_Scalars, frozen=True, kw_only=True):
    """<stream>/forecast: after every step. The next step's numbers on top, all leads in `path`."""

    path: Path | UnsetType = UNSET
    """Absent where the configuration switches it off."""


class LatestPayload(_Scalars, frozen=True, kw_only=True):
    """<stream>/latest, retained: the newest forecast for those who just subscribed, and the stream's status."""

    phase: Phase
    """As in `status`."""
    data: DataStatus
    """As in `status`."""
    alert: Literal["none", "watch", "alert"]
    """As in `status`."""


class StatusPayload(Payload, frozen=True, kw_only=True):
    """<stream>/status, retained: when it changes."""

    phase: Phase
    """Whether the stream's own calibration holds yet. `learning` until each channel has had 336 outcomes and a season:
    no spike or stuck alerts before. Of intervals and alerts only: a model may serve from the beginning (`source`)."""
    data: DataStatus
    """How its data arrives. `silent`: no reading for much longer than its rhythm. `stuck`: one value for longer than it
    ever had. `mismatch`: readings do not come as `every` says: on average more than two periods apart, or more than
    four in a period of which only the last counts; not told where gaps are held. `off`: the machine is off
    (`active_when`), so nothing is expected."""
    alert: Literal["none", "watch", "alert"]
    """Whether an alert is open. `watch`: something is unusual, but has not lasted, or not gone far enough."""


class EstimatePayload(Payload, frozen=True, kw_only=True):
    """<stream>/estimate: what an estimator makes of the stream, after every step: a number, or classes."""

    id: str
    """Stream, grid step and bundle; the same step estimated again has the same id, and the latest wins."""
    stream: str
    """Id of the stream: the level of its topics."""
    target: str
    """Name of what is estimated, as in training."""
    time: Time
    """Time of the grid step that is estimated."""
    quality: Quality
    """degraded: some inputs had no reading; missing: none had, so the numbers are null."""
    unit: str | UnsetType | None = UNSET
    """Of a number: its unit in training."""
    value: float | UnsetType | None = UNSET
    """Of a number: the estimate (median)."""
    lower: float | UnsetType | None = UNSET
    """Of a number: lower end of its prediction interval."""
    upper: float | UnsetType | None = UNSET
    """Of a number: upper end of its prediction interval."""
    coverage: float | UnsetType = UNSET
    """Of a number: share of true values that the interval was made to hold in training; no device can check it."""
    state: str | UnsetType | None = UNSET
    """Of classes: the most probable one."""
    probability: float | UnsetType | None = UNSET
    """Of classes: its probability."""
    probabilities: dict[str, float | None] | UnsetType = UNSET
    """Of classes: the probability of each."""
    bundle: str
    """The estimator's name and digest."""


class ClassPayload(Payload, frozen=True, kw_only=True):
    """<stream>/state, retained: the class that an estimator sees the stream in; when it changes."""

    state: str
    """Name of the class."""
    target: str
    """Name of what is estimated, as in training."""
    since: Time
    """Time of the first step in this class."""
    bundle: str
    """The estimator's name and digest."""


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
    """Its forecast, made one step earlier."""
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


# --- of the node ------------------------------------------------------------------------------------------------


class StatePayload(msgspec.Struct, frozen=True):
    """bridge/state, retained, also as the last will: offline is a lost connection, stopped a clean end."""

    state: Literal["online", "offline", "stopped"]
    """offline is told by the broker, the others by the node."""


class RuleInfo(msgspec.Struct, frozen=True):
    """One [[streams]] table as resolved."""

    key: str
    """Its name, else its first topic filter."""
    period_s: Seconds
    """Length of a step (s)."""
    channels: tuple[str, ...]
    """Names of the channels."""
    bundle: str | None
    """The model's name and digest; null where the baseline serves."""
    estimate: str | None = None
    """The estimator's name and digest; null where nothing is estimated."""


class VariantCost(msgspec.Struct, frozen=True, kw_only=True):
    """What a quantization of a model costs on this machine."""

    latency_ms: float
    """A step of a stream alone (ms)."""
    stream_us: float
    """A step of each stream among 512 (us)."""
    memory_bytes: int
    """Of model and runtime, in a process of their own."""


class VariantChoice(msgspec.Struct, frozen=True, kw_only=True):
    """The quantization that was chosen by measuring."""

    bundle: str
    """The configured bundle."""
    variant: str
    """What serves."""
    is_within: bool
    """Whether it is within the budgets; false: none is, and this one is the quickest."""
    costs: dict[str, VariantCost]
    """Of each that runs here."""


class PairedTest(msgspec.Struct, frozen=True, kw_only=True):
    """What two models on the same streams have shown."""

    pairs: int
    """Steps whose forecasts by both have found their outcomes."""
    wanted: int
    """Steps from which it is decided; undecided, it is decided at twice as many."""
    difference: float
    """Mean pinball loss of the new one less that of the old one, as a share of the latter; negative: it errs less."""
    statistic: float
    """Of Diebold and Mariano, with the variance of Newey and West."""
    critical: float | None
    """Beyond it, on either side, the difference is significant; null while too few pairs are there."""


class UpdateInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What has come over the air in the place of a configured bundle."""

    bundle: str
    """The configured bundle."""
    phase: Literal["settled", "shadowing", "watching"]
    """shadowing: a new model is judged beside the one that serves; watching: it serves, and is judged on."""
    sequence: int
    """Of the release that was taken last."""
    outcome: str
    """What became of it: the event that was told last."""
    test: PairedTest | None = None
    """The present comparison; null while there is none."""


class UpdateStatePayload(Payload, frozen=True, kw_only=True):
    """bridge/update/state: how far a bundle has come that is sent over the air; for who sends it."""

    release: str
    """SHA-256 of the release, hex."""
    state: str
    """receiving, refused, or what became of it: the last word of its event."""
    chunks: int = 0
    """Chunks in all."""
    lacking: int = 0
    """Chunks that lack."""
    missing: list[tuple[int, int]] = []
    """The first ranges of chunks that lack, first and last; 32 at most."""
    reason: str | None = None
    """Why it was refused or rolled back."""


class InfoPayload(Payload, frozen=True, kw_only=True):
    """bridge/info, retained: what runs here."""

    version: str
    """Version of edgeseq."""
    node: str
    """Name of the node."""
    rules: list[RuleInfo]
    """What becomes a stream."""
    updates: list[UpdateInfo] | UnsetType = UNSET
    """What has come over the air; absent where nothing has."""
    variants: list[VariantChoice] | UnsetType = UNSET
    """Quantizations that were chosen by measuring; absent where none was."""


class AlertRate(msgspec.Struct, frozen=True, kw_only=True):
    """How many alerts a [[streams]] table raises."""

    table: str
    """Its name, else its first topic filter."""
    per_week: float | None
    """Alerts a week, those of one group counted once: decayed, with a memory of 4 weeks; null in the first week."""
    budget: float | None
    """As configured (`alerts_per_week`); null where it is not."""


class TableIntervals(msgspec.Struct, frozen=True, kw_only=True):
    """What the intervals of a [[streams]] table, as published for the next step, have held of late."""

    table: str
    """Its name, else its first topic filter."""
    promised: float
    """As configured (`coverage`)."""
    coverage: float | None
    """Share of the readings inside: decayed, with a half-life of 336 readings of a stream, mean of its streams; null
    while none was judged."""
    width: float | None
    """Their width, in mean absolute errors of the baseline at the same lead: median of its streams; null while
    unknown."""
    outcomes: int
    """Readings that were judged so, ever."""


class HealthPayload(Payload, frozen=True, kw_only=True):
    """bridge/health, retained: how the node fares, since it started."""

    time: Time
    """Time of the report."""
    uptime_s: Seconds
    """Time since the start (s)."""
    streams: int
    """Streams that exist."""
    open_alerts: int
    """Alerts that are open."""
    received: int
    """Readings and rejections: received = applied + late + duplicate + all of rejected + shed, at all times."""
    applied: int
    """Readings that moved a stream."""
    late: int
    """Readings older than the newest step."""
    duplicate: int
    """Readings that had been applied already."""
    rejected: dict[str, int]
    """Reason → count of what could not be used; a message that was not read (`payload_too_large`, no room) is one."""
    shed: int = 0
    """Readings given up, where the node was stopped while the disk refused: those that could not be committed, and of
    messages with QoS 0 that still waited one each, as for all messages that are not read."""
    ignored: int = 0
    """Messages that say no number, as is normal for their family (a lamp is on): not among `received`."""
    rss_bytes: int | None = None
    """Resident memory (bytes); null where unknown."""
    inbox_messages: int = 0
    """Messages that wait."""
    alerts_waiting: int = 0
    """Alerts that the broker has not acknowledged yet."""
    alerts_dropped: int = 0
    """Alerts given up because too many waited."""
    connections: int = 0
    """Connections that the broker has accepted."""
    sessions_lost: int = 0
    """Times the broker had forgotten our session: messages may have been lost."""
    storage_faults: int = 0
    """Times the disk refused a write; nothing is acknowledged meanwhile."""
    requests: int = 0
    """Requests answered."""
    requests_refused: int = 0
    """Requests that were none, or too many."""
    alerts_muted: int = 0
    """Alerts that opened while a snooze or maintenance held."""
    ledger_faults: int = 0
    """Times the ledger of alerts could not be used: requests about alerts are refused meanwhile, alerts are told."""
    history_lost: int = 0
    """Alert events that are missing in the history, since the ledger could not be written for long."""
    alert_rates: list[AlertRate] = []
    """Alerts a week of each table; where requests are answered or maintenance is configured."""
    intervals: list[TableIntervals] = []
    """What the intervals of each table have held of late."""


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


class EventPayload(Payload, frozen=True, kw_only=True):
    """bridge/event: something happened to a stream, or to the models of the node."""

    event: Literal[
        "stream.created",
        "stream.reset",
        "stream.switched",
        "alerts.grouped",
        "update.received",
        "update.refused",
        "update.staged",
        "update.shadowing",
        "update.promoted",
        "update.settled",
        "update.rolled_back",
        "model.outdated",
        "variant.chosen",
    ]
    """What happened; alerts.grouped: alerts opened together, told at 3 of them, at 9, at 27 and so on. update: a bundle
    that is sent over the air (docs/updates.md). model.outdated: a model errs more than the baseline for long.
    variant.chosen: a quantization was chosen by measuring."""
    stream: str | UnsetType = UNSET
    """stream, alerts: id of the stream; of a group the newest one's."""
    topic: str | UnsetType = UNSET
    """stream.created: where its readings come from."""
    field: str | UnsetType | None = UNSET
    """stream.created: JSON path of its value; null for a plain number."""
    gap_steps: int | UnsetType = UNSET
    """stream.reset: steps without a reading."""
    source: Source | UnsetType = UNSET
    """stream.switched: what serves from now on."""
    skill: float | UnsetType | None = UNSET
    """stream.switched: 1 - error of the forecasts with the model / error of the baseline, over all leads."""
    group: str | UnsetType = UNSET
    """alerts.grouped: as in `alert`."""
    count: int | UnsetType = UNSET
    """alerts.grouped: alerts of the group that are open."""
    streams: list[str] | UnsetType = UNSET
    """alerts.grouped, model.outdated: ids of their streams, of 20 at most."""
    bundle: str | UnsetType = UNSET
    """update, model.outdated: the configured bundle."""
    sequence: int | UnsetType = UNSET
    """update: of its release."""
    label: str | UnsetType = UNSET
    """update: name and digest of the new model, as its signer says."""
    reason: str | UnsetType = UNSET
    """update: why."""
    is_clock_synchronised: bool | UnsetType = UNSET
    """update.received: whether the clock that its end was judged by is set by the network."""
    test: PairedTest | UnsetType = UNSET
    """update: what the comparison of both models has shown."""
    choice: VariantChoice | UnsetType = UNSET
    """variant.chosen: which, and what each costs."""


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
    """streams, recording, alerts: how many there are in all."""
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


MESSAGES: dict[str, type[msgspec.Struct]] = {
    "forecast": ForecastPayload,
    "latest": LatestPayload,
    "status": StatusPayload,
    "estimate": EstimatePayload,
    "state": ClassPayload,
    "alert": AlertPayload,
    "bridge/state": StatePayload,
    "bridge/info": InfoPayload,
    "bridge/health": HealthPayload,
    "bridge/alerts": OpenAlertsPayload,
    "bridge/event": EventPayload,
    "bridge/response": ResponsePayload,
    "update/state": UpdateStatePayload,
}
"""Last levels of a topic → its JSON payload."""

WORDS: dict[str, tuple[str, ...]] = {"anomaly": ("ON", "OFF"), "availability": ("online", "offline")}
"""Last level of a topic → the words it carries as plain text."""
