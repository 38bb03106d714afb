"""Shelly, second generation and later: <id>/status/<component> carries an object, <id>/events/rpc news of them.

Both say the same of a component, so both make the same streams: `switch:0.apower` of <id>/status/switch:0.
"""

from __future__ import annotations

from edgeseq.core.decoders.documents import read_object, values
from edgeseq.core.decoders.family import NOTHING, Family, Memory, Point, Said
from edgeseq.core.parsing import Fault
from edgeseq.core.types import Message, Reason

_NOTIFICATIONS = frozenset({"NotifyStatus", "NotifyFullStatus"})
_OF_THE_DEVICE = (
    "sys",
    "wifi",
    "eth",
    "cloud",
    "mqtt",
    "ws",
    "ble",
    "ui",
    "bthome",
    "script",
    "schedule",
    "ht_ui",
)
_BOOKKEEPING = frozenset(
    {
        "id",
        "tF",
        "minute_ts",
        "ts",
        "timer_started_at",
        "timer_duration",
        "last_updated_ts",
        "n_current_errors",
    }
)
_RPC = "/events/rpc"

_UNITS = {
    "apower": "W",
    "act_power": "W",
    "total_act_power": "W",
    "aprt_power": "VA",
    "total_aprt_power": "VA",
    "voltage": "V",
    "current": "A",
    "total_current": "A",
    "freq": "Hz",
    "tC": "°C",
    "tF": "°F",
    "rh": "%",
    "V": "V",
    "percent": "%",
    "lux": "lx",
    "total": "Wh",
    "xvoltage": "V",
    "current_pos": "%",
    "total_act_energy": "Wh",
    "total_act_ret_energy": "Wh",
    "total_act": "Wh",
    "total_act_ret": "Wh",
}


def _read(memory: Memory, message: Message) -> Said:
    document = read_object(message.payload)
    if isinstance(document, Fault):
        return Said(faults=(document,))
    if not message.topic.endswith(_RPC):
        return Said(values(document, f"{message.topic.rpartition('/')[2]}."), (), document)
    if document.get("method") not in _NOTIFICATIONS:
        return NOTHING
    components = document.get("params")
    if not isinstance(components, dict):
        return Said(faults=(Fault(Reason.WRONG_TYPE, "params is no object"),))
    points: list[Point] = []
    for name, status in components.items():
        if isinstance(status, dict):
            points += values(status, f"{name}.")
    return Said(points, (), document)


def _source(topic: str, name: str) -> tuple[str, str]:
    component, _, quantity = name.partition(".")
    if topic.endswith(_RPC):
        return f"{topic.removesuffix(_RPC)}/status/{component}", quantity
    return topic, quantity


def _unit(memory: Memory, topic: str, name: str) -> str:
    last = name.rpartition(".")[2]
    if last in _UNITS:
        return _UNITS[last]
    phase, _, quantity = last.partition("_")  # a_voltage of three phases
    return _UNITS.get(quantity, "") if phase in ("a", "b", "c", "n") else ""


def _passes_by(topic: str) -> bool:
    return not (topic.endswith(_RPC) or "/status/" in topic)


def _tells(topic: str) -> bool:
    """Tell of a topic that it speaks of others: its streams are those of the components' topics."""
    return topic.endswith(_RPC)


def _is_bookkeeping(name: str) -> bool:
    component, _, quantity = name.partition(".")
    is_of_device = component.partition(":")[0] in _OF_THE_DEVICE
    return is_of_device or "by_minute" in quantity or quantity.rpartition(".")[2] in _BOOKKEEPING


FAMILY = Family(
    name="shelly2",
    topics=("+/status/+", "+/events/rpc"),
    read=_read,
    passes_by=_passes_by,
    tells=_tells,
    source=_source,
    is_shared=True,
    unit=_unit,
    is_bookkeeping=_is_bookkeeping,
    is_document=True,
)
