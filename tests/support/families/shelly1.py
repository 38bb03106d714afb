"""A household of Shelly, first generation."""

from __future__ import annotations

from edgeseq.core.types import Reason
from tests.support.families.household import Household, Sample, json_sample, level, refused, text_samples

_PM, _HT = "shellies/shellyplug-s-7AE5F2", "shellies/shellyht-8CAAB5"


def _shelly1_start(_: int) -> list[Sample]:
    announce = {"id": "shellyplug-s-7AE5F2", "model": "SHPLG-S", "mac": "4022D87AE5F2", "new_fw": False}
    return [
        Sample(f"{_PM}/online", b"true", retained=True),
        json_sample("shellies/announce", announce),
        json_sample(f"{_PM}/announce", announce),
    ]


def _shelly1_at(step: int, _: int) -> list[Sample]:
    told = {
        f"{_PM}/relay/0": "on",
        f"{_PM}/relay/0/power": level(step, 63.1),
        f"{_PM}/relay/0/energy": 90_112 + 10 * step,
        f"{_PM}/temperature": level(step, 31.2),
        f"{_PM}/temperature_f": level(step, 88.2),
        f"{_PM}/overtemperature": 0,
        f"{_PM}/input/0": step % 2,
        f"{_PM}/info": '{"wifi_sta":{"connected":true,"rssi":-61}}',
        f"{_HT}/sensor/temperature": level(step, 19.8),
        f"{_HT}/sensor/humidity": level(step, 55.5),
        f"{_HT}/sensor/battery": 91,
        f"{_HT}/sensor/ext_power": "false",
        f"{_HT}/sensor/act_reasons": '["sensor"]',
    }
    return text_samples(told)


SHELLY1 = Household(
    decoder="shelly1",
    topics=("shellies/#",),
    start=_shelly1_start,
    at=_shelly1_at,
    streams=frozenset(
        (topic, None)
        for topic in (
            *(f"{_PM}/{name}" for name in ("relay/0/power", "relay/0/energy", "temperature")),
            *(f"{_HT}/sensor/{name}" for name in ("temperature", "humidity", "battery")),
        )
    ),
    malformed=(
        *refused(
            f"{_PM}/relay/0/power",
            {
                b"on": Reason.WRONG_TYPE,
                b"": Reason.WRONG_TYPE,
                b"\xff": Reason.BAD_UTF8,
                b"nan": Reason.NOT_FINITE,
            },
        ),
    ),
    units={(f"{_PM}/relay/0/power", None): "W", (f"{_HT}/sensor/temperature", None): "°C"},
)
