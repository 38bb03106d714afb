"""What a [[streams]] table contradicts in itself: each check refuses one sort of it."""

from __future__ import annotations

from collections import Counter

from edgeseq.config import StreamConfig
from edgeseq.config.place import Place
from edgeseq.core.decoders import FAMILIES
from edgeseq.core.topics import filter_fault, has_wildcard, is_covered, is_overlap, slug
from edgeseq.core.types import StreamRule


def check_binding(
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


def check_names(rule: StreamRule, place: Place) -> None:
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


def check_lateness(rule: StreamRule, place: Place) -> None:
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


def check_known(rule: StreamRule, place: Place) -> None:
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


def check_topics(rule: StreamRule, place: Place) -> None:
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


def check_loop(rule: StreamRule, place: Place, output: str) -> None:
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


def check_fields(rule: StreamRule, place: Place) -> None:
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


def _sources(rule: StreamRule) -> list[tuple[str, str]]:
    """List key and topic filter of all that a rule reads."""
    channels = [(f"channels.{name}", source.topic) for name, source in rule.channels.items()]
    known = [(f"known.{name}.topic", source.topic) for name, source in rule.known.items()]
    switch = [("active_when", rule.active_when.topic)] if rule.active_when else []
    return [*(("topic", topic) for topic in rule.topics), *channels, *known, *switch]
