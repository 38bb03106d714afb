"""The [[streams]] table: which messages become which streams, and how these are treated."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from edgeseq.config.table import Table
from edgeseq.core.types import Aggregate, AlertKind, Kind, Limits, OnGap


class ChannelConfig(Table, frozen=True):
    """A channel's source, written as a table."""

    topic: str
    """Topic filter."""
    field: str | None = None
    """JSON path. Default: the payload is the number itself."""


class KnownConfig(Table, frozen=True):
    """Where the future of a covariate comes from, written as a table."""

    topic: str
    """Topic of messages that hold an array of objects, each with a time and a value, or an object of two arrays of one
    length, of times and of values; retained ones count."""
    field: str | None = None
    """JSON path of that array or object. Default: the payload itself."""
    time: str = "time"
    """JSON path of the time within an object, or of the array of times (ISO 8601 or epoch)."""
    value: str = "value"
    """JSON path of the value within an object, or of the array of values."""


class StreamConfig(Table, frozen=True):
    """What becomes a stream.

    Either `topic`: each matching topic and field is a stream of its own. Or `name` with `channels`: one stream of
    several channels.
    """

    every: str
    """Grid period: one value is kept and forecast per period."""
    topic: str | list[str] | None = None
    """Topic filter or filters, with + and #."""
    exclude: list[str] = []
    """Topic filters that are left out."""
    field: str | None = None
    """JSON path of the value (a.b.c). Default: the payload is the number itself."""
    fields: list[str] = []
    """JSON paths of several values, each a stream of its own."""
    decoder: str | None = None
    """How devices say their numbers: zigbee2mqtt, tasmota, shelly1, shelly2, esphome, homeassistant,
    homie, influx, sparkplug (docs/decoders.md). Every number that a message holds becomes a stream, or those that
    `fields` names, by the end of their name, with * for anything. Default: JSON paths, or plain numbers."""
    rebirth: bool = False
    """Whether edge nodes are asked to be born again (sparkplug), on a topic of theirs, where aliases are not known."""
    name: str | None = None
    """Stable name of this table; with channels, the name of the stream. Default: the first topic filter."""
    channels: dict[str, str | ChannelConfig] = {}
    """Channel = "topic" (plain number), "topic#json.path", or { topic = …, field = … }."""
    aggregate: Aggregate | None = None
    """How the readings of one period become one value. Default: last; sum for counters."""
    lateness_steps: Annotated[int, Meta(ge=0, le=4)] = 0
    """Periods by which a reading may come behind newer ones and still take its place; needs `time`."""
    on_gap: OnGap = "missing"
    """What a period without a reading is: missing, or the last value held (devices that report only changes)."""
    kind: Kind = "gauge"
    """gauge: the value itself; counter: differences of an ever rising count, resets handled."""
    unit: str | dict[str, str] | None = None
    """Unit, passed on to subscribers; for channels of different units a table. Default: the bundle's, if any."""
    convert: str | list[str] | None = None
    """Units that readings become where theirs are of the same dimension: "°C", or ["°C", "W"]. Theirs are told by the
    decoder, else by `unit`. Default: none, they stay as they come."""
    horizon: str | None = None
    """How far the baseline forecasts; a bundle brings its own. Default: 24 periods."""
    coverage: Annotated[float, Meta(ge=0.5, le=0.99)] = 0.9
    """Share of the readings that the interval of a forecast is to hold, 0.5 to 0.99."""
    season: str | None = None
    """Season of the baseline, or none. Default: 1d where that is 2 to 2880 whole periods, else none."""
    time: str | None = None
    """JSON path of the reading's own time (ISO 8601 or epoch). Default: the time of arrival."""
    id: str | None = None
    """JSON path of a unique id of the reading, for deduplication. Default: time and value, else the delivery."""
    quality: str | None = None
    """JSON path of a quality mark; other values than `good` make the reading missing."""
    good: list[str | int | bool] = []
    """Values of the quality mark that mean good."""
    retained: bool = False
    """Whether retained messages are readings (a restart would invent fresh points)."""
    max_streams: Annotated[int, Meta(ge=1)] | None = None
    """Most streams of this table, so that one wildcard cannot take the places of others. Default: the node's limit."""
    max_age: str | None = None
    """Oldest time that a stream's first reading may have. Default: no limit, so that recordings can be played."""
    silent_after: str | None = None
    """Time without a reading after which a stream is silent. Default: learned from the stream's own rhythm."""
    limits: dict[str, float | Limits] = {}
    """Values outside are out of range: { min = …, max = … }, for channels { channel = { min = …, max = … } }."""
    alerts: bool | list[AlertKind] = True
    """Whether anomalies of these streams raise alerts, or a list of the kinds that do: spike, out_of_range, stuck,
    silent, limit_ahead, level_shift, drift, variance_change, broken_profile, broken_relation, novelty."""
    crossing_probability: Annotated[float, Meta(ge=0.05, le=0.95)] = 0.5
    """Probability that a forecast crosses one of `limits` from which limit_ahead alerts, 0.05 to 0.95."""
    sensitivity: Annotated[float, Meta(gt=0, le=100)] = 1.0
    """How easily anomalies raise alerts: 2 at half the deviation, 0.5 at twice the deviation. Limits and silence, which
    have settings of their own, and stuck values are as ever."""
    min_deviation: float | str | dict[str, float | str] | None = None
    """Smallest deviation from what is expected that may raise an alert, in the unit of the readings, or as a share of
    what is expected ("5%"); for channels { channel = … }. Default: none, any deviation may."""
    direction: Literal["both", "above", "below"] = "both"
    """On which side of what is expected deviations raise alerts."""
    min_duration: str | None = None
    """How long an anomaly must last before an alert opens; until then the status says watch. Default: none, at once.
    Stuck and silent have durations of their own."""
    refractory: Annotated[int, Meta(ge=0)] | str | None = None
    """Time after an alert, or number of periods, in which none of its kind opens. Default: 12 periods where the kind
    was learned of the stream's behaviour, none for out_of_range, stuck, silent and limit_ahead."""
    active_when: str | None = None
    """What tells whether the machine is on: "topic", "topic#json.path", either with " == value"; without it true, on,
    and numbers other than 0 mean on. While it is off readings count as missing and nothing is silent. Default: none,
    always on."""
    settle: str | None = None
    """Time after the machine is switched on in which its readings raise no alerts; needs active_when. Default: none."""
    alerts_per_week: Annotated[float, Meta(gt=0)] | None = None
    """Budget of this table: `edgeseq tune alerts` finds the sensitivity for it, bridge/health tells what is achieved.
    Default: none."""
    path: bool = True
    """Whether to publish the whole path of leads; false: only the next step's numbers."""
    known: dict[str, KnownConfig] = {}
    """Covariates of the bundle whose future is known: { outdoor = { topic = …, time = …, value = … } }."""
    bundle: str | None = None
    """File of a bundle, relative to the configuration file. Default: the baseline serves."""
    estimate: str | None = None
    """File of a bundle that estimates something else of these streams, a number or a class. Default: none."""
