"""Units that devices say, and how one becomes another: a small table, no library.

A unit is a factor and an offset to its dimension's own one: base = factor · value + offset. Units that stand not here
are passed on as they are, and become no other.
"""

from __future__ import annotations

from typing import NamedTuple

_TABLE: dict[str, dict[str, tuple[float, float]]] = {
    "temperature": {"°C": (1, 0), "K": (1, -273.15), "°F": (5 / 9, -160 / 9)},
    "power": {"W": (1, 0), "mW": (1e-3, 0), "kW": (1e3, 0), "MW": (1e6, 0)},
    "apparent power": {"VA": (1, 0), "kVA": (1e3, 0)},
    "reactive power": {"var": (1, 0), "kvar": (1e3, 0)},
    "energy": {
        "Wh": (1, 0),
        "kWh": (1e3, 0),
        "MWh": (1e6, 0),
        "Wmin": (1 / 60, 0),
        "J": (1 / 3600, 0),
        "kJ": (1 / 3.6, 0),
        "MJ": (1e3 / 3.6, 0),
        "GJ": (1e6 / 3.6, 0),
    },
    "voltage": {"V": (1, 0), "mV": (1e-3, 0), "kV": (1e3, 0)},
    "current": {"A": (1, 0), "mA": (1e-3, 0)},
    "frequency": {"Hz": (1, 0), "kHz": (1e3, 0), "MHz": (1e6, 0)},
    "pressure": {
        "Pa": (1, 0),
        "hPa": (100, 0),
        "kPa": (1e3, 0),
        "mbar": (100, 0),
        "bar": (1e5, 0),
        "psi": (6894.757293168, 0),
        "mmHg": (133.322387415, 0),
        "inHg": (3386.389, 0),
    },
    "length": {
        "m": (1, 0),
        "mm": (1e-3, 0),
        "cm": (1e-2, 0),
        "km": (1e3, 0),
        "in": (0.0254, 0),
        "ft": (0.3048, 0),
        "mi": (1609.344, 0),
    },
    "speed": {"m/s": (1, 0), "km/h": (1 / 3.6, 0), "mph": (0.44704, 0), "kn": (1852 / 3600, 0)},
    "volume": {
        "L": (1, 0),
        "mL": (1e-3, 0),
        "m³": (1e3, 0),
        "gal": (3.785411784, 0),
        "ft³": (28.316846592, 0),
    },
    "flow": {"L/min": (1, 0), "L/h": (1 / 60, 0), "L/s": (60, 0), "m³/h": (1e3 / 60, 0)},
    "mass": {"kg": (1, 0), "g": (1e-3, 0), "t": (1e3, 0), "lb": (0.45359237, 0)},
    "time": {"s": (1, 0), "ms": (1e-3, 0), "min": (60, 0), "h": (3600, 0), "d": (86_400, 0)},
}
"""Dimension → unit → factor and offset. Factors of the units outside of SI: NIST SP 811, appendix B."""

_SPELLINGS = {
    "C": "°C", "F": "°F", "degC": "°C", "degF": "°F", "℃": "°C", "℉": "°F", "celsius": "°C",
    "fahrenheit": "°F", "kelvin": "K", "watt": "W", "watts": "W", "volt": "V", "ampere": "A",
    "l": "L", "ml": "mL", "m3": "m³", "ft3": "ft³", "l/min": "L/min", "l/h": "L/h", "l/s": "L/s", "m3/h": "m³/h",
    "kmh": "km/h", "kph": "km/h", "kW·h": "kWh", "W·h": "Wh", "Wh ": "Wh", "VAr": "var", "Torr": "mmHg",
}  # fmt: skip

_UNITS = {unit: (kind, *numbers) for kind, units in _TABLE.items() for unit, numbers in units.items()}


class Conversion(NamedTuple):
    """How a number becomes one of another unit: factor · value + offset."""

    factor: float
    offset: float


def canonical(unit: str) -> str:
    """Give a unit's usual spelling; what is unknown stays as it is.

    >>> canonical("degF"), canonical("°C"), canonical("lx")
    ('°F', '°C', 'lx')
    """
    stripped = unit.strip()
    return _SPELLINGS.get(stripped, stripped)


def is_known(unit: str) -> bool:
    """Tell whether a unit is in the table."""
    return canonical(unit) in _UNITS


def conversion(source: str, target: str) -> Conversion | None:
    """Say how one unit becomes another; None where they are of different dimensions, or unknown.

    >>> conversion("kW", "W"), conversion("°C", "C"), conversion("°C", "W")
    (Conversion(factor=1000.0, offset=0.0), Conversion(factor=1.0, offset=0.0), None)
    >>> round(conversion("°F", "°C").factor * 212 + conversion("°F", "°C").offset, 9)
    100.0
    """
    one, other = _UNITS.get(canonical(source)), _UNITS.get(canonical(target))
    if one is None or other is None or one[0] != other[0]:
        return None
    (_, factor, offset), (_, target_factor, target_offset) = one, other
    return Conversion(factor / target_factor, (offset - target_offset) / target_factor)
