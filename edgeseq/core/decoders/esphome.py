"""ESPHome: <prefix>/sensor/<name>/state carries a plain number, `nan` where the sensor has none."""

from __future__ import annotations

from edgeseq.core.decoders.family import Family, Memory, Said
from edgeseq.core.parsing import Fault, parse_plain_number
from edgeseq.core.types import Message, Reason

_COMPONENTS = frozenset({"sensor", "number"})
_MISSING = frozenset({b"nan", b"NaN", b"NAN", b"-nan"})


def _read(memory: Memory, message: Message) -> Said:
    name = message.topic.split("/")[-2]
    payload = message.payload.strip()
    if payload in _MISSING:
        return Said(((name, None, None),))
    number = parse_plain_number(payload)
    if isinstance(number, Fault):
        return Said(faults=(Fault(Reason(number.reason), f"{name}: {number.detail}"),))
    return Said(((name, number, None),))


def _passes_by(topic: str) -> bool:
    levels = topic.split("/")
    return len(levels) < 4 or levels[-1] != "state" or levels[-3] not in _COMPONENTS


def _source(topic: str, name: str) -> tuple[str, None]:
    return topic, None


FAMILY = Family(
    name="esphome",
    topics=("+/sensor/+/state",),
    read=_read,
    passes_by=_passes_by,
    source=_source,
)
