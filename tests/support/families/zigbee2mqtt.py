"""A household of Zigbee2MQTT."""

from __future__ import annotations

from edgeseq.core.instants import format_instant
from edgeseq.core.types import Reason
from tests.support.families.household import Household, Sample, json_sample, level, refused

NOT_UTF8 = b'{"temperature":"\xff"}'

_Z = "zigbee2mqtt"


def _zigbee_start(_: int) -> list[Sample]:
    return [
        json_sample(f"{_Z}/bridge/state", {"state": "online"}, retained=True),
        json_sample(
            f"{_Z}/bridge/info",
            {"version": "2.6.1", "permit_join": False, "log_level": "info"},
            retained=True,
        ),
    ]


def _zigbee_at(step: int, time_ns: int) -> list[Sample]:
    climate = {
        "battery": 87,
        "humidity": level(step, 51.3),
        "last_seen": format_instant(time_ns),
        "linkquality": 120 + step % 7,
        "pressure": level(step, 1008.2),
        "temperature": level(step, 21.4),
        "voltage": 2985,
    }
    plug = {
        "child_lock": "UNLOCK",
        "current": level(step, 0.4, 0.05),
        "energy": round(12.5 + step / 1000, 3),
        "linkquality": 200,
        "power": level(step, 92.0, 8.0),
        "state": "ON",
        "update": {"installed_version": 65, "latest_version": 66, "state": "available"},
        "update_available": None,
        "voltage": level(step, 231.0),
    }
    door = {"battery": 100, "contact": step % 2 == 0, "linkquality": 90, "tamper": False, "voltage": None}
    return [
        json_sample(f"{_Z}/Wohnzimmer Klima", climate),
        json_sample(f"{_Z}/fridge_plug", plug),
        json_sample(f"{_Z}/front_door", door),
        json_sample(f"{_Z}/fridge_plug/availability", {"state": "online"}),
        json_sample(f"{_Z}/fridge_plug/set", {"state": "ON"}),
        json_sample(f"{_Z}/bridge/logging", {"level": "info", "message": "zigbee: published"}),
    ]


ZIGBEE2MQTT = Household(
    decoder="zigbee2mqtt",
    topics=(f"{_Z}/#",),
    start=_zigbee_start,
    at=_zigbee_at,
    streams=frozenset(
        {
            *(
                (f"{_Z}/Wohnzimmer Klima", f)
                for f in ("battery", "humidity", "pressure", "temperature", "voltage")
            ),
            *((f"{_Z}/fridge_plug", field) for field in ("current", "energy", "power", "voltage")),
            (f"{_Z}/front_door", "battery"),
        }
    ),
    malformed=(
        *refused(
            f"{_Z}/fridge_plug",
            {
                b'{"power":9': Reason.MALFORMED_JSON,
                b"": Reason.MALFORMED_JSON,
                NOT_UTF8: Reason.BAD_UTF8,
                b"[1,2]": Reason.WRONG_TYPE,
                b'{"power":"92"}': Reason.WRONG_TYPE,
                b'{"power":NaN}': Reason.NOT_FINITE,
                b'{"power":1e999}': Reason.NOT_FINITE,
            },
        ),
    ),
    units={
        (f"{_Z}/Wohnzimmer Klima", "temperature"): "°C",
        (f"{_Z}/fridge_plug", "power"): "W",
        (f"{_Z}/fridge_plug", "energy"): "kWh",
    },
)
