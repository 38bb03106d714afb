"""A household of Home Assistant statestream."""

from __future__ import annotations

from edgeseq.core.instants import format_instant
from edgeseq.core.types import Reason
from tests.support.families.household import Household, Sample, json_sample, level, refused

_H = "statestream"


def _homeassistant_start(_: int) -> list[Sample]:
    return [
        Sample(f"{_H}/sensor/heat_pump_power/state", b"1.2", retained=True),
        json_sample(f"{_H}/sensor/heat_pump_power/unit_of_measurement", "kW", retained=True),
        json_sample(f"{_H}/sensor/attic_temperature/unit_of_measurement", "°F", retained=True),
    ]


def _homeassistant_at(step: int, time_ns: int) -> list[Sample]:
    stamp = format_instant(time_ns).replace("Z", "+00:00")
    return [
        Sample(f"{_H}/sensor/heat_pump_power/state", str(level(step, 1.4, 0.3)).encode()),
        Sample(f"{_H}/sensor/heat_pump_power/last_updated", stamp.encode()),
        Sample(f"{_H}/sensor/heat_pump_power/last_changed", stamp.encode()),
        json_sample(f"{_H}/sensor/heat_pump_power/unit_of_measurement", "kW"),
        json_sample(f"{_H}/sensor/heat_pump_power/friendly_name", "Wärmepumpe"),
        json_sample(f"{_H}/sensor/heat_pump_power/device_class", "power"),
        Sample(
            f"{_H}/sensor/attic_temperature/state",
            b"unavailable" if step % 10 == 9 else str(level(step, 68.0)).encode(),
        ),
        Sample(f"{_H}/light/hall/state", b"on"),
        json_sample(f"{_H}/light/hall/brightness", 180),
        json_sample(f"{_H}/light/hall/supported_color_modes", ["brightness"]),
        Sample(f"{_H}/binary_sensor/window/state", b"off"),
        Sample(f"{_H}/input_number/target/state", b"21.5"),
    ]


HOMEASSISTANT = Household(
    decoder="homeassistant",
    topics=(f"{_H}/#",),
    start=_homeassistant_start,
    at=_homeassistant_at,
    streams=frozenset(
        (f"{_H}/{entity}/state", None)
        for entity in ("sensor/heat_pump_power", "sensor/attic_temperature", "input_number/target")
    ),
    malformed=(
        *refused(
            f"{_H}/sensor/heat_pump_power/state",
            {b"\xff": Reason.BAD_UTF8, b"1,4": Reason.WRONG_TYPE, b"nan": Reason.NOT_FINITE},
        ),
        *refused(f"{_H}/sensor/heat_pump_power/unit_of_measurement", {b'"kW': Reason.MALFORMED_JSON}),
    ),
    units={
        (f"{_H}/sensor/heat_pump_power/state", None): "kW",
        (f"{_H}/sensor/attic_temperature/state", None): "°F",
    },
)
