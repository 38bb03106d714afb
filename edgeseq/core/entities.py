"""A stream → its entities in Home Assistant, each under a key that stays the same for ever."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any, get_args

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from edgeseq.core.device_classes import device_class, state_class
from edgeseq.core.discovery_payload import Availability, Component
from edgeseq.core.payloads import AlertPayload, StatusPayload
from edgeseq.core.told import RenderContext, base
from edgeseq.core.topics import has_wildcard, is_match, slug
from edgeseq.core.types import StreamInfo, StreamRule
from edgeseq.core.units import canonical

MAX_LABEL_CHARS, MAX_UNIT_CHARS = 64, 24

LIVE_FROM_NS = 10 * 10**9
"""Streams with shorter periods show their retained `latest`: each state that changes is kept in a database."""

PRESSED_BY = "Home Assistant"

_ONLINE = "{{ 'online' if value_json.state == 'online' else 'offline' }}"
"""bridge/state also says stopped, which is offline, too."""

Entities = Iterable[tuple[str, Component]]


def label_of(rule: StreamRule, info: StreamInfo) -> str:
    """Name a stream for people: what its topic adds to the table's filter, and its field.

    The only stream of a table needs no name beside its device's.

    >>> rule = StreamRule("zigbee2mqtt/+", 1, topics=("zigbee2mqtt/+",))
    >>> label_of(rule, StreamInfo("z-cellar-t", rule.key, "zigbee2mqtt/cellar", "temperature", 0))
    'cellar temperature'
    """
    if rule.channels:
        return ""
    known = next((one for one in rule.topics if is_match(one, info.topic)), info.topic)
    levels, given = known.split("/"), info.topic.split("/")
    start = next((n for n, level in enumerate(levels) if has_wildcard(level)), len(levels) - 1)
    return short(" ".join([*given[start:], *([info.field] if info.field else [])]) or info.id)


def short(text: str) -> str:
    """Bound a name; what cannot be printed is left out."""
    printable = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return printable if len(printable) <= MAX_LABEL_CHARS else f"{printable[: MAX_LABEL_CHARS - 1]}…"


def named(*parts: str) -> str:
    """Make a name of parts, some of which may be empty."""
    return " ".join(part for part in parts if part)


def bridge(context: RenderContext) -> Availability:
    """Give what says whether the node runs."""
    return Availability(f"{context.root}/bridge/state", _ONLINE)


def of_node(context: RenderContext) -> Entities:
    """Tell of the node itself; bridge is the id of no stream."""
    root = context.root
    yield "bridge_alerts", _sensor("Open alerts", f"{root}/bridge/alerts", "count", icon="mdi:alert")
    yield "bridge_streams", _diagnostic("Streams", f"{root}/bridge/health", "streams")
    memory = _diagnostic("Memory", f"{root}/bridge/health", "rss_bytes", unit="B")
    yield "bridge_memory", replace(memory, device_class="data_size")


def of_table(context: RenderContext, key: str) -> Entities:
    """Tell what a table's intervals have held; bridge/health lists the tables in the order of the configuration."""
    number = list(context.rules).index(key)
    found = _diagnostic("Interval coverage", f"{context.root}/bridge/health", f"intervals[{number}].coverage")
    yield f"bridge_coverage_{slug(key, distinct=True)}", found


def of_stream(context: RenderContext, stream: int, *, has_buttons: bool) -> Entities:
    """Tell of what a stream has once. Alerts are heard while its sensor is silent, too: silence is one of them."""
    rule, info = context.rule_of(stream), context.infos[stream]
    label, above = label_of(rule, info), base(context, stream)
    if rule.alerts:
        yield from _alerts(info.id, label, above)
        if has_buttons:
            yield from _buttons(context.root, info.id, label)
    for key, name in (("data", "data"), ("phase", "phase")):
        found = _diagnostic(named(label, name), f"{above}/status", key)
        words = _words(StatusPayload, key)
        yield f"{info.id}_{key}", replace(found, device_class="enum", options=words)
    if estimated := context.estimated.get(rule.key):
        yield f"{info.id}_estimate", _estimate(context, stream, label, estimated.target.name)


