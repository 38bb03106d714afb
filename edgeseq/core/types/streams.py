"""What a stream is: the rule that makes it, and who it is."""

from __future__ import annotations

import enum
from typing import Any, Literal

import msgspec

from edgeseq.core.types.words import COVERAGE, Aggregate, Kind, OnGap


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
