"""A household of ESPHome."""

from __future__ import annotations

from edgeseq.core.types import Reason
from tests.support.families.household import Household, Sample, level, refused, text_samples


def _esphome_at(step: int, _: int) -> list[Sample]:
    told = {
        "greenhouse/sensor/air_temperature/state": level(step, 24.31),
        "greenhouse/sensor/soil_moisture/state": "nan" if step % 10 == 9 else level(step, 43.0),
        "greenhouse/sensor/wifi_signal/state": -60 - step % 3,
        "greenhouse/binary_sensor/rain/state": "OFF",
        "greenhouse/text_sensor/version/state": "2026.2.1",
        "greenhouse/switch/pump/state": "ON",
        "greenhouse/switch/pump/command": "ON",
        "greenhouse/debug": "\x1b[0;36m[D][dht:048]: Got Temperature=24.3\x1b[0m",
    }
    return text_samples(told)


ESPHOME = Household(
    decoder="esphome",
    topics=("greenhouse/#",),
    start=lambda _: [Sample("greenhouse/status", b"online", retained=True)],
    at=_esphome_at,
    streams=frozenset(
        (f"greenhouse/sensor/{name}/state", None)
        for name in ("air_temperature", "soil_moisture", "wifi_signal")
    ),
    malformed=(
        *refused(
            "greenhouse/sensor/air_temperature/state",
            {
                b"warm": Reason.WRONG_TYPE,
                b"": Reason.WRONG_TYPE,
                b"inf": Reason.NOT_FINITE,
                b"\xc3\x28": Reason.BAD_UTF8,
            },
        ),
    ),
)
