"""What must have come of what was committed: the core alone, run over the records in order, without any fault."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseq import compose
from edgeseq.adapters.journal import Record
from edgeseq.compose import Node
from edgeseq.core import keeping, pipeline
from edgeseq.core.pipeline import State

Dump = tuple[dict[str, Any], dict[str, NDArray[np.generic]]]


class Oracle:
    """The core, and all that it would have published."""

    def __init__(self, node: Node) -> None:
        self.records = 0
        self.published: set[tuple[str, bytes]] = set()
        self.alerts: set[tuple[str, bytes]] = set()
        self._node = node

    @property
    def state(self) -> State:
        """Give its state."""
        return self._node.state

    def take(self, record: Record) -> None:
        """Take one record."""
        self.records += 1
        outgoing = self._node.render(_recover(self._node.state, record))
        self.published |= {(out.topic, out.payload) for out in outgoing}
        self.alerts |= {(out.topic, out.payload) for out in outgoing if out.alert_id is not None}

    def differs(self, state: State) -> list[str]:
        """Name what is not equal, bit for bit."""
        return unlike(keeping.dump(state), keeping.dump(self._node.state))


def dump(state: State) -> Dump:
    """Copy a state."""
    header, arrays = keeping.dump(state)
    return header, {name: array.copy() for name, array in arrays.items()}


def unlike(found: Dump, wanted: Dump) -> list[str]:
    """Name what is not equal, bit for bit."""
    names = [key for key in ("streams", "groups", "clock_ns", "session") if found[0][key] != wanted[0][key]]
    names += sorted(found[1].keys() ^ wanted[1].keys())
    common = sorted(found[1].keys() & wanted[1].keys())
    return names + [name for name in common if found[1][name].tobytes() != wanted[1][name].tobytes()]


def _recover(state: State, record: Record) -> Sequence[Any]:
    if record.tick_ns is not None:
        return pipeline.tick(state, record.tick_ns)
    if record.resumed_ns is not None:
        pipeline.resume(state, record.resumed_ns, record.session)
        return []
    return pipeline.recover(state, record.created, record.readings())


def new_oracle(resolved: Any, log: Any) -> Oracle:
    """Make an oracle that has seen nothing."""
    return Oracle(compose.open_node(resolved, state_dir=None, log=log))
