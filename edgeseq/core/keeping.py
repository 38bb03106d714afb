"""The whole state as a header and named arrays, and back: what a snapshot holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeseq.core.dedupe import dump_recent, load_recent
from edgeseq.core.group import dump_group, fingerprint, load_group
from edgeseq.core.lateness import dump_lateness, load_lateness
from edgeseq.core.pipeline import State, add_rows
from edgeseq.core.types import StreamInfo

RECENT = "recent"
"""Name of the array that belongs to no group; theirs have a line break."""


def dump(state: State) -> tuple[dict[str, Any], dict[str, NDArray[np.generic]]]:
    """Give the state as a JSON-able header and named arrays; they share no memory with the state."""
    header, arrays = lay_open(state)
    return header, {name: np.array(array) for name, array in arrays.items()}


def lay_open(state: State) -> tuple[dict[str, Any], dict[str, NDArray[np.generic]]]:
    """Do what `dump` does, without copying: the arrays hold until the state moves."""
    arrays: dict[str, NDArray[np.generic]] = {RECENT: dump_recent(state.recent)}
    for index, group in enumerate(state.groups):
        columns = dump_group(group)
        if twin := state.lateness.get(index):
            columns |= dump_lateness(twin)
        arrays |= {f"{group.rule.key}\n{name}": column for name, column in columns.items()}
    header = {
        "streams": [msgspec.to_builtins(info) for info in state.registry.infos],
        "groups": {group.rule.key: fingerprint(group) for group in state.groups},
        "clock_ns": state.clock_ns,
        "session": state.session,
        "decoders": _dump_memories(state),
    }
    return header, arrays


def load(state: State, header: dict[str, Any], arrays: Mapping[str, NDArray[np.generic]]) -> list[str]:
    """Fill a new state from a dump.

    Returns:
        ids of the streams that start anew, because their rule is gone or means something else now.
    """
    infos = [msgspec.convert(info, StreamInfo) for info in header["streams"]]
    for info in infos:
        state.registry.register(info)
    kept = set()
    for index, group in enumerate(state.groups):
        fit = header["groups"].get(group.rule.key)
        prefix = f"{group.rule.key}\n"
        columns = {name[len(prefix) :]: a for name, a in arrays.items() if name.startswith(prefix)}
        if fit is not None and load_group(group, fit, columns):
            kept |= set(group.table["stream"].tolist())
            if twin := state.lateness.get(index):
                load_lateness(group, twin, fit, columns)
    _place(state)
    if RECENT in arrays:  # not in older snapshots
        state.recent = load_recent(np.asarray(arrays[RECENT], dtype=np.uint64))
    state.clock_ns = header["clock_ns"]
    state.session = header.get("session", 0)  # not in older snapshots
    _load_memories(state, header.get("decoders", {}))
    return [info.id for index, info in enumerate(infos) if index not in kept | state.registry.hidden.keys()]


def _dump_memories(state: State) -> dict[str, Any]:
    """Give what decoders know, with the name of the decoder that knows it."""
    registry = state.registry
    return {key: [registry.rules[key].decoder, memory.facts] for key, memory in registry.memories.items()}


def _load_memories(state: State, kept: Mapping[str, Any]) -> None:
    """Let decoders know what they knew, as far as each rule still has the same one."""
    for key, memory in state.registry.memories.items():
        decoder, facts = kept.get(key, (None, {}))
        if decoder == state.registry.rules[key].decoder:
            # A copy: what was dumped of another state may go on living there.
            memory.facts = msgspec.json.decode(msgspec.json.encode(facts))


def _place(state: State) -> None:
    """Find each kept stream's row; streams without one get a new row."""
    rows = {
        stream: (index, row)
        for index, group in enumerate(state.groups)
        for row, stream in enumerate(group.table["stream"].tolist())
    }
    del state.group_of[:], state.row_of[:]
    for stream in range(len(state.registry)):
        if stream in rows:
            index, row = rows[stream]
            state.group_of.append(index)
            state.row_of.append(row)
        else:
            add_rows(state, until=stream + 1)
