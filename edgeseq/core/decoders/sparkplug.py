"""Sparkplug B 3.0: spBv1.0/<group>/<type>/<edge node>[/<device>] carries metrics, by name in births, then by alias.

What is honoured, with the section of the specification:

- A metric's own time (ms), else the payload's; a historical one (6.4.6) without any is none, since it is not of now.
  Historical metrics are readings of their time: in order they count, behind newer ones they are late.
- `is_null`: the reading is known to be missing.
- Aliases hold within an edge node, its devices included, from a birth to the next, or to the death with the same bdSeq.
- `seq` counts all messages of a node from 0 to 255. Where some are missing, what is known of the node stays, unless its
  birth (seq 0) may be among them: then aliases mean nothing until the next one.
- A rebirth is asked for (NCMD, `Node Control/Rebirth`) where the configuration lets us: after any gap, and where an
  alias is unknown; at most once a minute and node (by the times of arrival).

Aliases are kept in snapshots and not in the journal: after a crash they are forgotten and wait for a birth (see
`forget_aliases`), since births may have come since the snapshot. Births bring readings as well: the values of then.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from edgeseq.core.decoders.family import NOTHING, Family, Memory, Point, Said
from edgeseq.core.decoders.sparkplug_nodes import (
    DEVICE_BIRTH,
    DEVICE_DEATH,
    NODE_BIRTH,
    NODE_DEATH,
    Metric,
    Payload,
    count,
    forget,
    forget_aliases,
    learn,
    node_of,
)
from edgeseq.core.instants import LIMIT_NS
from edgeseq.core.parsing import Fault
from edgeseq.core.types import Message, Outgoing, Reason

_BIRTHS = frozenset({NODE_BIRTH, DEVICE_BIRTH})
_DEATHS = frozenset({NODE_DEATH, DEVICE_DEATH})
_NODES, _DEVICES = frozenset({"NBIRTH", "NDATA", "NDEATH"}), frozenset({"DBIRTH", "DDATA", "DDEATH"})

_SIGNED_BITS = {1: 8, 2: 16, 3: 32, 4: 64}
_NUMBERS = frozenset(range(1, 11))
"""Data types Int8 to Double (6.4.16)."""

_MS_NS = 10**6
_ASK_EVERY_NS = 60 * 10**9


@lru_cache(maxsize=1)
def _bindings() -> Any:
    """Import the generated bindings; they need protobuf, which only the extra brings."""
    return importlib.import_module("edgeseq.core.decoders.sparkplug_b_pb2")


@lru_cache(maxsize=1)
def _decode_error() -> type[Exception]:
    found: type[Exception] = importlib.import_module("google.protobuf.message").DecodeError
    return found


def _read(memory: Memory, message: Message) -> Said:
    try:
        payload: Payload = _bindings().Payload.FromString(message.payload)
    except _decode_error() as error:
        return Said(faults=(Fault(Reason.MALFORMED, f"no payload of Sparkplug B: {error}"),))
    if not (payload.metrics or payload.HasField("seq") or payload.HasField("timestamp")):
        return Said(faults=(Fault(Reason.MALFORMED, "neither metrics nor time nor sequence number"),))
    _, group, kind, edge_node, *rest = message.topic.split("/")
    device = rest[0] if rest else ""
    path = f"{group}/{edge_node}"
    node = node_of(memory, path)
    if kind in _DEATHS:
        forget(memory, node, kind, device, payload)
        return NOTHING
    if message.retained and node is not None and (kind not in _BIRTHS or node["seq"] >= 0):
        return NOTHING  # it may be older than what is known
    is_due = node is not None and not message.retained and count(memory, node, kind, payload)
    if kind in _BIRTHS and node is not None:
        learn(memory, node, kind, device, payload)
    points, faults, unknown = _metrics(node, device, payload)
    if unknown:
        why = (
            "its birth has not been seen"
            if node is None or not node["aliases"]
            else "its birth tells none such"
        )
        faults.append(Fault(Reason.NO_BIRTH, f"{unknown} by alias of {path}: {why}"))
        is_due = True
    if is_due and memory.may_ask and node is not None:
        _ask(memory, node, message, group, edge_node)
    return Said(points, faults)


# --- what is known of a node ------------------------------------------------------------------------------------


def _ask(memory: Memory, node: dict[str, Any], message: Message, group: str, edge_node: str) -> None:
    """Ask a node to be born again (6.4.20), unless that was done a short while ago."""
    if 0 <= message.received_ns - node["asked_ns"] < _ASK_EVERY_NS:
        return
    node["asked_ns"] = message.received_ns
    topic = f"{message.topic.partition('/')[0]}/{group}/NCMD/{edge_node}"
    memory.asks.append(Outgoing(topic, rebirth(message.received_ns)))


def rebirth(now_ns: int) -> bytes:
    """Make the payload of a request to be born again."""
    payload = _bindings().Payload(timestamp=max(0, now_ns // _MS_NS))
    metric = payload.metrics.add(name="Node Control/Rebirth", datatype=11, boolean_value=True)
    metric.timestamp = payload.timestamp
    encoded: bytes = payload.SerializeToString()
    return encoded


# --- metrics ----------------------------------------------------------------------------------------------------


def _metrics(
    node: dict[str, Any] | None, device: str, payload: Payload
) -> tuple[list[Point], list[Fault], int]:
    """Read the metrics → points, faults, and how many came by an alias that is not known."""
    points: list[Point] = []
    faults: list[Fault] = []
    aliases = node["aliases"] if node is not None else {}
    unknown = 0
    sent_ms = payload.timestamp
    for metric in payload.metrics:
        name, datatype = metric.name, metric.datatype
        if not name and metric.HasField("alias"):
            known = aliases.get(str(metric.alias))
            if known is None or known[0] != device:
                unknown += 1
                continue
            _, name, datatype = known
        if type(name) is not str or not name:
            faults.append(Fault(Reason.MALFORMED, "a metric without name and alias"))
            continue
        field = metric.WhichOneof("value")
        if metric.is_null:
            value: object = None
        elif (value := _value(metric, field, datatype)) is None:
            continue
        time_ns = (metric.timestamp or sent_ms) * _MS_NS
        if not 0 < time_ns < LIMIT_NS:
            if time_ns or metric.is_historical:
                faults.append(Fault(Reason.BAD_TIME, f"{name}: {'none' if not time_ns else 'too far off'}"))
                continue
            points.append((name, value, None))
            continue
        points.append((name, value, time_ns))
    return points, faults, unknown


def _value(metric: Metric, field: str | None, datatype: int) -> float | int | None:
    """Give a metric's number; None where it is none."""
    if field == "double_value":
        double: float = metric.double_value
        return double
    if field == "float_value":
        single: float = metric.float_value
        return single
    if field not in ("int_value", "long_value") or (datatype and datatype not in _NUMBERS):
        return None
    whole: int = metric.int_value if field == "int_value" else metric.long_value
    bits = _SIGNED_BITS.get(datatype)
    if bits is None:
        return whole
    whole &= (1 << bits) - 1
    return whole - (1 << bits) if whole >> (bits - 1) else whole


