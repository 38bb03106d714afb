"""Homie 5: <domain>/5/<device>/<node>/<property> carries a value as text; <domain>/5/<device>/$description its type.

Values are retained, and so no readings when they come with a subscription; descriptions are learned from then. Until
one has come, what looks like a number is one: a property never changes its type without a new description.
"""

from __future__ import annotations

from typing import Any

from edgeseq.core.decoders.documents import read_object
from edgeseq.core.decoders.family import NOTHING, Family, Memory, Said
from edgeseq.core.decoders.texts import number_or_text
from edgeseq.core.parsing import Fault
from edgeseq.core.types import Message, Reason

_DESCRIPTION = "/$description"
_NUMBERS = frozenset({"integer", "float"})
_VALUE_LEVELS = 5
_MOST_DEVICES, _MOST_PROPERTIES = 1000, 100_000
_LONGEST = 64


def _read(memory: Memory, message: Message) -> Said:
    if message.topic.endswith(_DESCRIPTION):
        return _learn(memory, message)
    name = _name(message.topic)
    known = _known(memory, message.topic)
    found = number_or_text(message.payload)
    if known is not None and known[0] not in _NUMBERS:
        is_no_text = isinstance(found, Fault) and found.reason is Reason.BAD_UTF8
        return Said(faults=(found,)) if isinstance(found, Fault) and is_no_text else NOTHING
    if isinstance(found, Fault):
        return Said(faults=(found,))
    if isinstance(found, float):
        return Said(((name, found, None),))
    return (
        NOTHING
        if known is None
        else Said(faults=(Fault(Reason.WRONG_TYPE, f"{name} is no {known[0]}: {found}"),))
    )


def _learn(memory: Memory, message: Message) -> Said:
    """Remember types and units of a device's properties: all of them, in place of what was known."""
    device = message.topic.removesuffix(_DESCRIPTION)
    if not message.payload.strip():  # the device was removed
        memory.is_changed = memory.facts.pop(device, None) is not None or memory.is_changed
        return NOTHING
    document = read_object(message.payload)
    if isinstance(document, Fault):
        return Said(faults=(document,))
    described = dict(_properties(document))
    if memory.facts.get(device) == described:
        return NOTHING
    held = sum(len(properties) for key, properties in memory.facts.items() if key != device)
    if (device not in memory.facts and len(memory.facts) >= _MOST_DEVICES) or held + len(
        described
    ) > _MOST_PROPERTIES:
        return NOTHING
    memory.facts[device] = described
    memory.is_changed = True
    return NOTHING


def _properties(document: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """List node/property with type and unit."""
    found = []
    for node, of_node in _objects(document.get("nodes")):
        for name, of_property in _objects(of_node.get("properties")):
            told = [of_property.get("datatype"), of_property.get("unit", "")]
            found.append(
                (f"{node}/{name}", [str(text)[:_LONGEST] if isinstance(text, str) else "" for text in told])
            )
    return found


def _objects(content: object) -> list[tuple[str, dict[str, Any]]]:
    if not isinstance(content, dict):
        return []
    return [(str(key), item) for key, item in content.items() if isinstance(item, dict)]


def _known(memory: Memory, topic: str) -> list[str] | None:
    """Give type and unit of a property; None where its device has not been described."""
    device = memory.facts.get("/".join(topic.split("/")[:3]))
    if device is None:
        return None
    known: list[str] = device.get(_name(topic), ["", ""])
    return known


def _name(topic: str) -> str:
    return "/".join(topic.split("/")[3:])


def _unit(memory: Memory, topic: str, name: str) -> str | None:
    known = _known(memory, topic)
    return None if known is None else known[1]


def _passes_by(topic: str) -> bool:
    levels = topic.split("/")
    if len(levels) < 4 or levels[1] != "5":
        return True
    return not _tells(topic) and (
        len(levels) != _VALUE_LEVELS or any(level.startswith("$") for level in levels[2:])
    )


def _tells(topic: str) -> bool:
    return topic.endswith(_DESCRIPTION) and topic.count("/") == 3


def _source(topic: str, name: str) -> tuple[str, None]:
    return topic, None


FAMILY = Family(
    name="homie",
    topics=("homie/5/+/+/+", "homie/5/+/$description"),
    read=_read,
    passes_by=_passes_by,
    tells=_tells,
    is_lasting=True,
    source=_source,
    unit=_unit,
)
