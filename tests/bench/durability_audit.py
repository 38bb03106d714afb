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

JOINED = 1000
"""Readings taken at once."""


@dataclass(frozen=True, slots=True)
class Committed:
    """The core run over the journal, in its order."""

    node: Node
    times: Counter[Key]
    """How often each reading was committed."""
    alerts: dict[Alert, int]
    """When what they come from was committed, or had arrived just before (ns)."""


def committed(config: Path, hoard: Path, state_dir: Path) -> Committed:
    """Read every journal there ever was and run the core over it, from nothing."""
    found = Committed(open_node(_resolved(config), state_dir=None, log=_mute), Counter(), {})
    now_ns = 0
    for record in _joined(hoarding.records(hoard, state_dir)):
        events = _recover(found.node, record)
        outgoing = found.node.render(event for event in events if not isinstance(event, Forecast))
        now_ns = max([now_ns, *record.readings.received_ns[-1:].tolist(), record.tick_ns or 0])
        for out in outgoing:
            if out.alert_id is not None:
                found.alerts.setdefault((out.topic, out.payload), now_ns)
        infos = found.node.state.registry.infos
        topics = (infos[stream].topic for stream in record.readings.stream_index.tolist())
        found.times.update(zip(topics, record.readings.value.tolist(), strict=True))
    return found


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
