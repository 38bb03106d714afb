"""A household of Tasmota."""

from __future__ import annotations

from edgeseq.core.instants import format_instant
from edgeseq.core.types import Reason
from tests.support.families.household import Household, Sample, json_sample, level, refused


def _tasmota_start(_: int) -> list[Sample]:
    return [
        Sample("tele/kitchen/LWT", b"Online", retained=True),
        Sample("tele/boiler/LWT", b"Online", retained=True),
    ]


def _tasmota_at(step: int, time_ns: int) -> list[Sample]:
    time = format_instant(time_ns).removesuffix("Z")  # local time, without an offset
    energy = {
        "TotalStartTime": "2024-11-02T08:11:01",
        "Total": round(431.7 + step / 1000, 3),
        "Yesterday": 2.311,
        "Today": round(0.9 + step / 1000, 3),
        "Period": 4,
        "Power": [int(level(step, 140, 9)), 0],
        "ApparentPower": [153, 0],
        "ReactivePower": [61, 0],
        "Factor": [0.92, 0.0],
        "Voltage": int(level(step, 230)),
        "Current": [0.664, 0.0],
    }
    climate = {"Temperature": level(step, 70.3), "Humidity": level(step, 48.0), "DewPoint": level(step, 50.1)}
    state = {
        "Time": time,
        "Uptime": "3T04:11:09",
        "UptimeSec": 274_269 + 10 * step,
        "Heap": 25,
        "SleepMode": "Dynamic",
        "Sleep": 50,
        "LoadAvg": 19,
        "MqttCount": 3,
        "POWER": "ON",
        "Wifi": {
            "AP": 1,
            "SSId": "home",
            "Channel": 6,
            "Mode": "11n",
            "RSSI": 76,
            "Signal": -62,
            "LinkCount": 1,
        },
    }
    return [
        json_sample("tele/boiler/SENSOR", {"Time": time, "ENERGY": energy}),
        json_sample("tele/kitchen/SENSOR", {"Time": time, "AM2301": climate, "TempUnit": "F"}),
        json_sample("tele/kitchen/STATE", state),
        json_sample("tele/kitchen/INFO1", {"Info1": {"Module": "Sonoff TH", "Version": "14.2.0(tasmota)"}}),
    ]


_ENERGY = ("Total", "Yesterday", "Today", "Period", "Voltage")
_PHASES = ("Power", "ApparentPower", "ReactivePower", "Factor", "Current")

TASMOTA = Household(
    decoder="tasmota",
    topics=("tele/#",),
    start=_tasmota_start,
    at=_tasmota_at,
    streams=frozenset(
        {
            *(("tele/boiler/SENSOR", f"ENERGY.{name}") for name in _ENERGY),
            *(("tele/boiler/SENSOR", f"ENERGY.{name}.{phase}") for name in _PHASES for phase in (0, 1)),
            *(("tele/kitchen/SENSOR", f"AM2301.{name}") for name in ("Temperature", "Humidity", "DewPoint")),
        }
    ),
    malformed=(
        *refused(
            "tele/boiler/SENSOR",
            {
                b'{"Time":"2026-03-01T10:00:00","ENERGY":{"Power":': Reason.MALFORMED_JSON,
                b"Online": Reason.MALFORMED_JSON,
                b'{"ENERGY":{"Voltage":"230"}}': Reason.WRONG_TYPE,
                b'{"ENERGY":{"Voltage":-Infinity}}': Reason.NOT_FINITE,
                b"7": Reason.WRONG_TYPE,
            },
        ),
    ),
    units={
        ("tele/kitchen/SENSOR", "AM2301.Temperature"): "°F",
        ("tele/boiler/SENSOR", "ENERGY.Power.0"): "W",
        ("tele/boiler/SENSOR", "ENERGY.Total"): "kWh",
    },
)
