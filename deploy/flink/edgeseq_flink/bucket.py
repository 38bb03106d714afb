"""A bucket: the core of a device with some of the streams, kept as on a device's disk by snapshot and journal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgeseq.adapters.log import open_log
from edgeseq.bundle.archive import dump_arrays, load_arrays
from edgeseq.compose import Node, open_node
from edgeseq.config import load_config
from edgeseq.config.resolve import Resolved, resolve
from edgeseq.core import keeping
from edgeseq.core.pipeline import accept, advance, describe, tick
from edgeseq.core.types import Message, Outgoing

HEADER = "header"
MOST_TOGETHER = 512
"""Messages of one micro-batch, as in the daemon."""


class Tick(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Time went on, and something fell silent by it."""

    now_ns: int


class Line(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A message."""

    topic: str
    payload: bytes
    received_ns: int
    retained: bool = False


Record = Line | Tick
encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Record).decode


def settle(config: Path) -> Resolved:
    """Read a device's configuration.

    Raises:
        ConfigError: as the daemon would.
    """
    return resolve(load_config(config), config.parent, name=config.name)


class Bucket:
    """The core of a device. Pure: equal records give an equal state and equal messages, however they are cut."""

    def __init__(self, resolved: Resolved) -> None:
        self.node: Node = open_node(resolved, state_dir=None, log=open_log("warning"))

    def take(self, records: Sequence[Record]) -> list[Outgoing]:
        """Take records in their order → what a device would publish."""
        said: list[Outgoing] = []
        batch: list[Message] = []
        for record in records:
            if isinstance(record, Line):
                batch.append(Message(record.topic, record.payload, record.received_ns, record.retained))
            if batch and (len(batch) == MOST_TOGETHER or isinstance(record, Tick)):
                said += self._advance(batch)
                batch = []
            if isinstance(record, Tick):
                said += self.node.render(tick(self.node.state, record.now_ns))
        return said + (self._advance(batch) if batch else [])

    def look(self, now_ns: int) -> tuple[list[Outgoing], list[Record]]:
        """Let time go on → messages, and the record of it where something fell silent."""
        said = self.node.render(tick(self.node.state, now_ns))
        return (said, [Tick(now_ns)]) if said else ([], [])

    def dump(self) -> bytes:
        """Write the whole state."""
        header, arrays = keeping.lay_open(self.node.state)
        text = np.frombuffer(msgspec.json.encode(header), np.uint8)
        # A group's name and a column's are parted by a line break, which no archive's name may hold.
        return dump_arrays({HEADER: text} | {name.encode().hex(): a for name, a in arrays.items()})

    def load(self, state: bytes) -> None:
        """Fill a new bucket with what was dumped; what subscribers were told is known again by it."""
        arrays: dict[str, Any] = load_arrays(state, "Flink's state")
        header = msgspec.json.decode(arrays.pop(HEADER).tobytes())
        keeping.load(self.node.state, header, {bytes.fromhex(name).decode(): a for name, a in arrays.items()})
        self.node.render(describe(self.node.state))

    def rows(self) -> Iterable[tuple[str, dict[str, Any]]]:
        """List each stream's own state, by its id: what two nodes with the same readings agree in."""
        infos = self.node.state.registry.infos
        for group in self.node.state.groups:
            for row in range(group.table.rows):
                columns = group.table.row(row)
                yield infos[int(columns.pop("stream"))].id, columns

    def _advance(self, messages: list[Message]) -> list[Outgoing]:
        return self.node.render(advance(self.node.state, accept(self.node.state, messages).readings))
