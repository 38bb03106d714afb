"""What Home Assistant calls the quantity of a unit, where the unit alone tells it.

Only pairs that every version since 2024.11 accepts: with others it refuses the entity. Units that several quantities
share (%, ppm, mm, L) have none: a wrong class is worse than no class.
"""

from __future__ import annotations

_UNITS_OF: dict[str, tuple[str, ...]] = {
    "temperature": ("°C", "°F", "K"),
    "power": ("W", "kW"),
    "apparent_power": ("VA",),
    "reactive_power": ("var",),
    "energy": ("Wh", "kWh", "MWh", "MJ", "GJ"),
    "voltage": ("V", "mV"),
    "current": ("A", "mA"),
    "frequency": ("Hz", "kHz", "MHz", "GHz"),
    "pressure": ("Pa", "hPa", "kPa", "mbar", "bar", "psi", "mmHg", "inHg"),
    "speed": ("m/s", "km/h", "mph", "kn"),
    "volume_flow_rate": ("m³/h", "L/min"),
    "weight": ("kg", "g", "lb"),
    "duration": ("ms", "s", "min", "h", "d"),
    "illuminance": ("lx",),
    "irradiance": ("W/m²",),
    "signal_strength": ("dBm",),
}

_CLASSES = {unit: name for name, units in _UNITS_OF.items() for unit in units}

_NO_MEASUREMENT = frozenset({"energy"})
"""Classes of amounts, which Home Assistant lets nobody call a measurement of the moment."""


def device_class(unit: str | None) -> str | None:
    """Name the device class of a unit in its usual spelling.

    >>> device_class("°C"), device_class("%"), device_class(None)
    ('temperature', None, None)
    """
    return None if unit is None else _CLASSES.get(unit)


def state_class(unit: str | None) -> str | None:
    """Say whether numbers of a unit go into the long-term statistics, as measurements.

    >>> state_class("°C"), state_class("kWh")
    ('measurement', None)
    """
    return None if device_class(unit) in _NO_MEASUREMENT else "measurement"
