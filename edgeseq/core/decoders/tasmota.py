"""Tasmota: tele/<topic>/SENSOR carries an object of objects, one a sensor; tele/<topic>/STATE is of the device itself.

Units that a device can be set to stand in each message (`TempUnit`, `PressureUnit`, `SpeedUnit`). `Time` is local time
without an offset unless the device is told otherwise, so it is used only where the configuration says `time = "Time"`.
"""

from __future__ import annotations

from typing import Any

from edgeseq.core.decoders.documents import read_object, values
from edgeseq.core.decoders.family import NOTHING, Family, Memory, Said
from edgeseq.core.parsing import Fault
from edgeseq.core.types import Message

_READ = frozenset({"SENSOR", "STATE", "STATUS8", "STATUS10"})
_OF_THE_DEVICE = frozenset(
    {"Uptime", "UptimeSec", "Heap", "Sleep", "LoadAvg", "MqttCount", "Vcc", "Dimmer", "CT", "White", "Speed"}
    | {"Fade", "Scheme", "Width"}
)
_BELOW = ("Wifi.", "Berry.", "Color.", "HSBColor.", "Channel.", "Ethernet.", "Switch", "POWER")
_MOST_DEVICES = 4096
"""Whose units are remembered: those of others are taken as the usual ones."""

_DEFAULTS = ("C", "hPa", "m/s")
_SETTINGS = ("TempUnit", "PressureUnit", "SpeedUnit")
_OF_SETTING = {
    **dict.fromkeys(("Temperature", "DewPoint", "HeatIndex"), 0),
    **dict.fromkeys(("Pressure", "SeaPressure"), 1),
    **dict.fromkeys(("WindSpeed", "Speed"), 2),
}
_FIXED = {
    "Power": "W",
    "ApparentPower": "VA",
    "ReactivePower": "var",
    "Voltage": "V",
    "Current": "A",
    **dict.fromkeys(("Total", "Today", "Yesterday", "ExportActive", "ImportActive"), "kWh"),
    "Period": "Wh",
    "Frequency": "Hz",
    "Humidity": "%",
    "Illuminance": "lx",
    "CarbonDioxide": "ppm",
    "Distance": "cm",
    "PM2.5": "µg/m³",
    "PM10": "µg/m³",
}


def _read(memory: Memory, message: Message) -> Said:
    found = read_object(message.payload)
    if isinstance(found, Fault):
        return Said(faults=(found,))
    status = found.get("StatusSNS")
    document: dict[str, Any] = status if isinstance(status, dict) else found
    if "TempUnit" in document or "PressureUnit" in document or "SpeedUnit" in document:
        _learn(memory, message.topic, document)
    return Said(values(document), (), document) if document else NOTHING


def _learn(memory: Memory, topic: str, document: dict[str, Any]) -> None:
    """Remember the units that a device is set to."""
    known = memory.facts.get(topic) or list(_DEFAULTS)
    told = [document.get(key, before) for key, before in zip(_SETTINGS, known, strict=True)]
    units = [unit if isinstance(unit, str) and len(unit) < 16 else "" for unit in told]
    if units == known or (topic not in memory.facts and len(memory.facts) >= _MOST_DEVICES):
        return
    memory.facts[topic] = units
    memory.is_changed = True


def _unit(memory: Memory, topic: str, name: str) -> str:
    """Give the unit of a path such as AM2301.Temperature, or ENERGY.Power.1."""
    *above, last = name.split(".")
    if last.isdigit() and above:
        last = above[-1]
    if name.endswith("PM2.5"):
        last = "PM2.5"
    setting = _OF_SETTING.get(last)
    if setting is None:
        return _FIXED.get(last, "")
    units = memory.facts.get(topic) or _DEFAULTS
    unit: str = units[setting]
    return unit


def _passes_by(topic: str) -> bool:
    return topic.rpartition("/")[2] not in _READ


def _is_bookkeeping(name: str) -> bool:
    return name in _OF_THE_DEVICE or name.startswith(_BELOW)


FAMILY = Family(
    name="tasmota",
    topics=("tele/+/SENSOR", "tele/+/STATE"),
    read=_read,
    passes_by=_passes_by,
    unit=_unit,
    is_bookkeeping=_is_bookkeeping,
    is_document=True,
)
