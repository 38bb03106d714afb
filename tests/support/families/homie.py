"""A household of Homie 5."""

from __future__ import annotations

from edgeseq.core.types import Reason
from tests.support.families.household import Household, Sample, json_sample, level, refused, text_samples

_D = "homie/5/weather-station"


def _homie_start(_: int) -> list[Sample]:
    def of(name: str, datatype: str, unit: str | None = None) -> dict[str, str]:
        return {"name": name, "datatype": datatype, **({"unit": unit} if unit else {})}

    description = {
        "homie": "5.0",
        "version": 7,
        "name": "Weather station",
        "nodes": {
            "air": {
                "name": "Air",
                "properties": {
                    "temperature": of("Temperature", "float", "°C"),
                    "pressure": of("Pressure", "float", "Pa"),
                    "gusts": of("Gusts", "integer"),
                    "raining": of("Raining", "boolean"),
                    "label": of("Label", "string"),
                },
            }
        },
    }
    return [
        Sample(f"{_D}/$state", b"ready", retained=True),
        json_sample(f"{_D}/$description", description, retained=True),
        Sample(f"{_D}/air/temperature", b"3.9", retained=True),
    ]


def _homie_at(step: int, _: int) -> list[Sample]:
    told = {
        f"{_D}/air/temperature": level(step, 4.2),
        f"{_D}/air/pressure": level(step, 100_912, 30),
        f"{_D}/air/gusts": step % 9,
        f"{_D}/air/raining": "false",
        f"{_D}/air/label": "42",
        f"{_D}/air/temperature/set": "5",
        f"{_D}/air/temperature/$target": "5",
        f"{_D}/$log/warn": "sensor is slow",
        f"{_D}/$alert/childlock": "battery of the vane is low",
    }
    return text_samples(told)


HOMIE = Household(
    decoder="homie",
    topics=("homie/5/#",),
    start=_homie_start,
    at=_homie_at,
    streams=frozenset((f"{_D}/air/{name}", None) for name in ("temperature", "pressure", "gusts")),
    malformed=(
        *refused(
            f"{_D}/air/temperature",
            {b"cold": Reason.WRONG_TYPE, b"\xff": Reason.BAD_UTF8, b"1e999": Reason.NOT_FINITE},
        ),
        *refused(f"{_D}/air/label", {b"\xff": Reason.BAD_UTF8}),
        *refused(f"{_D}/$description", {b'{"nodes":': Reason.MALFORMED_JSON, b"[]": Reason.WRONG_TYPE}),
    ),
    units={(f"{_D}/air/temperature", None): "°C", (f"{_D}/air/pressure", None): "Pa"},
)
