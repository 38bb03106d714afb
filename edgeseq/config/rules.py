"""Turn the [[streams]] tables of a configuration into the core's rules, and refuse what contradicts itself."""

from __future__ import annotations

import math

from edgeseq.config import ChannelConfig, KnownConfig, StreamConfig
from edgeseq.config.alerting import alerting
from edgeseq.config.checks import (
    check_binding,
    check_fields,
    check_known,
    check_lateness,
    check_loop,
    check_names,
    check_topics,
)
from edgeseq.config.decoding import decoded, family_of
from edgeseq.config.place import Place
from edgeseq.core.durations import UNITS_NS, format_duration
from edgeseq.core.types import ChannelSource, KnownSource, Limits, StreamRule
from edgeseq.errors import ConfigError

DEFAULT_HORIZON_STEPS = 24
MAX_HORIZON_STEPS = 1024
MAX_PERIOD_NS = 366 * UNITS_NS["d"]

SEASON_STEPS = range(2, 2881)
"""A day of 30 s periods is 2880 steps: the baseline keeps its seasons of every stream in memory."""


def resolve_streams(streams: list[StreamConfig], *, file: str, output: str) -> tuple[StreamRule, ...]:
    """Resolve all [[streams]] tables.

    Args:
        streams: as loaded.
        file: name of the file, for errors.
        output: filter of all topics that edgeseq itself publishes; reading them would be a loop.
    """
    if not streams:
        raise ConfigError(
            "there are no streams",
            where=file,
            wanted="a [[streams]] table",
            do="add one with topic and every",
        )
    rules = tuple(resolve_stream(s, Place(file, f"streams[{i}]")) for i, s in enumerate(streams))
    places = [Place(file, f"streams[{i}]") for i in range(len(rules))]
    for i, (rule, place) in enumerate(zip(rules, places, strict=True)):
        check_loop(rule, place, output)
        twin = next((j for j in range(i) if rules[j].key == rule.key), None)
        if twin is not None:
            raise place.fault(
                f"the table has the same key as streams[{twin}]",
                found=rule.key,
                wanted="keys (name, else first topic) that differ: saved state hangs on them",
                do="give one of the two a name of its own",
            )
    return rules


def resolve_stream(stream: StreamConfig, place: Place) -> StreamRule:
    """Resolve one [[streams]] table."""
    period_ns = _period_ns(stream, place)
    topics = _topics(stream, place)
    fields = (stream.field,) if stream.field is not None else tuple(stream.fields)
    channels = {channel: _source(source) for channel, source in stream.channels.items()}
    check_binding(stream, topics, fields, place)
    names = tuple(channels) or ("value",)
    rule = StreamRule(
        key=stream.name or topics[0],
        period_ns=period_ns,
        name=stream.name,
        topics=topics,
        exclude=tuple(stream.exclude),
        fields=fields,
        channels=channels,
        aggregate=stream.aggregate or ("sum" if stream.kind == "counter" else "last"),
        lateness_steps=stream.lateness_steps,
        on_gap=stream.on_gap,
        kind=stream.kind,
        unit=None if isinstance(stream.unit, dict) else stream.unit,
        units=stream.unit if isinstance(stream.unit, dict) else {},
        horizon=_horizon(stream, period_ns, place),
        coverage=stream.coverage,
        crossing_probability=stream.crossing_probability,
        season_steps=_season_steps(stream, period_ns, place),
        time_field=stream.time,
        id_field=stream.id,
        quality_field=stream.quality,
        quality_good=tuple(stream.good),
        use_retained=stream.retained,
        max_streams=stream.max_streams or 0,
        max_age_ns=place.optional_ns("max_age", stream.max_age),
        silent_after_ns=place.optional_ns("silent_after", stream.silent_after),
        limits=_limits(stream, names, place),
        alerts_per_week=stream.alerts_per_week or 0.0,
        publish_path=stream.path,
        bundle=stream.bundle,
        known={name: _known(source) for name, source in stream.known.items()},
        estimate=stream.estimate,
    )
    rule = alerting(decoded(rule, stream, place), stream, place)
    for check in (check_names, check_known, check_topics, check_fields, check_lateness):
        check(rule, place)
    return rule


