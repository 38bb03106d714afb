"""Which family of devices a topic belongs to, told by topics alone: its own, and those that stand beside it.

`reader_of` is asked when a message comes, `families_of` when all have been seen: what Home Assistant and ESPHome call a
sensor's state differs only in what is said beside it, and a device's base topic may be anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

PLAIN = ""
"""No family: JSON, or a payload that is the number."""

ENTITY = "homeassistant"
"""Reads <base>/<domain>/<object>/<attribute>, which ESPHome has, too."""

_INFLUX = frozenset({"telegraf", "influx", "influxdb"})
_TASMOTA = frozenset({"tele", "stat", "cmnd"})
_ONLY_HOMEASSISTANT = frozenset(
    {
        "automation",
        "calendar",
        "device_tracker",
        "input_boolean",
        "input_datetime",
        "input_number",
        "input_select",
    }
    | {"media_player", "person", "scene", "script", "sun", "weather", "zone", "update", "counter", "timer"}
)
_DOMAINS = _ONLY_HOMEASSISTANT | frozenset(
    {
        "alarm_control_panel",
        "binary_sensor",
        "button",
        "climate",
        "cover",
        "event",
        "fan",
        "humidifier",
        "light",
    }
    | {"lock", "number", "select", "sensor", "siren", "switch", "text", "text_sensor", "vacuum", "valve"}
)
_OF_ESPHOME = frozenset({"state", "command", "config"})
_COMPONENT = re.compile(r"[a-z0-9_]+:[0-9]+|sys|wifi|eth|cloud|mqtt|ws|ble|ui|bthome|ht_ui")
_OF_ZIGBEE_BRIDGE = frozenset({"devices", "groups", "definitions", "extensions", "converters"})
"""Topics of the bridge that nothing but Zigbee2MQTT has."""


def reader_of(topic: str) -> str:
    """Name the family that reads topics of this shape.

    >>> reader_of("tele/boiler/SENSOR"), reader_of("shellyplus1pm-a8/status/switch:0"), reader_of("plant/flow")
    ('tasmota', 'shelly2', '')
    """
    levels = topic.split("/")
    if levels[0] == "spBv1.0":
        return "sparkplug"
    if levels[0] in _INFLUX:
        return "influx"
    if levels[0] == "shellies":
        return "shelly1"
    if levels[-2:] == ["events", "rpc"] or (levels[-2:-1] == ["status"] and _COMPONENT.fullmatch(levels[-1])):
        return "shelly2"
    if levels[-1] in ("SENSOR", "STATE", "LWT", "RESULT") and _TASMOTA & {*levels}:
        return "tasmota"
    if len(levels) > 3 and levels[1] == "5" and (levels[3][:1] == "$" or len(levels) == 5):
        return "homie"
    if len(levels) > 3 and levels[-3] in _DOMAINS:
        return ENTITY
    return PLAIN


def families_of(topics: Iterable[str]) -> dict[str, str]:
    """Tell the family of each topic, PLAIN where it has none."""
    known = list(topics)
    zigbee = zigbee_bases(known)
    homeassistant = _homeassistant_bases(known)
    homie = {device for topic in known if (device := _described(topic))}
    return {topic: _family(topic, zigbee, homeassistant, homie) for topic in known}


def _family(topic: str, zigbee: set[str], homeassistant: set[str], homie: set[str]) -> str:
    if any(topic.startswith(f"{base}/") for base in zigbee):
        return "zigbee2mqtt"
    if "/".join(topic.split("/")[:3]) in homie:
        return "homie"
    reader = reader_of(topic)
    if reader == "homie":
        return PLAIN
    if reader != ENTITY:
        return reader
    base, domain, _, last = topic.rsplit("/", 3)
    if base in homeassistant:
        return ENTITY
    return "esphome" if last in _OF_ESPHOME and domain not in _ONLY_HOMEASSISTANT else PLAIN


def zigbee_bases(topics: Iterable[str]) -> set[str]:
    """List the base topics of Zigbee2MQTT: its usual one, and those whose bridge tells of devices."""
    found = {"zigbee2mqtt"}
    for topic in topics:
        base, _, last = topic.rpartition("/")
        if last in _OF_ZIGBEE_BRIDGE and base.endswith("/bridge"):
            found.add(base.removesuffix("/bridge"))
    return found


def _homeassistant_bases(topics: Iterable[str]) -> set[str]:
    """List the base topics of statestream: below them stand attributes, and domains that ESPHome has not."""
    found = set()
    for topic in topics:
        if reader_of(topic) != ENTITY:
            continue
        base, domain, _, last = topic.rsplit("/", 3)
        if last not in _OF_ESPHOME or (domain in _ONLY_HOMEASSISTANT and last == "state"):
            found.add(base)
    return found


def _described(topic: str) -> str | None:
    """Give the device that a topic of Homie describes."""
    levels = topic.split("/")
    is_description = len(levels) == 4 and levels[1] == "5" and levels[3] in ("$description", "$state")
    return "/".join(levels[:3]) if is_description else None
