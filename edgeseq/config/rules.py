"""Turn the [[streams]] tables of a configuration into the core's rules, and refuse what contradicts itself."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass

from edgeseq.config import ChannelConfig, KnownConfig, StreamConfig
from edgeseq.config.alerting import alerting
from edgeseq.config.decoding import decoded, family_of
from edgeseq.core.decoders import FAMILIES
from edgeseq.core.durations import UNITS_NS, WANTED, format_duration, parse_duration
from edgeseq.core.topics import filter_fault, has_wildcard, is_covered, is_overlap, slug
from edgeseq.core.types import ChannelSource, KnownSource, Limits, StreamRule
from edgeseq.errors import ConfigError

DEFAULT_HORIZON_STEPS = 24
MAX_HORIZON_STEPS = 1024
MAX_PERIOD_NS = 366 * UNITS_NS["d"]

SEASON_STEPS = range(2, 2881)
"""A day of 30 s periods is 2880 steps: the baseline keeps its seasons of every stream in memory."""


_UNIT_WORDS = tuple(
    (re.compile(rf"(?<=[0-9])\s*(?:{words})(?![a-z])"), unit)
    for words, unit in (
        ("ms|msecs?|milliseconds?", "ms"),
        ("s|secs?|seconds?", "s"),
        ("m|mins?|minutes?", "m"),
        ("h|hrs?|hours?", "h"),
        ("d|days?", "d"),
        ("w|wks?|weeks?", "w"),
    )
)


@dataclass(frozen=True, slots=True)
class Place:
    """A table of the file, to say where something is wrong."""

    file: str
    table: str

    def fault(
        self,
        what: str,
        key: str | None = None,
        *,
        found: object = None,
        wanted: str | None = None,
        do: str | None = None,
    ) -> ConfigError:
        """Make the error of a key of this table."""
        where = f"{self.file}: {self.table}{f'.{key}' if key else ''}"
        return ConfigError(
            what, where=where, found=None if found is None else str(found), wanted=wanted, do=do
        )

    def duration_ns(self, key: str, text: str) -> int:
        """Read a duration."""
        duration_ns = parse_duration(text)
        if duration_ns is None:
            meant = _meant(text)
            do = f'did you mean "{meant}"?' if meant else None
            if parse_duration(f"{text}s"):
                do = f'add a unit, such as "{text}s"'
            raise self.fault(f"{key} is no duration", key, found=text, wanted=WANTED, do=do)
        return duration_ns

    def optional_ns(self, key: str, text: str | None) -> int:
        """Read a duration; 0 where it is not given."""
        return 0 if text is None else self.duration_ns(key, text)


def _meant(text: str) -> str | None:
    """Guess the duration that was meant: units written out, blanks, capitals.

    >>> _meant("10 min"), _meant("1 Hour 30 minutes"), _meant("often"), _meant("0 s")
    ('10m', '1h30m', None, None)
    """
    known = text.casefold().replace(",", " ").replace(" and ", " ")
    for pattern, unit in _UNIT_WORDS:
        known = pattern.sub(unit, known)
    duration_ns = parse_duration("".join(known.split()))
    return None if duration_ns is None else format_duration(duration_ns)


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
        _check_loop(rule, place, output)
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
    _check_binding(stream, topics, fields, place)
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
    for check in (_check_names, _check_known, _check_topics, _check_fields, _check_lateness):
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


# --- checks -----------------------------------------------------------------------------------------------------


def _check_binding(
    stream: StreamConfig, topics: tuple[str, ...], fields: tuple[str, ...], place: Place
) -> None:
    """Demand either topics or named channels, not a mixture."""
    if not topics and not stream.channels:
        raise place.fault(
            "the table names no messages", wanted="topic, or name and channels", do='add topic = "sensors/+"'
        )
    if topics and stream.channels:
        raise place.fault(
            "topic and channels exclude each other",
            "channels",
            do="move the topics into channels, or split the table",
        )
    if stream.channels and not stream.name:
        raise place.fault(
            "channels need a name", "channels", wanted="name: the stream's", do='add name = "pump1" or such'
        )
    if stream.channels and fields:
        raise place.fault(
            "fields belong to the channels",
            "field" if stream.field else "fields",
            found=", ".join(fields),
            wanted='channels = { flow = "topic#json.path" }',
        )
    if stream.field is not None and stream.fields:
        raise place.fault(
            "field and fields exclude each other", "field", found=stream.field, do="use fields alone"
        )


def _check_names(rule: StreamRule, place: Place) -> None:
    """Demand names that stay apart as topic levels, and tables that speak of channels that exist."""
    names = rule.channel_names
    slugs = Counter(slug(name) for name in names)
    same = [name for name in names if slugs[slug(name)] > 1]
    if same:
        raise place.fault("two channels would share a topic", "channels", found=", ".join(same))
    for key, table in (("unit", rule.units), ("limits", rule.limits)):
        unknown = [name for name in table if name not in names]
        if unknown:
            wanted = f"one of {', '.join(names)}" if rule.channels else f"{key} without a channel"
            raise place.fault(f"{key} of an unknown channel", key, found=", ".join(unknown), wanted=wanted)


def _check_lateness(rule: StreamRule, place: Place) -> None:
    """Demand the readings' own times where some may come late: by arrival none ever does."""
    if rule.decoder is not None and FAMILIES[rule.decoder].has_times:
        return
    if rule.lateness_steps and rule.time_field is None:
        raise place.fault(
            "readings that come late need a time of their own",
            "lateness_steps",
            found=rule.lateness_steps,
            wanted="time: the JSON path of the reading's time",
            do='add time = "…", or remove lateness_steps',
        )