# --- topics -----------------------------------------------------------------------------------------------------


def _source(topic: str, name: str) -> tuple[str, str]:
    """Name the topic of the data, whether a birth or data said it."""
    namespace, group, kind, *rest = topic.split("/")
    return "/".join([namespace, group, "DDATA" if kind.startswith("D") else "NDATA", *rest]), name


def _unit(memory: Memory, topic: str, name: str) -> str | None:
    _, group, _, edge_node, *rest = topic.split("/")
    node = memory.facts.get(f"{group}/{edge_node}")
    unit: str | None = None if node is None else node["units"].get(f"{rest[0] if rest else ''}\n{name}")
    return unit


def _passes_by(topic: str) -> bool:
    levels = topic.split("/")
    kinds = {4: _NODES, 5: _DEVICES}.get(len(levels))
    return kinds is None or levels[2] not in kinds


def _tells(topic: str) -> bool:
    return topic.split("/", 3)[2:3] in ([NODE_BIRTH], [DEVICE_BIRTH], [NODE_DEATH], [DEVICE_DEATH])


def _is_bookkeeping(name: str) -> bool:
    return name == "bdSeq" or name.startswith(
        ("Node Control/", "Device Control/", "Node Info/", "Properties/")
    )


def family_topics() -> Iterator[str]:
    """List the topics of the messages that are read."""
    yield from (f"spBv1.0/+/{kind}/+" for kind in ("NBIRTH", "NDATA", "NDEATH"))
    yield from (f"spBv1.0/+/{kind}/+/+" for kind in ("DBIRTH", "DDATA", "DDEATH"))


FAMILY = Family(
    name="sparkplug",
    topics=tuple(family_topics()),
    read=_read,
    passes_by=_passes_by,
    tells=_tells,
    source=_source,
    is_shared=True,
    unit=_unit,
    is_bookkeeping=_is_bookkeeping,
    distrust=forget_aliases,
    has_times=True,
    needs="google.protobuf",
    extra="sparkplug",
)
