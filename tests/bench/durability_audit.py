"""The books, when all is over: what was promised, what the journal holds, what the core makes of it, what was told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeseq.adapters.journal import Record
from edgeseq.compose import Node, open_node
from edgeseq.config import load_config
from edgeseq.config.resolve import Resolved, resolve
from edgeseq.core import keeping, pipeline
from edgeseq.core.types import Event, Forecast, Readings, StreamInfo
from tests.support import hoarding
from tests.support.sender import Key

Alert = tuple[str, bytes]
"""Topic and payload."""

SECOND_NS = 10**9
JOINED = 1000
"""Readings taken at once."""


@dataclass(frozen=True, slots=True)
class Committed:
    """The core run over the journal, in its order."""

    node: Node
    times: Counter[Key]
    """How often each reading was taken. One that comes again so late that it cannot be applied is not counted."""
    alerts: dict[Alert, int]
    """When what they come from was committed, or had arrived just before (ns)."""


def committed(config: Path, hoard: Path, state_dir: Path) -> Committed:
    """Read every journal there ever was and run the core over it, from nothing."""
    found = Committed(open_node(_resolved(config), state_dir=None, log=_mute), Counter(), {})
    now_ns, newest_ns = 0, dict[str, int]()
    for record in _joined(hoarding.records(hoard, state_dir)):
        events = _recover(found.node, record)
        outgoing = found.node.render(event for event in events if not isinstance(event, Forecast))
        now_ns = max([now_ns, *record.readings.received_ns[-1:].tolist(), record.tick_ns or 0])
        for out in outgoing:
            if out.alert_id is not None:
                found.alerts.setdefault((out.topic, out.payload), now_ns)
        _count(found, record.readings, newest_ns)
    return found


def _count(found: Committed, readings: Readings, newest_ns: dict[str, int]) -> None:
    """Count each reading; the streams' steps are a second, and some wait for three of them."""
    infos = found.node.state.registry.infos
    columns = (readings.stream_index.tolist(), readings.value.tolist(), readings.time_ns.tolist())
    for stream, value, time_ns in zip(*columns, strict=True):
        topic = infos[stream].topic
        newest_ns[topic] = max(newest_ns.get(topic, 0), time_ns)
        steps = 3 if topic.startswith("late/") else 1
        is_late = newest_ns[topic] - time_ns >= steps * SECOND_NS
        found.times[topic, value] += not (is_late and found.times[topic, value])


@dataclass(slots=True)
class _Record:
    """Records of readings that follow each other, as one; or one of another kind."""

    created: list[StreamInfo]
    readings: Readings
    tick_ns: int | None = None
    resumed_ns: int | None = None


def _joined(records: Iterable[Record]) -> Iterator[_Record]:
    """Join records of readings, since a batch cut anywhere gives the same; it is fast, and tries just that."""
    created: list[StreamInfo] = []
    waiting: list[Readings] = []
    for record in records:
        is_moment = record.tick_ns is not None or record.resumed_ns is not None
        if waiting and (is_moment or sum(map(len, waiting)) > JOINED):
            yield _Record(created, _concatenated(waiting))
            created, waiting = [], []
        if is_moment:
            yield _Record([], Readings.empty(), record.tick_ns, record.resumed_ns)
        else:
            created += record.created
            waiting.append(record.readings())
    if waiting:
        yield _Record(created, _concatenated(waiting))


def _concatenated(parts: Sequence[Readings]) -> Readings:
    return Readings(*(np.concatenate([getattr(part, name) for part in parts]) for name in Readings.__slots__))


def differing(config: Path, state_dir: Path, expected: Node) -> list[str]:
    """Name what of the state in the folder is not bit for bit the expected one."""
    node = open_node(_resolved(config), state_dir=state_dir, log=_mute)
    assert node.store is not None
    node.store.close()
    (header, arrays), (wanted_header, wanted) = keeping.dump(node.state), keeping.dump(expected.state)
    names = [key for key in ("streams", "groups") if header[key] != wanted_header[key]]
    names += sorted(arrays.keys() ^ wanted.keys())
    same = arrays.keys() & wanted.keys()
    return names + sorted(n for n in same if arrays[n].tobytes() != wanted[n].tobytes())


def lost(found: Committed, promised: Iterable[Key]) -> list[Key]:
    """List readings that were promised to be kept, and are not there."""
    return sorted(key for key in promised if key not in found.times)


def applied_twice(found: Committed, sent: Mapping[Key, int]) -> dict[Key, int]:
    """List readings that were committed more than once.

    Where packet ids are the only identity, a reading that the sensor itself published again is another one.
    """
    allowed = {key: count if key[0].startswith("packet/") else 1 for key, count in sent.items()}
    return {key: count for key, count in found.times.items() if count > allowed.get(key, 0)}


def _resolved(config: Path) -> Resolved:
    return resolve(load_config(config), config.parent, name=config.name)


def _recover(node: Node, record: _Record) -> list[Event]:
    if record.tick_ns is not None:
        return pipeline.tick(node.state, record.tick_ns)
    if record.resumed_ns is not None:
        pipeline.resume(node.state, record.resumed_ns)
        return []
    return pipeline.recover(node.state, record.created, record.readings)


def _mute(_: str, **__: Any) -> None:
    """Take a log line."""