def _alerts(key: str, label: str, above: str) -> Entities:
    yield (
        f"{key}_anomaly",
        Component(
            platform="binary_sensor",
            name=named(label, "anomaly"),
            state_topic=f"{above}/anomaly",
            device_class="problem",
        ),
    )
    types = _words(AlertPayload, "event_type")
    yield (
        f"{key}_alert",
        Component(
            platform="event",
            name=named(label, "alert"),
            state_topic=f"{above}/alert",
            event_types=types,
            qos=1,
        ),
    )


def _buttons(root: str, stream: str, label: str) -> Entities:
    """Offer what people can say of a stream's alerts."""
    pressed = {
        "acknowledge": ("acknowledge", "acknowledge alerts", {}),
        "false_alarm": ("label", "false alarm", {"label": "false_alarm"}),
        "real": ("label", "real alarm", {"label": "real"}),
    }
    for key, (verb, name, more) in pressed.items():
        payload = {"stream": stream, "by": PRESSED_BY, **more}
        yield (
            f"{stream}_{key}",
            Component(
                platform="button",
                name=named(label, name),
                command_topic=f"{root}/bridge/request/{verb}",
                payload_press=msgspec.json.encode(payload).decode(),
                qos=1,
            ),
        )


def of_channel(context: RenderContext, stream: int, channel: int) -> Entities:
    """Tell of a channel's forecast, and of its own alerts where the stream has several channels."""
    rule, info = context.rule_of(stream), context.infos[stream]
    name = rule.channel_names[channel]
    key = f"{info.id}_{slug(name)}" if rule.channels else info.id
    label = short(name) if rule.channels else label_of(rule, info)
    above = base(context, stream, channel)
    is_live = rule.period_ns >= LIVE_FROM_NS
    topic = f"{above}/{'forecast' if is_live else 'latest'}"
    unit, both = _unit(info.unit or rule.unit_of(name)), _both(context, stream)
    forecast = _quantity(named(label, "forecast"), topic, "value", unit, both)
    if is_live and rule.publish_path:
        forecast = replace(
            forecast, attributes_topic=topic, attributes_template="{{ value_json.path | tojson }}"
        )
    yield f"{key}_forecast", replace(forecast, state_class=state_class(unit) or UNSET)
    yield f"{key}_lower", _quantity(named(label, "lower"), topic, "lower", unit, both)
    yield f"{key}_upper", _quantity(named(label, "upper"), topic, "upper", unit, both)
    skill = _diagnostic(named(label, "skill"), f"{above}/latest", "skill")
    yield f"{key}_skill", replace(skill, availability=both)
    if rule.channels and rule.alerts:
        yield from _alerts(key, label, above)


def _estimate(context: RenderContext, stream: int, label: str, target: str) -> Component:
    """Tell of what an estimator says: a number, or the class, which is retained."""
    rule, above, both = context.rule_of(stream), base(context, stream), _both(context, stream)
    found, name = context.estimated[rule.key].target, named(label, short(target))
    if not found.classes:
        return _quantity(name, f"{above}/estimate", "value", _unit(found.unit), both)
    state = _sensor(name, f"{above}/state", "state")
    return replace(state, device_class="enum", options=found.classes, availability=both)


def _both(context: RenderContext, stream: int) -> tuple[Availability, ...]:
    return (bridge(context), Availability(f"{base(context, stream)}/availability"))


def _unit(unit: str | None) -> str | None:
    found = None if unit is None else canonical(unit)
    return found if found and found.isprintable() and len(found) <= MAX_UNIT_CHARS else None


def _quantity(
    name: str, topic: str, field: str, unit: str | None, availability: tuple[Availability, ...]
) -> Component:
    found = _sensor(name, topic, field)
    return replace(
        found, unit=unit or UNSET, device_class=device_class(unit) or UNSET, availability=availability
    )


def _diagnostic(name: str, topic: str, field: str, *, unit: str | UnsetType = UNSET) -> Component:
    return replace(_sensor(name, topic, field), category="diagnostic", unit=unit)


def _sensor(name: str, topic: str, field: str, *, icon: str | UnsetType = UNSET) -> Component:
    return Component(
        platform="sensor",
        name=name,
        state_topic=topic,
        value_template=f"{{{{ value_json.{field} }}}}",
        icon=icon,
    )


@cache
def _words(struct: type[msgspec.Struct], name: str) -> tuple[str, ...]:
    """List the words that a field of a payload may have."""
    hint: Any = next(field.type for field in msgspec.structs.fields(struct) if field.name == name)
    return tuple(str(word) for word in (get_args(hint) or hint))