def _period_ns(stream: StreamConfig, place: Place) -> int:
    """Read the period; a year at most, leap day included."""
    period_ns = place.duration_ns("every", stream.every)
    if period_ns > MAX_PERIOD_NS:
        raise place.fault("the period is too long", "every", found=stream.every, wanted="at most 366d")
    return period_ns


def _topics(stream: StreamConfig, place: Place) -> tuple[str, ...]:
    """List the topic filters: those written, else those where the decoder's family speaks."""
    topics = (stream.topic,) if isinstance(stream.topic, str) else tuple(stream.topic or ())
    if not topics and not stream.channels and (family := family_of(stream, place)):
        return family.topics
    return topics


# --- values -----------------------------------------------------------------------------------------------------


def _source(source: str | ChannelConfig) -> ChannelSource:
    """Read a channel's source. A # that ends no wildcard level parts topic and JSON path.

    >>> _source("plc/p1#power.total")
    ChannelSource(topic='plc/p1', field='power.total')
    >>> _source("plc/#")
    ChannelSource(topic='plc/#', field=None)
    """
    if isinstance(source, ChannelConfig):
        return ChannelSource(source.topic, source.field)
    topic, mark, path = source.partition("#")
    if not mark or not topic or topic.endswith("/"):
        return ChannelSource(source)
    return ChannelSource(topic, path)


def _known(source: KnownConfig) -> KnownSource:
    return KnownSource(source.topic, source.field, source.time, source.value)


def _horizon(stream: StreamConfig, period_ns: int, place: Place) -> int:
    """Count the steps of the baseline's horizon."""
    if stream.horizon is None:
        return DEFAULT_HORIZON_STEPS
    steps, rest = divmod(place.duration_ns("horizon", stream.horizon), period_ns)
    longest = format_duration(MAX_HORIZON_STEPS * period_ns)
    if rest or not 1 <= steps <= MAX_HORIZON_STEPS:
        raise place.fault(
            "the horizon is no whole number of periods",
            "horizon",
            found=stream.horizon,
            wanted=f"a multiple of {stream.every}, at most {longest}",
        )
    return steps


def _season_steps(stream: StreamConfig, period_ns: int, place: Place) -> int:
    """Count the steps of the baseline's season; 0 means none."""
    if stream.season == "none":
        return 0
    season_ns = UNITS_NS["d"] if stream.season is None else place.duration_ns("season", stream.season)
    steps, rest = divmod(season_ns, period_ns)
    if not rest and steps in SEASON_STEPS:
        return steps
    if stream.season is None:
        return 0
    raise place.fault(
        "the season is no usable number of periods",
        "season",
        found=stream.season,
        wanted=f"2 to {SEASON_STEPS[-1]} times {stream.every}, or none",
    )


def _limits(stream: StreamConfig, names: tuple[str, ...], place: Place) -> dict[str, Limits]:
    """Give the limits of each channel; a table without channels holds for all of them."""
    shared = {key: value for key, value in stream.limits.items() if not isinstance(value, Limits)}
    tables = {key: value for key, value in stream.limits.items() if isinstance(value, Limits)}
    if shared and (tables or not shared.keys() <= {"min", "max"}):
        raise place.fault(
            "limits mix two forms",
            "limits",
            found=", ".join(stream.limits),
            wanted="{ min = …, max = … }, or { channel = { min = …, max = … } }",
        )
    limits = dict.fromkeys(names, Limits(**shared)) if shared else tables
    for table in limits.values():
        low, high = (
            default if x is None else x for x, default in ((table.min, -math.inf), (table.max, math.inf))
        )
        if not low < high:
            raise place.fault(
                "the limits leave no value", "limits", found=f"{low} to {high}", wanted="min < max"
            )
    return limits
