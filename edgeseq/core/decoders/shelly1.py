"""Shelly, first generation: shellies/<id>/… with one plain number a topic (sensor/temperature, relay/0/power)."""

from __future__ import annotations

from edgeseq.core.decoders.family import NOTHING, Family, Memory, Said
from edgeseq.core.decoders.texts import number_or_text
from edgeseq.core.parsing import Fault
from edgeseq.core.types import Message, Reason

_PASSED_BY = frozenset({"announce", "online", "info", "command", "settings", "set", "status"})
_BOOKKEEPING = frozenset({"temperature_f", "overtemperature", "overpower_value", "error", "act_reasons"})
_SWITCHES = frozenset({"input", "longpush", "input_event"})

_UNITS = {
    "power": "W",
    "energy": "Wmin",
    "voltage": "V",
    "current": "A",
    "temperature": "°C",
    "humidity": "%",
    "battery": "%",
    "lux": "lx",
    "tilt": "°",
    "total": "Wh",
    "total_returned": "Wh",
    "reactive_power": "var",
    "pos": "%",
    "pf": "",
    "concentration": "ppm",
    "ext_temperature": "°C",
    "ext_humidity": "%",
}
"""What ends in these is a number; anything else may as well be a word."""

_UNITS_OF_METERS = {"energy": "Wmin", "returned_energy": "Wmin"}


def _read(memory: Memory, message: Message) -> Said:
    name = _name(message.topic)
    found = number_or_text(message.payload)
    if isinstance(found, Fault):
        return Said(faults=(found,))
    if isinstance(found, float):
        return Said(((name, found, None),))
    if name.rpartition("/")[2] in _UNITS:
        return Said(faults=(Fault(Reason.WRONG_TYPE, f"{name} is no number: {found}"),))
    return NOTHING


def _name(topic: str) -> str:
    """Give what stands behind shellies/<id>/, and so the quantity."""
    return topic.split("/", 2)[-1]


def _source(topic: str, name: str) -> tuple[str, None]:
    return topic, None


def _unit(memory: Memory, topic: str, name: str) -> str:
    *above, last = name.split("/")
    return _UNITS_OF_METERS.get(last, _UNITS.get(last, "")) if above or last == "temperature" else ""


def _passes_by(topic: str) -> bool:
    levels = topic.split("/")
    return len(levels) < 3 or levels[-1] in _PASSED_BY


def _is_bookkeeping(name: str) -> bool:
    first, _, _ = name.partition("/")
    return first in _SWITCHES or name.rpartition("/")[2] in _BOOKKEEPING


FAMILY = Family(
    name="shelly1",
    topics=("shellies/+/#",),
    read=_read,
    passes_by=_passes_by,
    source=_source,
    unit=_unit,
    is_bookkeeping=_is_bookkeeping,
)