def _check_known(rule: StreamRule, place: Place) -> None:
    """Demand a bundle for known covariates, and one topic for each: of several, which would be the newest?"""
    if rule.known and rule.bundle is None:
        raise place.fault(
            "known covariates are inputs of a bundle, but there is none",
            "known",
            found=", ".join(rule.known),
            do="add bundle = …, or remove known",
        )
    for name, source in rule.known.items():
        if has_wildcard(source.topic):
            raise place.fault(
                "a known covariate comes from one topic",
                f"known.{name}.topic",
                found=source.topic,
                wanted="a topic without + and #",
            )


def _check_topics(rule: StreamRule, place: Place) -> None:
    """Demand valid topic filters."""
    wanted = [("topic", topic) for topic in rule.topics]
    wanted += [("exclude", topic) for topic in rule.exclude]
    wanted += [(f"channels.{name}", source.topic) for name, source in rule.channels.items()]
    wanted += [(f"known.{name}.topic", source.topic) for name, source in rule.known.items()]
    for key, topic_filter in wanted:
        fault = filter_fault(topic_filter)
        if fault:
            raise place.fault(
                "the topic filter is invalid", key, found=topic_filter, wanted=f"MQTT levels: {fault}"
            )


def _check_loop(rule: StreamRule, place: Place, output: str) -> None:
    """Refuse to read what edgeseq publishes."""
    if any(is_covered(output, excluded) for excluded in rule.exclude):
        return
    # Other nodes' outputs are no readings either: advise to leave out all below the prefix.
    whole = output.removesuffix("/#").rpartition("/")[0] + "/#"
    for key, topic_filter in _sources(rule):
        if is_overlap(topic_filter, output):
            raise place.fault(
                "the topic filter matches what edgeseq itself publishes",
                key,
                found=topic_filter,
                wanted=f"no topic of {output}",
                do=f'add exclude = ["{whole}"]',
            )


def _check_fields(rule: StreamRule, place: Place) -> None:
    """Demand JSON where something is looked up in it, and marks that can be told good."""
    paths: set[str | None] = {source.field for source in rule.channels.values()} or {*rule.fields} or {None}
    if "" in paths:
        raise place.fault(
            "a JSON path is empty", "channels" if rule.channels else "fields", wanted="a path such as a.b"
        )
    twice = [path for path, count in Counter(rule.fields).items() if count > 1]
    if twice:
        raise place.fault("a field is named twice", "fields", found=", ".join(twice))
    for key, path in (("time", rule.time_field), ("id", rule.id_field), ("quality", rule.quality_field)):
        if path is not None and None in paths and rule.decoder is None:
            raise place.fault(
                f"{key} is looked up in JSON, but the payload is a plain number",
                key,
                found=path,
                wanted="field, fields or channels with a JSON path",
            )
    if (rule.quality_field is None) is not (not rule.quality_good):
        raise place.fault(
            "quality and good belong together",
            "quality" if rule.quality_good else "good",
            wanted='such as quality = "q" and good = ["good", 192]',
        )


# --- values -----------------------------------------------------------------------------------------------------


def _sources(rule: StreamRule) -> list[tuple[str, str]]:
    """List key and topic filter of all that a rule reads."""
    channels = [(f"channels.{name}", source.topic) for name, source in rule.channels.items()]
    known = [(f"known.{name}.topic", source.topic) for name, source in rule.known.items()]
    switch = [("active_when", rule.active_when.topic)] if rule.active_when else []
    return [*(("topic", topic) for topic in rule.topics), *channels, *known, *switch]


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
