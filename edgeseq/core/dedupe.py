"""Recognise a reading that has been applied already, by a bounded set of recent identities per stream.

Never by a high-water mark: readings arrive out of order after a broker's restart, and a mark would lose them.
"""

from __future__ import annotations

import numpy as np

from edgeseq.core.rounds import rounds
from edgeseq.core.table import Column, Table
from edgeseq.core.types import I64, Bool, Readings

RECENT_IDS = 32
"""Identities kept per stream and channel: the broker's redeliveries after a crash fit in (design: 32 x 8 bytes)."""


def columns(channels: int) -> dict[str, Column]:
    """Declare the state: a ring of hashes per stream, 32 for each of its channels."""
    return {
        "recent_ids": Column((RECENT_IDS * channels,), "uint64", 0),
        "recent_position": Column((), "int64", 0),
    }


def remember(table: Table, rows: I64, readings: Readings) -> Bool:
    """Look up and remember identities; `rows` (n,) are the readings' rows in the table.

    Returns (n,): True where the reading was seen before. Duplicates are not remembered again.
    """
    ids = readings.id_hash
    duplicate = np.zeros(len(readings), dtype=np.bool_)
    for picked in rounds(rows):
        row, wanted = rows[picked], ids[picked]
        known = (table["recent_ids"][row] == wanted[:, None]).any(axis=1)
        duplicate[picked] = known & readings.comparable[picked] & (wanted != 0)
        fresh = ~duplicate[picked] & (wanted != 0)
        row, wanted = row[fresh], wanted[fresh]
        slot = table["recent_position"][row] % table["recent_ids"].shape[1]
        table["recent_ids"][row, slot] = wanted
        table["recent_position"][row] += 1
    return duplicate
