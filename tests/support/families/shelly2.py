"""A household of Shelly, second generation and later."""

from __future__ import annotations

from edgeseq.core.types import Reason
from tests.support.families.household import Household, S, Sample, json_sample, level, nothing, refused

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
        json_sample(f"{_1PM}/status/switch:0", switch),
        json_sample(
            f"{_1PM}/status/sys", {"mac": "A8032AB1", "uptime": 9, "ram_free": 111_104, "fs_free": 4096}
        ),
        json_sample(f"{_HTG3}/events/rpc", notice),
        json_sample(f"{_1PM}/events/rpc", event),
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
    start=nothing,
    at=_shelly2_at,
    streams=frozenset(
        {
            *((f"{_1PM}/status/switch:0", field) for field in _SWITCH),
            *((f"{_HTG3}/status/{component}", field) for component, field in _RPC),
        }
    ),
    malformed=(
        *refused(
            f"{_1PM}/status/switch:0",
            {
                b'{"id":0,': Reason.MALFORMED_JSON,
                b'{"id":0,"apower":"8.9"}': Reason.WRONG_TYPE,
                b'{"apower":NaN}': Reason.NOT_FINITE,
            },
        ),
        *refused(
            f"{_1PM}/events/rpc",
            {b'{"method":"NotifyStatus","params":[1]}': Reason.WRONG_TYPE, b"null": Reason.WRONG_TYPE},
        ),
    ),
    units={
        (f"{_1PM}/status/switch:0", "apower"): "W",
        (f"{_HTG3}/status/temperature:0", "tC"): "°C",
        (f"{_1PM}/status/switch:0", "aenergy.total"): "Wh",
    },
)
