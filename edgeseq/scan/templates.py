"""The filters under which a family's devices are found, also those that come tomorrow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from edgeseq.core.decoders import FAMILIES
from edgeseq.core.topics import is_match
from edgeseq.scan.filters import cover
from edgeseq.scan.observe import Observed

Template = Callable[[str], list[str]]
"""Topic → filters that bring it, its likes of other devices, and what tells of them."""


def filters_of(family: str, topics: Sequence[str], seen: Observed) -> list[str]:
    """Choose filters of a family: wildcards where nothing else that was seen would come with them.

    Args:
        family: its name.
        topics: those on which numbers came.
        seen: everything, so that what does not belong is known.
    """
    chosen: dict[str, None] = {}
    strangers = [t.name for t in seen.topics.values() if t.reader != family]
    for topic in sorted(topics):
        if any(is_match(one, topic) for one in chosen):
            continue
        wide = _TEMPLATES[family](topic)
        if not _is_any(wide, strangers):
            chosen |= dict.fromkeys(wide)
            continue
        alike = [other for other in topics if _TEMPLATES[family](other) == wide]
        chosen |= dict.fromkeys(cover(alike, strangers))
    return list(chosen)


def companions_of(family: str, filters: Sequence[str]) -> list[str]:
    """Name the filters of what tells of units and types beside some filters of a family."""
    if family == "homeassistant":
        return [
            f"{one.removesuffix('/state')}/unit_of_measurement" for one in filters if one.endswith("/state")
        ]
    if family == "homie":
        return sorted({"/".join([*one.split("/")[:3], "$description"]) for one in filters})
    return []


def _is_any(filters: Iterable[str], topics: Sequence[str]) -> bool:
    return any(is_match(one, topic) for one in filters for topic in topics)


def _zigbee2mqtt(topic: str) -> list[str]:
    """Name devices below the base; names with levels of their own are as deep as those seen."""
    base, *rest = topic.split("/")
    return ["/".join([base, *("+" for _ in rest)])]


def _tasmota(topic: str) -> list[str]:
    levels = topic.split("/")
    fixed = ("tele", "stat", levels[-1])
    return ["/".join(level if level in fixed else "+" for level in levels)]


def _shelly1(_: str) -> list[str]:
    return ["shellies/+/#"]


def _shelly2(topic: str) -> list[str]:
    *above, kind, last = topic.split("/")
    return ["/".join(["+" for _ in above] + [kind, last if last == "rpc" else "+"])]


def _esphome(topic: str) -> list[str]:
    *above, component, _, last = topic.split("/")
    return ["/".join([*("+" for _ in above), component, "+", last])]


def _homeassistant(topic: str) -> list[str]:
    base = topic.rsplit("/", 3)[0]
    return [f"{base}/+/+/state", f"{base}/+/+/unit_of_measurement"]


def _homie(topic: str) -> list[str]:
    domain = topic.split("/", maxsplit=1)[0]
    return [f"{domain}/5/+/+/+", f"{domain}/5/+/$description"]


def _usual(family: str) -> Template:
    return lambda topic: [f"{topic.split('/')[0]}/#"] if family else []


_TEMPLATES: dict[str, Template] = {
    **{name: _usual(name) for name in FAMILIES},
    "zigbee2mqtt": _zigbee2mqtt,
    "tasmota": _tasmota,
    "shelly1": _shelly1,
    "shelly2": _shelly2,
    "esphome": _esphome,
    "homeassistant": _homeassistant,
    "homie": _homie,
}
"""Of a new decoder: all below the first level of its topics."""
