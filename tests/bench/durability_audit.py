"""The books, when all is over: what was promised, what the journal holds, what the core makes of it, what was told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeseq.adapters.journal import Record
from edgeseq.compose import Node, open_node
from edgeseq.config import load_config
from edgeseq.config.resolve import Resolved, resolve
from edgeseq.core import keeping, pipeline
from edgeseq.core.types import Event
from tests.support import hoarding
from tests.support.sender import Key

Alert = tuple[str, bytes]
"""Topic and payload."""


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
    for record in hoarding.records(hoard, state_dir):
        outgoing = found.node.render(_recover(found.node, record))
        rows = record.readings()
        now_ns = max([now_ns, *rows.received_ns[-1:].tolist(), record.tick_ns or 0])
        for out in outgoing:
            if out.alert_id is not None:
                found.alerts.setdefault((out.topic, out.payload), now_ns)
        infos = found.node.state.registry.infos
        topics = (infos[stream].topic for stream in rows.stream_index.tolist())
        found.times.update(zip(topics, rows.value.tolist(), strict=True))
    return found


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


def _recover(node: Node, record: Record) -> list[Event]:
    if record.tick_ns is not None:
        return pipeline.tick(node.state, record.tick_ns)
    if record.resumed_ns is not None:
        pipeline.resume(node.state, record.resumed_ns)
        return []
    return pipeline.recover(node.state, record.created, record.readings())


def _mute(_: str, **__: Any) -> None:
    """Take a log line."""
