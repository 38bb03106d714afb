"""A household of Sparkplug B."""

from __future__ import annotations

import math
from typing import Any

from edgeseq.core.decoders.sparkplug_b_pb2 import Payload  # type: ignore[attr-defined]  # generated
from edgeseq.core.types import Reason
from tests.support.families.household import START_NS, Household, Sample, json_sample, level, refused

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
        json_sample("spBv1.0/STATE/scada", {"online": True, "timestamp": time_ns // 10**6}),
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
        *refused(
            sparkplug_topic("NDATA"),
            {
                b"\x12\x03\x0a": Reason.MALFORMED,
                b"55.49": Reason.MALFORMED,
                _of_alias(99): Reason.NO_BIRTH,
                _named(math.nan): Reason.NOT_FINITE,
                _named(1.0, sent_ns=0, is_historical=True): Reason.BAD_TIME,
            },
        ),
    ),
    units={
        (sparkplug_topic("NDATA"), "Cabinet/Temperature"): "°C",
        (sparkplug_topic("DDATA", _DEV), "Hydraulics/Pressure"): "bar",
    },
)
