"""Zigbee2MQTT: <base>/<friendly name> carries one JSON object of all that a device tells.

Units are those of its documentation; `voltage` is left without one, since batteries tell mV and plugs V.
"""

from __future__ import annotations

from edgeseq.core.decoders.documents import said_of
from edgeseq.core.decoders.family import Family, Memory, Said
from edgeseq.core.types import Message

_COMMANDS = frozenset({"availability", "set", "get"})
_BOOKKEEPING = frozenset(
    {"linkquality", "last_seen", "power_on_behavior", "transaction", "elapsed", "trigger_count"}
)
_BOOKKEEPING_BELOW = ("update.", "update_available", "device.", "color.", "action_", "last_seen.")

UNITS = {
    **dict.fromkeys(("temperature", "device_temperature", "local_temperature", "soil_temperature"), "°C"),
    **dict.fromkeys(("occupied_heating_setpoint", "current_heating_setpoint"), "°C"),
    **dict.fromkeys(("humidity", "soil_moisture", "battery", "position", "pi_heating_demand"), "%"),
    "pressure": "hPa",
    "power": "W",
    "energy": "kWh",
    "current": "A",
    "ac_frequency": "Hz",
    "illuminance_lux": "lx",
    "illuminance": "lx",
    "co2": "ppm",
    "voc": "µg/m³",
    "pm25": "µg/m³",
}


def _read(memory: Memory, message: Message) -> Said:
    return said_of(message.payload)


def _passes_by(topic: str) -> bool:
    *above, last = topic.split("/")
    return last in _COMMANDS or "bridge" in above[1:] or (last == "bridge" and bool(above))


def _is_bookkeeping(name: str) -> bool:
    return name in _BOOKKEEPING or name.startswith(_BOOKKEEPING_BELOW)


def _unit(memory: Memory, topic: str, name: str) -> str:
    return UNITS.get(name, "")


FAMILY = Family(
    name="zigbee2mqtt",
    topics=("zigbee2mqtt/+",),
    read=_read,
    passes_by=_passes_by,
    unit=_unit,
    is_bookkeeping=_is_bookkeeping,
    is_document=True,
)
