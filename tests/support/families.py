"""A small household for each family that has a decoder: topics and payloads as the devices send them, written by us.

`HOUSEHOLDS` is what decoders are tested with, and what is replayed at a broker: `start` once (births, descriptions,
what is retained), `at` for each step, which also says much that is no number, and `malformed`, of which each message is
one that the family must refuse, for the reason beside it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from edgeseq.core.decoders.sparkplug_b_pb2 import Payload  # type: ignore[attr-defined]  # generated
from edgeseq.core.instants import format_instant
from edgeseq.core.types import Message, Reason

S = 10**9
START_NS = 1_772_359_200 * S  # 2026-03-01T10:00:00Z
EVERY_NS = 10 * S


class Sample(NamedTuple):
    """A message as a device publishes it."""

    topic: str
    payload: bytes
    retained: bool = False


class Household(NamedTuple):
    """Devices of one family."""

    decoder: str
    topics: tuple[str, ...]
    """Filters that bring all of their messages, and more than the readings."""
    start: Callable[[int], list[Sample]]
    """Time (ns) → what is there or said first."""
    at: Callable[[int, int], list[Sample]]
    """Step, time (ns) → what is said then."""
    streams: frozenset[tuple[str, str | None]]
    """Topic and field of every number that is one to forecast."""
    malformed: tuple[tuple[Sample, Reason], ...]
    units: dict[tuple[str, str | None], str] = {}
    """Of streams, as far as the family tells or defines them."""


def messages(samples: Iterable[Sample], time_ns: int, mid: int = 0) -> list[Message]:
    """Make what arrives at a time; what is retained comes as it does with a subscription."""
    return [Message(s.topic, s.payload, time_ns, retained=s.retained, mid=mid) for s in samples]


def level(step: int, base: float, swing: float = 1.0) -> float:
    """Give a plausible value of a step."""
    return round(base + swing * math.sin(step / 5), 2)


def _json(topic: str, content: Any, *, retained: bool = False) -> Sample:
    return Sample(topic, json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode(), retained)


def _nothing(_: int) -> list[Sample]:
    return []


NOT_UTF8 = b'{"temperature":"\xff"}'

# --- Zigbee2MQTT ------------------------------------------------------------------------------------------------

_Z = "zigbee2mqtt"


def _zigbee_start(_: int) -> list[Sample]:
    return [
        _json(f"{_Z}/bridge/state", {"state": "online"}, retained=True),
        _json(
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
        _json(f"{_Z}/Wohnzimmer Klima", climate),
        _json(f"{_Z}/fridge_plug", plug),
        _json(f"{_Z}/front_door", door),
        _json(f"{_Z}/fridge_plug/availability", {"state": "online"}),
        _json(f"{_Z}/fridge_plug/set", {"state": "ON"}),
        _json(f"{_Z}/bridge/logging", {"level": "info", "message": "zigbee: published"}),
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
        (Sample(f"{_Z}/fridge_plug", b'{"power":9'), Reason.MALFORMED_JSON),
        (Sample(f"{_Z}/fridge_plug", b""), Reason.MALFORMED_JSON),
        (Sample(f"{_Z}/fridge_plug", NOT_UTF8), Reason.BAD_UTF8),
        (Sample(f"{_Z}/fridge_plug", b"[1,2]"), Reason.WRONG_TYPE),
        (Sample(f"{_Z}/fridge_plug", b'{"power":"92"}'), Reason.WRONG_TYPE),
        (Sample(f"{_Z}/fridge_plug", b'{"power":NaN}'), Reason.NOT_FINITE),
        (Sample(f"{_Z}/fridge_plug", b'{"power":1e999}'), Reason.NOT_FINITE),
    ),
    units={
        (f"{_Z}/Wohnzimmer Klima", "temperature"): "°C",
        (f"{_Z}/fridge_plug", "power"): "W",
        (f"{_Z}/fridge_plug", "energy"): "kWh",
    },
)

# --- Tasmota ----------------------------------------------------------------------------------------------------


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
        _json("tele/boiler/SENSOR", {"Time": time, "ENERGY": energy}),
        _json("tele/kitchen/SENSOR", {"Time": time, "AM2301": climate, "TempUnit": "F"}),
        _json("tele/kitchen/STATE", state),
        _json("tele/kitchen/INFO1", {"Info1": {"Module": "Sonoff TH", "Version": "14.2.0(tasmota)"}}),
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
        (
            Sample("tele/boiler/SENSOR", b'{"Time":"2026-03-01T10:00:00","ENERGY":{"Power":'),
            Reason.MALFORMED_JSON,
        ),
        (Sample("tele/boiler/SENSOR", b"Online"), Reason.MALFORMED_JSON),
        (Sample("tele/boiler/SENSOR", b'{"ENERGY":{"Voltage":"230"}}'), Reason.WRONG_TYPE),
        (Sample("tele/boiler/SENSOR", b'{"ENERGY":{"Voltage":-Infinity}}'), Reason.NOT_FINITE),
        (Sample("tele/boiler/SENSOR", b"7"), Reason.WRONG_TYPE),
    ),
    units={
        ("tele/kitchen/SENSOR", "AM2301.Temperature"): "°F",
        ("tele/boiler/SENSOR", "ENERGY.Power.0"): "W",
        ("tele/boiler/SENSOR", "ENERGY.Total"): "kWh",
    },
)

# --- Shelly, first generation -----------------------------------------------------------------------------------

_PM, _HT = "shellies/shellyplug-s-7AE5F2", "shellies/shellyht-8CAAB5"


def _shelly1_start(_: int) -> list[Sample]:
    announce = {"id": "shellyplug-s-7AE5F2", "model": "SHPLG-S", "mac": "4022D87AE5F2", "new_fw": False}
    return [
        Sample(f"{_PM}/online", b"true", retained=True),
        _json("shellies/announce", announce),
        _json(f"{_PM}/announce", announce),
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
    return [Sample(topic, str(value).encode()) for topic, value in told.items()]


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
        (Sample(f"{_PM}/relay/0/power", b"on"), Reason.WRONG_TYPE),
        (Sample(f"{_PM}/relay/0/power", b""), Reason.WRONG_TYPE),
        (Sample(f"{_PM}/relay/0/power", b"\xff"), Reason.BAD_UTF8),
        (Sample(f"{_PM}/relay/0/power", b"nan"), Reason.NOT_FINITE),
    ),
    units={(f"{_PM}/relay/0/power", None): "W", (f"{_HT}/sensor/temperature", None): "°C"},
)

# --- Shelly, second generation and later ------------------------------------------------------------------------

_1PM, _HTG3 = "shellyplus1pm-a8032ab1", "shellyhtg3-84fce63a"


def _shelly2_at(step: int, time_ns: int) -> list[Sample]:
    switch = {
        "id": 0,
        "source": "WS_in",
        "output": True,
        "apower": level(step, 8.9),
        "voltage": level(step, 237.5),
        "freq": 50.0,
        "current": level(step, 0.12, 0.01),
        "aenergy": {"total": 6.5 + step, "by_minute": [0.0, 12.5, 11.0], "minute_ts": time_ns // S},
        "temperature": {"tC": level(step, 23.5), "tF": level(step, 74.4)},
    }
    notice = {
        "src": _HTG3,
        "dst": f"{_HTG3}/events",
        "method": "NotifyStatus",
        "params": {
            "ts": time_ns / S,
            "temperature:0": {"id": 0, "tC": level(step, 18.7), "tF": level(step, 65.7)},
            "humidity:0": {"id": 0, "rh": level(step, 61.0)},
            "devicepower:0": {"id": 0, "battery": {"V": 5.64, "percent": 92}, "external": {"present": False}},
            "sys": {"uptime": 12 + step, "ram_free": 98_764, "wakeup_reason": {"boot": "deepsleep_wake"}},
            "wifi": {"sta_ip": "192.168.1.20", "status": "got ip", "rssi": -58},
        },
    }
    event = {
        "src": _1PM,
        "dst": f"{_1PM}/events",
        "method": "NotifyEvent",
        "params": {"ts": 1.5, "events": []},
    }
    return [
        _json(f"{_1PM}/status/switch:0", switch),
        _json(f"{_1PM}/status/sys", {"mac": "A8032AB1", "uptime": 9, "ram_free": 111_104, "fs_free": 4096}),
        _json(f"{_HTG3}/events/rpc", notice),
        _json(f"{_1PM}/events/rpc", event),
        Sample(f"{_1PM}/online", b"true"),
    ]


_SWITCH = ("apower", "voltage", "freq", "current", "aenergy.total", "temperature.tC")
_RPC = (
    *(("temperature:0", "tC"), ("humidity:0", "rh")),
    *(("devicepower:0", "battery.V"), ("devicepower:0", "battery.percent")),
)

SHELLY2 = Household(
    decoder="shelly2",
    topics=(f"{_1PM}/#", f"{_HTG3}/#"),
    start=_nothing,
    at=_shelly2_at,
    streams=frozenset(
        {
            *((f"{_1PM}/status/switch:0", field) for field in _SWITCH),
            *((f"{_HTG3}/status/{component}", field) for component, field in _RPC),
        }
    ),
    malformed=(
        (Sample(f"{_1PM}/status/switch:0", b'{"id":0,'), Reason.MALFORMED_JSON),
        (Sample(f"{_1PM}/status/switch:0", b'{"id":0,"apower":"8.9"}'), Reason.WRONG_TYPE),
        (Sample(f"{_1PM}/events/rpc", b'{"method":"NotifyStatus","params":[1]}'), Reason.WRONG_TYPE),
        (Sample(f"{_1PM}/events/rpc", b"null"), Reason.WRONG_TYPE),
        (Sample(f"{_1PM}/status/switch:0", b'{"apower":NaN}'), Reason.NOT_FINITE),
    ),
    units={
        (f"{_1PM}/status/switch:0", "apower"): "W",
        (f"{_HTG3}/status/temperature:0", "tC"): "°C",
        (f"{_1PM}/status/switch:0", "aenergy.total"): "Wh",
    },
)

# --- ESPHome ----------------------------------------------------------------------------------------------------


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
    return [Sample(topic, str(value).encode()) for topic, value in told.items()]


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
        (Sample("greenhouse/sensor/air_temperature/state", b"warm"), Reason.WRONG_TYPE),
        (Sample("greenhouse/sensor/air_temperature/state", b""), Reason.WRONG_TYPE),
        (Sample("greenhouse/sensor/air_temperature/state", b"inf"), Reason.NOT_FINITE),
        (Sample("greenhouse/sensor/air_temperature/state", b"\xc3\x28"), Reason.BAD_UTF8),
    ),
)

# --- Home Assistant statestream ---------------------------------------------------------------------------------

_H = "statestream"


def _homeassistant_start(_: int) -> list[Sample]:
    return [
        Sample(f"{_H}/sensor/heat_pump_power/state", b"1.2", retained=True),
        _json(f"{_H}/sensor/heat_pump_power/unit_of_measurement", "kW", retained=True),
        _json(f"{_H}/sensor/attic_temperature/unit_of_measurement", "°F", retained=True),
    ]


def _homeassistant_at(step: int, time_ns: int) -> list[Sample]:
    stamp = format_instant(time_ns).replace("Z", "+00:00")
    return [
        Sample(f"{_H}/sensor/heat_pump_power/state", str(level(step, 1.4, 0.3)).encode()),
        Sample(f"{_H}/sensor/heat_pump_power/last_updated", stamp.encode()),
        Sample(f"{_H}/sensor/heat_pump_power/last_changed", stamp.encode()),
        _json(f"{_H}/sensor/heat_pump_power/unit_of_measurement", "kW"),
        _json(f"{_H}/sensor/heat_pump_power/friendly_name", "Wärmepumpe"),
        _json(f"{_H}/sensor/heat_pump_power/device_class", "power"),
        Sample(
            f"{_H}/sensor/attic_temperature/state",
            b"unavailable" if step % 10 == 9 else str(level(step, 68.0)).encode(),
        ),
        Sample(f"{_H}/light/hall/state", b"on"),
        _json(f"{_H}/light/hall/brightness", 180),
        _json(f"{_H}/light/hall/supported_color_modes", ["brightness"]),
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
        (Sample(f"{_H}/sensor/heat_pump_power/state", b"\xff"), Reason.BAD_UTF8),
        (Sample(f"{_H}/sensor/heat_pump_power/state", b"1,4"), Reason.WRONG_TYPE),
        (Sample(f"{_H}/sensor/heat_pump_power/state", b"nan"), Reason.NOT_FINITE),
        (Sample(f"{_H}/sensor/heat_pump_power/unit_of_measurement", b'"kW'), Reason.MALFORMED_JSON),
    ),
    units={
        (f"{_H}/sensor/heat_pump_power/state", None): "kW",
        (f"{_H}/sensor/attic_temperature/state", None): "°F",
    },
)

# --- Homie 5 ----------------------------------------------------------------------------------------------------

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
        _json(f"{_D}/$description", description, retained=True),
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
    return [Sample(topic, str(value).encode()) for topic, value in told.items()]


HOMIE = Household(
    decoder="homie",
    topics=("homie/5/#",),
    start=_homie_start,
    at=_homie_at,
    streams=frozenset((f"{_D}/air/{name}", None) for name in ("temperature", "pressure", "gusts")),
    malformed=(
        (Sample(f"{_D}/air/temperature", b"cold"), Reason.WRONG_TYPE),
        (Sample(f"{_D}/air/temperature", b"\xff"), Reason.BAD_UTF8),
        (Sample(f"{_D}/air/label", b"\xff"), Reason.BAD_UTF8),
        (Sample(f"{_D}/air/temperature", b"1e999"), Reason.NOT_FINITE),
        (Sample(f"{_D}/$description", b'{"nodes":'), Reason.MALFORMED_JSON),
        (Sample(f"{_D}/$description", b"[]"), Reason.WRONG_TYPE),
    ),
    units={(f"{_D}/air/temperature", None): "°C", (f"{_D}/air/pressure", None): "Pa"},
)

# --- influx line protocol ---------------------------------------------------------------------------------------


def _influx_at(step: int, time_ns: int) -> list[Sample]:
    earlier_ns = time_ns - EVERY_NS // 2
    lines = [
        f"cpu,host=gateway,cpu=cpu-total usage_idle={level(step, 91.2)},usage_user={level(step, 5.1)} {earlier_ns}",
        f"cpu,cpu=cpu-total,host=gateway usage_idle={level(step, 91.0)},usage_user={level(step, 5.3)} {time_ns}",
        f'system,host=gateway load1={level(step, 0.4, 0.1)},n_users=2i,uptime_format="3 days, 4:11" {time_ns}',
        rf'disk,host=gateway,path=/data\ 1 used={3_100_000 + step}u,ok=t,label="a \"b\", c=1" {time_ns}',
    ]
    return [Sample("telegraf/gateway/metrics", "\n".join(lines).encode() + b"\n")]


_CPU, _SYSTEM, _DISK = (
    "cpu,cpu=cpu-total,host=gateway",
    "system,host=gateway",
    r"disk,host=gateway,path=/data\ 1",
)
_T = "telegraf/gateway/metrics"

INFLUX = Household(
    decoder="influx",
    topics=("telegraf/#",),
    start=_nothing,
    at=_influx_at,
    streams=frozenset(
        {
            *((_T, f"{_CPU} {name}") for name in ("usage_idle", "usage_user")),
            *((_T, f"{_SYSTEM} {name}") for name in ("load1", "n_users")),
            (_T, f"{_DISK} used"),
        }
    ),
    malformed=(
        (Sample(_T, b"cpu usage_idle"), Reason.MALFORMED),
        (Sample(_T, b"cpu,host=a usage_idle=hot 1772359200000000000"), Reason.MALFORMED),
        (Sample(_T, b"cpu usage_idle=1 soon"), Reason.BAD_TIME),
        (Sample(_T, b'cpu text="open 1772359200000000000'), Reason.MALFORMED),
        (Sample(_T, b"cpu usage_idle=1e999"), Reason.NOT_FINITE),
        (Sample(_T, b"cpu usage_idle=\xff"), Reason.BAD_UTF8),
        (Sample(_T, b""), Reason.MALFORMED),
    ),
)

# --- Sparkplug B ------------------------------------------------------------------------------------------------

_G, _N, _DEV = "plant1", "line-gateway", "press"
INT16, INT64, UINT32, FLOAT, DOUBLE, BOOLEAN, STRING = 2, 4, 7, 9, 10, 11, 12
_VALUE_OF = {
    INT16: "int_value",
    UINT32: "int_value",
    INT64: "long_value",
    FLOAT: "float_value",
    DOUBLE: "double_value",
    BOOLEAN: "boolean_value",
    STRING: "string_value",
}


def sparkplug_topic(kind: str, device: str | None = None) -> str:
    """Name a topic of the sample node."""
    return "/".join(filter(None, ["spBv1.0", _G, kind, _N, device]))


def metric(
    payload: Any,
    name: str | None,
    alias: int | None,
    value: Any,
    datatype: int | None,
    time_ns: int | None,
    unit: str | None = None,
    **marks: bool,
) -> None:
    """Add a metric to a payload; `value` None leaves it out."""
    made = payload.metrics.add(**marks)
    if name is not None:
        made.name = name
    if alias is not None:
        made.alias = alias
    if datatype is not None:
        made.datatype = datatype
    if time_ns is not None:
        made.timestamp = time_ns // 10**6
    if value is not None:
        bits = {INT16: 32, INT64: 64}.get(datatype or 0)
        setattr(made, _VALUE_OF[datatype or DOUBLE], value % 2**bits if bits else value)
    if unit is not None:
        made.properties.keys.append("engUnit")
        made.properties.values.add(type=STRING, string_value=unit)


def sparkplug(time_ns: int, seq: int | None) -> Any:
    """Begin a payload."""
    payload = Payload(timestamp=time_ns // 10**6)
    if seq is not None:
        payload.seq = seq
    return payload


def births(time_ns: int, bd_seq: int = 0) -> list[Sample]:
    """Give the births of the sample node and its device: sequence numbers 0 and 1."""
    node, device = sparkplug(time_ns, 0), sparkplug(time_ns, 1)
    metric(node, "bdSeq", None, bd_seq, INT64, time_ns)
    metric(node, "Node Control/Rebirth", None, False, BOOLEAN, time_ns)
    metric(node, "Cabinet/Temperature", 1, 31.5, FLOAT, time_ns, unit="°C")
    metric(device, "Hydraulics/Pressure", 10, 121.5, DOUBLE, time_ns, unit="bar")
    metric(device, "Hydraulics/Valve", 11, -250, INT16, time_ns)
    metric(device, "Strokes", 12, 70_000, UINT32, time_ns)
    metric(device, "Running", 13, True, BOOLEAN, time_ns)
    metric(device, "Program", 14, "A7", STRING, time_ns)
    return [
        Sample(sparkplug_topic("NBIRTH"), node.SerializeToString()),
        Sample(sparkplug_topic("DBIRTH", _DEV), device.SerializeToString()),
    ]


def data(step: int, time_ns: int) -> list[Sample]:
    """Give the data of a step, by alias alone: of the node, then of its device."""
    node, device = sparkplug(time_ns, (2 + 2 * step) % 256), sparkplug(time_ns, (3 + 2 * step) % 256)
    metric(node, None, 1, level(step, 32.0), FLOAT, time_ns)
    metric(device, None, 10, level(step, 120.0), None, time_ns)
    metric(device, None, 11, int(level(step, -250, 20)), INT16, time_ns)
    metric(device, None, 12, 70_001 + step, UINT32, time_ns)
    metric(device, None, 13, step % 2 == 0, BOOLEAN, time_ns)
    metric(device, None, 14, "A8", STRING, time_ns)
    return [
        Sample(sparkplug_topic("NDATA"), node.SerializeToString()),
        Sample(sparkplug_topic("DDATA", _DEV), device.SerializeToString()),
        _json("spBv1.0/STATE/scada", {"online": True, "timestamp": time_ns // 10**6}),
    ]


def _of_alias(alias: int) -> bytes:
    payload = sparkplug(START_NS, None)
    metric(payload, None, alias, 1.0, DOUBLE, START_NS)
    encoded: bytes = payload.SerializeToString()
    return encoded


def _named(value: float, **changes: Any) -> bytes:
    payload = sparkplug(changes.pop("sent_ns", START_NS), None)
    metric(payload, "Cabinet/Temperature", None, value, DOUBLE, None, **changes)
    encoded: bytes = payload.SerializeToString()
    return encoded


SPARKPLUG = Household(
    decoder="sparkplug",
    topics=("spBv1.0/#",),
    start=births,
    at=data,
    streams=frozenset(
        {
            (sparkplug_topic("NDATA"), "Cabinet/Temperature"),
            *(
                (sparkplug_topic("DDATA", _DEV), name)
                for name in ("Hydraulics/Pressure", "Hydraulics/Valve", "Strokes")
            ),
        }
    ),
    malformed=(
        (Sample(sparkplug_topic("NDATA"), b"\x12\x03\x0a"), Reason.MALFORMED),
        (Sample(sparkplug_topic("NDATA"), b"55.49"), Reason.MALFORMED),
        (Sample(sparkplug_topic("NDATA"), _of_alias(99)), Reason.NO_BIRTH),
        (Sample(sparkplug_topic("NDATA"), _named(math.nan)), Reason.NOT_FINITE),
        (Sample(sparkplug_topic("NDATA"), _named(1.0, sent_ns=0, is_historical=True)), Reason.BAD_TIME),
    ),
    units={
        (sparkplug_topic("NDATA"), "Cabinet/Temperature"): "°C",
        (sparkplug_topic("DDATA", _DEV), "Hydraulics/Pressure"): "bar",
    },
)

HOUSEHOLDS = {
    household.decoder: household
    for household in (
        ZIGBEE2MQTT,
        TASMOTA,
        SHELLY1,
        SHELLY2,
        ESPHOME,
        HOMEASSISTANT,
        HOMIE,
        INFLUX,
        SPARKPLUG,
    )
}
"""Name of a decoder → household. Their topics do not overlap, so that all can be replayed at one broker."""
