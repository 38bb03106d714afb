"""Home Assistant's statestream: <base>/<domain>/<object>/state as text, and each attribute as JSON on its own topic.

Everything is retained, so what was there before is not a reading; `unit_of_measurement` is learned from it all the
same. Times stand on topics of their own and come after the state that they belong to: they are of no use.
"""

from __future__ import annotations

from edgeseq.core.decoders.family import NOTHING, Family, Memory, Said
from edgeseq.core.decoders.texts import number_or_text
from edgeseq.core.parsing import Fault, parse_json
from edgeseq.core.types import Message

_MISSING = frozenset({"unavailable", "unknown", "none", "None", ""})
_PASSED_BY = frozenset({"last_updated", "last_changed", "last_reported"})
_UNIT = "unit_of_measurement"
_MOST_ENTITIES = 10_000
_LONGEST_UNIT = 32


def _read(memory: Memory, message: Message) -> Said:
    entity, _, name = message.topic.rpartition("/")
    if name == _UNIT:
        return _learn(memory, entity, message.payload)
    if name == "state":
        found = number_or_text(message.payload)
        if isinstance(found, Fault):
            return Said(faults=(found,))
        is_missing = isinstance(found, str) and found.strip() in _MISSING
        return Said(((name, None if is_missing else found, None),))
    content = parse_json(message.payload)
    if isinstance(content, Fault):
        return Said(faults=(content,))
    return NOTHING if isinstance(content, list | dict) else Said(((name, content, None),))


def _learn(memory: Memory, entity: str, payload: bytes) -> Said:
    """Remember the unit of an entity."""
    unit = parse_json(payload)
    if isinstance(unit, Fault):
        return Said(faults=(unit,))
    is_new = entity not in memory.facts
    if (
        not isinstance(unit, str)
        or len(unit) > _LONGEST_UNIT
        or (is_new and len(memory.facts) >= _MOST_ENTITIES)
    ):
        return NOTHING
    if is_new or memory.facts[entity] != unit:
        memory.facts[entity] = unit
        memory.is_changed = True
    return NOTHING


def _unit(memory: Memory, topic: str, name: str) -> str | None:
    unit: str | None = memory.facts.get(topic.rpartition("/")[0])
    return unit if name == "state" else ""


def _passes_by(topic: str) -> bool:
    levels = topic.split("/")
    return len(levels) < 4 or levels[-1] in _PASSED_BY


def _tells(topic: str) -> bool:
    return topic.endswith(f"/{_UNIT}")


def _source(topic: str, name: str) -> tuple[str, None]:
    return topic, None


def _is_bookkeeping(name: str) -> bool:
    return name != "state"


FAMILY = Family(
    name="homeassistant",
    topics=("homeassistant/+/+/state", f"homeassistant/+/+/{_UNIT}"),
    read=_read,
    passes_by=_passes_by,
    tells=_tells,
    is_lasting=True,
    source=_source,
    unit=_unit,
    is_bookkeeping=_is_bookkeeping,
)
