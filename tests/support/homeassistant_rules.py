"""Home Assistant's rules of device-based MQTT discovery, as its documentation and sources state them: version 2024.11.

Strict: keys beyond the tables below are errors, though Home Assistant ignores some. Written from those rules alone, not
from what edgeseq sends.
"""

from __future__ import annotations

import json
import re
from typing import Any

ABBREVIATIONS = {
    "avty": "availability", "avty_mode": "availability_mode", "avty_t": "availability_topic", "cmd_t": "command_topic",
    "cmd_tpl": "command_template", "cmps": "components", "dev": "device", "dev_cla": "device_class", "e": "encoding",
    "en": "enabled_by_default", "ent_cat": "entity_category", "exp_aft": "expire_after", "frc_upd": "force_update",
    "ic": "icon", "json_attr_t": "json_attributes_topic", "json_attr_tpl": "json_attributes_template", "o": "origin",
    "obj_id": "object_id", "ops": "options", "p": "platform", "pl_avail": "payload_available",
    "pl_not_avail": "payload_not_available", "pl_off": "payload_off", "pl_on": "payload_on", "pl_prs": "payload_press",
    "ret": "retain", "stat_cla": "state_class", "stat_t": "state_topic", "t": "topic", "uniq_id": "unique_id",
    "unit_of_meas": "unit_of_measurement", "val_tpl": "value_template",
}  # fmt: skip
DEVICE_ABBREVIATIONS = {
    "cns": "connections", "cu": "configuration_url", "hw": "hw_version", "ids": "identifiers", "mdl": "model",
    "mf": "manufacturer", "sa": "suggested_area", "sn": "serial_number", "sw": "sw_version",
}  # fmt: skip
ORIGIN_ABBREVIATIONS = {"sw": "sw_version", "url": "support_url"}

SHARED = {
    "availability", "availability_mode", "availability_template", "availability_topic", "command_topic",
    "payload_available", "payload_not_available", "state_topic",
}  # fmt: skip
"""Keys of the root that hold for components without their own."""

ROOT = SHARED | {"device", "components", "origin", "qos", "encoding"}
DEVICE = set(DEVICE_ABBREVIATIONS.values()) | {"name", "via_device"}
ORIGIN = {"name", "sw_version", "support_url"}
AVAILABILITY = {"topic", "payload_available", "payload_not_available", "value_template"}
COMMON = {
    "platform", "name", "unique_id", "object_id", "device", "origin", "enabled_by_default", "entity_category", "icon",
    "entity_picture", "json_attributes_topic", "json_attributes_template", "qos", "encoding", "availability",
    "availability_mode", "availability_topic", "availability_template", "payload_available", "payload_not_available",
}  # fmt: skip
OF_PLATFORM = {
    "sensor": {
        "state_topic", "value_template", "unit_of_measurement", "device_class", "state_class", "expire_after",
        "force_update", "last_reset_value_template", "options", "suggested_display_precision",
    },
    "binary_sensor": {
        "state_topic", "value_template", "device_class", "payload_on", "payload_off", "expire_after", "force_update",
        "off_delay",
    },
    "event": {"state_topic", "value_template", "device_class", "event_types"},
    "button": {"command_topic", "command_template", "device_class", "payload_press", "retain"},
}  # fmt: skip
REQUIRED = {
    "sensor": {"state_topic"}, "binary_sensor": {"state_topic"}, "event": {"state_topic", "event_types"},
    "button": {"command_topic"},
}  # fmt: skip

UNITS_OF_CLASS = {
    "temperature": {"°C", "°F", "K"}, "power": {"W", "kW"}, "apparent_power": {"VA"}, "reactive_power": {"var"},
    "energy": {"Wh", "kWh", "MWh", "MJ", "GJ"}, "voltage": {"V", "mV"}, "current": {"A", "mA"},
    "frequency": {"Hz", "kHz", "MHz", "GHz"},
    "pressure": {"Pa", "hPa", "kPa", "bar", "cbar", "mbar", "mmHg", "inHg", "psi"},
    "speed": {"ft/s", "in/d", "in/h", "km/h", "kn", "m/s", "mph", "mm/d", "mm/s"},
    "volume_flow_rate": {"m³/h", "ft³/min", "L/min", "gal/min", "mL/s"},
    "weight": {"kg", "g", "mg", "µg", "oz", "lb", "st"}, "duration": {"d", "h", "min", "s", "ms"},
    "illuminance": {"lx"}, "irradiance": {"W/m²", "BTU/(h⋅ft²)"}, "signal_strength": {"dB", "dBm"},
    "data_size": {"bit", "kbit", "Mbit", "Gbit", "B", "kB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB"},
}  # fmt: skip
NO_MEASUREMENT = {"energy", "enum", "gas", "monetary", "volume", "water", "date", "timestamp"}
BINARY_CLASSES = {"problem", "connectivity", "running", "safety", "update"}

TOPIC = re.compile(r"(?P<component>\w+)/(?:(?P<node>[a-zA-Z0-9_-]+)/)?(?P<object>[a-zA-Z0-9_-]+)/config")


