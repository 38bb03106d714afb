"""What is kept of open alerts alone: a stream without one pays nothing for it.

A table has it as `table.notes`: place of the alert → Entry. It belongs to the state like any column, and is kept with
it as arrays, in the order of the places: those of row, channel and kind, and the numbers as their bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeseq.core.detect.kinds import Evidence, Place
from edgeseq.core.table import Table
from edgeseq.core.types import I64

PLACES, NUMBERS, EVIDENCE = "alerts.place", "alerts.numbers", "alerts.evidence"


class Entry(NamedTuple):
    """An open alert."""

    step: int
    """Of its opening."""
    opened_ns: int
    seq: int
    """Of the event that told its opening."""
    evidence: Evidence
    """Of that event."""


_WHOLE = len(Entry._fields) - 1


def entries(table: Table) -> dict[Place, Entry]:
    """Give the open alerts of a table, to be read and written."""
    found: dict[Place, Entry] = table.notes
    return found


def of_row(table: Table, row: int) -> dict[Place, Entry]:
    """Give the open alerts of a row: a copy."""
    return {at: entry for at, entry in entries(table).items() if at.row == row}


def set_row(table: Table, row: int, own: Mapping[Place, Entry]) -> None:
    """Let a row have these alerts and no others."""
    for at in of_row(table, row):
        del table.notes[at]
    table.notes.update(own)


def dump(table: Table) -> dict[str, NDArray[np.generic]]:
    """Give places (n, 3), whole numbers (n, …) and evidence (n, …)."""
    kept = sorted(entries(table).items())
    return {
        PLACES: np.array([at for at, _ in kept], dtype=np.int64).reshape(-1, 3),
        NUMBERS: np.array([entry[:_WHOLE] for _, entry in kept], dtype=np.int64).reshape(-1, _WHOLE),
        EVIDENCE: np.array([entry.evidence for _, entry in kept], dtype=np.float64).reshape(
            -1, len(Evidence._fields)
        ),
    }


def load(table: Table, arrays: Mapping[str, NDArray[Any]], targets: int) -> None:
    """Fill a table from `dump`; channels from `targets` on raise no alerts any more, so they have none to clear.

    What is open of which nothing is known (kept by an earlier version) is open no more.
    """
    is_open = table["alert_open"]
    is_open[:, targets:] = False
    table.notes.clear()
    if PLACES in arrays:
        table.notes.update(_read(*(np.asarray(arrays[name]) for name in (PLACES, NUMBERS, EVIDENCE))))
    for at in [at for at in entries(table) if at.channel >= targets or not is_open[at]]:
        del table.notes[at]
    for place in np.argwhere(is_open).tolist():
        if Place(*place) not in table.notes:
            is_open[tuple(place)] = False


def _read(places: I64, numbers: I64, evidence: NDArray[Any]) -> dict[Place, Entry]:
    rows = zip(places.tolist(), numbers.tolist(), evidence.tolist(), strict=True)
    return {Place(*at): Entry._make((*whole, Evidence._make(shown))) for at, whole, shown in rows}
