"""What a [[streams]] table says of its alerts, and what contradicts itself in it."""

from __future__ import annotations

import math

import msgspec

from edgeseq.config import StreamConfig
from edgeseq.config.place import Place
from edgeseq.core.topics import filter_fault, has_wildcard
from edgeseq.core.types import Alerting, StreamRule, SwitchSource

EQUALS = "=="


def alerting(rule: StreamRule, stream: StreamConfig, place: Place) -> StreamRule:
    """Put into a rule what its table says of alerts, and when its machine is on."""
    names = rule.forecast_names or rule.channel_names
    told = Alerting(
        kinds=tuple(stream.alerts) if isinstance(stream.alerts, list) else (),
        min_deviation=_min_deviation(stream, names, place),
        direction=stream.direction,
        sensitivity=stream.sensitivity,
        min_duration_ns=place.optional_ns("min_duration", stream.min_duration),
        refractory_ns=_refractory_ns(stream, rule.period_ns, place),
    )
    if stream.settle is not None and stream.active_when is None:
        raise place.fault(
            "settle is given, but not what switches the machine on",
            "settle",
            found=stream.settle,
            do="add active_when, or remove settle",
        )
    return msgspec.structs.replace(
        rule,
        alerts=stream.alerts is True or isinstance(stream.alerts, list),
        alerting=told,
        active_when=_switch(stream, place),
        settle_ns=place.optional_ns("settle", stream.settle),
    )


def _min_deviation(
    stream: StreamConfig, names: tuple[str, ...], place: Place
) -> dict[str, tuple[float, float]]:
    """Read the smallest deviation of each channel: in sensor units, and as a share."""
    given = stream.min_deviation
    if given is None:
        return {}
    of_channels = given if isinstance(given, dict) else dict.fromkeys(names, given)
    for name in of_channels:
        if name not in names:
            raise place.fault(
                "min_deviation names no channel that is forecast",
                "min_deviation",
                found=name,
                wanted=f"one of {', '.join(names)}",
            )
    return {name: _deviation(value, place) for name, value in of_channels.items()}


def _deviation(value: float | str, place: Place) -> tuple[float, float]:
    """Read one: 0.5, or "5%"."""
    number, percent = value, False
    if isinstance(value, str):
        text = value.strip()
        percent = text.endswith("%")
        try:
            number = float(text.removesuffix("%"))
        except ValueError:
            number = math.nan
    if not isinstance(number, str) and math.isfinite(number) and number >= 0 and (percent or number is value):
        return (0.0, number / 100) if percent else (float(number), 0.0)
    raise place.fault(
        "min_deviation is no deviation",
        "min_deviation",
        found=value,
        wanted='a number in the unit of the readings, such as 0.5, or a share of what is expected, such as "5%"',
    )


def _refractory_ns(stream: StreamConfig, period_ns: int, place: Place) -> int | None:
    """Read the time after an alert: periods, or a duration."""
    given = stream.refractory
    if given is None:
        return None
    return place.duration_ns("refractory", given) if isinstance(given, str) else given * period_ns


def _switch(stream: StreamConfig, place: Place) -> SwitchSource | None:
    """Read what tells whether a machine is on: topic, topic#json.path, either with == value."""
    if stream.active_when is None:
        return None
    where, mark, value = (part.strip() for part in stream.active_when.partition(EQUALS))
    topic, hash_, path = where.partition("#")
    fault = filter_fault(topic) if topic else "at least one"
    if fault or has_wildcard(topic) or (hash_ and not path) or (mark and not value):
        raise place.fault(
            "active_when names no topic and value",
            "active_when",
            found=stream.active_when,
            wanted='one topic without wildcards: "plc/p1/run", "plc/p1#state.run", "plc/p1#mode == auto"',
        )
    return SwitchSource(topic, path or None, value.strip("\"'") if mark else None)
