"""What is known of Sparkplug's edge nodes: their sequence, their session, and what their aliases mean."""

from __future__ import annotations

from typing import Any

from edgeseq.core.decoders.family import Memory

NODE_BIRTH, DEVICE_BIRTH, NODE_DEATH, DEVICE_DEATH = "NBIRTH", "DBIRTH", "NDEATH", "DDEATH"
_MOST_NODES, _MOST_ALIASES = 1000, 100_000
_LONGEST_NAME, _LONGEST_UNIT = 256, 32

_FACTS = {"seq": -1, "bd": -1, "aliases": {}, "units": {}, "asked_ns": 0}
"""What is known of an edge node: newest seq, its session, alias → [device, name, data type], device/name → unit, when a
rebirth was last asked for (ns)."""

Metric = Any
"""A metric of the generated bindings, …"""

Payload = Any
"""… and a payload."""


def node_of(memory: Memory, path: str) -> dict[str, Any] | None:
    """Find what is known of an edge node; None where there are too many to remember another."""
    node: dict[str, Any] | None = memory.facts.get(path)
    if node is None and len(memory.facts) < _MOST_NODES:
        node = memory.facts[path] = {key: {} if value == {} else value for key, value in _FACTS.items()}
    return node


def count(memory: Memory, node: dict[str, Any], kind: str, payload: Payload) -> bool:
    """Follow the sequence → whether messages are missing, so that a rebirth is due."""
    before: int = node["seq"]
    if kind == NODE_BIRTH:
        node["seq"] = payload.seq % 256
        return False
    if not payload.HasField("seq"):
        return False
    seq = node["seq"] = payload.seq % 256
    expected = (before + 1) % 256
    if before < 0 or seq == expected:
        return before < 0
    if seq < expected or expected == 0:  # number 0, a birth, may be among those that are missing
        memory.is_changed = memory.is_changed or bool(node["aliases"])
        node["aliases"] = {}
    return True


def learn(memory: Memory, node: dict[str, Any], kind: str, device: str, payload: Payload) -> None:
    """Take names, types and units of a birth in place of those that were known."""
    known = {} if kind == NODE_BIRTH else _without(node["aliases"], device)
    units = {} if kind == NODE_BIRTH else {k: u for k, u in node["units"].items() if not _is_of(k, device)}
    held = sum(len(other["units"]) for other in memory.facts.values())
    for metric in payload.metrics[: max(0, _MOST_ALIASES - held)]:
        name = metric.name
        if type(name) is not str or not 0 < len(name) <= _LONGEST_NAME:
            continue
        if kind == NODE_BIRTH and name == "bdSeq":
            node["bd"] = metric.long_value or metric.int_value
        units[f"{device}\n{name}"] = _unit_of(metric)
        if metric.HasField("alias"):
            known[str(metric.alias)] = [device, name, metric.datatype]
    if known != node["aliases"] or units != node["units"]:
        node["aliases"], node["units"] = known, units
        memory.is_changed = True


def forget(memory: Memory, node: dict[str, Any] | None, kind: str, device: str, payload: Payload) -> None:
    """Forget the aliases of what has died: of a device, or of the node that was born with the same bdSeq."""
    if node is None:
        return
    if kind == DEVICE_DEATH:
        node["aliases"] = _without(node["aliases"], device)
        if payload.HasField("seq"):
            node["seq"] = payload.seq % 256
        return
    session = next((m.long_value or m.int_value for m in payload.metrics if m.name == "bdSeq"), node["bd"])
    if session == node["bd"] or node["bd"] < 0:
        node["aliases"], node["seq"] = {}, -1


def _without(aliases: dict[str, list[Any]], device: str) -> dict[str, list[Any]]:
    return {alias: known for alias, known in aliases.items() if known[0] != device}


def _is_of(key: str, device: str) -> bool:
    return key.partition("\n")[0] == device


def _unit_of(metric: Metric) -> str:
    """Find a metric's engineering unit among its properties; the name is Ignition's, others have taken it over."""
    properties = metric.properties
    for key, value in zip(properties.keys, properties.values, strict=False):
        if key in ("engUnit", "Engineering Units", "unit") and isinstance(value.string_value, str):
            return value.string_value[:_LONGEST_UNIT]
    return ""


def forget_aliases(memory: Memory) -> None:
    """Begin as if no birth had been seen: some may have been since this was kept."""
    for node in memory.facts.values():
        node["aliases"], node["seq"] = {}, -1