def parse(payload: bytes) -> dict[str, Any]:
    """Read a device's message: abbreviations written out, every rule held, shared keys handed to the components.

    Components that name their platform alone, which removes them, stay as they are.
    """
    root = _long(json.loads(payload), ABBREVIATIONS)
    require(set(root) <= ROOT, f"root: {set(root) - ROOT}")
    require({"device", "components", "origin"} <= set(root), "device, components and origin are needed")
    device = root["device"] = _long(root["device"], DEVICE_ABBREVIATIONS)
    require(set(device) <= DEVICE, f"device: {set(device) - DEVICE}")
    require(device.get("identifiers") or device.get("connections"), "a device needs an identifier")
    origin = root["origin"] = _long(root["origin"], ORIGIN_ABBREVIATIONS)
    require(set(origin) <= ORIGIN and bool(origin.get("name")), "an origin has a name")
    _check_availability(root)
    for key, given in root["components"].items():
        component = root["components"][key] = _long(given, ABBREVIATIONS)
        require(" " not in key, f"{key}: blanks part ids")
        require(component.get("platform") in OF_PLATFORM, f"{key}: platform")
        if set(component) == {"platform"}:
            continue
        check_component(key, component)
        for shared in SHARED & set(root):
            component.setdefault(shared, root[shared])
    return root


def check_component(key: str, component: dict[str, Any]) -> None:
    """Hold an entity against the rules of its platform."""
    platform = component["platform"]
    known = COMMON | OF_PLATFORM[platform]
    require(set(component) <= known, f"{key}: {set(component) - known} is unknown to a {platform}")
    missing = (REQUIRED[platform] | {"unique_id"}) - set(component)
    require(not missing, f"{key}: {missing} is missing")
    for name in ("state_topic", "command_topic", "json_attributes_topic"):
        if name in component:
            check_topic(component[name])
    require(component.get("entity_category", "diagnostic") in ("diagnostic", "config"), f"{key}: category")
    require(component.get("qos", 0) in (0, 1, 2), f"{key}: qos")
    require(
        "json_attributes_template" not in component or "json_attributes_topic" in component,
        f"{key}: template",
    )
    _check_availability(component)
    if platform == "sensor":
        _check_sensor(key, component)
    if platform == "binary_sensor":
        require(component.get("device_class", "problem") in BINARY_CLASSES, f"{key}: device_class")
    if platform == "event":
        types = component["event_types"]
        require(types and all(isinstance(word, str) for word in types), f"{key}: event_types")


def _check_sensor(key: str, sensor: dict[str, Any]) -> None:
    unit, kind, statistics = (sensor.get(n) for n in ("unit_of_measurement", "device_class", "state_class"))
    if kind == "enum" or "options" in sensor:
        require(kind == "enum" and sensor.get("options"), f"{key}: options are those of an enum")
        require(unit is None and statistics is None, f"{key}: an enum has neither unit nor statistics")
        require(len(set(sensor["options"])) == len(sensor["options"]), f"{key}: options are unique")
    elif kind is not None:
        require(unit in UNITS_OF_CLASS[kind], f"{key}: {unit} is no unit of {kind}")
    require(statistics in (None, "measurement", "total", "total_increasing"), f"{key}: state_class")
    require(statistics != "measurement" or kind not in NO_MEASUREMENT, f"{key}: {kind} is no measurement")


def _check_availability(part: dict[str, Any]) -> None:
    require(not {"availability", "availability_topic"} <= set(part), "availability is said twice")
    require(part.get("availability_mode", "all") in ("all", "any", "latest"), "availability_mode")
    if "availability" in part:
        part["availability"] = [_long(one, ABBREVIATIONS) for one in part["availability"]]
    for one in part.get("availability", []):
        require(set(one) <= AVAILABILITY and "topic" in one, f"availability: {one}")
        check_topic(one["topic"])


def check_topic(topic: str) -> None:
    """Demand a topic without wildcards."""
    require(topic and not set("+#\0") & set(topic) and len(topic.encode()) <= 65_535, f"topic {topic!r}")


def _long(part: dict[str, Any], abbreviations: dict[str, str]) -> dict[str, Any]:
    return {abbreviations.get(key, key): value for key, value in part.items()}


def require(condition: object, what: str) -> None:
    """Fail naming the rule."""
    assert condition, what


# --- templates --------------------------------------------------------------------------------------------------

_FIELD = re.compile(r"\{\{ value_json((?:\.[a-z_]+|\[\d+\])+)( \| tojson)? \}\}")
_CHOICE = re.compile(r"\{\{ '(\w+)' if value_json\.(\w+) == '(\w+)' else '(\w+)' \}\}")


def render(template: str | None, payload: bytes) -> str:
    """Evaluate the templates that edgeseq uses, as Jinja does: a field, a field as JSON, a choice by a field."""
    if template is None:
        return payload.decode()
    value: Any = json.loads(payload)
    if choice := _CHOICE.fullmatch(template):
        yes, name, wanted, no = choice.groups()
        return yes if value[name] == wanted else no
    found = _FIELD.fullmatch(template)
    assert found, f"no template of ours: {template}"
    for name, index in re.findall(r"\.([a-z_]+)|\[(\d+)\]", found[1]):
        value = value[name] if name else value[int(index)]
    return json.dumps(value) if found[2] else str(value)
